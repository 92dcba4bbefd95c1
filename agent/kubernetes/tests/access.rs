//! Tests credentials and the connection to the server: what an operator reads when something is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::server::Server;
use super::*;
use crate::kubernetes::credentials;
use crate::model::time::Timestamp;
use crate::supervise::chain;

fn write(directory: &Path, name: &str, mode: u32, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
    path
}

fn kubeconfig(user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
         clusters:\n- name: k\n  cluster: {{server: 'https://k:6443', insecure-skip-tls-verify: true}}\n\
         - name: p\n  cluster: {{server: 'https://k', proxy-url: 'http://proxy'}}\n\
         contexts:\n- name: lab\n  context: {{cluster: k, user: u}}\n\
         - name: lost\n  context: {{cluster: nowhere, user: u}}\n- name: nobody\n  context: {{cluster: k, user: x}}\n\
         - name: proxied\n  context: {{cluster: p, user: u}}\n\
         users:\n- name: u\n  user: {user}\n"
    )
}

async fn load(connection: &Connection) -> Result<credentials::Access, String> {
    load_below(Path::new("/"), connection)
}

fn load_below(folder: &Path, connection: &Connection) -> Result<credentials::Access, String> {
    credentials::load(connection, folder, Timestamp::UNIX_EPOCH, &mut Vec::new()).map_err(|error| chain(&error))
}

async fn load_file(mode: u32, text: &str, context: Option<&str>) -> Result<credentials::Access, String> {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "token", 0o600, "from-file\n");
    write(directory.path(), "open-token", 0o644, "from-file\n");
    write(directory.path(), "empty", 0o600, "\n");
    let path = write(directory.path(), "config", mode, text);
    load(&Connection::Kubeconfig { path, context: context.map(Arc::from) }).await
}

#[tokio::test]
async fn a_kubeconfig_without_tls_verification_gives_access_with_a_caveat() {
    for (mode, user) in [(0o600, "{token: abc}"), (0o644, "{tokenFile: token}"), (0o640, "{token: abc}")] {
        let access = load_file(mode, &kubeconfig(user), None).await.unwrap_or_else(|reason| panic!("{user}: {reason}"));
        assert_eq!(access.url.to_string(), "https://k:6443/");
        assert!(access.headers["authorization"].is_sensitive());
        assert!(access.caveat.is_some_and(|caveat| caveat.contains("TLS is not verified")));
    }
}

#[tokio::test]
async fn unusable_kubeconfigs_are_refused_with_the_remedy() {
    let token = kubeconfig("{token: abc}");
    let with = kubeconfig;
    let exec = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}}";
    for (mode, text, context, words) in [
        (0o600, "][".to_owned(), None, "cannot use"),
        (0o600, String::new(), None, "is empty"),
        (0o600, token.clone(), Some("home"), "no context 'home'; it has lab, lost, nobody, proxied"),
        (0o600, token.clone(), Some("lost"), "no cluster 'nowhere'; it has k, p"),
        (0o600, token.clone(), Some("nobody"), "no user 'x'; it has u"),
        (0o600, token.clone(), Some("proxied"), "remove proxy-url"),
        (0o600, token.replace("current-context: lab\n", ""), None, "set the leaf context to one of lab"),
        (0o644, token.clone(), None, "chmod o="),
        (0o644, with("{client-key-data: abc, client-certificate-data: abc}"), None, "chmod o="),
        (0o600, with(exec), None, "exec plugin"),
        (0o600, with("{auth-provider: {name: gcp, config: {}}}"), None, "auth-provider"),
        (0o600, with("{tokenFile: nowhere}"), None, "nowhere does not exist"),
        (0o600, with("{tokenFile: open-token}"), None, "chmod o="),
        (0o600, with("{tokenFile: empty}"), None, "is empty"),
        (0o600, with("{client-certificate: /c, client-key: /nowhere}"), None, "client certificate /c does not exist"),
    ] {
        let reason = load_file(mode, &text, context).await.expect_err(words);
        assert!(reason.contains(words), "{words}: {reason}");
        assert!(!reason.contains("abc"), "no secret is told: {reason}");
    }
    let missing = Connection::Kubeconfig { path: "/nowhere/config".into(), context: None };
    assert!(load(&missing).await.expect_err("missing").contains("kubeconfig /nowhere/config does not exist"));
}

/// Tokens that no HTTP header can carry, and the reasons why they are refused.
const ODD_TOKENS: [(&str, &str); 8] = [
    ("abc\ndef\n", "holds a line break"),
    ("abc\r\ndef", "holds a line break"),
    ("abc\rdef", "holds a line break"),
    ("abc def", "holds a blank"),
    ("abc\0def", "not printable ASCII"),
    ("abc\u{7f}", "not printable ASCII"),
    ("abcé", "not printable ASCII"),
    ("-----BEGIN CERTIFICATE-----\nabc\n", "a certificate or a key in PEM"),
];

#[tokio::test]
async fn a_token_invalid_in_a_header_is_refused_with_its_file_and_the_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    for (token, words) in ODD_TOKENS {
        let leaf = write(directory.path(), "leaf", 0o600, token);
        let quoted = serde_json::to_string(token).expect("text").replace('\u{7f}', "\\u007f");
        let inside = write(directory.path(), "inside", 0o600, &kubeconfig(&format!("{{token: {quoted}}}")));
        let pointed = write(directory.path(), "pointed", 0o600, &kubeconfig("{tokenFile: leaf}"));
        for (connection, file) in [
            (with_token("https://k", Some(leaf.clone())), &leaf),
            (Connection::Kubeconfig { path: inside.clone(), context: None }, &inside),
            (Connection::Kubeconfig { path: pointed, context: None }, &leaf),
        ] {
            let reason = load(&connection).await.expect_err(words);
            assert!(reason.contains(words) && reason.contains("a token is one line"), "{token:?}: {reason}");
            assert!(reason.contains(&file.display().to_string()), "{reason}");
            assert!(!reason.contains("abc"), "no secret is told: {reason}");
        }
    }
}

/// Waits for a connection event with this caveat, and returns the caveat.
async fn until_caveat(running: &mut Running, is: impl Fn(&str) -> bool) -> Arc<str> {
    loop {
        if let Some(caveat) = running.caveat().await
            && is(&caveat)
        {
            return caveat;
        }
    }
}

#[tokio::test]
async fn an_invalid_token_delays_the_start_and_does_not_replace_a_valid_one() {
    let server = Server::start().await;
    server.require_token("good");
    let directory = tempfile::tempdir().expect("a directory");
    let token = write(directory.path(), "token", 0o600, ODD_TOKENS[0].0);
    let mut running = Running::start(config(with_token(&server.url(), Some(token.clone()))), quick());
    assert!(running.lost().await.contains("holds a line break"));
    fs::write(&token, "good\n").expect("written");
    running.synced().await;
    for (odd, words) in ODD_TOKENS {
        fs::write(&token, odd).expect("written");
        let caveat = until_caveat(&mut running, |caveat| caveat.contains(words)).await;
        assert!(caveat.contains("those before are kept"), "{caveat}");
        fs::write(&token, "good").expect("written");
        until_caveat(&mut running, |caveat| !caveat.contains(words)).await;
    }
}

#[tokio::test]
async fn credential_files_named_by_api_server_leaves_are_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = write(directory.path(), "open", 0o644, "secret");
    let closed = write(directory.path(), "closed", 0o600, "secret");
    let connection =
        |authority: Option<&Path>, token: Option<&Path>, pair: Option<(&Path, &Path)>| Connection::ApiServer {
            url: "https://k".into(),
            certificate_authority: authority.map(Path::to_owned),
            token: token.map(Path::to_owned),
            client_certificate: pair.map(|(certificate, key)| (certificate.to_owned(), key.to_owned())),
            insecure_skip_verify: false,
        };
    let nowhere = Path::new("/nowhere");
    for (connection, words) in [
        (connection(Some(nowhere), None, None), "/nowhere does not exist"),
        (connection(None, Some(nowhere), None), "/nowhere does not exist"),
        (connection(None, Some(&open), None), "chmod o="),
        (connection(None, None, Some((&open, &open))), "chmod o="),
        (connection(None, None, Some((nowhere, &closed))), "/nowhere does not exist"),
    ] {
        let reason = load(&connection).await.expect_err(words);
        assert!(reason.contains(words), "{words}: {reason}");
    }
    assert!(load(&connection(None, Some(&closed), None)).await.is_ok_and(|access| access.caveat.is_none()));
}

#[tokio::test]
async fn a_missing_kubeconfig_is_waited_for() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config");
    let timings =
        Timings { first_pause: Duration::from_secs(3600), longest_pause: Duration::from_secs(3600), ..quick() };
    let connection = Connection::Kubeconfig { path, context: None };
    let mut running = Running::start(config(connection), timings);
    assert!(running.lost().await.contains("does not exist"));
    let text = kubeconfig("{token: abc}").replace("https://k:6443", &server.url());
    write(directory.path(), "config.new", 0o600, &text);
    fs::rename(directory.path().join("config.new"), directory.path().join("config")).expect("moved");
    running.synced().await;
}

#[tokio::test]
async fn an_unreachable_server_is_reported_with_the_reason() {
    let server = Server::start().await;
    let unused = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    server.answer("/version", 200, "<html>");
    for (url, words) in [
        (format!("http://{unused}"), "Connection refused"),
        ("http://no-such-host.invalid".to_owned(), "cannot resolve no-such-host.invalid"),
        (format!("https://{}", server.address), "ended the TLS handshake"),
        (server.url(), "is this the URL of an API server?"),
    ] {
        let mut running = Running::start(at(&url), quick());
        let reason = running.lost().await;
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[tokio::test]
async fn a_missing_network_namespace_is_reported() {
    let server = Server::start().await;
    let mut config = at(&server.url());
    config.network_namespace = Some("no-such-namespace-here".into());
    let mut running = Running::start(config, quick());
    let reason = running.lost().await;
    assert!(reason.contains("network namespace no-such-namespace-here does not exist"), "{reason}");
}

/// A network namespace of this test, deleted when dropped.
struct Namespace(String);

impl Namespace {
    fn ip(arguments: &[&str]) -> bool {
        Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Self::ip(&["netns", "delete", &self.0]);
    }
}

#[tokio::test]
async fn sockets_open_in_an_awaited_network_namespace_that_the_process_never_enters() {
    let server = Server::start().await;
    let name = format!("k8s-services-test-{}", std::process::id());
    let mut config = at(&server.url());
    config.network_namespace = Some(name.as_str().into());
    // Only the appearance of the namespace is a reason to try again.
    let timings =
        Timings { first_pause: Duration::from_secs(3600), longest_pause: Duration::from_secs(3600), ..quick() };
    let mut running = Running::start(config, timings);
    assert!(running.lost().await.contains("does not exist"));
    if !Namespace::ip(&["netns", "add", &name]) {
        println!("skipped: network namespaces cannot be made here");
        return;
    }
    let namespace = Namespace(name.clone());
    assert!(Namespace::ip(&["-n", &name, "link", "set", "lo", "up"]));
    // The server listens on a loopback other than that of the namespace.
    let reason = running.lost().await;
    assert!(reason.contains("Connection refused") && reason.contains(&format!("namespace {name}")), "{reason}");
    // The process itself can still reach the server.
    Running::start(at(&server.url()), quick()).synced().await;
    drop(namespace);
}

#[tokio::test]
async fn a_kubeconfig_that_names_files_outside_the_credentials_folder_is_refused() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("credentials");
    std::fs::create_dir(&folder).expect("made");
    for name in ["token", "ca.pem", "cert.pem", "key.pem"] {
        write(parent.path(), name, 0o600, "text");
    }
    let of = |cluster: &str, user: &str| {
        format!(
            "current-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
             clusters:\n- name: k\n  cluster: {{server: 'https://k'{cluster}}}\nusers:\n- name: u\n  user: {user}\n"
        )
    };
    let outside = parent.path().join("token").display().to_string();
    let data = "client-certificate-data: dGV4dA==";
    for (what, text) in [
        ("token", of("", "{tokenFile: ../token}")),
        ("token", of("", &format!("{{tokenFile: {outside}}}"))),
        ("token", of("", &format!("{{tokenFile: {}/../token}}", folder.display()))),
        ("certificate authority", of(", certificate-authority: ../ca.pem", "{token: abc}")),
        ("client certificate", of(", insecure-skip-tls-verify: true", "{client-certificate: ../cert.pem}")),
        ("client key", of(", insecure-skip-tls-verify: true", &format!("{{{data}, client-key: ../key.pem}}"))),
    ] {
        let path = write(&folder, "c1.kubeconfig", 0o600, &text);
        let reason = load_below(&folder, &Connection::Kubeconfig { path, context: None }).expect_err(what);
        let place = format!("is not below {}, where credentials belong: move it there", folder.display());
        assert!(reason.starts_with(&format!("{what} {}", parent.path().display())), "{what}: {reason}");
        assert!(reason.ends_with(&place), "{reason}");
    }
}

#[tokio::test]
async fn certificates_and_keys_larger_than_the_limit_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let large = folder.path().join("large.pem");
    let file = std::fs::File::create(&large).expect("made");
    file.set_len(super::super::limits::CREDENTIAL_BYTES + 1).expect("a sparse file");
    let small = write(folder.path(), "small.pem", 0o600, "text");
    std::fs::set_permissions(&large, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    let leaves = |certificate_authority, client_certificate| Connection::ApiServer {
        url: "https://k".into(),
        certificate_authority,
        token: None,
        client_certificate,
        insecure_skip_verify: false,
    };
    let pair = |certificate: &PathBuf, key: &PathBuf| Some((certificate.clone(), key.clone()));
    for (what, authority, pair) in [
        ("certificate authority", Some(large.clone()), None),
        ("client certificate", None, pair(&large, &small)),
        ("client key", None, pair(&small, &large)),
    ] {
        let reason = load_below(folder.path(), &leaves(authority, pair)).expect_err(what);
        assert_eq!(reason, format!("{what} {} is larger than 524288 bytes: is it the right file?", large.display()));
    }
}
