//! Checks one cluster: its network instance on this switch, and the connection to its API server.

use crate::doctor::process::Running;
use crate::gnmi;
use crate::kubernetes::{Fault, Stage, Step, probe};
use crate::model::config::{ClusterConfig, Connection, Source};
use crate::model::names::{ClusterName, NetworkInstanceName};
use crate::path::Path;
use crate::supervise::chain;

use super::{Check, Options, committed, filter, typed};

/// The folder with the package's tools for making kubeconfigs.
const RBAC: &str = "/opt/k8s-services/rbac";

/// Checks a cluster. `gnmi_answers`: whether the switch can be asked.
pub(super) async fn examine(
    options: &Options,
    running: &Running,
    name: &ClusterName,
    config: &ClusterConfig,
    gnmi_answers: bool,
) -> Vec<Check> {
    let mut checks = Vec::new();
    if gnmi_answers {
        checks.push(network_instance(&options.gnmi, name, &config.rules.network_instance).await);
    }
    let reader = gnmi_answers.then_some(&options.gnmi);
    let context = Context { name, source: &config.source, running, gnmi: reader };
    for step in probe(&config.source, &options.connect).await {
        checks.push(context.check(step).await);
    }
    checks
}

async fn network_instance(gnmi: &gnmi::Options, cluster: &ClusterName, name: &NetworkInstanceName) -> Check {
    let check = format!("network instance of {cluster}");
    let path = Path::default().entry("network-instance", &[("name", name)]).child("oper-state").to_string();
    match gnmi::get(&gnmi.endpoint, &gnmi.credentials, &path).await {
        Ok(state) if state == "up" => Check::ok(check, format!("{name} is up")),
        Ok(state) if state.is_null() => {
            Check::failure(check, format!("{name} does not exist on this switch: no VIP of the cluster is found here"))
                .remedy([typed("show network-instance summary")])
                .remedy(committed([format!("set / k8s-services cluster {cluster} network-instance NAME")]))
        }
        Ok(_) => Check::failure(check, format!("{name} is down: it forwards nothing"))
            .remedy([typed(&format!("show network-instance {name} summary"))]),
        Err(error) => Check::warning(check, format!("whether {name} exists cannot be read: {}", chain(&error))),
    }
}

/// Values used in remedies.
struct Context<'a> {
    name: &'a ClusterName,
    source: &'a Source,
    running: &'a Running,
    gnmi: Option<&'a gnmi::Options>,
}

impl Context<'_> {
    async fn check(&self, step: Step) -> Check {
        let name = format!("{} of {}", title(step.stage), self.name);
        let check = match step.result {
            Ok(words) => self.passed(step.stage, name, words),
            Err(fault) => self.stopped(name, fault).await,
        };
        check.after(step.took)
    }

    /// Returns the check of a passed step. The doctor may have rights that the agent lacks.
    fn passed(&self, stage: Stage, name: String, words: String) -> Check {
        let enters = stage == Stage::Namespace && self.source.network_namespace.is_some();
        if enters && self.running.pid.is_some() && !self.running.may_enter {
            let words = "the running agent has not the capability SYS_ADMIN, which entering a network namespace takes";
            return Check::failure(name, words).remedy(self.capability());
        }
        if words.contains("the token expire") {
            return Check::warning(name, words).remedy(self.make_kubeconfig());
        }
        Check::ok(name, words)
    }

    async fn stopped(&self, name: String, fault: Fault) -> Check {
        match fault {
            Fault::FileMissing(words, _) | Fault::Credentials(words) | Fault::Unauthorized(words) => {
                Check::failure(name, words).remedy(self.make_kubeconfig())
            }
            Fault::File(words, Some(command)) => Check::failure(name, words).remedy([command]),
            Fault::File(words, None) => Check::failure(name, words).remedy(self.make_kubeconfig()),
            Fault::NamespaceMissing(words) => Check::failure(name, words)
                .remedy(["ip netns list".to_owned()])
                .remedy(committed([format!("set / k8s-services cluster {} network-namespace NAME", self.name)])),
            Fault::NamespaceClosed(words) => Check::failure(name, words).remedy(self.capability()),
            Fault::Name(words) => {
                let ask = self.commands_here(&[
                    "getent hosts NAME",
                    "# or an address in place of the name: server: https://192.0.2.10:6443",
                ]);
                Check::failure(name, words).remedy(ask)
            }
            Fault::TimedOut(words, servers) => {
                let (filter, mut remedy) = filter::examine(self.gnmi, &servers).await;
                if remedy.is_empty() {
                    let routes: Vec<String> =
                        servers.iter().map(|server| format!("ip route get {}", server.ip())).collect();
                    remedy = self.commands_here(&routes.iter().map(String::as_str).collect::<Vec<_>>());
                }
                Check::failure(name, format!("{words}; {filter}")).remedy(remedy)
            }
            Fault::Refused(words) | Fault::Answer(words) => {
                Check::failure(name, words).remedy(self.commands_here(&["curl -vk SERVER/version"]))
            }
            Fault::Tls(words, server) => {
                let show = format!("openssl s_client -connect {server} -showcerts </dev/null");
                Check::failure(name, words).remedy(self.commands_here(&[&show])).remedy(self.make_kubeconfig())
            }
            Fault::Denied(sentences) => {
                let apply = format!("kubectl apply -f {RBAC}/k8s-services.yaml    # where you administer the cluster");
                Check::failure(name, sentences.join("; ")).remedy([apply])
            }
        }
    }

    /// Returns commands that replace the kubeconfig by a new one.
    fn make_kubeconfig(&self) -> Vec<String> {
        let make = format!(
            "{RBAC}/make-kubeconfig --name {} --server https://HOST:PORT    # where you administer the cluster",
            self.name
        );
        match &self.source.connection {
            Connection::Kubeconfig { path, .. } => {
                let install = format!("sudo install -o srlinux -m 0600 {}.kubeconfig {}", self.name, path.display());
                vec![make, install]
            }
            Connection::ApiServer { .. } => {
                let look = typed(&format!("info k8s-services cluster {}", self.name));
                vec![look]
            }
        }
    }

    /// Returns commands that add the capability, or make it unnecessary.
    fn capability(&self) -> Vec<String> {
        let edit = "sudo vi /etc/opt/srlinux/appmgr/k8s-services.yml    # capability-bounding-set: [SYS_ADMIN]";
        let without = format!("set / k8s-services cluster {} network-namespace self", self.name);
        let reload = typed("tools system app-management application app_mgr reload");
        [edit.to_owned(), reload, "or:".to_owned()].into_iter().chain(committed([without])).collect()
    }

    /// Returns commands to run in the network namespace that the agent connects from.
    fn commands_here(&self, commands: &[&str]) -> Vec<String> {
        let inside = self.source.network_namespace.as_ref().map(|name| format!("sudo ip netns exec {name} "));
        let inside = inside.unwrap_or_default();
        let place = |command: &&str| {
            if command.starts_with('#') { (*command).to_owned() } else { format!("{inside}{command}") }
        };
        commands.iter().map(place).collect()
    }
}

fn title(stage: Stage) -> &'static str {
    match stage {
        Stage::Credentials => "credentials",
        Stage::Namespace => "network namespace",
        Stage::Connection => "API server",
        Stage::Answer => "answer",
        Stage::Rights => "rights",
    }
}
