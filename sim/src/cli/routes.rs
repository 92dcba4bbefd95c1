//! Reports on the route tables of a network instance.

use std::collections::BTreeSet;

use super::report::{Report, View, line};
use super::table::Column;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn read(word: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.table() == word)
    }

    /// Returns the name of the family's container.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::V4 => "ipv4-unicast",
            Self::V6 => "ipv6-unicast",
        }
    }

    /// Returns the name of the key that holds the prefix.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::V4 => "ipv4-prefix",
            Self::V6 => "ipv6-prefix",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// A next-hop of a route, as reports show it.
#[derive(Debug, Default)]
struct Hop {
    address: String,
    kind: String,
    /// The prefix that resolves it, with the type of route: `local` or `vxlan`.
    resolved_by: Option<(String, String)>,
    by_tunnel: bool,
    interface: String,
    /// Next-hops of the route that resolves it.
    via: Vec<Hop>,
}

pub(super) fn routes(instance: View<'_>, family: Family) -> Vec<View<'_>> {
    let table = instance.container("route-table").and_then(|table| table.container(family.table()));
    table.map(|table| table.list("route")).unwrap_or_default()
}

pub(super) fn has_routes(instance: View<'_>, family: Family) -> bool {
    !routes(instance, family).is_empty()
}

/// How often a next-hop is resolved: BGP next-hop, static route to it, subnet.
const RESOLUTIONS: u8 = 3;

fn hops(instance: View<'_>, route: View<'_>, resolutions: u8) -> Vec<Hop> {
    let Some(table) = instance.container("route-table") else { return Vec::new() };
    let (groups, next_hops) = (table.list("next-hop-group"), table.list("next-hop"));
    let group = groups.iter().find(|group| group.leaf("index") == route.leaf("next-hop-group"));
    let members = group.map(|group| group.list("next-hop")).unwrap_or_default();
    let found = members
        .iter()
        .filter_map(|member| next_hops.iter().find(|next_hop| next_hop.leaf("index") == member.leaf("next-hop")));
    found.map(|next_hop| hop(instance, *next_hop, resolutions)).collect()
}

fn hop(instance: View<'_>, next_hop: View<'_>, resolutions: u8) -> Hop {
    let mut hop = Hop {
        address: next_hop.leaf("ip-address").to_owned(),
        kind: next_hop.leaf("type").to_owned(),
        interface: next_hop.leaf("subinterface").to_owned(),
        ..Hop::default()
    };
    let tunnel = next_hop.leaf("indirect/resolving-tunnel/ip-prefix");
    let prefix = next_hop.leaf("indirect/resolving-route/ip-prefix");
    if !tunnel.is_empty() {
        hop.by_tunnel = true;
        hop.resolved_by = Some((tunnel.to_owned(), next_hop.leaf("indirect/resolving-tunnel/tunnel-type").to_owned()));
    } else if !prefix.is_empty() {
        let kind = next_hop.leaf("indirect/resolving-route/route-type");
        hop.resolved_by = Some((prefix.to_owned(), kind.to_owned()));
        let all = [Family::V4, Family::V6].into_iter();
        let mut resolving = all.flat_map(|family| routes(instance, family).into_iter().map(move |it| (family, it)));
        if let Some(further) = resolutions.checked_sub(1)
            && let Some((_, route)) = resolving.find(|(family, it)| {
                it.leaf(family.prefix()) == prefix && it.leaf("route-type") == kind && it.leaf("active") == "true"
            })
        {
            hop.via = hops(instance, route, further);
            hop.interface =
                hop.via.iter().map(|via| via.interface.as_str()).find(|it| !it.is_empty()).unwrap_or("").to_owned();
        }
    }
    hop
}

impl Hop {
    fn cell(&self) -> String {
        match &self.resolved_by {
            Some((prefix, kind)) => format!("{prefix} ({}/{kind})", self.kind),
            None if self.address.is_empty() => format!("None ({})", self.kind),
            None => format!("{} ({})", self.address, self.kind),
        }
    }
}

/// Prints a route table, or its routes of one prefix.
pub(super) fn table(report: &mut Report, instance: View<'_>, family: Family, prefix: Option<&str>) {
    let mut rows = Vec::new();
    let mut counts = Counts::default();
    for route in routes(instance, family) {
        let own = route.leaf(family.prefix());
        if prefix.is_some_and(|prefix| prefix != own) {
            continue;
        }
        let hops = hops(instance, route, RESOLUTIONS);
        counts.add(own, route.leaf("active") == "true", hops.len());
        rows.push(vec![
            own.to_owned(),
            route.leaf("id").to_owned(),
            route.leaf("route-type").to_owned(),
            route.leaf("route-owner").to_owned(),
            if route.leaf("active") == "true" { "True" } else { "False" }.to_owned(),
            route.leaf("origin-network-instance").to_owned(),
            route.leaf("metric").to_owned(),
            route.leaf("preference").to_owned(),
            hops.iter().map(Hop::cell).collect::<Vec<_>>().join("\n"),
            hops.iter().map(|hop| hop.interface.as_str()).collect::<Vec<_>>().join("\n"),
        ]);
    }
    let columns = vec![
        Column::fixed("Prefix", 27),
        Column::fixed("ID", 5),
        Column::fixed("Route Type", 10),
        Column::fixed("Route Owner", 20),
        Column::fixed("Active", 20),
        Column::fixed("Origin Network Instance", 8),
        Column::fixed("Metric", 7),
        Column::fixed("Pref", 16),
        Column::fixed("Next-hop (Type)", 16),
        Column::fixed("Next-hop Interface", 21),
    ];
    let rule = format!("{}\n", "-".repeat(181));
    let title = format!("{} unicast route table of network instance {}\n", family.name(), instance.leaf("name"));
    report.text.push_str(&format!("{rule}{title}{rule}"));
    report.table("route table", columns, rows);
    let name = family.name();
    report.text.push_str(&format!(
        "{rule}{name} routes total                    : {}\n{name} prefixes with active routes     : {}\n\
         {name} prefixes with active ECMP routes: {}\n{rule}",
        counts.total,
        counts.active.len(),
        counts.ecmp.len()
    ));
}

#[derive(Default)]
struct Counts {
    total: usize,
    active: BTreeSet<String>,
    ecmp: BTreeSet<String>,
}

impl Counts {
    fn add(&mut self, prefix: &str, active: bool, next_hops: usize) {
        self.total += 1;
        if active {
            self.active.insert(prefix.to_owned());
            if next_hops > 1 {
                self.ecmp.insert(prefix.to_owned());
            }
        }
    }
}

/// Prints the details of the routes of one prefix.
pub(super) fn detail(report: &mut Report, instance: View<'_>, family: Family, prefix: &str) {
    let rule = format!("{}\n", "-".repeat(91));
    let title = format!("{} unicast route table of network instance {}\n", family.name(), instance.leaf("name"));
    let text = &mut report.text;
    text.push_str(&format!("{rule}{title}{rule}"));
    for route in routes(instance, family).into_iter().filter(|route| route.leaf(family.prefix()) == prefix) {
        let or_false = |leaf| Some(route.leaf(leaf)).filter(|it| !it.is_empty()).unwrap_or("false");
        for (name, value) in [
            ("Destination", prefix),
            ("ID", route.leaf("id")),
            ("Route Type", route.leaf("route-type")),
            ("Route Owner", route.leaf("route-owner")),
            ("Origin Network Instance", route.leaf("origin-network-instance")),
            ("Metric", route.leaf("metric")),
            ("Preference", route.leaf("preference")),
            ("Active", route.leaf("active")),
            ("Last change", route.leaf("last-app-update")),
            ("Resilient hash", or_false("resilient-hash")),
        ] {
            line(text, name, 23, value);
        }
        text.push_str(&rule);
        let hops = hops(instance, route, RESOLUTIONS);
        text.push_str(&format!("Next hops: {} entries\n", hops.len()));
        for hop in &hops {
            describe(text, hop, 0);
        }
        text.push_str(&rule);
    }
}

/// Prints a next-hop and, below it, the next-hops that resolve it.
fn describe(text: &mut String, hop: &Hop, depth: usize) {
    let address = if hop.address.is_empty() { "None" } else { &hop.address };
    if depth > 0 {
        text.push_str(&format!("{}via ", "  ".repeat(depth)));
    }
    text.push_str(&format!("{address} ({})", hop.kind));
    match &hop.resolved_by {
        Some((prefix, by)) => {
            let what = if hop.by_tunnel { "tunnel" } else { "route" };
            text.push_str(&format!(" resolved by {what} to {prefix} ({by})"));
        }
        None if hop.interface.is_empty() => {}
        None => text.push_str(&format!(" via [{}]", hop.interface)),
    }
    text.push('\n');
    hop.via.iter().for_each(|via| describe(text, via, depth + 1));
}
