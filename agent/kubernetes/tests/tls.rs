//! Tests TLS: which servers are trusted, and the reasons why others are not. The keys beside this file protect nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::server::Server;
use super::*;

const AUTHORITY: &str = include_str!("tls/ca.pem");
const OTHER_AUTHORITY: &str = include_str!("tls/other-ca.pem");
const CERTIFICATE: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key");
const CLIENT_CERTIFICATE: &str = include_str!("tls/client.pem");
const CLIENT_KEY: &str = include_str!("tls/client.key");

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// Starts a server with a certificate for 127.0.0.1 that requires a client certificate if `ask_for_certificate`.
async fn server(ask_for_certificate: bool) -> Server {
    let builder = ServerConfig::builder();
    let builder = if ask_for_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(AUTHORITY)).expect("an authority");
        builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("roots"))
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
    let tls = builder.with_single_cert(vec![certificate(CERTIFICATE)], key).expect("a pair");
    Server::start_with(Some(TlsAcceptor::from(Arc::new(tls)))).await
}

fn private(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    path
}

struct Ask<'a> {
    host: &'a str,
    authority: Option<&'a str>,
    pair: Option<(&'a str, &'a str)>,
    insecure: bool,
}

fn start(server: &Server, directory: &Path, ask: &Ask<'_>) -> Running {
    let file = |name: &str, text: &str| private(directory, name, text);
    let connection = Connection::ApiServer {
        url: format!("https://{}:{}", ask.host, server.address.port()).into(),
        certificate_authority: ask.authority.map(|text| file("ca", text)),
        token: None,
        client_certificate: ask.pair.map(|(certificate, key)| (file("certificate", certificate), file("key", key))),
        insecure_skip_verify: ask.insecure,
    };
    Running::start(config(connection), quick())
}

const TRUSTING: Ask<'static> = Ask { host: "127.0.0.1", authority: Some(AUTHORITY), pair: None, insecure: false };

#[tokio::test]
async fn a_server_signed_by_the_authority_is_trusted_without_a_caveat() {
    let (server, directory) = (server(false).await, tempfile::tempdir().expect("a directory"));
    let mut running = start(&server, directory.path(), &TRUSTING);
    assert!(matches!(running.change().await, ClusterEvent::Connected { caveat: None, .. }));
    running.synced().await;
}

#[tokio::test]
async fn a_server_with_an_untrusted_certificate_is_refused_with_the_reason() {
    let (server, directory) = (server(false).await, tempfile::tempdir().expect("a directory"));
    for (ask, words) in [
        (Ask { authority: Some(OTHER_AUTHORITY), ..TRUSTING }, "check certificate-authority-file"),
        (Ask { host: "localhost", ..TRUSTING }, "use a name or address the certificate holds"),
        (Ask { authority: Some("no certificate"), ..TRUSTING }, "holds no certificate"),
    ] {
        let reason = start(&server, directory.path(), &ask).lost().await;
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[tokio::test]
async fn without_verification_any_server_is_accepted_with_a_caveat() {
    let (server, directory) = (server(false).await, tempfile::tempdir().expect("a directory"));
    let ask = Ask { authority: None, insecure: true, ..TRUSTING };
    let mut running = start(&server, directory.path(), &ask);
    let ClusterEvent::Connected { caveat: Some(caveat), .. } = running.change().await else { panic!("no caveat") };
    assert!(caveat.contains("TLS is not verified"));
    running.synced().await;
}

#[tokio::test]
async fn a_client_certificate_is_presented_and_a_missing_one_reported() {
    let (server, directory) = (server(true).await, tempfile::tempdir().expect("a directory"));
    let reason = start(&server, directory.path(), &TRUSTING).lost().await;
    assert!(reason.contains("check the client certificate"), "{reason}");
    let ask = Ask { pair: Some((CLIENT_CERTIFICATE, CLIENT_KEY)), ..TRUSTING };
    start(&server, directory.path(), &ask).synced().await;
}

#[tokio::test]
async fn a_replaced_certificate_authority_is_read_again() {
    let (server, directory) = (server(false).await, tempfile::tempdir().expect("a directory"));
    let mut running = start(&server, directory.path(), &Ask { authority: Some(OTHER_AUTHORITY), ..TRUSTING });
    running.lost().await;
    private(directory.path(), "ca", AUTHORITY);
    running.synced().await;
}
