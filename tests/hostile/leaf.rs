//! The agent as a process on an emulated leaf with one neighbor and one route.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};
use srl_proto::ndk as pb;
use srl_sim::datastore::Source;
use srl_sim::gnmi::{self, Gnmi, GnmiOptions};
use srl_sim::leaf::{Leaf, LeafOptions};
use srl_sim::ndk::{AppInfo, ConfigFormat, Key, RouteRow, Row};
use srl_sim::schema::Schema;
use srl_sim::tables::{Neighbor, NetworkInstance, NetworkInstanceKind, Rib, Segment, SessionRecord, Tables};
use tempfile::TempDir;

use crate::memory::status_of;
use crate::server::Server;

const AGENT: &str = "k8s-services";
const VRF: &str = "ip-vrf-1";
const GROUP: u64 = 3_706_001;
const BGP: u32 = 14;
/// The one node of the healthy cluster, and its VIP.
pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 11);
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);
/// Time limit of every wait: this is no test of speed, and other tests run at the same time.
const PATIENCE: Duration = Duration::from_secs(240);

/// A leaf and its agent. Dropping it kills the agent.
pub(crate) struct AgentOnLeaf {
    leaf: Leaf,
    agent: Child,
    _gnmi: Gnmi,
    _folder: TempDir,
}

impl Drop for AgentOnLeaf {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

impl AgentOnLeaf {
    /// Starts a leaf whose agent follows these clusters.
    pub(crate) async fn following(clusters: &[(&str, &Server)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let yang = Path::new(env!("CARGO_MANIFEST_DIR")).join("yang");
        let schema = Schema::load(&[yang], &[AGENT.to_owned()]).expect("the YANG loads");
        let options = LeafOptions::new("leaf1", folder.path(), schema);
        let password = folder.path().join("password");
        fs::write(&password, &options.password).expect("a file of our own");
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("a file of our own");
        let leaf = Leaf::start(options).await.expect("a leaf in an empty folder");
        leaf.ndk().add_app(AppInfo {
            name: AGENT.to_owned(),
            config_format: ConfigFormat::Json,
            modules: vec![AGENT.to_owned()],
            ..AppInfo::default()
        });
        let socket = folder.path().join("gnmi");
        let served = GnmiOptions { sockets: vec![socket.clone()], ..GnmiOptions::new() };
        let gnmi = gnmi::serve(served, leaf.datastore().clone()).await.expect("a socket in an empty folder");
        leaf.set_tables(tables());
        leaf.ndk().apply([group(), route()]);
        let candidate = leaf.datastore().private_candidate();
        for (name, server) in clusters {
            let config = json!({
                "api-server": server.url(),
                "network-namespace": "self",
                "network-instance": VRF,
                "speaker": "generic",
            });
            let path = format!("/k8s-services/cluster[name={name}]").parse().expect("a path");
            candidate.set(&path, &config).expect("the YANG allows it");
        }
        leaf.datastore().commit(&candidate).await.expect("nobody objects");
        let agent = Command::new(env!("CARGO_BIN_EXE_k8s-services"))
            .arg(format!("--ndk=unix://{}", leaf.ndk().socket().display()))
            .arg(format!("--gnmi=unix://{}", socket.display()))
            .arg(format!("--gnmi-password-file={}", password.display()))
            .arg(format!("--state-file={}", folder.path().join("state/state.json").display()))
            .arg(format!("--credentials-dir={}", folder.path().display()))
            .args(["--syslog=none", "--log-level=error"])
            // One heap, as in the static program that switches run: how much glibc's heaps of each thread keep depends on
            // which thread happens to do what.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::null())
            .spawn()
            .expect("the agent was built with this program");
        Self { leaf, agent, _gnmi: gnmi, _folder: folder }
    }

    /// Returns the agent's resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        status_of(&self.agent.id().to_string(), "VmRSS:")
    }

    /// Returns the peak of the agent's resident memory in bytes.
    pub(crate) fn peak(&self) -> u64 {
        status_of(&self.agent.id().to_string(), "VmHWM:")
    }

    /// Waits until the state at a path is as wished.
    pub(crate) async fn until(&self, path: &str, wished: impl Fn(&Value) -> bool) {
        let path = path.parse().expect("a path");
        let state = || self.leaf.datastore().json(Source::State, &path).expect("the YANG knows it");
        let mut changes = self.leaf.datastore().subscribe();
        let waiting = async {
            while !state().is_some_and(|state| wished(&state)) {
                // Missed changes are a reason to look, too.
                let _ = changes.recv().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{path} is not as it should be: {:?}", state());
        }
    }
}

fn tables() -> Tables {
    let neighbor = Neighbor {
        session_state: "established".to_owned(),
        last_established: Some("2026-01-01T00:00:00.000Z".to_owned()),
        established_transitions: 1,
        peer_as: 65_535,
        local_as: 65_001,
        peer_group: "nodes".to_owned(),
        dynamic: true,
        local_address: None,
        afi_safis: BTreeMap::new(),
        record: SessionRecord::default(),
    };
    let instance = NetworkInstance {
        bgp_preference: None,
        id: 3,
        kind: NetworkInstanceKind::IpVrf,
        router_id: None,
        oper_up: true,
        routes: BTreeMap::new(),
        neighbors: BTreeMap::from([(NODE.to_string(), neighbor)]),
        farewells: BTreeMap::new(),
        bfd: BTreeMap::new(),
        segment: Segment::default(),
        rib: Rib::new(),
    };
    Tables { network_instances: BTreeMap::from([(VRF.to_owned(), instance)]), ..Tables::default() }
}

fn group() -> (Key, Option<Row>) {
    let address = pb::IpAddressPb { ip_address: NODE.octets().to_vec().into() };
    let next_hop = pb::NextHop {
        resolve_to: pb::next_hop::ResolveToType::Indirect.into(),
        r#type: pb::next_hop::ResolutionType::Regular.into(),
        nexthop: Some(pb::next_hop::Nexthop::IpNexthop(address)),
    };
    (Key::Group(GROUP), Some(Row::Group(Arc::from([next_hop]))))
}

fn route() -> (Key, Option<Row>) {
    let row = RouteRow { preference: 170, metric: 0, owner: BGP, group: GROUP };
    (Key::Route { network_instance: VRF.into(), prefix: IpNet::from(IpAddr::from(VIP)) }, Some(Row::Route(row)))
}
