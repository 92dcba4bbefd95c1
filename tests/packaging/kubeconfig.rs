//! Tests of `make-kubeconfig`, with a stand-in for kubectl that records its arguments and what is applied.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::{repository, said};

/// The token of the service account.
pub(crate) const TOKEN: &str = "the-leaves-token";

/// A stand-in for kubectl, which answers from files in its folder.
const KUBECTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>asked
if [ "$1" = --context ]; then
    [ "$2" = admin ] || { echo "error: context \"$2\" does not exist" >&2; exit 1; }
    shift 2
fi
case $* in
    *"config view"*.server}) cat server ;;
    *"config view"*certificate-authority-data}) cat authority ;;
    *"config view"*insecure-skip-tls-verify}) cat insecure ;;
    "apply --filename -") cat >>applied; echo --- >>applied ;;
    "apply --filename "*) cat "$3" >>applied; echo --- >>applied ;;
    "get secret"*) base64 <token ;;
    "get configmap kube-root-ca.crt"*) echo "the cluster's authority" ;;
    "create --raw"*)
        cat >request
        printf '{"kind":"TokenRequest","spec":{"boundObjectRef":null},"status":{"token":"%s",' "$(cat token)"
        printf '"expirationTimestamp":"2027-01-01T00:00:00Z"}}\n' ;;
    *"auth can-i $(cat verb)"*) cat allowed; [ "$(cat allowed)" = yes ] ;;
    *"auth can-i "*) echo yes ;;
    *) echo "the stand-in knows no '$*'" >&2; exit 1 ;;
esac
"#;

pub(crate) struct Kubectl(TempDir);

impl Kubectl {
    /// Creates a kubectl whose kubeconfig names this server.
    pub(crate) fn new(server: &str) -> Self {
        let it = Self(tempfile::tempdir().expect("a temporary folder"));
        it.set("kubectl", KUBECTL);
        fs::set_permissions(it.folder().join("kubectl"), fs::Permissions::from_mode(0o755)).expect("changed");
        for (name, text) in [
            ("server", server),
            ("authority", "QXV0aG9yaXR5"),
            ("insecure", ""),
            ("token", TOKEN),
            ("allowed", "yes"),
            ("verb", "list"),
        ] {
            it.set(name, text);
        }
        it
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    fn set(&self, name: &str, text: &str) {
        fs::write(self.folder().join(name), text).expect("written");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder().join(name)).unwrap_or_default()
    }

    /// Runs the script in the folder.
    fn run(&self, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(repository().join("packaging/rbac/make-kubeconfig"));
        command.args(arguments).current_dir(self.folder());
        command.env("PATH", format!("{}:{path}", self.folder().display())).output().expect("it runs")
    }

    /// Runs the script, which must succeed. Returns its output.
    pub(crate) fn make_kubeconfig(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        text
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = said(&output);
        assert!(!output.status.success(), "{text}");
        assert!(!text.contains(TOKEN), "{text}");
        text
    }

    fn kubeconfig(&self) -> Value {
        serde_norway::from_str(&self.text("c1.kubeconfig")).expect("it is YAML")
    }

    /// Returns kind and name of each applied object.
    fn applied(&self) -> Vec<String> {
        let text = self.text("applied");
        let objects = serde_norway::Deserializer::from_str(&text);
        let objects = objects.map(|object| serde::Deserialize::deserialize(object).expect("a manifest"));
        let named = |object: Value| format!("{}/{}", text_of(&object["kind"]), text_of(&object["metadata"]["name"]));
        objects.filter(|object: &Value| !object.is_null()).map(named).collect()
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn make_kubeconfig_writes_a_private_file_and_says_where_to_install_it() {
    let kubectl = Kubectl::new("https://192.0.2.10:6443");
    let said = kubectl.make_kubeconfig(&["--name", "c1", "--context", "admin"]);
    let kubeconfig = kubectl.kubeconfig();
    assert_eq!(kubeconfig["current-context"], "c1");
    assert_eq!(kubeconfig["contexts"][0]["context"]["cluster"], kubeconfig["clusters"][0]["name"]);
    assert_eq!(kubeconfig["contexts"][0]["context"]["user"], kubeconfig["users"][0]["name"]);
    let cluster = &kubeconfig["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], "https://192.0.2.10:6443");
    assert_eq!(cluster["certificate-authority-data"], "QXV0aG9yaXR5");
    assert_eq!(kubeconfig["users"][0]["user"]["token"], TOKEN);
    let mode = fs::metadata(kubectl.folder().join("c1.kubeconfig")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for part in [
        "verified: the token may list and watch services",
        "its token expires at 2027-01-01T00:00:00Z; run this again before",
        "set / k8s-services cluster c1 kubeconfig /etc/opt/srlinux/k8s-services/c1.kubeconfig",
    ] {
        assert!(said.contains(part), "'{part}' is not in:\n{said}");
    }
    assert!(!said.contains(TOKEN), "{said}");
    assert!(!kubectl.text("asked").contains(TOKEN), "other users of the machine see arguments");
}

#[test]
fn make_kubeconfig_applies_only_the_reading_roles() {
    let kubectl = Kubectl::new("https://192.0.2.10:6443");
    kubectl.make_kubeconfig(&["--name", "c1"]);
    let core = [
        "Namespace/k8s-services",
        "ServiceAccount/leaf",
        "ClusterRole/k8s-services",
        "ClusterRoleBinding/k8s-services",
    ];
    let speakers = ["ClusterRole/k8s-services-speakers", "ClusterRoleBinding/k8s-services-speakers"];
    let events = ["ClusterRole/k8s-services-events", "ClusterRoleBinding/k8s-services-events"];
    let peers = ["ClusterRole/k8s-services-bgppeers", "ClusterRoleBinding/k8s-services-bgppeers"];
    assert_eq!(kubectl.applied(), [&core[..], &speakers].concat());

    kubectl.set("applied", "");
    kubectl.make_kubeconfig(&["--name", "c1", "--no-speakers", "--events"]);
    assert_eq!(kubectl.applied(), [&core[..], &events].concat());

    kubectl.set("applied", "");
    kubectl.make_kubeconfig(&["--name", "c1", "--bgppeers"]);
    assert_eq!(kubectl.applied(), [&core[..], &speakers, &peers].concat());

    kubectl.set("applied", "");
    kubectl.make_kubeconfig(&["--name", "c1", "--no-apply", "--lasting"]);
    assert_eq!(kubectl.applied(), ["Secret/leaf-token"]);
}

#[test]
fn a_token_expires_after_90_days_or_the_given_duration() {
    let kubectl = Kubectl::new("https://192.0.2.10:6443");
    for (duration, seconds) in
        [(&[][..], 7_776_000), (&["--duration", "720h"], 2_592_000), (&["--duration", "1d"], 86_400)]
    {
        let said = kubectl.make_kubeconfig(&[&["--name", "c1"], duration].concat());
        assert!(said.contains("its token expires at 2027-01-01T00:00:00Z; run this again before"), "{said}");
        let request: Value = serde_json::from_str(&kubectl.text("request")).expect("JSON");
        assert_eq!(request["spec"]["expirationSeconds"], seconds);
    }
    assert_eq!(kubectl.kubeconfig()["users"][0]["user"]["token"], TOKEN);
    assert!(!kubectl.applied().contains(&"Secret/leaf-token".to_owned()));
}

#[test]
fn a_lasting_token_names_the_secret_whose_deletion_ends_it() {
    let kubectl = Kubectl::new("https://192.0.2.10:6443");
    let said = kubectl.make_kubeconfig(&["--name", "c1", "--lasting"]);
    assert!(said.contains("lasts until Secret k8s-services/leaf-token is deleted"), "{said}");
}

#[test]
fn a_leaf_can_have_its_own_service_account() {
    let kubectl = Kubectl::new("https://192.0.2.10:6443");
    let said = kubectl.make_kubeconfig(&["--name", "c1", "--leaf", "leaf3"]);
    assert!(kubectl.applied().contains(&"ServiceAccount/leaf-leaf3".to_owned()));
    assert!(kubectl.text("asked").contains("/namespaces/k8s-services/serviceaccounts/leaf-leaf3/token"));
    assert!(kubectl.text("c1-leaf3.kubeconfig").contains(TOKEN));
    assert!(said.contains("c1-leaf3.kubeconfig: context c1"), "{said}");
    assert!(said.contains("c1-leaf3.kubeconfig /etc/opt/srlinux/k8s-services/c1.kubeconfig"), "{said}");
}

#[test]
fn without_verification_by_kubectl_the_clusters_own_authority_is_used() {
    let kubectl = Kubectl::new("https://192.0.2.10:6443");
    kubectl.set("authority", "");
    kubectl.set("insecure", "true");
    kubectl.make_kubeconfig(&["--name", "c1"]);
    assert_eq!(
        kubectl.kubeconfig()["clusters"][0]["cluster"]["certificate-authority-data"],
        "dGhlIGNsdXN0ZXIncyBhdXRob3JpdHkK"
    );
    kubectl.set("insecure", "");
    let said = kubectl.make_kubeconfig(&["--name", "c1"]);
    assert!(said.contains("the leaves must trust the server's certificate by themselves"), "{said}");
    assert_eq!(kubectl.kubeconfig()["clusters"][0]["cluster"]["certificate-authority-data"], Value::Null);
}

#[test]
fn a_loopback_server_address_is_refused_with_the_remedy() {
    for server in ["https://127.0.0.1:6443", "https://localhost:8443", "https://[::1]:6443"] {
        let kubectl = Kubectl::new(server);
        let said = kubectl.refused(&["--name", "c1"]);
        assert!(said.contains(&format!("the leaves cannot reach {server}")) && said.contains("--server"), "{said}");
        assert!(kubectl.applied().is_empty());
    }
}

#[test]
fn a_token_with_too_few_rights_or_an_unreachable_api_is_reported() {
    let kubectl = Kubectl::new("https://192.0.2.10:6443");
    kubectl.set("allowed", "no");
    let said = kubectl.refused(&["--name", "c1", "--no-apply"]);
    assert!(said.contains("the token may not list services: run this again without --no-apply"), "{said}");
    kubectl.set("verb", "watch");
    let said = kubectl.refused(&["--name", "c1", "--no-apply"]);
    assert!(said.contains("the token may not watch services"), "{said}");
    kubectl.set("verb", "list");
    kubectl.set("allowed", "Unable to connect to the server: dial tcp 192.0.2.10:6443: i/o timeout");
    let said = kubectl.make_kubeconfig(&["--name", "c1"]);
    assert!(
        said.contains("not verified, as https://192.0.2.10:6443 does not answer here: Unable to connect"),
        "{said}"
    );
}

#[test]
fn invalid_arguments_are_refused_before_anything_is_done() {
    let kubectl = Kubectl::new("https://192.0.2.10:6443");
    for (arguments, part) in [
        (&["--context", "admin"][..], "--name c1"),
        (&["--name", "../c1"], "may hold letters"),
        (&["--name", "c1", "--duration", "forever"], "a number and d, h, m or s"),
        (&["--name", "c1", "--duration", "1d", "--lasting"], "exclude each other"),
        (&["--name", "c1", "--leaf", "Leaf_1"], "a-z, 0-9 and hyphens"),
        (&["--name", "c1", "--server", "192.0.2.10"], "https://host:port"),
        (&["--name", "c1", "--sever", "x"], "unknown argument '--sever'"),
        (&["--name"], "--name needs a value"),
        (&["--name", "c1", "--output", "nowhere/c1"], "no folder nowhere"),
    ] {
        let said = kubectl.refused(arguments);
        assert!(said.contains(part), "'{part}' is not in:\n{said}");
    }
    assert_eq!(kubectl.text("asked"), "");
    let said = kubectl.refused(&["--name", "c1", "--context", "nobody"]);
    assert!(said.contains("kubectl config get-contexts lists them"), "{said}");
}

/// Returns every rule of the packaged roles, with its file.
pub(crate) fn rules() -> Vec<(PathBuf, Value)> {
    let folder = repository().join("packaging/rbac");
    let files = ["k8s-services.yaml", "speakers.yaml", "bgppeers.yaml", "events.yaml"].map(|name| folder.join(name));
    let mut rules = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("it is there");
        for object in serde_norway::Deserializer::from_str(&text) {
            let object: Value = serde::Deserialize::deserialize(object).expect("a manifest");
            let own = object["rules"].as_array().into_iter().flatten();
            rules.extend(own.map(|rule| (file.clone(), rule.clone())));
        }
    }
    rules
}

#[test]
fn roles_name_their_resources_and_write_only_events() {
    let rules = rules();
    assert!(rules.len() >= 3);
    for (file, rule) in rules {
        let words = |member: &str| -> Vec<String> {
            let words = rule[member].as_array().into_iter().flatten();
            words.map(|word| text_of(word).to_owned()).collect()
        };
        let (resources, verbs) = (words("resources"), words("verbs"));
        assert!(!resources.is_empty() && !resources.contains(&"*".to_owned()), "{rule}");
        for secret in ["secrets", "configmaps", "pods/exec", "frrconfigurations"] {
            assert!(!resources.contains(&secret.to_owned()), "{rule}");
        }
        let expected = match (file.ends_with("events.yaml"), resources == ["events"]) {
            (true, true) => vec!["create"],
            (true, false) => vec!["get"],
            _ => vec!["list", "watch"],
        };
        assert_eq!(verbs, expected, "{rule}");
    }
}
