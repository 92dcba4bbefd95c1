use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn store() -> Datastore {
    Datastore::new(crate::schema::tests::schema())
}

fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

fn replace(text: &str, value: Value) -> StateOp {
    StateOp::Replace(path(text), value)
}

fn state(store: &Datastore, text: &str) -> Option<Value> {
    store.json(Source::State, &path(text)).expect("a known path")
}

const CLUSTER: &str = "/k8s-services/cluster[name=c1]";
const SERVICE: &str = "/k8s-services/cluster[name=c1]/service[namespace=default][name=web]";

#[test]
fn a_write_replaces_what_the_owner_wrote_at_exactly_that_path() {
    let store = store();
    store
        .apply_state("app", vec![replace(CLUSTER, json!({"service-count": 1, "oper-state": "up"}))])
        .expect("accepted");
    store.apply_state("app", vec![replace(CLUSTER, json!({"oper-state": "down"}))]).expect("accepted");
    assert_eq!(state(&store, CLUSTER), Some(json!({"oper-state": "down"})));
}

#[test]
fn entries_written_at_their_own_path_survive_writes_to_their_parent() {
    let store = store();
    let ops = vec![replace(CLUSTER, json!({"oper-state": "up"})), replace(SERVICE, json!({"oper-state": "up"}))];
    store.apply_state("app", ops).expect("accepted");
    store.apply_state("app", vec![replace(CLUSTER, json!({"oper-state": "degraded"}))]).expect("accepted");
    assert_eq!(state(&store, SERVICE), Some(json!({"oper-state": "up"})));
    store.apply_state("app", vec![StateOp::Delete(path(CLUSTER))]).expect("accepted");
    assert_eq!(state(&store, SERVICE), Some(json!({"oper-state": "up"})), "a delete above leaves it too");
    assert_eq!(state(&store, &format!("{CLUSTER}/oper-state")), None);
    store.apply_state("app", vec![StateOp::Delete(path(SERVICE))]).expect("accepted");
    assert_eq!(state(&store, "/k8s-services"), None, "nothing is left of those above");
}

#[test]
fn entries_inside_a_write_are_replaced_by_the_next_one() {
    let store = store();
    let with = json!({"service": [{"namespace": "default", "name": "web", "oper-state": "up"}]});
    store.apply_state("app", vec![replace(CLUSTER, with)]).expect("accepted");
    assert_eq!(state(&store, SERVICE), Some(json!({"oper-state": "up"})));
    store.apply_state("app", vec![replace(CLUSTER, json!({"oper-state": "up"}))]).expect("accepted");
    assert_eq!(state(&store, SERVICE), None);
}

#[test]
fn an_entry_without_leaves_exists() {
    let store = store();
    store.apply_state("app", vec![replace(CLUSTER, json!({}))]).expect("accepted");
    assert_eq!(state(&store, CLUSTER), Some(json!({})));
    store.wipe_owner("app");
    assert_eq!(state(&store, "/k8s-services"), None);
}

#[test]
fn application_spellings_of_paths_and_values_are_accepted() {
    let store = store();
    let target = Path::from_js(".k8s_services.cluster{.name==\"c1\"}").expect("a path");
    let value = json!({"oper_state": {"value": "OPER_STATE_up"}, "service-count": {"value": 3}});
    store.apply_state("app", vec![StateOp::Replace(target, value)]).expect("accepted");
    assert_eq!(state(&store, CLUSTER), Some(json!({"oper-state": "up", "service-count": 3})));
}

#[test]
fn a_leaf_can_be_written_and_deleted_at_its_own_path() {
    let store = store();
    let leaf = format!("{CLUSTER}/oper-state");
    store.apply_state("app", vec![replace(&leaf, json!("up"))]).expect("accepted");
    assert_eq!(state(&store, &leaf), Some(json!("up")));
    store.apply_state("app", vec![StateOp::Delete(path(&leaf))]).expect("accepted");
    assert_eq!(state(&store, "/k8s-services"), None);
}

#[test]
fn the_value_of_another_owner_reappears_after_a_wipe() {
    let store = store();
    store.apply_state("a", vec![replace(CLUSTER, json!({"oper-state": "up"}))]).expect("accepted");
    store.apply_state("b", vec![replace(CLUSTER, json!({"oper-state": "down"}))]).expect("accepted");
    assert_eq!(state(&store, CLUSTER), Some(json!({"oper-state": "down"})));
    store.wipe_owner("b");
    assert_eq!(state(&store, CLUSTER), Some(json!({"oper-state": "up"})));
}

#[test]
fn a_refused_write_names_the_node_and_changes_nothing() {
    let store = store();
    for (value, node, message) in [
        (json!({"nonsense": 1}), CLUSTER.to_owned(), "unknown element 'nonsense'"),
        (json!({"oper-state": "green"}), format!("{CLUSTER}/oper-state"), "expected one of [up, "),
        (json!({"service-count": "many"}), format!("{CLUSTER}/service-count"), "expected 0..4294967295"),
        (json!({"last-event": "yesterday"}), format!("{CLUSTER}/last-event"), "pattern"),
        (json!({"service": [{"name": "web"}]}), format!("{CLUSTER}/service"), "missing key 'namespace'"),
    ] {
        let ops = vec![replace("/k8s-services", json!({"version": "1"})), replace(CLUSTER, value)];
        let refusal = store.apply_state("app", ops).expect_err(message);
        assert_eq!(refusal.path, node, "{refusal}");
        assert!(refusal.message.contains(message), "{refusal}");
        assert_eq!(state(&store, "/k8s-services"), None);
    }
    let refusal = store.apply_state("app", vec![replace("/k8s-services/cluster", json!({}))]).expect_err("no key");
    assert!(refusal.message.contains("without some of its keys"), "{refusal}");
    let vip = format!("{SERVICE}/vip[address=1.1.1.300]");
    let refusal = store.apply_state("app", vec![replace(&vip, json!({}))]).expect_err("no address");
    assert!(refusal.path.starts_with(&format!("{SERVICE}/vip")), "{refusal}");
}

#[test]
fn subscribers_receive_each_changed_leaf_once() {
    let store = store();
    let mut feed = store.subscribe();
    let mut told = || feed.try_recv().expect("a transaction").leaves(store.schema());
    let leaf = path(&format!("{CLUSTER}/oper-state"));
    store
        .apply_state("app", vec![replace(CLUSTER, json!({"oper-state": "up", "service-count": 1}))])
        .expect("accepted");
    assert_eq!(told().len(), 2);
    store
        .apply_state("app", vec![replace(CLUSTER, json!({"oper-state": "up", "service-count": 1}))])
        .expect("accepted");
    store
        .apply_state("app", vec![replace(CLUSTER, json!({"oper-state": "down", "service-count": 1}))])
        .expect("accepted");
    assert_eq!(told(), [(leaf.clone(), Some(json!("down")))], "a write of the same values tells nothing");
    store.wipe_owner("app");
    assert!(told().contains(&(leaf, None)));
}

#[test]
fn a_deleted_entry_is_reported_as_removed() {
    let store = store();
    store.apply_state("app", vec![replace(SERVICE, json!({"oper-state": "up"}))]).expect("accepted");
    let mut feed = store.subscribe();
    store.apply_state("app", vec![StateOp::Delete(path(SERVICE))]).expect("accepted");
    let transaction = feed.try_recv().expect("a transaction");
    let removed = transaction.changes.iter().filter(|change| change.removed);
    let removed: Vec<_> = removed.map(|change| store.schema().bare_path_at(&change.places, None).to_string()).collect();
    assert_eq!(removed, [SERVICE, CLUSTER, "/k8s-services"]);
}

#[test]
fn identities_have_a_module_prefix_in_json_ietf_but_not_in_plain_json() {
    let store = store();
    store
        .apply_state("native", vec![replace("/network-instance[name=a]", json!({"type": "ip-vrf"}))])
        .expect("accepted");
    assert_eq!(state(&store, "/network-instance[name=a]/type"), Some(json!("ip-vrf")));
    let prefixed =
        store.read(Source::State, |schema, root| encode(schema, crate::schema::NodeId::ROOT, root, JsonStyle::Ietf));
    assert_eq!(
        Value::Object(prefixed),
        json!({"srl_nokia-network-instance:network-instance": [{"name": "a", "type": "srl_nokia-network-instance:ip-vrf"}]})
    );
}

#[test]
fn fifty_thousand_entries_allow_a_thousand_writes_a_second() {
    let store = store();
    let entry = |number: usize, up: bool| {
        let target = format!(
            "{CLUSTER}/service[namespace=n{}][name=s{number}]/vip[address=10.{}.{}.{}]",
            number % 100,
            number >> 16,
            (number >> 8) & 255,
            number & 255
        );
        replace(
            &target,
            json!({"oper-state": if up { "up" } else { "down" }, "prefix": "10.0.0.0/32", "expected-next-hops": 3}),
        )
    };
    let count = 5_000;
    let start = Instant::now();
    for chunk in (0..count).collect::<Vec<_>>().chunks(100) {
        store.apply_state("app", chunk.iter().map(|number| entry(*number, true)).collect()).expect("accepted");
    }
    let filled = start.elapsed();
    let start = Instant::now();
    for number in 0..500 {
        store.apply_state("app", vec![entry(number, false)]).expect("accepted");
    }
    let changed = start.elapsed();
    println!("{count} entries in {filled:?}, 500 changes in {changed:?}");
    assert!(changed < Duration::from_secs(5), "500 changes took {changed:?}");
}

struct Hook(Mutex<Vec<(u64, Value)>>, Option<Problem>);

#[tonic::async_trait]
impl CommitHook for Hook {
    async fn commit(&self, commit: &Commit) -> Result<Vec<Problem>, Vec<Problem>> {
        self.note(commit);
        self.1.clone().map_or(Ok(Vec::new()), |problem| Err(vec![problem]))
    }

    async fn restore(&self, commit: &Commit) {
        self.note(commit);
    }
}

impl Hook {
    fn note(&self, commit: &Commit) {
        let tree = encode(&commit.schema, crate::schema::NodeId::ROOT, &commit.after, JsonStyle::Plain);
        lock(&self.0).push((commit.sequence, Value::Object(tree)));
    }
}

#[tokio::test]
async fn a_commit_replaces_running_and_mirrors_native_configuration_into_state() {
    let store = store();
    let candidate = store.private_candidate();
    candidate.set(&path("/network-instance[name=a]"), &json!({"description": "x"})).expect("accepted");
    candidate.set(&path(CLUSTER), &json!({"kubeconfig": "/k"})).expect("accepted");
    assert!(candidate.is_changed());
    let mut feed = store.subscribe();
    let committed = store.commit(&candidate).await.expect("committed");
    assert_eq!(committed.sequence, 1);
    assert!(!candidate.is_changed());
    assert_eq!(feed.try_recv().expect("a transaction").store, Store::Running);
    assert_eq!(state(&store, "/network-instance[name=a]/description"), Some(json!("x")));
    assert_eq!(state(&store, CLUSTER), None, "an application's configuration shows when it says so");
    assert_eq!(store.json(Source::Running, &path(CLUSTER)).expect("known"), Some(json!({"kubeconfig": "/k"})));
}

#[tokio::test]
async fn a_refused_commit_leaves_running_unchanged_and_notifies_the_hooks() {
    let store = store();
    let problem = Problem { path: CLUSTER.to_owned(), message: "no".to_owned() };
    let first = Arc::new(Hook(Mutex::default(), None));
    let second = Arc::new(Hook(Mutex::default(), Some(problem.clone())));
    store.add_commit_hook(first.clone());
    store.add_commit_hook(second.clone());
    let candidate = store.shared_candidate("default");
    candidate.set(&path(CLUSTER), &json!({"kubeconfig": "/k"})).expect("accepted");
    assert_eq!(store.commit(&candidate).await, Err(CommitError::Refused(vec![problem])));
    assert!(store.running().is_empty());
    assert!(store.shared_candidate("default").is_changed(), "the candidate keeps its edits");
    for hook in [first, second] {
        let heard = lock(&hook.0).clone();
        assert_eq!(heard.len(), 2);
        assert_eq!(heard[1], (2, json!({})), "running is delivered again");
    }
}

#[tokio::test]
async fn configuration_that_violates_the_schema_is_not_committed() {
    let store = store();
    let candidate = store.private_candidate();
    let refusal = candidate.set(&path(CLUSTER), &json!({"oper-state": "up"})).expect_err("state");
    assert_eq!(refusal.message, "state cannot be configured");
    let refusal = candidate.set(&path(CLUSTER), &json!({"vip-pool": ["1.1.1"]})).expect_err("no prefix");
    assert!(refusal.path.starts_with(CLUSTER), "{refusal}");
    candidate.set(&path(CLUSTER), &json!({"vip-pool": ["1.1.1.0/24"]})).expect("accepted");
    candidate.set(&path(CLUSTER), &json!({"vip-pool": ["1.1.2.0/24"]})).expect("accepted");
    let pool = path(&format!("{CLUSTER}/vip-pool"));
    assert_eq!(
        store.json(Source::Candidate(&candidate), &pool).expect("known"),
        Some(json!(["1.1.1.0/24", "1.1.2.0/24"]))
    );
    candidate.delete(&path(CLUSTER)).expect("accepted");
    assert!(!candidate.is_changed());
}

#[test]
fn configuration_is_delivered_per_container_and_list_entry_with_defaults() {
    let store = store();
    let candidate = store.private_candidate();
    candidate.set(&path(CLUSTER), &json!({"kubeconfig": "/k", "node": [{"name": "n1"}]})).expect("accepted");
    let found = delivery(store.schema(), &candidate.tree(), &["k8s-services".to_owned()], true);
    let paths: Vec<_> = found.iter().map(|it| it.path.to_js(true)).collect();
    assert_eq!(
        paths,
        [
            ".k8s_services",
            ".k8s_services.cluster{.name==\"c1\"}",
            ".k8s_services.cluster{.name==\"c1\"}.node{.name==\"n1\"}"
        ]
    );
    assert_eq!(found[0].json["admin-state"], json!("enable"));
    assert_eq!(found[1].json["kubeconfig"], json!("/k"));
    assert!(!found[1].json.contains_key("name") && !found[1].json.contains_key("node"));
    assert!(found[1].deletable && found[2].json.is_empty());
}
