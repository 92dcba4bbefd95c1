//! Checks the switch's two servers: the NDK, and gNMI with every path that the agent asks for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Check, committed};
use crate::gnmi::{self, ProbeError};
use crate::model::adaptation::Refused;
use crate::model::names::NetworkInstanceName;
use crate::ndk::{self, AskError};
use crate::server_addr::ServerAddr;

/// The name of the gNMI server to which the package's default socket belongs.
const DEFAULT_SERVER: &str = "insecure-mgmt";
/// The beginning of a gNMI server's socket name, which the server's name follows.
const SOCKET: &str = "sr_grpc_server_";

/// Checks whether the NDK answers. It is asked for the agent's application id, which registers nothing.
pub(super) async fn ndk(endpoint: &ServerAddr, gnmi: &gnmi::Options) -> Check {
    const CHECK: &str = "NDK";
    match ndk::ask(endpoint).await {
        Ok(Some(id)) => Check::ok(CHECK, format!("{endpoint} answers, the agent is its application {id}")),
        Ok(None) => Check::ok(CHECK, format!("{endpoint} answers; which applications it knows is not visible")),
        Err(AskError::Absent(_)) if has_no_switch(gnmi).await => {
            let words = format!("{endpoint} does not exist, and this release has no switch for it: it is always on");
            Check::failure(CHECK, words).remedy(restarted())
        }
        Err(AskError::Absent(words)) => {
            Check::failure(CHECK, words).remedy(committed(["set / system ndk-server admin-state enable"]))
        }
        Err(AskError::Connection(words)) => Check::failure(CHECK, words).remedy(restarted()),
    }
}

/// Returns whether `system ndk-server` does not exist, as in releases up to 24.10.
async fn has_no_switch(gnmi: &gnmi::Options) -> bool {
    let answer = gnmi::get(&gnmi.endpoint, &gnmi.credentials, "/system/ndk-server").await;
    answer.err().and_then(|error| error.refused()).is_some_and(|refused| !refused.paths.is_empty())
}

fn restarted() -> [String; 2] {
    ["show system application sdk_mgr", "tools system app-management application sdk_mgr restart"].map(super::typed)
}

/// The result of asking gNMI.
pub(super) struct Asked {
    pub(super) check: Check,
    /// Whether it can be asked for more.
    pub(super) answers: bool,
    /// For the report: the encoding, and what is refused.
    pub(super) paths: Option<Value>,
}

/// Checks whether gNMI answers, accepts these credentials, and accepts every request of the agent.
pub(super) async fn gnmi(options: &gnmi::Options, instances: &BTreeSet<NetworkInstanceName>) -> Asked {
    const CHECK: &str = "gNMI";
    let server = server(&options.endpoint);
    let (check, paths) = match gnmi::probe(options, instances).await {
        Ok(probed) => {
            let answer = json!({
                "encoding": probed.encoding,
                "refused-path": probed.refused.paths,
                "refused-feature": probed.refused.features,
            });
            (taken(options, probed.encoding, &probed.refused), Some(answer))
        }
        Err(ProbeError::Absent(words)) => (
            Check::failure(CHECK, words).remedy(committed([format!(
                "set / system grpc-server {server} admin-state enable services [ gnmi ] unix-socket admin-state enable"
            )])),
            None,
        ),
        Err(ProbeError::Credentials(words)) => {
            (Check::failure(CHECK, words).remedy(credentials(options, &server)), None)
        }
        Err(ProbeError::Password(words)) => {
            let file = options.credentials.password_file.path().display();
            let remedy = [format!("sudo chown srlinux: {file}"), format!("sudo chmod 0600 {file}")];
            (Check::failure(CHECK, words).remedy(remedy), None)
        }
        Err(ProbeError::Limit(words)) => {
            let words = format!("{words}; wait a minute, or raise the limit, which all clients share");
            let raise = format!("set / system grpc-server {server} rate-limit 120");
            (Check::warning(CHECK, words).remedy(committed([raise])), None)
        }
        Err(ProbeError::Connection(words) | ProbeError::Failed(words)) => {
            let look = super::typed(&format!("info from state system grpc-server {server}"));
            (Check::failure(CHECK, words).remedy([look]), None)
        }
    };
    Asked { answers: paths.is_some(), check, paths }
}

fn taken(options: &gnmi::Options, encoding: &str, refused: &Refused) -> Check {
    const CHECK: &str = "gNMI";
    let endpoint = &options.endpoint;
    let list = |items: &BTreeSet<std::sync::Arc<str>>| items.iter().map(|item| &**item).collect::<Vec<_>>().join(", ");
    let mut words = format!("{endpoint} answers in {encoding}");
    if refused.paths.is_empty() {
        words.push_str(", and takes every path the agent asks for");
    }
    if !refused.features.is_empty() {
        words = format!("{words}; refused and done without: {}", list(&refused.features));
    }
    if refused.paths.is_empty() {
        return Check::ok(CHECK, words);
    }
    let words = format!("{words}; refused paths, so that what they would say is unknown: {}", list(&refused.paths));
    Check::warning(CHECK, words).remedy(["k8s-services doctor --report report.txt"])
}

/// Returns the name of the server that a socket belongs to.
fn server(endpoint: &ServerAddr) -> String {
    let text = endpoint.to_string();
    text.split_once(SOCKET).map_or(DEFAULT_SERVER, |(_, name)| name).to_owned()
}

/// Returns commands that set the switch's password, or a server that requires none.
fn credentials(options: &gnmi::Options, server: &str) -> Vec<String> {
    let file = options.credentials.password_file.path().display();
    let write = format!("sudo install -o srlinux -m 0600 /dev/stdin {file}    # type the password, then Ctrl-D");
    let open = format!("set / system grpc-server {server} metadata-authentication false");
    std::iter::once(write).chain(["or:".to_owned()]).chain(committed([open])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grpc_server_to_name_in_the_remedy_follows_from_the_socket() {
        for (endpoint, name) in [
            ("unix:///opt/srlinux/var/run/sr_grpc_server_insecure-mgmt", "insecure-mgmt"),
            ("unix:///opt/srlinux/var/run/sr_grpc_server_k8s-services", "k8s-services"),
            ("http://127.0.0.1:57401", "insecure-mgmt"),
        ] {
            assert_eq!(server(&endpoint.parse().expect("an address")), name);
        }
    }
}
