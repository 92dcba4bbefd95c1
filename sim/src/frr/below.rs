//! What is below routing: ports, the bridge behind the gateway, ARP and ND. It is read from the kernel, because FRR
//! knows little of it.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::Below;
use crate::fabric::empty_instance;
use crate::tables::{
    Interface, LinkNeighbor, MacDestination, MacEntry, NetworkInstance, NetworkInstanceKind, Segment, Subinterface,
};

/// Number of the mac-vrf in the NDK, which never shows it.
const MAC_VRF_ID: u32 = 1_000;

/// State of the kernel in one namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Kernel {
    pub(super) neighbors: Vec<Entry>,
    pub(super) macs: Vec<Learned>,
    pub(super) links: Vec<Link>,
}

/// An entry of `ip neigh`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Entry {
    dst: IpAddr,
    lladdr: Option<String>,
    #[serde(default)]
    state: Vec<String>,
}

/// An entry of `bridge fdb`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Learned {
    mac: String,
    ifname: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    flags: Vec<String>,
}

/// An entry of `ip link`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Link {
    ifname: String,
    operstate: String,
    flags: Vec<String>,
    #[serde(default)]
    address: Option<String>,
}

impl Kernel {
    /// Reads the state of the kernel.
    pub(super) async fn look(below: &Below) -> io::Result<Self> {
        let Below { namespace, bridge, .. } = below;
        Ok(Self {
            neighbors: json("ip", &["-n", namespace, "-j", "neighbor", "show", "dev", bridge]).await?,
            macs: json("bridge", &["-n", namespace, "-j", "fdb", "show", "br", bridge]).await?,
            links: json("ip", &["-n", namespace, "-j", "link", "show"]).await?,
        })
    }
}

/// Returns what a command prints. No output is an empty list.
async fn json<T: DeserializeOwned>(program: &str, arguments: &[&str]) -> io::Result<Vec<T>> {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output().await?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let text = if output.stdout.trim_ascii().is_empty() { b"[]" } else { &output.stdout[..] };
    serde_json::from_slice(text).map_err(io::Error::from)
}

/// Returns the ports, and the gateway with the neighbors that answer behind it.
pub(super) fn interfaces(below: &Below, gateway: &str, kernel: &Kernel) -> BTreeMap<String, Interface> {
    let mut interfaces = BTreeMap::new();
    for link in &kernel.links {
        let Some(port) = below.ports.get(&link.ifname) else { continue };
        let bridged = Subinterface { bridged: true, down: port_down(link), ..Subinterface::default() };
        let mac = link.address.as_ref().map(|mac| mac.to_uppercase());
        let subinterfaces = BTreeMap::from([(0, bridged)]);
        interfaces.insert(port.clone(), Interface { down: down(link), mac, subinterfaces, lldp: None });
    }
    if let Some((name, index)) = gateway.rsplit_once('.')
        && let Ok(index) = index.parse()
    {
        let routed = Subinterface { neighbors: answering(kernel), ..Subinterface::default() };
        let irb = Interface { subinterfaces: BTreeMap::from([(index, routed)]), ..Interface::default() };
        interfaces.insert(name.to_owned(), irb);
    }
    interfaces
}

fn down(link: &Link) -> Option<String> {
    let enabled = link.flags.iter().any(|flag| flag == "UP");
    let reason = if enabled { "lower-layer-down" } else { "port-admin-disabled" };
    (link.operstate != "UP").then(|| reason.to_owned())
}

/// Returns why a subinterface of the port is down, if it is.
fn port_down(link: &Link) -> Option<String> {
    down(link).map(|_| "port-down".to_owned())
}

fn answering(kernel: &Kernel) -> BTreeMap<IpAddr, LinkNeighbor> {
    let lost = |entry: &&Entry| entry.state.iter().any(|state| matches!(&**state, "FAILED" | "INCOMPLETE"));
    let entries = kernel.neighbors.iter().filter(|entry| !lost(entry));
    let neighbor = |mac: &String| LinkNeighbor { mac: mac.to_uppercase(), by_evpn: false };
    entries.filter_map(|entry| Some((entry.dst, neighbor(entry.lladdr.as_ref()?)))).collect()
}

/// Returns the bridge behind the gateway.
pub(super) fn mac_vrf(below: &Below, gateway: &str, kernel: &Kernel) -> NetworkInstance {
    let subinterface = |port: &str| below.ports.get(port).map(|port| format!("{port}.0"));
    let learned =
        kernel.macs.iter().filter(|it| it.state != "permanent" && !it.flags.iter().any(|flag| flag == "self"));
    let macs = learned.filter_map(|it| {
        let destination = MacDestination::Subinterface(subinterface(&it.ifname)?);
        Some((it.mac.to_uppercase(), MacEntry { destination }))
    });
    let ports = kernel.links.iter().filter_map(|link| Some((subinterface(&link.ifname)?, port_down(link))));
    let subinterfaces = ports.chain([(gateway.to_owned(), None)]).collect();
    let segment = Segment { subinterfaces, macs: macs.collect(), vxlan: None };
    NetworkInstance { segment, ..empty_instance(MAC_VRF_ID, NetworkInstanceKind::MacVrf) }
}
