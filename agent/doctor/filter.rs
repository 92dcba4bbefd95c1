//! Checks the control-plane filter: whether the replies of a server reach the switch's own processes.
//!
//! The filter is stateless, so that a reply is a packet like any other: from the server's address and port, to a port
//! that changes with each connection. The first matching entry decides.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::committed;
use crate::gnmi;
use crate::path::Path;
use crate::supervise::chain;

/// The usual place for an entry for the agent: before the factory's last one, which drops everything else.
const USUAL_ENTRY: u64 = 370;
/// The sequence id of the factory's last entry.
const LAST_ENTRY: u64 = 1000;

/// What the filter does with replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This entry accepts them.
    Admitted(u64),
    /// This entry drops them.
    Dropped(u64),
    /// No entry matches them, so that everything passes.
    Unfiltered,
}

/// Returns the finding and the remedy for servers that do not answer in time.
pub(super) async fn examine(gnmi: Option<&gnmi::Options>, servers: &[SocketAddr]) -> (String, Vec<String>) {
    let (mut words, mut lines) = (Vec::new(), Vec::new());
    for server in servers {
        let (finding, typed) = of_server(gnmi, *server).await;
        words.push(finding);
        lines.extend(typed);
    }
    let remedy = if lines.is_empty() { Vec::new() } else { committed(lines) };
    (words.join("; "), remedy)
}

async fn of_server(gnmi: Option<&gnmi::Options>, server: SocketAddr) -> (String, Vec<String>) {
    let filter = Path::default().child("acl").entry("acl-filter", &[("name", &"cpm"), ("type", &family(server))]);
    let filter = match gnmi {
        Some(gnmi) => gnmi::get_config(&gnmi.endpoint, &gnmi.credentials, &filter.to_string())
            .await
            .map_err(|error| chain(&error)),
        None => Err("gNMI does not answer".to_owned()),
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(error) => {
            let words =
                format!("whether the control-plane filter lets the replies of {server} in cannot be read ({error})");
            return (words, entry(server, &Value::Null));
        }
    };
    match verdict(&filter, server) {
        Verdict::Dropped(id) => {
            (format!("the control-plane filter drops the replies of {server} (entry {id})"), entry(server, &filter))
        }
        Verdict::Admitted(id) => {
            let words = format!("the control-plane filter lets the replies of {server} in (entry {id})");
            (format!("{words}: what is dropped is dropped elsewhere, by a route or a firewall"), Vec::new())
        }
        Verdict::Unfiltered => {
            let words = format!("no control-plane filter drops the replies of {server}");
            (format!("{words}: what is dropped is dropped elsewhere, by a route or a firewall"), Vec::new())
        }
    }
}

/// Returns what a filter, as gNMI returns it, does with the replies of a server.
pub(super) fn verdict(filter: &Value, server: SocketAddr) -> Verdict {
    let mut entries: Vec<&Value> = filter["entry"].as_array().into_iter().flatten().collect();
    entries.sort_by_key(|entry| id(entry));
    let deciding = entries.into_iter().find(|entry| matches(&entry["match"], server));
    match deciding {
        None => Verdict::Unfiltered,
        Some(entry) if entry["action"].get("accept").is_some() => Verdict::Admitted(id(entry)),
        Some(entry) => Verdict::Dropped(id(entry)),
    }
}

/// Returns the lines of an entry that accepts the replies of a server, at a free place before the one that drops them.
fn entry(server: SocketAddr, filter: &Value) -> Vec<String> {
    let taken: Vec<u64> = filter["entry"].as_array().into_iter().flatten().map(id).collect();
    let before = match verdict(filter, server) {
        Verdict::Dropped(id) => id,
        Verdict::Admitted(_) | Verdict::Unfiltered => LAST_ENTRY,
    };
    let free = |id: &u64| !taken.contains(id);
    let place = (USUAL_ENTRY..before).find(free).or_else(|| (1..before).rev().find(free)).unwrap_or(1);
    let (family, protocol) = (family(server), if server.is_ipv4() { "protocol" } else { "next-header" });
    let entry = format!("set / acl acl-filter cpm type {family} entry {place}");
    vec![
        format!("{entry} match {family} {protocol} tcp"),
        format!("{entry} match {family} source-ip prefix {}", IpNet::from(server.ip())),
        format!("{entry} match transport source-port operator eq"),
        format!("{entry} match transport source-port value {}", server.port()),
        format!("{entry} action accept"),
    ]
}

fn family(server: SocketAddr) -> &'static str {
    if server.is_ipv4() { "ipv4" } else { "ipv6" }
}

fn id(entry: &Value) -> u64 {
    number(&entry["sequence-id"]).unwrap_or(u64::MAX)
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

/// Returns whether an entry matches the replies of a server. An entry with an unknown condition does not count: it
/// matches at most some of them.
fn matches(wanted: &Value, server: SocketAddr) -> bool {
    let family = family(server);
    only(wanted, &[family, "transport"])
        && only(&wanted[family], &["protocol", "next-header", "source-ip"])
        && only(&wanted["transport"], &["source-port"])
        && is_tcp(&wanted[family])
        && is_from(&wanted[family]["source-ip"], server)
        && is_port(&wanted["transport"]["source-port"], server.port())
}

/// Returns whether an object has no other members than these.
fn only(value: &Value, known: &[&str]) -> bool {
    let unknown = |members: &Map<String, Value>| members.keys().any(|name| !known.contains(&name.as_str()));
    !value.as_object().is_some_and(unknown)
}

fn is_tcp(ip: &Value) -> bool {
    let protocol = ip.get("protocol").or_else(|| ip.get("next-header"));
    protocol.is_none_or(|protocol| protocol == "tcp" || number(protocol) == Some(6))
}

fn is_from(source: &Value, server: SocketAddr) -> bool {
    if source.is_null() {
        return true;
    }
    source["prefix"].as_str().is_some_and(|prefix| prefix.parse::<IpNet>().is_ok_and(|net| net.contains(&server.ip())))
}

fn is_port(wanted: &Value, port: u16) -> bool {
    let port = u64::from(port);
    let (start, end) = (number(&wanted["range"]["start"]), number(&wanted["range"]["end"]));
    if start.is_some() || end.is_some() {
        return start.is_none_or(|start| start <= port) && end.is_none_or(|end| port <= end);
    }
    match (number(&wanted["value"]), wanted["operator"].as_str()) {
        (None, _) => wanted.is_null(),
        (Some(value), Some("ge")) => port >= value,
        (Some(value), Some("le")) => port <= value,
        (Some(value), _) => port == value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn filter(entries: &[Value]) -> Value {
        let last = json!({ "sequence-id": 1000, "action": { "log": true, "drop": {} } });
        let all = [entries, &[last]].concat();
        json!({ "entry": all })
    }

    fn accept(sequence: u64, matching: Value) -> Value {
        json!({ "sequence-id": sequence, "match": matching, "action": { "accept": {} } })
    }

    fn port(value: &str) -> Value {
        json!({ "ipv4": { "protocol": "tcp" }, "transport": { "source-port": { "operator": "eq", "value": value } } })
    }

    #[test]
    fn the_first_filter_entry_that_matches_the_replies_decides() {
        let api = server("192.0.2.10:6443");
        assert_eq!(verdict(&filter(&[accept(200, port("443"))]), api), Verdict::Dropped(1000));
        assert_eq!(verdict(&filter(&[accept(200, port("6443"))]), api), Verdict::Admitted(200));
        assert_eq!(verdict(&filter(&[accept(1001, port("6443"))]), api), Verdict::Dropped(1000));
        assert_eq!(verdict(&Value::Null, api), Verdict::Unfiltered);
        let from = |prefix: &str| json!({ "ipv4": { "source-ip": { "prefix": prefix } } });
        assert_eq!(verdict(&filter(&[accept(5, from("192.0.2.0/24"))]), api), Verdict::Admitted(5));
        assert_eq!(verdict(&filter(&[accept(5, from("198.51.100.0/24"))]), api), Verdict::Dropped(1000));
        let range = json!({ "transport": { "source-port": { "range": { "start": 6000, "end": 7000 } } } });
        assert_eq!(verdict(&filter(&[accept(5, range)]), api), Verdict::Admitted(5));
    }

    #[test]
    fn a_filter_entry_with_further_conditions_is_skipped() {
        let api = server("192.0.2.10:6443");
        for matching in [
            json!({ "ipv4": { "protocol": "udp" } }),
            json!({ "ipv4": { "protocol": "tcp" }, "transport": { "destination-port": { "operator": "eq", "value": "22" } } }),
            json!({ "ipv4": { "protocol": "tcp", "fragment": true } }),
        ] {
            assert_eq!(verdict(&filter(&[accept(5, matching)]), api), Verdict::Dropped(1000));
        }
    }

    #[test]
    fn the_suggested_entry_has_a_free_sequence_number_before_the_drop() {
        let full: Vec<Value> = (370..1000).map(|sequence| accept(sequence, port("22"))).collect();
        for (entries, place) in [(Vec::new(), 370), (vec![accept(370, port("443"))], 371), (full, 369)] {
            let lines = entry(server("192.0.2.10:6443"), &filter(&entries));
            assert_eq!(lines[0], format!("set / acl acl-filter cpm type ipv4 entry {place} match ipv4 protocol tcp"));
        }
        let lines = entry(server("[2001:db8::1]:6443"), &Value::Null);
        let entry = "set / acl acl-filter cpm type ipv6 entry 370";
        let expected = [
            "match ipv6 next-header tcp",
            "match ipv6 source-ip prefix 2001:db8::1/128",
            "match transport source-port operator eq",
            "match transport source-port value 6443",
            "action accept",
        ];
        assert_eq!(lines, expected.map(|line| format!("{entry} {line}")));
    }
}
