//! Compares kButler, the predecessor of this agent, with this agent: on the same leaf, with the same cluster and
//! faults.
//!
//! `KBUTLER` names a folder with the program `kbutler` and its `kbutler.yang`, which are in no registry. What each
//! reports for ten faults, and what resources each uses, is printed as tables; docs/comparison.md has those of one run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::bench::Says::{Is, Nothing};
use crate::bench::{AGENT, Bench, Says};
use crate::foreign::{self, Foreign};
use crate::net::unobtainable;
use crate::process;

const LAB: &str = "kubeadm-calico-metallb";
const LEAF: &str = "leaf1";
const KBUTLER: &str = "kbutler";
/// Paths of the service in the state of both.
const OURS: &str = "/k8s-services/cluster[name=k8s]/service[namespace=default][name=my-service]";
const THEIRS: &str = "/kbutler/service[service-name=my-service][namespace=default]";
/// Time for which both are watched after each action.
const WATCHED: Duration = Duration::from_secs(5);
/// Number of routes in addition to the VIP's.
const OTHER_ROUTES: u8 = 250;

/// A fault, and what this agent must report for it.
struct Fault {
    title: &'static str,
    begin: &'static [&'static str],
    end: &'static [&'static str],
    says: &'static [(&'static str, Says)],
}

const FAULTS: [Fault; 10] = [
    Fault {
        title: "a speaker dies; a third of the flows came this way",
        begin: &["pull: { speaker-dead: { node: worker02 } }"],
        end: &["release: { speaker-dead: { node: worker02 } }"],
        says: &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))],
    },
    Fault {
        title: "a node withdraws the address, its session stays",
        begin: &["pull: { withheld: { node: worker02, prefix: 192.168.100.10/32 } }"],
        end: &["release: { withheld: { node: worker02, prefix: 192.168.100.10/32 } }"],
        says: &[("oper-state", Is("degraded")), ("oper-reason", Is("next-hop-missing"))],
    },
    Fault {
        title: "the leaf installs two paths of three",
        begin: &["pull: { ecmp-limit: { leaf: leaf1, limit: 2 } }"],
        end: &["release: { ecmp-limit: { leaf: leaf1, limit: 2 } }"],
        says: &[("oper-state", Is("degraded")), ("oper-reason", Is("next-hop-missing"))],
    },
    Fault {
        title: "the hardware does not take the route",
        begin: &["pull: { fib-failed: { leaf: leaf1, prefix: 192.168.100.10/32 } }"],
        end: &["release: { fib-failed: { leaf: leaf1, prefix: 192.168.100.10/32 } }"],
        says: &[("oper-state", Is("down")), ("oper-reason", Is("route-not-programmed"))],
    },
    Fault {
        title: "an import policy rejects the address",
        begin: &["pull: { policy-reject: { leaf: leaf1, prefix: 192.168.100.10/32 } }"],
        end: &["release: { policy-reject: { leaf: leaf1, prefix: 192.168.100.10/32 } }"],
        says: &[("oper-state", Is("down")), ("oper-reason", Is("no-route"))],
    },
    Fault {
        title: "a static route leads elsewhere",
        begin: &["pull: { static-route: { leaf: leaf1, network-instance: default, prefix: 192.168.100.10/32, \
                  next-hop: 192.168.123.1 } }"],
        end: &["release: { static-route: { leaf: leaf1, network-instance: default, prefix: 192.168.100.10/32, \
                next-hop: 192.168.123.1 } }"],
        says: &[("oper-state", Is("down")), ("oper-reason", Is("next-hop-unexpected"))],
    },
    Fault {
        title: "policy Local, and a node without pods announces all the same",
        begin: &[
            "patch: { cluster: k8s, kind: Service, name: my-service, patch: { spec: { externalTrafficPolicy: Local } } }",
            "pull: { announced: { node: master01, prefix: 192.168.100.10/32 } }",
        ],
        end: &[
            "release: { announced: { node: master01, prefix: 192.168.100.10/32 } }",
            "patch: { cluster: k8s, kind: Service, name: my-service, patch: { spec: { externalTrafficPolicy: Cluster } } }",
        ],
        says: &[("oper-state", Is("degraded")), ("oper-reason", Is("next-hop-unexpected"))],
    },
    Fault {
        title: "no pod is ready",
        begin: &[
            "pods: { cluster: k8s, node: worker01, ready: false }",
            "pods: { cluster: k8s, node: worker02, ready: false }",
        ],
        end: &[
            "pods: { cluster: k8s, node: worker01, ready: true }",
            "pods: { cluster: k8s, node: worker02, ready: true }",
        ],
        says: &[("oper-state", Is("down")), ("oper-reason", Is("no-ready-endpoint"))],
    },
    Fault {
        title: "the service is deleted",
        begin: &["delete: { cluster: k8s, kind: Service, name: my-service }"],
        end: &["apply: { cluster: k8s, file: nginx.yaml }", SPREAD],
        says: &[("oper-state", Nothing)],
    },
    Fault {
        title: "the API server is away, and a speaker dies",
        begin: &["api-server: { cluster: k8s, to: stop }", "pull: { speaker-dead: { node: worker02 } }"],
        end: &["release: { speaker-dead: { node: worker02 } }", "api-server: { cluster: k8s, to: start }"],
        says: &[("oper-state", Is("degraded")), ("oper-reason", Is("session-down"))],
    },
];

/// Action that puts pods on both workers.
const SPREAD: &str = "scale: { cluster: k8s, name: nginx-deployment, replicas: 4 }";

const HEALTHY: &[(&str, Says)] = &[("oper-state", Is("up")), ("oper-reason", Nothing), ("usable-endpoints", Is("4"))];

/// Returns the program's folder, or why there is none.
fn kbutler() -> Result<PathBuf, String> {
    foreign::folder("KBUTLER", ["kbutler", "kbutler.yang"])
}

/// What one of the two reported after an action: the last word, and the time until the first change.
struct Answer {
    says: String,
    after: Option<Duration>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            Some(after) => write!(f, "{} ({} ms)", self.says, after.as_millis()),
            None => write!(f, "{}, as before", self.says),
        }
    }
}

/// Returns what an application reports for the service.
fn word(bench: &Bench, service: &str) -> String {
    let says = |leaf: &str| bench.says(LEAF, &format!("{service}/{leaf}")).filter(|text| !text.is_empty());
    match (says("oper-state"), says("oper-reason")) {
        (None, _) => "nothing".to_owned(),
        (Some(state), None) => state,
        (Some(state), Some(reason)) => format!("{state}, {reason}"),
    }
}

/// Performs actions and watches both.
async fn watch(bench: &Bench, actions: &[&str]) -> [Answer; 2] {
    let mut news = bench.leaf(LEAF).datastore().subscribe();
    let before = [OURS, THEIRS].map(|service| word(bench, service));
    let mut after = [None, None];
    let begun = Instant::now();
    bench.act(actions).await;
    let end = Instant::now() + WATCHED;
    while Instant::now() < end {
        for (position, service) in [OURS, THEIRS].into_iter().enumerate() {
            if after[position].is_none() && word(bench, service) != before[position] {
                after[position] = Some(begun.elapsed());
            }
        }
        // A timeout and missed changes both lead to another look.
        let _ = timeout_at(end, news.recv()).await;
    }
    let [ours, theirs] = after;
    [Answer { says: word(bench, OURS), after: ours }, Answer { says: word(bench, THEIRS), after: theirs }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kbutler_and_this_agent_are_compared_on_ten_faults() {
    let folder = match kbutler() {
        Ok(folder) => folder,
        Err(reason) => return unobtainable(&reason),
    };
    let files = tempfile::tempdir().expect("a folder");
    let bench = both(&folder, files.path()).await;
    println!("| what happens | this agent | kButler |\n|---|---|---|");
    for Fault { title, begin, end, says } in &FAULTS {
        let [ours, theirs] = watch(&bench, begin).await;
        println!("| {title} | {ours} | {theirs} |");
        bench.expect(LEAF, &below(says));
        let [_, theirs] = watch(&bench, end).await;
        println!("| and is over | up | {theirs} |");
        bench.until(LEAF, &below(HEALTHY)).await;
    }
    println!("\n| after all that | this agent | kButler |\n|---|---|---|");
    let [ours, theirs] = [AGENT, KBUTLER].map(|app| Taken::by(&bench, app));
    println!("| processor time | {} ms | {} ms |", ours.cpu.as_millis(), theirs.cpu.as_millis());
    println!("| resident memory | {} MB | {} MB |", ours.resident >> 20, theirs.resident >> 20);
    println!("| read | {} KB | {} KB |", ours.read >> 10, theirs.read >> 10);
    assert!(ours.read < theirs.read, "kButler reads the whole table for every endpoint");
    bench.down().await;
}

/// Returns paths below this agent's service.
fn below(says: &[(&'static str, Says)]) -> Vec<(&'static str, Says)> {
    says.iter().map(|(leaf, says)| (&*format!("{OURS}/{leaf}").leak(), *says)).collect()
}

/// Starts the lab with both on its leaf, pods on both workers, and some more routes.
async fn both(folder: &Path, files: &Path) -> Bench {
    let definition = files.join("kbutler.yml");
    let modules = "yang-modules: { names: [kbutler], source-directories: [/etc/opt/srlinux/kbutler/yang/] }";
    let spec = format!("kbutler:\n  path: /usr/local/bin\n  launch-command: ./kbutler\n  {modules}\n");
    std::fs::write(&definition, spec).expect("written");
    let program = folder.join(KBUTLER);
    let environment = "KUBERNETES_CONFIG=\"$1/../k8s.kubeconfig\"";
    let app = Foreign { name: KBUTLER, program: &program, definition, yang: folder.to_owned(), environment };
    let bench = foreign::lab_with(LAB, app, files, |_| {}).await;
    // kButler knows only the default password of a switch.
    bench.leaf(LEAF).gnmi().set_metadata_authentication(false);
    let routes = (1..=OTHER_ROUTES).map(|number| {
        format!("pull: {{ static-route: {{ leaf: leaf1, network-instance: default, prefix: 10.0.{number}.0/24, next-hop: 192.168.123.1 }} }}")
    });
    for route in routes {
        bench.act(&[&route]).await;
    }
    let labelled =
        "patch: { cluster: k8s, kind: Node, name: worker02, patch: { metadata: { labels: { replicas: here } } } }";
    bench.act(&[labelled, SPREAD]).await;
    bench.until(LEAF, &below(HEALTHY)).await;
    // kButler waits two seconds before it reads the cluster.
    sleep_until(Instant::now() + WATCHED).await;
    bench
}

/// Resources used by a process.
struct Taken {
    cpu: Duration,
    resident: u64,
    read: u64,
}

impl Taken {
    fn by(bench: &Bench, app: &str) -> Self {
        let status = bench.leaf(LEAF).apps().status(app).expect("the lab has it");
        let pid = status.borrow().pid.expect("it runs");
        let usage = process::usage(pid).expect("it runs");
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).expect("a process of ours");
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("the kernel counts it");
        Self { cpu: usage.cpu, resident: usage.resident, read: read.parse().expect("a number") }
    }
}
