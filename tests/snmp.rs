//! Tests of SNMP traps: the script with CPython and MicroPython, the trap definitions, and the MIB.

mod tools;

use std::collections::BTreeMap;

use serde_json::Value;

const DEFINITIONS: &str = "packaging/snmp/k8s_services_traps.yaml";
const MIB: &str = "packaging/snmp/K8S-SERVICES-MIB.txt";

fn definitions(text: &str) -> Value {
    serde_norway::from_str(text).expect("the trap definitions are YAML")
}

fn traps(definitions: &Value) -> &Vec<Value> {
    definitions["traps"].as_array().expect("traps are a list")
}

fn objects(trap: &Value) -> &Vec<Value> {
    trap["data"][0]["objects"].as_array().expect("objects are a list")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{value} has no text {name}"))
}

/// Parses every `name TYPE ... ::= { parent number }` of the MIB. Returns parent, number and the lines between, by
/// name.
fn mib(text: &str) -> BTreeMap<String, (String, String, String)> {
    let mut found = BTreeMap::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [name, "OBJECT-TYPE" | "NOTIFICATION-TYPE" | "MODULE-IDENTITY"] = words[..] {
            open = Some((name.to_owned(), String::new()));
        } else if let (["::=", "{", .., number, "}"], Some((name, body))) = (&words[..], open.as_ref()) {
            let parent = words[2..words.len() - 2].join(".");
            found.insert(name.clone(), (parent, (*number).to_owned(), body.clone()));
            open = None;
        } else if let Some((_, body)) = &mut open {
            body.push_str(line);
        }
    }
    found
}

fn assert_mib_and_definitions_agree(mib_text: &str, definitions_text: &str) {
    let mib = mib(mib_text);
    let (arc, number, _) = &mib["k8sServices"];
    let root = format!("{}.{number}", arc.replace("enterprises", "1.3.6.1.4.1"));
    let oid = |name: &str| {
        let (parent, number, _) = mib.get(name).unwrap_or_else(|| panic!("the MIB has no {name}"));
        let branch = match parent.as_str() {
            "k8sServicesNotifications" => 0,
            "k8sServicesObjects" => 1,
            other => panic!("{name} stands in {other}"),
        };
        format!("{root}.{branch}.{number}")
    };
    let definitions = definitions(definitions_text);
    for trap in traps(&definitions) {
        let name = text(trap, "name");
        assert_eq!(text(trap, "oid"), oid(name), "{name}");
        assert_eq!(text(trap, "enterprise"), root, "{name}");
        for object in objects(trap) {
            assert_eq!(text(object, "oid"), oid(text(object, "name")));
        }
        let listed = &mib[name].2;
        let listed = listed.split_once('{').and_then(|(_, rest)| rest.split_once('}')).expect("OBJECTS { ... }").0;
        let listed: Vec<&str> = listed.split(',').map(str::trim).collect();
        let sent: Vec<&str> = objects(trap).iter().map(|object| text(object, "name")).collect();
        assert_eq!(sent, listed, "{name} sends what the MIB says, in its order");
    }
    assert_eq!(traps(&definitions).len(), 2);
}

#[test]
fn the_trap_script_passes_its_tests_on_cpython_and_micropython() {
    let definitions = definitions(&tools::read(DEFINITIONS)).to_string();
    tools::unittest("tests/snmp", &[("K8S_SERVICES_TRAPS", definitions)], 39);
}

#[test]
fn trap_definitions_and_mib_agree() {
    assert_mib_and_definitions_agree(&tools::read(MIB), &tools::read(DEFINITIONS));
}

#[test]
fn trap_triggers_and_contexts_exist_in_the_yang_tree() {
    let tree = tools::read("tests/yang/k8s-services-tree.txt");
    let after = |list: &str| tree.split(&format!("+--ro {list}* [")).nth(1).expect("the tree has the list").to_owned();
    for (trap, list, leaf) in [(0, "alarm", "raised"), (1, "alarm-history", "cleared")] {
        let definitions = definitions(&tools::read(DEFINITIONS));
        let trap = &traps(&definitions)[trap];
        assert_eq!(trap["triggers"], serde_json::json!([format!("/k8s-services/{list}/{leaf}")]));
        assert_eq!(trap["context"], serde_json::json!([format!("/k8s-services/{list}")]));
        assert!(after(list).split("+--ro statistics").next().is_some_and(|part| part.contains(&format!("{leaf}?"))));
    }
}

#[test]
fn the_mib_lints_without_warnings() {
    lint(MIB);
}

fn lint(mib: &str) {
    let modules = ("SMIPATH", tools::path("tests/snmp/mibs").display().to_string());
    // Nodes without a name: the arc above belongs to others.
    let said = tools::run(".", &[modules], "smilint", &["-l", "6", "-i", "node-implicit", mib]);
    assert_eq!(said, "");
}

#[test]
fn an_operators_own_enterprise_number_is_set_everywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in [DEFINITIONS, MIB] {
        let name = std::path::Path::new(file).file_name().expect("it names a file");
        std::fs::copy(tools::path(file), folder.path().join(name)).expect("copies");
    }
    let place = folder.path().to_str().expect("plain text");
    for number in ["12345", "999"] {
        tools::run(".", &[], "packaging/snmp/set-enterprise-number", &[number, place]);
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).expect("it is there");
        let (mib_text, definitions_text) = (read("K8S-SERVICES-MIB.txt"), read("k8s_services_traps.yaml"));
        assert_mib_and_definitions_agree(&mib_text, &definitions_text);
        assert!(definitions_text.contains(&format!("1.3.6.1.4.1.{number}.7518.0.1")));
        assert!(!definitions_text.contains("8072"));
        lint(folder.path().join("K8S-SERVICES-MIB.txt").to_str().expect("plain text"));
    }
}
