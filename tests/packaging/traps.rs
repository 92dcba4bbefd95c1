//! Tests of `traps`: it adds its entry to the list of trap definitions, next to those of others.

use std::process::Command;

use crate::{repository, said, succeed};

struct Map(tempfile::TempDir);

impl Map {
    fn new(text: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if let Some(text) = text {
            std::fs::write(folder.path().join("map.yaml"), text).expect("written");
        }
        Self(folder)
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(repository().join("packaging/snmp/traps"));
        command.arg(verb).env("SNMP_FILES_CONFIG", self.0.path().join("map.yaml"));
        command
    }

    fn text(&self) -> Option<String> {
        std::fs::read_to_string(self.0.path().join("map.yaml")).ok()
    }
}

#[test]
fn enabling_adds_an_entry_and_disabling_restores_the_list() {
    let cases = [
        (None, "trap-definitions:\n  - scripts/k8s_services_traps.yaml\n"),
        (
            Some("table-definitions:\n  - scripts/a.yaml\n"),
            "table-definitions:\n  - scripts/a.yaml\ntrap-definitions:\n  - scripts/k8s_services_traps.yaml\n",
        ),
        (
            Some("trap-definitions: # ours\n- scripts/b.yaml\ntable-definitions:\n- scripts/a.yaml\n"),
            "trap-definitions: # ours\n- scripts/k8s_services_traps.yaml\n- scripts/b.yaml\ntable-definitions:\n\
             - scripts/a.yaml\n",
        ),
        (
            Some("trap-definitions:\n    - scripts/b.yaml\n"),
            "trap-definitions:\n    - scripts/k8s_services_traps.yaml\n    - scripts/b.yaml\n",
        ),
    ];
    for (before, after) in cases {
        let map = Map::new(before);
        assert_eq!(succeed(&mut map.command("status")), "disabled\n");
        for _ in 0..2 {
            let said = succeed(&mut map.command("enable"));
            assert!(said.contains("enabled"), "{said}");
            assert_eq!(map.text().as_deref(), Some(after));
        }
        assert_eq!(succeed(&mut map.command("status")), "enabled\n");
        for _ in 0..2 {
            succeed(&mut map.command("disable"));
            assert_eq!(map.text().as_deref(), before);
        }
    }
}

#[test]
fn an_entry_written_by_an_operator_counts_as_enabled() {
    let map = Map::new(Some("trap-definitions:\n  - \"scripts/k8s_services_traps.yaml\"  # alarms\n"));
    assert_eq!(succeed(&mut map.command("status")), "enabled\n");
    succeed(&mut map.command("disable"));
    assert_eq!(map.text(), None);
}

#[test]
fn a_list_on_one_line_is_left_to_the_operator() {
    let text = "trap-definitions: [ scripts/b.yaml ]\n";
    let map = Map::new(Some(text));
    let output = map.command("enable").output().expect("it runs");
    assert!(!output.status.success() && said(&output).contains("by hand"), "{}", said(&output));
    assert_eq!(map.text().as_deref(), Some(text));
}
