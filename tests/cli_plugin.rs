//! `show k8s-services`, the CLI plugin, typed into a stand-in of the SR Linux CLI on recorded states.

mod tools;

#[test]
fn show_commands_on_recorded_states() {
    tools::unittest("tests/cli_plugin", &[], 69);
}
