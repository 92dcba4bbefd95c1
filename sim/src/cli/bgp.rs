//! Reports on BGP in a network instance: its neighbors, and the routes received and advertised.

use jiff::Timestamp;

use super::glob::glob;
use super::report::{Report, View, line};
use super::routes::{Family, routes};
use super::table::Column;

/// Prints a summary of the BGP neighbors whose address matches.
pub(super) fn neighbors(report: &mut Report, instance: View<'_>, peer: &str) {
    let now = Timestamp::now();
    let name = instance.leaf("name");
    let bgp = instance.container("protocols").and_then(|protocols| protocols.container("bgp"));
    let all = bgp.map(|bgp| bgp.list("neighbor")).unwrap_or_default();
    let (mut configured, mut established, mut disabled, mut dynamic) = (0, 0, 0, 0);
    let mut rows = Vec::new();
    for neighbor in all.iter().filter(|neighbor| glob(peer, neighbor.leaf("peer-address"))) {
        let is_dynamic = neighbor.leaf("dynamic-neighbor") == "true";
        let is_up = neighbor.leaf("session-state") == "established";
        disabled += usize::from(neighbor.leaf("admin-state") == "disable");
        if is_dynamic {
            dynamic += 1;
        } else {
            configured += 1;
            established += usize::from(is_up);
        }
        rows.push(neighbor_row(name, *neighbor, now));
    }
    let columns = vec![
        Column::fixed("Net-Inst", 18),
        Column::fixed("Peer", 27),
        Column::fixed("Group", 18),
        Column::fixed("Flags", 5),
        Column::fixed("Peer-AS", 9),
        Column::fixed("State", 14),
        Column::fixed("Uptime", 14),
        Column::fixed("AFI/SAFI", 12),
        Column::fixed("[Rx/Active/Tx]", 27),
    ];
    let rule = format!("{}\n", "-".repeat(173));
    report.text.push_str(&format!(
        "{rule}BGP neighbor summary for network-instance \"{name}\"\n\
         Flags: S static, D dynamic, L discovered by LLDP, B BFD enabled, - disabled, * slow\n{rule}{rule}"
    ));
    report.table("bgp neighbor", columns, rows);
    report.text.push_str(&format!(
        "{rule}Summary:\n{configured} configured neighbors, {established} configured sessions are established,\
         {disabled} disabled peers\n{dynamic} dynamic peers\n"
    ));
}

/// Prints BGP as a whole: AS, identifier, and the numbers of neighbors and routes.
pub(super) fn summary(report: &mut Report, instance: View<'_>) {
    const WIDTH: usize = 26;
    let Some(bgp) = instance.container("protocols").and_then(|protocols| protocols.container("bgp")) else { return };
    let all = bgp.list("neighbor");
    let having = |leaf: &str, value: &str| all.iter().filter(|it| it.leaf(leaf) == value).count();
    let routes = |leaf: &str| {
        let families = all.iter().flat_map(|neighbor| neighbor.list("afi-safi"));
        families.filter_map(|family| family.leaf(leaf).parse::<u64>().ok()).sum::<u64>().to_string()
    };
    let dynamic = having("dynamic-neighbor", "true");
    let rule = format!("{}\n", "-".repeat(100));
    report.text.push_str(&format!("{rule}BGP in network-instance \"{}\"\n", instance.leaf("name")));
    for (name, value) in [
        ("Global AS number", bgp.leaf("autonomous-system").to_owned()),
        ("BGP identifier", bgp.leaf("router-id").to_owned()),
        ("Received routes", routes("received-routes")),
        ("Received and active routes", routes("active-routes")),
        ("Total UP peers", having("session-state", "established").to_string()),
        ("Configured peers", format!("{}, {} are disabled", all.len() - dynamic, having("admin-state", "disable"))),
        ("Dynamic peers", dynamic.to_string()),
    ] {
        line(&mut report.text, name, WIDTH, Some(value.as_str()).filter(|it| !it.is_empty()).unwrap_or("-"));
    }
    report.text.push_str(&rule);
}

fn neighbor_row(instance: &str, neighbor: View<'_>, now: Timestamp) -> Vec<String> {
    let mut flags = if neighbor.leaf("dynamic-neighbor") == "true" { "D" } else { "S" }.to_owned();
    if neighbor.leaf("failure-detection/enable-bfd") == "true" {
        flags.push('B');
    }
    if neighbor.leaf("admin-state") == "disable" {
        flags.push('-');
    }
    if neighbor.leaf("slow-peer") == "true" {
        flags.push('*');
    }
    let is_up = neighbor.leaf("session-state") == "established";
    let uptime = neighbor.leaf("last-established").parse::<Timestamp>().ok().filter(|_| is_up);
    let families = neighbor.list("afi-safi");
    let families: Vec<_> = families.iter().filter(|it| it.leaf("admin-state") != "disable").collect();
    let counts = |it: &&View<'_>| {
        let count = |leaf| Some(it.leaf(leaf)).filter(|it| !it.is_empty()).unwrap_or("0");
        format!("[{}/{}/{}]", count("received-routes"), count("active-routes"), count("sent-routes"))
    };
    vec![
        instance.to_owned(),
        neighbor.leaf("peer-address").to_owned(),
        neighbor.leaf("peer-group").to_owned(),
        flags,
        neighbor.leaf("peer-as").to_owned(),
        neighbor.leaf("session-state").to_owned(),
        uptime.map(|since| duration(now.as_second() - since.as_second())).unwrap_or_default(),
        families.iter().map(|it| it.leaf("afi-safi-name")).collect::<Vec<_>>().join("\n"),
        families.iter().map(counts).collect::<Vec<_>>().join("\n"),
    ]
}

/// Formats a duration as `0d:0h:1m:23s`.
fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!("{}d:{}h:{}m:{}s", seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

/// Prints the details of each neighbor that matches.
pub(super) fn detail(report: &mut Report, instance: View<'_>, peer: &str) {
    for neighbor in neighbors_called(instance, peer) {
        let text = &mut report.text;
        let rule = format!("{}\n", "-".repeat(75));
        text.push_str(&rule);
        title(text, neighbor);
        text.push_str(&rule);
        for (name, path) in [
            ("Admin-state", "admin-state"),
            ("Session-state", "session-state"),
            ("Last-established", "last-established"),
            ("Last-state", "last-state"),
            ("Last-event", "last-event"),
            ("Established-transitions", "established-transitions"),
            ("Local address", "transport/local-address"),
            ("BFD enabled", "failure-detection/enable-bfd"),
        ] {
            let value = neighbor.leaf(path);
            line(text, name, 24, if value.is_empty() { "-" } else { value });
        }
        for (way, container) in [("sent", "sent-messages"), ("received", "received-messages")] {
            let code = neighbor.leaf(&format!("{container}/last-notification-error-code"));
            if !code.is_empty() {
                let subcode = neighbor.leaf(&format!("{container}/last-notification-error-subcode"));
                let at = neighbor.leaf(&format!("{container}/last-notification-time"));
                let value = [code, subcode, at].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ");
                line(text, &format!("Last NOTIFICATION {way}"), 24, &value);
            }
        }
        families(report, neighbor);
    }
}

/// Prints the counters of each address family of a neighbor.
fn families(report: &mut Report, neighbor: View<'_>) {
    let leaves = ["afi-safi-name", "oper-state", "received-routes", "rejected-routes", "active-routes", "sent-routes"];
    let of_family = |it: &View<'_>| leaves.map(|leaf| it.leaf(leaf).to_owned()).to_vec();
    let rows = neighbor.list("afi-safi").iter().map(of_family).collect();
    let columns = ["AFI/SAFI", "Oper state", "Received", "Rejected", "Active", "Sent"].map(Column::fitted).to_vec();
    report.table("afi-safi", columns, rows);
}

fn neighbors_called<'a>(instance: View<'a>, peer: &str) -> Vec<View<'a>> {
    let all = instance.all("protocols/bgp/neighbor").into_iter();
    all.filter(|neighbor| glob(peer, neighbor.leaf("peer-address"))).collect()
}

fn title(text: &mut String, neighbor: View<'_>) {
    let kind = if neighbor.leaf("dynamic-neighbor") == "true" { "dynamic" } else { "static" };
    let (peer, remote, local) =
        (neighbor.leaf("peer-address"), neighbor.leaf("peer-as"), neighbor.leaf("local-as/as-number"));
    line(text, "Peer", 12, &format!("{peer}, remote AS: {remote}, local AS: {local}"));
    line(text, "Type", 12, kind);
    line(text, "Group", 12, neighbor.leaf("peer-group"));
}

const CODES: &str = "Status codes: u=used, *=valid, >=best, x=stale\nOrigin codes: i=IGP, e=EGP, ?=incomplete\n";

fn path_columns(first: &[&str]) -> Vec<Column> {
    first.iter().chain(&["Network", "Next Hop", "LocPref", "AsPath", "Origin"]).map(|it| Column::fitted(it)).collect()
}

fn paths<'a>(instance: View<'a>, family: Family, rib: &str) -> Vec<View<'a>> {
    let families = instance.all("bgp-rib/afi-safi");
    let of_family = families.iter().filter(|it| it.leaf("afi-safi-name") == family.table());
    of_family.flat_map(|it| it.all(&format!("{}/{rib}/route", family.table()))).collect()
}

fn status(path: View<'_>) -> String {
    let flag = |leaf, letter| if path.leaf(leaf) == "true" { letter } else { "" };
    [flag("used-route", "u"), flag("valid-route", "*"), flag("best-route", ">"), flag("stale-route", "x")].concat()
}

/// Returns network, next-hop, local preference, AS path and origin of a path.
fn attributes(instance: View<'_>, path: View<'_>) -> Vec<String> {
    let sets = instance.all("bgp-rib/attr-sets/attr-set");
    let set = sets.iter().find(|set| set.leaf("index") == path.leaf("attr-id"));
    let leaf = |name| set.map_or("", |set| set.leaf(name));
    let members = set.map(|set| set.all("as-path/segment")).unwrap_or_default();
    let as_path: Vec<String> = members.iter().flat_map(|segment| segment.values("member")).collect();
    let origin = if leaf("origin") == "igp" { "i" } else { "?" };
    let preference = Some(leaf("local-pref")).filter(|it| !it.is_empty()).unwrap_or("-");
    [path.leaf("prefix"), leaf("next-hop"), preference, &format!("[{}]", as_path.join(", ")), origin]
        .map(str::to_owned)
        .to_vec()
}

/// Prints the routes a neighbor announces, after import policies.
pub(super) fn received(report: &mut Report, instance: View<'_>, peer: &str, family: Family) {
    for neighbor in neighbors_called(instance, peer) {
        let rule = format!("{}\n", "-".repeat(100));
        report.text.push_str(&rule);
        title(&mut report.text, neighbor);
        report.text.push_str(&format!("{rule}{CODES}"));
        let heard = paths(instance, family, "rib-in-out/rib-in-post");
        let heard = heard.iter().filter(|path| path.leaf("neighbor") == neighbor.leaf("peer-address"));
        let heard: Vec<Vec<String>> =
            heard.map(|path| [vec![status(*path)], attributes(instance, *path)].concat()).collect();
        let count = |letter| heard.iter().filter(|row| row[0].contains(letter)).count();
        let (used, valid, all) = (count('u'), count('*'), heard.len());
        report.table("received-routes", path_columns(&["Status"]), heard);
        report.text.push_str(&format!("{rule}{all} received BGP routes : {used} used {valid} valid\n{rule}"));
    }
}

/// Prints the routes advertised to a neighbor: none that came from it, and none from iBGP if it is an iBGP neighbor.
pub(super) fn advertised(report: &mut Report, instance: View<'_>, peer: &str, family: Family) {
    for neighbor in neighbors_called(instance, peer) {
        let rule = format!("{}\n", "-".repeat(100));
        report.text.push_str(&rule);
        title(&mut report.text, neighbor);
        report.text.push_str(&rule);
        let is_up = neighbor.leaf("session-state") == "established";
        let told: Vec<Vec<String>> = routes(instance, family)
            .into_iter()
            .filter(|route| is_up && is_told(instance, neighbor, *route, family))
            .map(|route| {
                [family.prefix(), "route-type", "route-owner"].map(|leaf| route.leaf(leaf).to_owned()).to_vec()
            })
            .collect();
        let all = told.len();
        let columns = ["Network", "Route Type", "Route Owner"].map(Column::fitted).to_vec();
        report.table("advertised-routes", columns, told);
        report.text.push_str(&format!("{rule}{all} advertised BGP routes\n{rule}"));
    }
}

fn is_told(instance: View<'_>, neighbor: View<'_>, route: View<'_>, family: Family) -> bool {
    let peer = neighbor.leaf("peer-address");
    if route.leaf("active") != "true" || route.leaf("route-type") == "host" {
        return false;
    }
    if route.leaf("route-type") != "bgp" {
        return true;
    }
    let local = paths(instance, family, "local-rib");
    let used =
        |path: &&View<'_>| path.leaf("prefix") == route.leaf(family.prefix()) && path.leaf("used-route") == "true";
    let paths: Vec<&View<'_>> = local.iter().filter(used).collect();
    let own = neighbor.leaf("local-as/as-number");
    let external = paths.iter().any(|path| path.leaf("neighbor-as") != own);
    paths.iter().all(|path| path.leaf("neighbor") != peer) && (external || neighbor.leaf("peer-as") != own)
}

/// Prints all paths of a family, with the neighbors they came from.
pub(super) fn rib(report: &mut Report, instance: View<'_>, family: Family) {
    let rule = format!("{}\n", "-".repeat(100));
    let name = instance.leaf("name");
    report
        .text
        .push_str(&format!("{rule}Show report for the BGP route table of network-instance \"{name}\"\n{rule}{CODES}"));
    let known = paths(instance, family, "local-rib");
    let known = known
        .iter()
        .map(|path| [vec![status(*path), path.leaf("neighbor").to_owned()], attributes(instance, *path)].concat());
    report.table("routes", path_columns(&["Status", "Neighbor"]), known.collect());
}
