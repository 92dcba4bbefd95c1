use std::sync::Mutex;

use super::*;
use crate::datastore::{Commit, CommitHook, Problem};

async fn candidate() -> (Datastore, Session) {
    let (store, mut session) = leaf1("25.10.1");
    run(&mut session, "enter candidate").await;
    (store, session)
}

#[tokio::test]
async fn a_script_sets_commits_and_leaves_candidate_mode() {
    let (_, mut session) = leaf1("25.10.1");
    let script = "enter candidate\nset / k8s-services cluster c1 kubeconfig \"/etc/my kube\" namespace [ a b ]\n\
                  set / k8s-services admin-state enable\ncommit now\n";
    let output = session.script(script, false).await;
    assert_eq!(output.status, 0, "{}", output.text);
    assert_eq!(output.text, "All changes have been committed. Leaving candidate mode.\n");
    assert_eq!(
        run(&mut session, "info from running k8s-services").await,
        r#"    admin-state enable
    cluster c1 {
        kubeconfig "/etc/my kube"
        namespace [
            a
            b
        ]
    }
"#
    );
    assert_eq!(session.prompt(), "--{ + running }--[  ]--\nA:admin@leaf1# ");
    assert_eq!(
        run(&mut session, "info flat k8s-services cluster c1 namespace").await,
        "set / k8s-services cluster c1 namespace [ a b ]\n"
    );
}

#[tokio::test]
async fn the_prompt_shows_the_candidate_and_whether_it_has_changes() {
    let (_, mut session) = candidate().await;
    assert_eq!(session.prompt(), "--{ candidate shared default }--[  ]--\nA:admin@leaf1# ");
    run(&mut session, "set / k8s-services admin-state disable").await;
    assert_eq!(session.prompt(), "--{ * candidate shared default }--[  ]--\nA:admin@leaf1# ");
    assert_eq!(run(&mut session, "commit validate").await, "All changes are valid\n");
    assert_eq!(run(&mut session, "commit stay").await, "All changes have been committed. Starting new transaction.\n");
    assert_eq!(session.prompt(), "--{ + candidate shared default }--[  ]--\nA:admin@leaf1# ");
}

#[tokio::test]
async fn edits_are_relative_to_the_context_and_expand_ranges() {
    let (_, mut session) = candidate().await;
    run(&mut session, "/k8s-services cluster c1").await;
    run(&mut session, "set speaker calico").await;
    run(&mut session, "ecmp-limit 8").await;
    run(&mut session, "/ k8s-services cluster c{2..3} context x").await;
    run(&mut session, "exit all").await;
    let text = run(&mut session, "info").await;
    assert_eq!(
        text,
        r"    k8s-services {
        cluster c1 {
            speaker calico
            ecmp-limit 8
        }
        cluster c2 {
            context x
        }
        cluster c3 {
            context x
        }
    }
"
    );
    run(&mut session, "delete / k8s-services cluster c{2,9}").await;
    assert!(!run(&mut session, "info").await.contains("cluster c2"));
    run(&mut session, "delete / k8s-services cluster * context").await;
    assert!(!run(&mut session, "info").await.contains("context"));
    run(&mut session, "delete / k8s-services").await;
    assert_eq!(run(&mut session, "info").await, "");
}

#[tokio::test]
async fn one_value_of_a_leaf_list_can_be_deleted() {
    let (_, mut session) = candidate().await;
    run(&mut session, "set / k8s-services cluster c1 namespace [ a b ]").await;
    run(&mut session, "set / k8s-services cluster c1 namespace c").await;
    run(&mut session, "delete / k8s-services cluster c1 namespace b").await;
    assert_eq!(
        run(&mut session, "info k8s-services cluster c1").await,
        "    namespace [\n        a\n        c\n    ]\n"
    );
}

#[tokio::test]
async fn diff_marks_additions_and_removals() {
    let (_, mut session) = candidate().await;
    run(&mut session, "set / k8s-services cluster c1 speaker calico").await;
    run(&mut session, "commit stay").await;
    assert_eq!(run(&mut session, "diff").await, "");
    run(&mut session, "set / k8s-services cluster c1 speaker cilium").await;
    run(&mut session, "set / k8s-services cluster c2 ecmp-limit 4").await;
    assert_eq!(
        run(&mut session, "diff").await,
        "      k8s-services {
          cluster c1 {
-             speaker calico
+             speaker cilium
          }
+         cluster c2 {
+             ecmp-limit 4
+         }
      }
"
    );
    assert_eq!(run(&mut session, "discard now").await, "All changes have been discarded. Leaving candidate mode.\n");
    run(&mut session, "enter candidate").await;
    assert_eq!(run(&mut session, "diff").await, "");
}

#[tokio::test]
async fn invalid_values_are_refused_in_the_wording_of_the_switch() {
    let (_, mut session) = candidate().await;
    assert_eq!(
        fails(&mut session, "set / system app-management application x failure-threshold 5").await.lines().count(),
        1
    );
    let text = fails(&mut session, "set / k8s-services alarm-policy raise-hold-time 70000").await;
    assert_eq!(
        text,
        "Parsing error: While parsing 'raise-hold-time': Wrong value for 'value': Got '70000' expected 0..3600\n"
    );
    let text = fails(&mut session, "set / k8s-services admin-state maybe").await;
    assert!(text.contains("Got 'maybe' expected one of [enable, disable]"), "{text}");
    let text = fails(&mut session, "set / k8s-services cluster").await;
    assert!(text.contains("<name>"), "{text}");
    let text = fails(&mut session, "set / k8s-services oper-state up").await;
    assert!(text.contains("Unknown token 'oper-state'"), "{text}");
    let text = fails(&mut session, "set / k8s-services admin-state").await;
    assert!(text.contains("'disable', 'enable'"), "{text}");
    assert!(fails(&mut session, "set / k8s-services cluster c1 namespace [ a").await.contains("bracket"));
    assert!(fails(&mut session, "commit later").await.contains("'now', 'save', 'stay', 'validate'"));
}

struct Refuses(Mutex<u32>);

#[tonic::async_trait]
impl CommitHook for Refuses {
    async fn commit(&self, _: &Commit) -> Result<Vec<Problem>, Vec<Problem>> {
        let path = "/k8s-services/cluster[name=c1]/kubeconfig".to_owned();
        Err(vec![Problem { path, message: "the file does not exist".to_owned() }])
    }

    async fn restore(&self, _: &Commit) {
        *self.0.lock().expect("no test panics while it holds the lock") += 1;
    }
}

#[tokio::test]
async fn a_refused_commit_names_the_node_and_keeps_the_candidate() {
    let (store, mut session) = candidate().await;
    store.add_commit_hook(Arc::new(Refuses(Mutex::default())));
    run(&mut session, "set / k8s-services cluster c1 kubeconfig /nowhere").await;
    assert_eq!(
        fails(&mut session, "commit now").await,
        "\
Error in /k8s-services/cluster[name=c1]/kubeconfig:
    the file does not exist
Error: Commit failed
"
    );
    assert!(session.prompt().starts_with("--{ * candidate shared default }--"), "{}", session.prompt());
    assert!(store.running().is_empty());
}

#[tokio::test]
async fn private_candidates_are_not_shared() {
    let (store, mut session) = leaf1("25.10.1");
    run(&mut session, "enter candidate private").await;
    run(&mut session, "set / k8s-services admin-state disable").await;
    let mut other = Session::new(store, SessionOptions::new("leaf1", "25.10.1"), None);
    run(&mut other, "enter candidate").await;
    assert_eq!(run(&mut other, "diff").await, "");
    assert!(session.prompt().starts_with("--{ * candidate private"));
}

#[tokio::test]
async fn a_script_continues_after_errors_unless_told_to_stop() {
    let (_, mut session) = leaf1("25.10.1");
    let output = session.script("nonsense\npwc\n", false).await;
    assert!(output.status == 1 && output.text.ends_with("/ \n"), "{}", output.text);
    let output = session.script("nonsense\npwc\n", true).await;
    assert!(output.status == 1 && output.text.lines().count() == 1, "{}", output.text);
}

#[tokio::test]
async fn only_configuration_nodes_are_offered_and_accepted_in_edits() {
    let (_, mut session) = candidate().await;
    let wrong = fails(&mut session, "set / k8s-services cluster c1 nonsense").await;
    assert!(wrong.contains("'kubeconfig'") && !wrong.contains("oper-state"), "{wrong}");
    let wrong = fails(&mut session, "set / k8s-services cluster c1 oper-state up").await;
    assert!(wrong.starts_with("Parsing error: Unknown token 'oper-state'."), "{wrong}");
    let help = run(&mut session, "set / k8s-services cluster c1 ?").await;
    assert!(help.contains("  kubeconfig") && !help.contains("oper-state"), "{help}");
}

#[tokio::test]
async fn an_invalid_value_is_reported_with_its_leaf_and_the_expected_type() {
    let (_, mut session) = candidate().await;
    let wrong = fails(&mut session, "set / k8s-services cluster \"c 1\" kubeconfig /etc/x").await;
    assert!(
        wrong.starts_with("Parsing error: While parsing 'name': Wrong value for 'value': Got 'c 1' expected "),
        "{wrong}"
    );
    assert!(!wrong.contains("Unsatisfied"), "{wrong}");
    let wrong = fails(&mut session, "set / k8s-services cluster c1 vip-pool 10.0.0.0").await;
    assert!(wrong.contains("While parsing 'vip-pool'") && wrong.len() < 200, "{wrong}");
    let wrong = fails(&mut session, "set / k8s-services cluster c1 ecmp-limit 0").await;
    assert!(wrong.contains("While parsing 'ecmp-limit'") && !wrong.contains("max"), "{wrong}");
}
