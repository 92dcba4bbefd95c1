//! Runs the tests of the CLI plugin `show k8s-services`, on recorded states with a stand-in for the SR Linux CLI.

mod tools;

#[test]
fn show_commands_pass_their_tests_on_recorded_states() {
    tools::unittest("tests/cli_plugin", &[], 72);
}
