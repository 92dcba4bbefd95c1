//! Loads how a cluster is reached, and with which credentials: from a kubeconfig or the api-server leaves.
//!
//! Everything is read here, once, through `files`, and checked before it is used. Libraries that would read files
//! themselves, or assume that a header is valid, get checked values only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use secrecy::{ExposeSecret, SecretString};

use super::limits;
use super::token;
use crate::files::{self, Contents, FileError, Purpose, Readers};
use crate::model::config::Connection;
use crate::model::text::{LONGEST, printable};
use crate::model::time::Timestamp;

/// The longest name of a kubeconfig that is quoted in full, in characters.
const NAME: usize = 60;

const KUBECONFIG: Purpose = Purpose { what: "kubeconfig", most: limits::KUBECONFIG_BYTES, readers: Readers::Anybody };
const TOKEN: Purpose = Purpose { what: "token", most: limits::TOKEN_BYTES, readers: Readers::Group };
const AUTHORITY: Purpose =
    Purpose { what: "certificate authority", most: limits::CREDENTIAL_BYTES, readers: Readers::Anybody };
const CERTIFICATE: Purpose =
    Purpose { what: "client certificate", most: limits::CREDENTIAL_BYTES, readers: Readers::Anybody };
const KEY: Purpose = Purpose { what: "client key", most: limits::CREDENTIAL_BYTES, readers: Readers::Group };

/// Why a cluster cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a valid kubeconfig.
    #[error("cannot use kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: Box<KubeconfigError>,
    },
    /// The address of the API server is not a usable URL.
    #[error("the server of {origin} must be https://HOST:PORT or http://HOST:PORT")]
    Server {
        /// The file, or the leaves.
        origin: String,
    },
    /// The name to expect in the server's certificate is not a name.
    #[error("the tls-server-name of {origin} is neither a DNS name nor an IP address")]
    ServerName {
        /// The file.
        origin: String,
    },
    /// A certificate or key is not PEM.
    #[error("the {what} of {origin} cannot be read: it must be PEM, in a kubeconfig once more as base64")]
    Pem {
        /// Certificate authority, client certificate or client key.
        what: &'static str,
        /// The file, or the leaves.
        origin: String,
    },
    /// A certificate authority does not contain a certificate.
    #[error("the certificate authority of {origin} holds no certificate: it must be PEM, with BEGIN CERTIFICATE")]
    NoAuthority {
        /// The file, or the leaves.
        origin: String,
    },
    /// There is a client certificate without its key, or a key without its certificate.
    #[error("{origin} has a client certificate or a client key, and not the other: both are needed")]
    HalfPair {
        /// The file.
        origin: String,
    },
    /// No context is selected.
    #[error("{} has no current-context: set the leaf context to one of {known}", path.display())]
    NoCurrentContext {
        /// The kubeconfig.
        path: PathBuf,
        /// The contexts in it.
        known: String,
    },
    /// A name that does not exist.
    #[error("{} has no {kind} '{name}'; it has {known}", path.display())]
    NoSuch {
        /// The kubeconfig.
        path: PathBuf,
        /// context, cluster or user.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Credentials come from a program.
    #[error(
        "user '{user}' in {} gets credentials from {plugin}, which cannot run on a switch: create a service account, \
         and use its token (token or tokenFile) or a client certificate", path.display()
    )]
    Plugin {
        /// The user.
        user: String,
        /// The kubeconfig.
        path: PathBuf,
        /// exec or auth-provider.
        plugin: &'static str,
    },
    /// A token cannot be sent in an HTTP header.
    #[error("the token in {} {fault}: a token is one line of printable characters, put that alone there", path.display())]
    Token {
        /// The file with the token.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The name of a user to impersonate cannot be sent in an HTTP header.
    #[error("the user or group to act as in {origin} holds characters that cannot be sent")]
    Impersonation {
        /// The file.
        origin: String,
    },
    /// A proxy is configured.
    #[error("cluster '{cluster}' in {} asks for a proxy, which is not supported: remove proxy-url", path.display())]
    Proxy {
        /// The cluster.
        cluster: String,
        /// The kubeconfig.
        path: PathBuf,
    },
}

/// Which servers count as the API server.
#[derive(Debug)]
pub(super) enum Trust {
    /// Any server.
    Anybody,
    /// Servers with a certificate from one of these authorities.
    Authorities(Vec<CertificateDer<'static>>),
}

/// A client certificate with its chain, and its key.
#[derive(Debug)]
pub(super) struct Identity {
    /// The chain, the client's own certificate first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub(super) key: PrivateKeyDer<'static>,
}

/// Everything that is needed to talk to an API server.
#[derive(Debug)]
pub(super) struct Access {
    /// Its URL: scheme and authority, and a path if several servers share them.
    pub(super) url: Uri,
    /// Which servers count as the API server.
    pub(super) trust: Trust,
    /// The name to expect in its certificate, if that is not the host of the URL.
    pub(super) server_name: Option<ServerName<'static>>,
    /// The agent's identity in TLS.
    pub(super) identity: Option<Identity>,
    /// The agent's credentials as HTTP headers.
    pub(super) headers: HeaderMap,
    /// What state should publish about the connection.
    pub(super) caveat: Option<Arc<str>>,
    /// When the token expires, if it contains that, and when the warning starts.
    pub(super) expiry: Option<token::Expiry>,
}

/// Loads what the configuration points to; `now` is the current time. `files` receives every file that matters, also if
/// loading fails: a change of any of them is a reason to try again. Blocks.
pub(super) fn load(
    connection: &Connection,
    folder: &Path,
    now: Timestamp,
    files: &mut Vec<PathBuf>,
) -> Result<Access, CredentialsError> {
    files.clear();
    let mut reader = Reader { folder, files };
    match connection {
        Connection::Kubeconfig { path, context } => reader.kubeconfig(path, context.as_deref(), now),
        Connection::ApiServer { .. } => reader.leaves(connection, now),
    }
}

/// Parses a kubeconfig that does not come from a file. The files it names cannot be read.
#[cfg(any(test, fuzzing))]
pub(super) fn of_kubeconfig(bytes: &[u8], now: Timestamp) -> Result<Access, CredentialsError> {
    let (path, mut files) = (Path::new("/kubeconfig"), Vec::new());
    let contents = Contents::of(bytes.to_vec(), KUBECONFIG, path);
    Reader { folder: Path::new("/nowhere"), files: &mut files }.chosen(path, &contents, None, now)
}

/// Reads files below one folder, and records which.
struct Reader<'a> {
    folder: &'a Path,
    files: &'a mut Vec<PathBuf>,
}

impl Reader<'_> {
    fn read(&mut self, path: &Path, purpose: Purpose) -> Result<Contents, FileError> {
        if !files::is_below(path, self.folder) {
            let (path, folder) = (path.to_owned(), self.folder.to_owned());
            return Err(FileError::Elsewhere { what: purpose.what, path, folder });
        }
        self.files.push(path.to_owned());
        files::read(path, purpose)
    }

    fn text(&mut self, path: &Path, purpose: Purpose) -> Result<String, FileError> {
        self.read(path, purpose)?.text()
    }

    fn kubeconfig(&mut self, path: &Path, context: Option<&str>, now: Timestamp) -> Result<Access, CredentialsError> {
        let contents = self.read(path, KUBECONFIG)?;
        self.chosen(path, &contents, context, now)
    }

    /// Returns the access that the chosen context of a kubeconfig describes.
    fn chosen(
        &mut self,
        path: &Path,
        contents: &Contents,
        context: Option<&str>,
        now: Timestamp,
    ) -> Result<Access, CredentialsError> {
        let unusable = |cause| CredentialsError::Kubeconfig { path: path.to_owned(), cause: Box::new(cause) };
        let mut kubeconfig = Kubeconfig::from_yaml(&contents.text()?).map_err(unusable)?;
        let context = match context.map(str::to_owned).or_else(|| kubeconfig.current_context.clone()) {
            Some(name) if !name.is_empty() => name,
            _ => {
                let known = known(kubeconfig.contexts.iter().map(|context| context.name.as_str()));
                return Err(CredentialsError::NoCurrentContext { path: path.to_owned(), known });
            }
        };
        let chosen =
            named(path, "context", &context, &mut kubeconfig.contexts, |entry| (&entry.name, &mut entry.context))?;
        let (cluster_name, user_name) = (chosen.cluster.clone(), chosen.user.clone());
        let cluster =
            named(path, "cluster", &cluster_name, &mut kubeconfig.clusters, |entry| (&entry.name, &mut entry.cluster))?;
        let mut access = self.cluster(path, &cluster_name, cluster)?;
        if let Some(name) = user_name {
            let users = &mut kubeconfig.auth_infos;
            let user = named(path, "user", &name, users, |entry| (&entry.name, &mut entry.auth_info))?;
            refuse_plugins(path, &name, user)?;
            self.user(path, contents, user, &mut access, now)?;
        }
        Ok(access)
    }

    fn cluster(&mut self, path: &Path, name: &str, cluster: &Cluster) -> Result<Access, CredentialsError> {
        if cluster.proxy_url.as_deref().is_some_and(|url| !url.is_empty()) {
            return Err(CredentialsError::Proxy { cluster: printable(name, NAME), path: path.to_owned() });
        }
        let origin = path.display().to_string();
        let authority = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
            (Some(data), _) => Some(decode(data, AUTHORITY.what, &origin)?),
            (None, Some(file)) => Some(self.read(&beside(path, file), AUTHORITY)?.bytes),
            (None, None) => None,
        };
        let server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
        let server_name = server_name.map(ServerName::try_from).transpose();
        let server_name = server_name.map_err(|_| CredentialsError::ServerName { origin: origin.clone() })?;
        let insecure = cluster.insecure_skip_tls_verify == Some(true);
        let url = cluster.server.as_deref().unwrap_or_default();
        access(url, authority.as_deref(), insecure, server_name, origin)
    }

    fn user(
        &mut self,
        path: &Path,
        contents: &Contents,
        user: &AuthInfo,
        access: &mut Access,
        now: Timestamp,
    ) -> Result<(), CredentialsError> {
        if user.token.is_some() || user.password.is_some() || user.client_key_data.is_some() {
            contents.check_private()?;
        }
        let origin = path.display().to_string();
        // A token in the kubeconfig itself counts only if there is no file.
        if let Some(file) = &user.token_file {
            self.token(&beside(path, file), access, now)?;
        } else if let Some(token) = &user.token {
            bearer(path, token.expose_secret(), access, now)?;
        } else if let (Some(name), Some(password)) = (&user.username, &user.password) {
            basic(name, password, access);
        }
        impersonate(user, &mut access.headers)
            .ok_or_else(|| CredentialsError::Impersonation { origin: origin.clone() })?;
        let certificate = match (&user.client_certificate_data, &user.client_certificate) {
            (Some(data), _) => Some(decode(data, CERTIFICATE.what, &origin)?),
            (None, Some(file)) => Some(self.read(&beside(path, file), CERTIFICATE)?.bytes),
            (None, None) => None,
        };
        let key = match (&user.client_key_data, &user.client_key) {
            (Some(data), _) => Some(decode(data.expose_secret(), KEY.what, &origin)?),
            (None, Some(file)) => Some(self.read(&beside(path, file), KEY)?.bytes),
            (None, None) => None,
        };
        access.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(identity(&certificate, &key, &origin)?),
            (None, None) => None,
            _ => return Err(CredentialsError::HalfPair { origin }),
        };
        Ok(())
    }

    fn leaves(&mut self, connection: &Connection, now: Timestamp) -> Result<Access, CredentialsError> {
        let Connection::ApiServer { url, certificate_authority, token, client_certificate, insecure_skip_verify } =
            connection
        else {
            unreachable!("the other way to a cluster is a kubeconfig");
        };
        // Every file matters, also those after the first bad one.
        let pair = client_certificate.iter().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]);
        let all: Vec<PathBuf> = certificate_authority.iter().chain(token).cloned().chain(pair).collect();
        let origin = "the api-server leaves".to_owned();
        let loaded = self
            .leaf_files(url, certificate_authority.as_deref(), *insecure_skip_verify, origin.clone())
            .and_then(|mut access| {
                if let Some(token) = token {
                    self.token(token, &mut access, now)?;
                }
                if let Some((certificate, key)) = client_certificate {
                    let certificate = self.read(certificate, CERTIFICATE)?;
                    let key = self.read(key, KEY)?;
                    access.identity = Some(identity(&certificate.bytes, &key.bytes, &origin)?);
                }
                Ok(access)
            });
        *self.files = all;
        loaded
    }

    fn leaf_files(
        &mut self,
        url: &str,
        authority: Option<&Path>,
        insecure: bool,
        origin: String,
    ) -> Result<Access, CredentialsError> {
        let authority = authority.map(|path| self.read(path, AUTHORITY)).transpose()?;
        access(url, authority.as_ref().map(|contents| &*contents.bytes), insecure, None, origin)
    }

    fn token(&mut self, path: &Path, access: &mut Access, now: Timestamp) -> Result<(), CredentialsError> {
        let token = SecretString::from(self.text(path, TOKEN)?);
        bearer(path, token.expose_secret(), access, now)
    }
}

/// Refuses programs that make credentials: these cannot run on a switch.
fn refuse_plugins(path: &Path, name: &str, user: &AuthInfo) -> Result<(), CredentialsError> {
    let plugin = [(user.exec.is_some(), "an exec plugin"), (user.auth_provider.is_some(), "an auth-provider")];
    match plugin.into_iter().find(|(used, _)| *used) {
        Some((_, plugin)) => {
            Err(CredentialsError::Plugin { user: printable(name, NAME), path: path.to_owned(), plugin })
        }
        None => Ok(()),
    }
}

/// Resolves a path in a kubeconfig, which is relative to the folder of the kubeconfig.
fn beside(kubeconfig: &Path, file: &str) -> PathBuf {
    kubeconfig.parent().unwrap_or(Path::new("/")).join(file)
}

/// Returns the entry with this name.
fn named<'a, E, T>(
    path: &Path,
    kind: &'static str,
    name: &str,
    entries: &'a mut [E],
    parts: impl for<'e> Fn(&'e mut E) -> (&'e String, &'e mut Option<T>),
) -> Result<&'a mut T, CredentialsError> {
    let names = known(entries.iter_mut().map(|entry| parts(entry).0.clone()).collect::<Vec<_>>().iter().map(|n| &**n));
    let found = entries.iter_mut().map(parts).find(|(entry, _)| *entry == name).and_then(|(_, value)| value.as_mut());
    let name = printable(name, NAME);
    found.ok_or_else(|| CredentialsError::NoSuch { path: path.to_owned(), kind, name, known: names })
}

fn known<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| printable(name, NAME)).collect();
    if names.is_empty() { "none".to_owned() } else { printable(&names.join(", "), LONGEST) }
}

fn decode(data: &str, what: &'static str, origin: &str) -> Result<Vec<u8>, CredentialsError> {
    let compact: String = data.split_whitespace().collect();
    BASE64.decode(compact).map_err(|_| CredentialsError::Pem { what, origin: origin.to_owned() })
}

fn access(
    url: &str,
    authority: Option<&[u8]>,
    insecure: bool,
    server_name: Option<ServerName<'static>>,
    origin: String,
) -> Result<Access, CredentialsError> {
    let parsed = url.parse::<Uri>().ok();
    let usable = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.authority().is_some();
    let Some(url) = parsed.filter(usable) else { return Err(CredentialsError::Server { origin }) };
    let trust = match authority {
        // Without TLS, no server is authenticated.
        _ if insecure || url.scheme_str() == Some("http") => Trust::Anybody,
        Some(pem) => Trust::Authorities(authorities(pem, origin)?),
        // The authorities of this switch.
        None => Trust::Authorities(rustls_native_certs::load_native_certs().certs),
    };
    let caveat = match &trust {
        _ if url.scheme_str() == Some("http") => {
            Some("plain http: nothing is encrypted, and the server is not authenticated".into())
        }
        Trust::Anybody => Some("TLS is not verified: anyone may pose as the API server".into()),
        Trust::Authorities(_) => None,
    };
    Ok(Access { url, trust, server_name, identity: None, headers: HeaderMap::new(), caveat, expiry: None })
}

fn authorities(pem: &[u8], origin: String) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let all = certificates(pem, AUTHORITY.what, &origin)?;
    if all.is_empty() { Err(CredentialsError::NoAuthority { origin }) } else { Ok(all) }
}

fn certificates(
    pem: &[u8],
    what: &'static str,
    origin: &str,
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.map_err(|_| CredentialsError::Pem { what, origin: origin.to_owned() })
}

fn identity(certificate: &[u8], key: &[u8], origin: &str) -> Result<Identity, CredentialsError> {
    let pem = |what| CredentialsError::Pem { what, origin: origin.to_owned() };
    let chain = certificates(certificate, CERTIFICATE.what, origin)?;
    if chain.is_empty() {
        return Err(pem(CERTIFICATE.what));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| pem(KEY.what))?;
    Ok(Identity { chain, key })
}

/// Adds the token, without surrounding blanks. Refuses a token that an HTTP header cannot carry.
fn bearer(path: &Path, token: &str, access: &mut Access, now: Timestamp) -> Result<(), CredentialsError> {
    let token = token.trim();
    let header = HeaderValue::try_from(format!("Bearer {token}"));
    let fault = if token.contains("-----BEGIN") {
        "is a certificate or a key in PEM"
    } else if token.contains(['\n', '\r']) {
        "holds a line break"
    } else if token.contains(char::is_whitespace) {
        "holds a blank"
    } else if let (true, Ok(mut header)) = (token.is_ascii(), header) {
        header.set_sensitive(true);
        access.headers.insert(header::AUTHORIZATION, header);
        access.expiry = token::expiry(token, now);
        return Ok(());
    } else {
        "holds a character that is not printable ASCII"
    };
    Err(CredentialsError::Token { path: path.to_owned(), fault })
}

fn basic(name: &str, password: &SecretString, access: &mut Access) {
    let pair = SecretString::from(format!("{name}:{}", password.expose_secret()));
    // Base64 is always printable.
    if let Ok(mut header) = HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair.expose_secret()))) {
        header.set_sensitive(true);
        access.headers.insert(header::AUTHORIZATION, header);
    }
}

/// Adds the headers for impersonation; returns `None` if they cannot be sent.
fn impersonate(user: &AuthInfo, headers: &mut HeaderMap) -> Option<()> {
    if let Some(name) = &user.impersonate {
        headers.insert(HeaderName::from_static("impersonate-user"), HeaderValue::try_from(name).ok()?);
    }
    for group in user.impersonate_groups.iter().flatten() {
        headers.append(HeaderName::from_static("impersonate-group"), HeaderValue::try_from(group).ok()?);
    }
    Some(())
}
