//! The control-plane filter, which decides what a switch's own processes receive. It is stateless, so it also drops the
//! answers to connections that the switch opens, unless an entry accepts their source.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::datastore::{Datastore, Source};
use crate::native_state::at;
use crate::path::Path;

/// Name of the filter.
const NAME: &str = "cpm";
/// Ports from which the factory's filter accepts answers: SSH, TACACS+, BGP, HTTPS, LDP.
const FACTORY_PORTS: [u16; 5] = [22, 49, 179, 443, 646];
const FIRST_ENTRY: usize = 200;
const DROP_ALL_ELSE: u32 = 1000;

fn path(family: &str) -> Path {
    at(&[("acl", &[]), ("acl-filter", &[("name", NAME), ("type", family)])])
}

/// Adds the factory's filter to the startup configuration of a switch.
pub(crate) fn boot(store: &Datastore) {
    let candidate = store.private_candidate();
    for (family, protocol) in [("ipv4", "protocol"), ("ipv6", "next-header")] {
        let accept = FACTORY_PORTS.iter().enumerate().map(|(position, port)| {
            json!({
                "sequence-id": FIRST_ENTRY + 10 * position,
                "match": {
                    family: { protocol: "tcp" },
                    "transport": { "source-port": { "operator": "eq", "value": port.to_string() } },
                },
                "action": { "accept": {} },
            })
        });
        let drop = json!({
            "sequence-id": DROP_ALL_ELSE,
            "description": "Drop all else",
            "action": { "log": true, "drop": {} },
        });
        let filter = json!({ "entry": accept.chain([drop]).collect::<Vec<_>>() });
        if let Err(refusal) = candidate.set(&path(family), &filter) {
            tracing::error!(%refusal, "the factory's control-plane filter was refused");
        }
    }
    if let Err(refusal) = store.boot(&candidate) {
        tracing::error!(%refusal, "the factory's control-plane filter was refused");
    }
}

/// Returns whether TCP answers from a server reach the switch's own processes with the current configuration.
pub(crate) fn admits_answers_of(store: &Datastore, server: SocketAddr) -> bool {
    let family = if server.is_ipv4() { "ipv4" } else { "ipv6" };
    let filter = store.json(Source::Running, &path(family)).ok().flatten().unwrap_or_default();
    let mut entries: Vec<&Value> = filter["entry"].as_array().into_iter().flatten().collect();
    entries.sort_by_key(|entry| entry["sequence-id"].as_u64());
    let first = entries.into_iter().find(|entry| matches(&entry["match"], family, server));
    // Without a filter, or if no entry matches, everything passes.
    first.is_none_or(|entry| entry["action"].get("accept").is_some())
}

fn matches(wanted: &Value, family: &str, server: SocketAddr) -> bool {
    let ip = &wanted[family];
    let protocol = &ip[if server.is_ipv4() { "protocol" } else { "next-header" }];
    let tcp = protocol.is_null() || [json!("tcp"), json!("6"), json!(6)].contains(protocol);
    let source = ip["source-ip"]["prefix"].as_str();
    let from = source.is_none_or(|prefix| prefix.parse::<IpNet>().is_ok_and(|net| net.contains(&server.ip())));
    // The destination port of an answer differs between connections, so an entry with a destination port does not
    // match.
    let any_destination = wanted["transport"].get("destination-port").is_none();
    tcp && from && any_destination && port_matches(&wanted["transport"]["source-port"], server.port())
}

fn port_matches(wanted: &Value, port: u16) -> bool {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    let (start, end) = (number(&wanted["range"]["start"]), number(&wanted["range"]["end"]));
    if start.is_some() || end.is_some() {
        return start.is_none_or(|start| start <= port) && end.is_none_or(|end| port <= end);
    }
    let Some(value) = number(&wanted["value"]) else { return wanted["value"].is_null() };
    match wanted["operator"].as_str() {
        Some("ge") => port >= value,
        Some("le") => port <= value,
        _ => port == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store() -> Datastore {
        let store = Datastore::new(crate::ndk::tests::schema());
        boot(&store);
        store
    }

    async fn commit(store: &Datastore, sequence: u32, entry: Value) {
        let candidate = store.private_candidate();
        let path = path("ipv4").child_with_keys("entry", [("sequence-id", sequence.to_string().as_str())]);
        candidate.set(&path, &entry).expect("the schema knows it");
        store.commit(&candidate).await.expect("committed");
    }

    fn server(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn the_factory_filter_admits_port_443_but_not_6443() {
        let store = store().await;
        assert!(admits_answers_of(&store, server("192.0.2.10:443")));
        assert!(!admits_answers_of(&store, server("192.0.2.10:6443")));
        assert!(!admits_answers_of(&store, server("[2001:db8::10]:6443")));
    }

    #[tokio::test]
    async fn an_entry_before_the_drop_admits_only_its_server() {
        let store = store().await;
        let entry = json!({
            "match": {
                "ipv4": { "protocol": "tcp", "source-ip": { "prefix": "192.0.2.10/32" } },
                "transport": { "source-port": { "operator": "eq", "value": "6443" } },
            },
            "action": { "accept": {} },
        });
        commit(&store, 370, entry.clone()).await;
        assert!(admits_answers_of(&store, server("192.0.2.10:6443")));
        assert!(!admits_answers_of(&store, server("192.0.2.11:6443")), "another server");
        assert!(!admits_answers_of(&store, server("192.0.2.10:6444")), "another port");
        let store = self::store().await;
        commit(&store, 1001, entry).await;
        assert!(!admits_answers_of(&store, server("192.0.2.10:6443")), "after the drop");
    }

    #[tokio::test]
    async fn port_ranges_and_protocols_of_entries_are_respected() {
        let store = store().await;
        let range = json!({ "range": { "start": 6000, "end": 7000 } });
        let udp = json!({ "match": { "ipv4": { "protocol": "udp" }, "transport": { "source-port": range } },
            "action": { "accept": {} } });
        commit(&store, 371, udp).await;
        assert!(!admits_answers_of(&store, server("192.0.2.10:6443")));
        let tcp = json!({ "match": { "ipv4": { "protocol": "tcp" }, "transport": { "source-port": range } },
            "action": { "accept": {} } });
        commit(&store, 372, tcp).await;
        assert!(admits_answers_of(&store, server("192.0.2.10:6443")));
    }
}
