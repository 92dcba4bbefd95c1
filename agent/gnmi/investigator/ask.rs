//! Makes gNMI paths for questions. All known keys are in the paths: a wildcard for a prefix would return a whole table.

use super::super::path::escaped;
use super::super::subscriptions::{entry_of, members_of};
use crate::model::inquiry::{AddressKey, PathKey, Question};
use crate::model::switch::NeighborKey;

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
pub(super) fn paths(question: &Question, extent: Extent) -> Vec<String> {
    match question {
        Question::Neighbor(key) => vec![neighbor(key)],
        Question::Place(key) => place(key),
        Question::Path(key) => path(key, extent),
        Question::Instance(name) => vec![format!("/network-instance[name={}]/type", escaped(name.as_str()))],
    }
}

fn neighbor(key: &NeighborKey) -> String {
    let (instance, peer) = (escaped(key.network_instance.as_str()), escaped(&key.peer.to_string()));
    format!("/network-instance[name={instance}]/protocols/bgp/neighbor[peer-address={peer}]")
}

/// Returns the paths of the ARP/ND entry and of the network instance's subinterfaces, because several network instances
/// may have an entry for the same address.
fn place(key: &AddressKey) -> Vec<String> {
    vec![entry_of(key.address), members_of(&key.network_instance)]
}

fn path(key: &PathKey, extent: Extent) -> Vec<String> {
    let (instance, prefix) = (escaped(key.network_instance.as_str()), key.prefix);
    let neighbor = if extent.all_neighbors { "*".to_owned() } else { key.neighbor.to_string() };
    let family = if prefix.addr().is_ipv4() { "ipv4" } else { "ipv6" };
    let rib = format!(
        "/network-instance[name={instance}]/bgp-rib/afi-safi[afi-safi-name={family}-unicast]/{family}-unicast/rib-in-out"
    );
    let row = format!("route[prefix={prefix}][neighbor={neighbor}][path-id=*]");
    let table = format!(
        "/network-instance[name={instance}]/route-table/{family}-unicast/route[{family}-prefix={prefix}][route-type=*]\
         [route-owner=*][id=*][origin-network-instance=*]/preference"
    );
    let bgp = format!("/network-instance[name={instance}]/protocols/bgp");
    // If BGP selected another path, this neighbor's is not in the route table; its preference is the configured one.
    let peer_type = format!("{bgp}/neighbor[peer-address={}]/peer-type", key.neighbor);
    let preference = format!("{bgp}/preference");
    let rows = ["rib-in-pre", "rib-in-post"].map(|of| format!("{rib}/{of}/{row}"));
    rows.into_iter().chain([peer_type, preference]).chain(extent.table.then_some(table)).collect()
}

/// Returns the paths for where a MAC address was learned, in the network instances that an IRB belongs to.
pub(super) fn mac(irb: &str, address: &str) -> Vec<String> {
    vec![
        format!("/network-instance[name=*]/bridge-table/mac-table/mac[address={address}]/destination"),
        format!("/network-instance[name=*]/interface[name={}]/oper-state", escaped(irb)),
    ]
}

/// Returns the paths for the state of a port.
pub(super) fn port(name: &str) -> Vec<String> {
    let interface = format!("/interface[name={}]", escaped(name));
    ["oper-state", "oper-down-reason", "last-change"].map(|leaf| format!("{interface}/{leaf}")).into()
}

/// Returns the paths for the state of a subinterface (`irb1.1`).
pub(super) fn subinterface(name: &str) -> Vec<String> {
    let Some((interface, index)) = name.rsplit_once('.') else { return Vec::new() };
    let subinterface = format!("/interface[name={}]/subinterface[index={index}]", escaped(interface));
    ["oper-state", "oper-down-reason", "last-change"].map(|leaf| format!("{subinterface}/{leaf}")).into()
}

#[cfg(test)]
mod tests {
    use super::super::super::path::parse;
    use super::*;

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
            for text in paths(&question, Extent::FULL) {
                let path = parse(&text).expect("a path");
                let keys = path.elem.iter().flat_map(|elem| &elem.key);
                for (name, value) in keys {
                    assert!(
                        !matches!(name.as_str(), "prefix" | "ipv4-prefix" | "neighbor" | "ipv4-address")
                            || value != "*"
                    );
                }
            }
        }
    }

    #[test]
    fn a_subinterface_is_requested_by_interface_and_index() {
        let path = &subinterface("ethernet-1/1.4")[0];
        assert_eq!(path, "/interface[name=ethernet-1/1]/subinterface[index=4]/oper-state");
        assert!(subinterface("mgmt").is_empty());
    }
}
