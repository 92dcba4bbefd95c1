//! Checks that everything in YANG has its page, and that everything named by pages is in YANG.

use std::collections::BTreeSet;

use srl_k8s_services::model::alarm::AlarmType;
use srl_sim::schema::{Kind, LeafType, NodeId, Schema};

use crate::pages::{self, Page, none, root};
use crate::switch::SCHEMA;

/// Reasons of clusters and of the agent are text and not an enumeration; they have these pages.
const IN_WORDS: [&str; 2] = ["admin-disabled", "api-unreachable"];
const SECTIONS_OF_A_REASON: [&str; 5] = ["What it says", "Look at", "Usual causes", "Do", "Clears"];
const SECTIONS_OF_AN_ALARM: [&str; 4] = ["Raised when", "What it says", "Do", "Clears"];

fn find(path: &str) -> NodeId {
    let found = path.split('/').try_fold(NodeId::ROOT, |node, name| SCHEMA.child(node, name));
    found.unwrap_or_else(|| panic!("{path} is not in the module"))
}

fn names(path: &str) -> BTreeSet<String> {
    match &SCHEMA.node(find(path)).kind {
        Kind::Leaf(leaf) => match &leaf.kind {
            LeafType::Enumeration(names) => names.iter().cloned().collect(),
            other => panic!("{path} is a {other:?}"),
        },
        other => panic!("{path} is a {other:?}"),
    }
}

fn compare(folder: &str, wanted: &BTreeSet<String>) -> Vec<String> {
    let there: BTreeSet<String> = pages::folder(folder).iter().map(Page::name).collect();
    let missing = wanted.difference(&there).map(|name| format!("{name} has no page docs/{folder}/{name}.md"));
    let left = there.difference(wanted).map(|name| format!("docs/{folder}/{name}.md is about nothing in the module"));
    missing.chain(left).collect()
}

#[test]
fn reasons_and_their_pages_match() {
    let cluster = "k8s-services/cluster";
    let mut wanted = names(&format!("{cluster}/service/oper-reason"));
    wanted.extend(names(&format!("{cluster}/service/vip/oper-reason")));
    wanted.extend(names(&format!("{cluster}/service/vip/next-hop/oper-reason")));
    wanted.extend(names(&format!("{cluster}/node/oper-reason")));
    wanted.extend(IN_WORDS.map(str::to_owned));
    none(&compare("reasons", &wanted));
}

#[test]
fn alarm_types_and_their_pages_match_including_severity() {
    let mut wrong = compare("alarms", &names("k8s-services/alarm/type"));
    for page in pages::folder("alarms") {
        let Some(kind) = AlarmType::ALL.iter().find(|kind| kind.as_str() == page.name()) else { continue };
        let (severity, id) = (format!("**{}**", kind.severity().as_str()), format!("`{}/", page.name()));
        let told = page.prose.iter().any(|(_, line)| line.starts_with(&severity) && line.contains(&id));
        if !told {
            wrong.push(format!("{} does not begin with {severity} and an id {id}...`", page.path.display()));
        }
    }
    none(&wrong);
}

#[test]
fn reason_and_alarm_pages_have_the_same_sections_and_stay_short() {
    let mut wrong = Vec::new();
    for (folder, wanted) in [("reasons", SECTIONS_OF_A_REASON.as_slice()), ("alarms", &SECTIONS_OF_AN_ALARM)] {
        for page in pages::folder(folder) {
            let sections = page.sections();
            if !wanted.iter().all(|section| sections.contains(section)) {
                wrong.push(format!("{}: sections {sections:?}, wanted {wanted:?}", page.path.display()));
            }
            let title = page.prose.first().is_some_and(|(_, line)| *line == format!("# {}", page.name()));
            let lines = page.prose.len() + page.fences.iter().map(|fence| fence.lines.len() + 2).sum::<usize>();
            if !title || lines > 80 {
                wrong.push(format!("{}: {lines} lines, titled after its file: {title}", page.path.display()));
            }
        }
    }
    none(&wrong);
}

/// Collects the configuration leaves below the root of the module, as `cluster/node/fabric-address`.
fn config_leaves(schema: &Schema, node: NodeId, above: &str, leaves: &mut BTreeSet<String>) {
    for child in schema.node(node).children.iter().filter(|child| schema.node(**child).config) {
        let path = format!("{above}{}", schema.node(*child).name);
        match schema.node(*child).kind {
            Kind::Leaf(_) | Kind::LeafList(_) => drop(leaves.insert(path)),
            Kind::Container { .. } | Kind::List { .. } => config_leaves(schema, *child, &format!("{path}/"), leaves),
        }
    }
}

#[test]
fn configuration_leaves_and_the_tables_of_their_page_match() {
    let mut leaves = BTreeSet::new();
    config_leaves(&SCHEMA, find("k8s-services"), "", &mut leaves);
    let page = Page::read(&root().join("docs/configuration.md"));
    let rows = page.prose.iter().filter(|(_, line)| line.starts_with("| "));
    let told: BTreeSet<String> =
        rows.flat_map(|(_, line)| line.split('`').skip(1).step_by(2).map(str::to_owned)).collect();
    let missing = leaves.difference(&told).map(|leaf| format!("{leaf} is in no table"));
    let path = |code: &&String| code.starts_with("cluster/") || code.starts_with("alarm-policy/");
    let unknown = told.difference(&leaves).filter(path).map(|code| format!("{code} is no leaf of configuration"));
    none(&missing.chain(unknown).collect::<Vec<_>>());
}
