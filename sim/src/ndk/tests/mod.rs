//! Tests of the NDK from an application's point of view, with a tonic client on the unix socket.

pub(crate) mod client;
mod config;
mod dialect;
mod faults;
mod programming;
mod session;
mod stream;
mod telemetry;

use std::net::IpAddr;
use std::sync::Arc;

use srl_proto::ndk as pb;
use tempfile::TempDir;

use self::client::Client;
use super::*;
use crate::datastore::{CommitError, Problem, Source};
use crate::path::Path;

/// An NDK with one application, `greeter`, which may register.
struct Bench {
    ndk: Ndk,
    store: Datastore,
    _folder: TempDir,
}

impl Bench {
    async fn start() -> Self {
        Self::with(Switches::default(), ConfigFormat::Json).await
    }

    async fn with(switches: Switches, config_format: ConfigFormat) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Datastore::new(schema());
        let options = NdkOptions { socket: folder.path().join(SOCKET_NAME), tcp: None, switches };
        let ndk = serve(options, store.clone()).await.expect("the NDK starts");
        let modules = vec!["app".to_owned()];
        ndk.add_app(AppInfo { name: "greeter".to_owned(), config_format, modules, ..AppInfo::default() });
        Self { ndk, store, _folder: folder }
    }

    /// Commits `config` as the whole configuration of the application.
    async fn commit(&self, config: serde_json::Value) -> Result<Vec<Problem>, CommitError> {
        let candidate = self.store.private_candidate();
        let root = Path::root().child("my-app");
        candidate.delete(&root).expect("the path is known");
        if let Some(config) = config.get("my-app") {
            candidate.set(&root, config).expect("the configuration fits");
        }
        self.store.commit(&candidate).await.map(|committed| committed.warnings)
    }

    fn state(&self) -> serde_json::Value {
        let root = self.store.json(Source::State, &Path::root()).expect("the root is known");
        root.unwrap_or_else(|| serde_json::json!({}))
    }

    /// Returns a client that is not registered yet.
    async fn client(&self) -> Client {
        Client::connect(self.ndk.socket(), "greeter").await
    }

    /// Returns a client that is registered without any options.
    async fn registered(&self) -> Client {
        let mut client = self.client().await;
        client.register(pb::AgentRegistrationRequest::default()).await;
        client
    }
}

/// Returns the switch's own YANG together with that of an application.
pub(crate) fn schema() -> Arc<crate::schema::Schema> {
    static SCHEMA: std::sync::LazyLock<Arc<crate::schema::Schema>> = std::sync::LazyLock::new(|| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ndk/tests");
        crate::schema::Schema::load(&[folder], &["app".to_owned()]).expect("the YANG loads")
    });
    SCHEMA.clone()
}

fn route(prefix: &str, group: u64) -> (Key, Option<Row>) {
    (route_key(prefix), Some(Row::Route(RouteRow { preference: 170, metric: 0, owner: 14, group })))
}

fn route_key(prefix: &str) -> Key {
    Key::Route { network_instance: Arc::from("default"), prefix: prefix.parse().expect("a prefix") }
}

fn group(id: u64, address: &str) -> (Key, Option<Row>) {
    let address: IpAddr = address.parse().expect("an address");
    let next_hop = pb::NextHop {
        resolve_to: pb::next_hop::ResolveToType::Indirect as i32,
        r#type: pb::next_hop::ResolutionType::Regular as i32,
        nexthop: Some(pb::next_hop::Nexthop::IpNexthop(address_message(address))),
    };
    (Key::Group(id), Some(Row::Group([next_hop].into())))
}

fn interface(name: &str, mtu: u32) -> (Key, Option<Row>) {
    let data = pb::InterfaceData { admin_is_up: 1, oper_is_up: 1, mtu, ..pb::InterfaceData::default() };
    (Key::Interface(name.to_owned()), Some(Row::Interface(Box::new(data))))
}
