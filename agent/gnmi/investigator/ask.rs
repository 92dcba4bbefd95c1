//! Makes gNMI paths for questions. All known keys are in the paths: a wildcard for a prefix would return a whole table.

use std::fmt::Display;

use super::super::path::{neighbor, network_instance, route};
use super::super::subscriptions::{entry_of, members_of};
use crate::model::inquiry::{PathKey, Question};
use crate::model::switch::IpFamily;
use crate::path::Path;

/// The kind of a question. A server that does not have the tables of one kind may have those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Neighbor,
    Place,
    Path,
    Instance,
}

impl Kind {
    pub(super) fn of(question: &Question) -> Self {
        match question {
            Question::Neighbor(_) => Self::Neighbor,
            Question::Place(_) => Self::Place,
            Question::Path(_) => Self::Path,
            Question::Instance(_) => Self::Instance,
        }
    }

    /// Returns the path of the kind's table, to show to operators.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Neighbor => "/network-instance[name=*]/protocols/bgp/neighbor[peer-address=*]",
            Self::Place => "/interface[name=*]/subinterface[index=*]/ipv4/arp",
            Self::Path => "/network-instance[name=*]/bgp-rib",
            Self::Instance => "/network-instance[name=*]/type",
        }
    }
}

/// How thoroughly to ask about routes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Whether to ask for the rows of all neighbors. Until any row of the RIB was seen, the missing row of one neighbor
    /// means something only if others have rows.
    pub(super) all_neighbors: bool,
    /// Whether to ask for the route table too, because a route may have a preference other than the configured one.
    pub(super) table: bool,
}

impl Extent {
    /// Asks for all tables, but only for the rows of the neighbor itself.
    pub(super) const FULL: Self = Self { all_neighbors: false, table: true };
}

/// Returns the paths for a question.
pub(super) fn paths(question: &Question, extent: Extent) -> Vec<Path> {
    match question {
        Question::Neighbor(key) => vec![neighbor(&key.network_instance, &key.peer)],
        Question::Place(key) => vec![entry_of(key.address), members_of(&key.network_instance)],
        Question::Path(key) => path(key, extent),
        Question::Instance(name) => vec![network_instance(name).child("type")],
    }
}

fn path(key: &PathKey, extent: Extent) -> Vec<Path> {
    let (instance, prefix, family) = (&key.network_instance, key.prefix, IpFamily::of(key.prefix.addr()));
    let peer: &dyn Display = if extent.all_neighbors { &"*" } else { &key.neighbor };
    let of_family =
        network_instance(instance).child("bgp-rib").entry("afi-safi", &[("afi-safi-name", &family.container())]);
    let rib = of_family.child(family.container()).child("rib-in-out");
    let rows = ["rib-in-pre", "rib-in-post"]
        .map(|of| rib.clone().child(of).entry("route", &[("prefix", &prefix), ("neighbor", peer), ("path-id", &"*")]));
    // If BGP selected another path, this neighbor's is not in the route table; its preference is the configured one.
    let peer_type = neighbor(instance, &key.neighbor).child("peer-type");
    let preference = network_instance(instance).child("protocols").child("bgp").child("preference");
    let table = extent.table.then(|| route(instance, family, &prefix).child("preference"));
    rows.into_iter().chain([peer_type, preference]).chain(table).collect()
}

/// Returns the paths for where a MAC address was learned, in the network instances that an IRB belongs to.
pub(super) fn mac(irb: &str, address: &str) -> Vec<Path> {
    let table = network_instance(&"*").child("bridge-table").child("mac-table");
    vec![
        table.entry("mac", &[("address", &address)]).child("destination"),
        network_instance(&"*").entry("interface", &[("name", &irb)]).child("oper-state"),
    ]
}

/// Returns the paths for the state of a port.
pub(super) fn port(name: &str) -> Vec<Path> {
    states_of(&Path::default().entry("interface", &[("name", &name)]))
}

/// Returns the paths for the state of a subinterface (`irb1.1`).
pub(super) fn subinterface(name: &str) -> Vec<Path> {
    let Some((interface, index)) = name.rsplit_once('.') else { return Vec::new() };
    states_of(&Path::default().entry("interface", &[("name", &interface)]).entry("subinterface", &[("index", &index)]))
}

fn states_of(interface: &Path) -> Vec<Path> {
    ["oper-state", "oper-down-reason", "last-change"].map(|leaf| interface.clone().child(leaf)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::inquiry::AddressKey;

    #[test]
    fn requests_for_a_path_or_place_have_no_wildcard_prefix_or_address() {
        let address = std::net::IpAddr::from([192, 168, 1, 11]);
        let path = PathKey {
            network_instance: "red".into(),
            prefix: "1.1.1.1/32".parse().expect("a prefix"),
            neighbor: address,
        };
        let place = AddressKey { network_instance: "red".into(), address };
        for question in [Question::Path(path), Question::Place(place)] {
            for path in paths(&question, Extent::FULL) {
                let keys = path.elements().iter().flat_map(|step| &step.keys);
                for (name, value) in keys {
                    assert!(!matches!(&**name, "prefix" | "ipv4-prefix" | "neighbor" | "ipv4-address") || value != "*");
                }
            }
        }
    }

    #[test]
    fn a_subinterface_is_requested_by_interface_and_index() {
        let path = &subinterface("ethernet-1/1.4")[0];
        assert_eq!(path.to_string(), "/interface[name=ethernet-1/1]/subinterface[index=4]/oper-state");
        assert!(subinterface("mgmt").is_empty());
    }
}
