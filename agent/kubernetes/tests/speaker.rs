//! Tests the speaker's own resources: absent, forbidden, failing, too many, and served.

use super::server::{SERVICES, Server, WATCHED};
use super::*;
use crate::model::event::Update;
use crate::model::speaker::{ResourceState, SpeakerResource};

const GROUP: &str = "/apis/metallb.io";
const VERSION: &str = "/apis/metallb.io/v1beta1";
const POOLS: &str = "/apis/metallb.io/v1beta1/ipaddresspools";
const STATUSES: &str = "/apis/metallb.io/v1beta1/servicebgpstatuses";
const POOL: &str = r#"{"metadata":{"namespace":"metallb-system","name":"p"},"spec":{"addresses":["10.0.0.0/24"]}}"#;
const STATUS: &str = r#"{"metadata":{"namespace":"metallb-system","name":"bgp-1","labels":{"metallb.io/node":"n1",
    "metallb.io/service-name":"web","metallb.io/service-namespace":"default"}},"status":{"peers":["tor"]}}"#;

fn line(json: &str) -> String {
    json.replace('\n', " ")
}

/// Serves MetalLB's group with these resources.
fn serve(server: &Server, plurals: &[&str]) {
    server.answer(GROUP, 200, r#"{"kind":"APIGroup","versions":[{"version":"v1beta1"}]}"#);
    let rows: Vec<String> = plurals.iter().map(|plural| format!(r#"{{"name":"{plural}"}}"#)).collect();
    server.answer(VERSION, 200, &format!(r#"{{"resources":[{}]}}"#, rows.join(",")));
}

fn refuse(server: &Server, path: &str, status: u16) {
    server.answer(path, status, &format!(r#"{{"kind":"Status","code":{status},"message":"no"}}"#));
}

/// Returns timings with which a resource that appears is found soon.
fn eager() -> Timings {
    Timings { look_again: Duration::from_millis(30), ..quick() }
}

/// Returns the next state of a resource.
async fn state(running: &mut Running, resource: SpeakerResource) -> ResourceState {
    loop {
        if let ClusterEvent::SpeakerResource(of, state) = running.change().await
            && of == resource
        {
            return state;
        }
    }
}

#[tokio::test]
async fn resources_not_served_do_not_delay_sync_and_cost_one_request_per_group() {
    let server = Server::start().await;
    let mut running = Running::start(at(&server.url()), quick());
    let mut absent = BTreeSet::new();
    loop {
        match running.next().await {
            Event::Cluster(_, ClusterEvent::SpeakerResource(resource, state)) => {
                assert_eq!(state, ResourceState::Absent);
                assert!(absent.insert(resource), "told once");
            }
            Event::Source(_, SourceEvent::Synced) => break,
            _ => {}
        }
    }
    assert_eq!(absent.len(), SpeakerResource::of(Speaker::Metallb).count());
    let asked = server.requests().iter().filter(|request| request.starts_with("/apis/metallb.io")).count();
    assert_eq!(asked, 1, "{:?}", server.requests());
}

#[tokio::test]
async fn a_resource_is_listed_before_the_cluster_is_synced_and_then_watched() {
    let mut server = Server::start().await;
    serve(&server, &["ipaddresspools", "servicebgpstatuses"]);
    server.list(POOLS, "7", &[POOL]);
    server.list(STATUSES, "7", &[&line(STATUS)]);
    let mut running = Running::start(at(&server.url()), quick());
    let (mut pools, mut statuses) = (0, 0);
    loop {
        match running.next().await {
            Event::Cluster(_, ClusterEvent::SpeakerObjects(_, Update::All(all))) => pools = all.len(),
            Event::Cluster(_, ClusterEvent::Announcements(_, Update::All(all))) => statuses = all.len(),
            Event::Source(_, SourceEvent::Synced) => break,
            _ => {}
        }
    }
    assert_eq!((pools, statuses), (1, 1));
    let watch = server.watch(STATUSES).await;
    assert!(watch.query.contains("resourceVersion=7"));
    watch.say("ADDED", &line(STATUS).replace("bgp-1", "bgp-2"));
    let ClusterEvent::Announcements(_, Update::Set(second, ())) = running.change().await else { panic!("a status") };
    watch.say("DELETED", &line(STATUS));
    let ClusterEvent::Announcements(_, Update::Gone(first)) = running.change().await else {
        panic!("a status is gone")
    };
    assert_eq!((&first.service, &first.node), (&second.service, &second.node));
    assert_ne!(first.object, second.object, "one of two objects is still there");
    watch.say("MODIFIED", &line(STATUS).replace("bgp-1", "bgp-2").replace(r#"["tor"]"#, "[]"));
    let ClusterEvent::Announcements(_, Update::Gone(last)) = running.change().await else {
        panic!("announced to nobody")
    };
    assert_eq!(last, second);
}

#[tokio::test]
async fn a_forbidden_resource_names_the_missing_rule_and_is_read_once_granted() {
    let server = Server::start().await;
    serve(&server, &["ipaddresspools"]);
    refuse(&server, POOLS, 403);
    let mut running = Running::start(at(&server.url()), eager());
    let ResourceState::Forbidden(rule) = state(&mut running, SpeakerResource::MetallbPools).await else {
        panic!("forbidden")
    };
    for words in ["ClusterRole", "apiGroups [\"metallb.io\"]", "resources [\"ipaddresspools\"]", "\"list\", \"watch\""]
    {
        assert!(rule.contains(words), "{rule}");
    }
    running.synced().await;
    server.list(POOLS, "3", &[POOL]);
    assert_eq!(state(&mut running, SpeakerResource::MetallbPools).await, ResourceState::Watched);
}

#[tokio::test]
async fn a_resource_that_may_be_listed_but_not_watched_is_forbidden() {
    let server = Server::start().await;
    serve(&server, &["ipaddresspools"]);
    server.list(POOLS, "3", &[POOL]);
    refuse(&server, &format!("{POOLS}{WATCHED}"), 403);
    let mut running = Running::start(at(&server.url()), quick());
    assert_eq!(state(&mut running, SpeakerResource::MetallbPools).await, ResourceState::Watched);
    let ResourceState::Forbidden(rule) = state(&mut running, SpeakerResource::MetallbPools).await else {
        panic!("forbidden")
    };
    assert!(rule.contains("\"list\", \"watch\""), "{rule}");
    assert_eq!(server.requests().iter().filter(|it| it.starts_with(POOLS)).count(), 2, "it is left alone then");
}

#[tokio::test]
async fn an_api_group_installed_later_is_read_and_a_removed_one_becomes_absent() {
    let mut server = Server::start().await;
    let mut running = Running::start(at(&server.url()), eager());
    running.synced().await;
    server.list(POOLS, "3", &[POOL]);
    serve(&server, &["ipaddresspools"]);
    assert_eq!(state(&mut running, SpeakerResource::MetallbPools).await, ResourceState::Watched);
    let watch = server.watch(POOLS).await;
    refuse(&server, GROUP, 404);
    refuse(&server, POOLS, 404);
    drop(watch);
    assert_eq!(state(&mut running, SpeakerResource::MetallbPools).await, ResourceState::Absent);
}

#[tokio::test]
async fn a_resource_that_cannot_be_listed_does_not_make_the_cluster_stale() {
    let server = Server::start().await;
    serve(&server, &["ipaddresspools"]);
    refuse(&server, POOLS, 500);
    let mut running = Running::start(at(&server.url()), eager());
    let ResourceState::Failed(why) = state(&mut running, SpeakerResource::MetallbPools).await else { panic!("failed") };
    assert!(why.contains("cannot list ipaddresspools"), "{why}");
    loop {
        match running.condition().await {
            SourceEvent::Synced => break,
            SourceEvent::Lost(reason) => panic!("{reason}"),
            _ => {}
        }
    }
    server.list(POOLS, "3", &[POOL]);
    assert_eq!(state(&mut running, SpeakerResource::MetallbPools).await, ResourceState::Watched);
}

#[tokio::test]
async fn statuses_beyond_the_limit_are_not_read() {
    let server = Server::start().await;
    serve(&server, &["servicebgpstatuses"]);
    let page = format!(
        r#"{{"metadata":{{"resourceVersion":"7","continue":"more","remainingItemCount":20000000}},"items":[{}]}}"#,
        line(STATUS)
    );
    server.answer(STATUSES, 200, &page);
    let mut running = Running::start(at(&server.url()), quick());
    let ResourceState::TooMany(why) = state(&mut running, SpeakerResource::MetallbStatuses).await else {
        panic!("too many")
    };
    assert!(why.contains("20000001 servicebgpstatuses"), "{why}");
    running.synced().await;
    let pages = server.requests().iter().filter(|request| request.starts_with(STATUSES)).count();
    assert_eq!(pages, 1, "the first page says how many there are");
}

#[tokio::test]
async fn the_best_served_version_is_used_and_calico_crds_replace_a_missing_api() {
    let server = Server::start().await;
    let rows = r#"{"resources":[{"name":"ciliumloadbalancerippools"},{"name":"ciliumbgpadvertisements"}]}"#;
    server.answer("/apis/cilium.io", 200, r#"{"versions":[{"version":"v2alpha1"},{"version":"v2"}]}"#);
    server.answer("/apis/cilium.io/v2", 200, r#"{"resources":[{"name":"ciliumloadbalancerippools"}]}"#);
    server.answer("/apis/cilium.io/v2alpha1", 200, rows);
    server.list("/apis/cilium.io/v2/ciliumloadbalancerippools", "1", &[]);
    server.list("/apis/cilium.io/v2alpha1/ciliumbgpadvertisements", "1", &[]);
    let mut config = at(&server.url());
    config.speaker = Speaker::Cilium;
    let mut running = Running::start(config, quick());
    running.synced().await;
    let listed = |path: &str| server.requests().iter().any(|request| request.starts_with(&format!("{path}?")));
    assert!(listed("/apis/cilium.io/v2/ciliumloadbalancerippools"));
    assert!(!listed("/apis/cilium.io/v2alpha1/ciliumloadbalancerippools"));
    assert!(listed("/apis/cilium.io/v2alpha1/ciliumbgpadvertisements"));

    let server = Server::start().await;
    refuse(&server, "/apis/projectcalico.org", 503);
    refuse(&server, "/apis/projectcalico.org/v3/ippools", 503);
    server.answer("/apis/crd.projectcalico.org", 200, r#"{"versions":[{"version":"v1"}]}"#);
    server.answer("/apis/crd.projectcalico.org/v1", 200, r#"{"resources":[{"name":"ippools"}]}"#);
    server.list("/apis/crd.projectcalico.org/v1/ippools", "1", &[]);
    let mut config = at(&server.url());
    config.speaker = Speaker::Calico;
    let mut running = Running::start(config, quick());
    assert_eq!(state(&mut running, SpeakerResource::CalicoPools).await, ResourceState::Watched);
    running.synced().await;
}

#[tokio::test]
async fn an_unreadable_watch_line_causes_a_new_listing_soon_after() {
    let mut server = Server::start().await;
    let timings = Timings { distrust: Duration::from_millis(20), ..quick() };
    let mut running = Running::start(at(&server.url()), timings);
    running.synced().await;
    let watch = server.watch(SERVICES).await;
    server.list(
        SERVICES,
        "9",
        &[r#"{"metadata":{"namespace":"default","name":"web"},"spec":{"type":"LoadBalancer"}}"#],
    );
    watch.say_raw("no JSON");
    running.until(SourceEvent::Malformed).await;
    loop {
        if let ClusterEvent::Services(Update::All(all)) = running.change().await {
            assert_eq!(all.len(), 1);
            break;
        }
    }
    // The cluster was never reported as lost.
    assert!(server.watch(SERVICES).await.query.contains("resourceVersion=9"));
}
