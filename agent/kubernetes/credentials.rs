//! How a cluster is reached and by whose leave: kubeconfig or api-server leaves -> a client configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use secrecy::{ExposeSecret, SecretString};

use super::files::{self, FileError};
use crate::model::config::Connection;

/// Why a cluster cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The kubeconfig is no kubeconfig, or holds certificates or keys that cannot be read.
    #[error("cannot use {origin}")]
    Kubeconfig {
        /// The file, or the leaves.
        origin: String,
        /// What is wrong with it.
        #[source]
        cause: KubeconfigError,
    },
    /// A certificate authority in which there is none.
    #[error("the certificate authority of {origin} holds no certificate: it must be PEM, with BEGIN CERTIFICATE")]
    NoAuthority {
        /// The file, or the leaves.
        origin: String,
    },
    /// No context to use.
    #[error("{} has no current-context: set the leaf context to one of {known}", path.display())]
    NoCurrentContext {
        /// The kubeconfig.
        path: PathBuf,
        /// The contexts in it.
        known: String,
    },
    /// A name that leads nowhere.
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
    /// Credentials from a program.
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
    /// A token that no HTTP header can carry.
    #[error("the token in {} {fault}: a token is one line of printable characters, put that alone there", path.display())]
    Token {
        /// The file it stands in.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A proxy.
    #[error("cluster '{cluster}' in {} asks for a proxy, which is not supported: remove proxy-url", path.display())]
    Proxy {
        /// The cluster.
        cluster: String,
        /// The kubeconfig.
        path: PathBuf,
    },
}

/// Everything needed to talk to an API server.
#[derive(Debug)]
pub(super) struct Access {
    /// For the client.
    pub(super) config: Config,
    /// What state should say of the connection.
    pub(super) caveat: Option<Arc<str>>,
}

/// Loads what the configuration points to. `files` gets every file that counts, also when loading fails: a change of any
/// of them is a reason to try again.
pub(super) async fn load(connection: &Connection, files: &mut Vec<PathBuf>) -> Result<Access, CredentialsError> {
    files.clear();
    let (kubeconfig, origin) = match connection {
        Connection::Kubeconfig { path, context } => {
            files.push(path.clone());
            (from_file(path, context.as_deref(), files)?, path.display().to_string())
        }
        Connection::ApiServer { .. } => (from_leaves(connection, files)?, "the api-server leaves".to_owned()),
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|cause| CredentialsError::Kubeconfig { origin: origin.clone(), cause })?;
    if config.root_cert.as_ref().is_some_and(Vec::is_empty) {
        return Err(CredentialsError::NoAuthority { origin });
    }
    Ok(Access { caveat: caveat(&config), config })
}

fn caveat(config: &Config) -> Option<Arc<str>> {
    if config.cluster_url.scheme_str() == Some("http") {
        return Some("plain http: nothing is encrypted, and the server is not authenticated".into());
    }
    config.accept_invalid_certs.then(|| "TLS is not verified: anyone may pose as the API server".into())
}

/// The kubeconfig with the context to use as its current one, tokens read in.
fn from_file(path: &Path, context: Option<&str>, files: &mut Vec<PathBuf>) -> Result<Kubeconfig, CredentialsError> {
    // Read once here, so that a file that is missing is told apart from one that is wrong.
    files::text(path)?;
    let unusable = |cause| CredentialsError::Kubeconfig { origin: path.display().to_string(), cause };
    let mut kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
    let context = match context.map(str::to_owned).or_else(|| kubeconfig.current_context.clone()) {
        Some(name) if !name.is_empty() => name,
        _ => {
            let known = known(kubeconfig.contexts.iter().map(|context| context.name.as_str()));
            return Err(CredentialsError::NoCurrentContext { path: path.to_owned(), known });
        }
    };
    let chosen = named(path, "context", &context, &mut kubeconfig.contexts, |entry| (&entry.name, &mut entry.context))?;
    let (cluster_name, user_name) = (chosen.cluster.clone(), chosen.user.clone());
    let cluster =
        named(path, "cluster", &cluster_name, &mut kubeconfig.clusters, |entry| (&entry.name, &mut entry.cluster))?;
    if cluster.proxy_url.as_deref().is_some_and(|url| !url.is_empty()) {
        return Err(CredentialsError::Proxy { cluster: cluster_name, path: path.to_owned() });
    }
    files.extend(cluster.certificate_authority.iter().map(PathBuf::from));
    if let Some(name) = user_name {
        let user = named(path, "user", &name, &mut kubeconfig.auth_infos, |entry| (&entry.name, &mut entry.auth_info))?;
        complete(path, &name, user, files)?;
    }
    kubeconfig.current_context = Some(context);
    Ok(kubeconfig)
}

/// The entry of that name.
fn named<'a, E, T>(
    path: &Path,
    kind: &'static str,
    name: &str,
    entries: &'a mut [E],
    parts: impl for<'e> Fn(&'e mut E) -> (&'e String, &'e mut Option<T>),
) -> Result<&'a mut T, CredentialsError> {
    let names = known(entries.iter_mut().map(|entry| parts(entry).0.clone()).collect::<Vec<_>>().iter().map(|n| &**n));
    let found = entries.iter_mut().map(parts).find(|(entry, _)| *entry == name).and_then(|(_, value)| value.as_mut());
    found.ok_or_else(|| CredentialsError::NoSuch { path: path.to_owned(), kind, name: name.to_owned(), known: names })
}

fn known<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Refuses what cannot be used, checks who may read the secrets, reads the token.
fn complete(path: &Path, name: &str, user: &mut AuthInfo, files: &mut Vec<PathBuf>) -> Result<(), CredentialsError> {
    let plugin = [(user.exec.is_some(), "an exec plugin"), (user.auth_provider.is_some(), "an auth-provider")];
    if let Some((_, plugin)) = plugin.into_iter().find(|(used, _)| *used) {
        return Err(CredentialsError::Plugin { user: name.to_owned(), path: path.to_owned(), plugin });
    }
    if user.token.is_some() || user.password.is_some() || user.client_key_data.is_some() {
        files::check_private(path)?;
    }
    if let Some(token) = user.token.take() {
        user.token = Some(checked_token(path, token.expose_secret())?);
    }
    let base = path.parent().unwrap_or(Path::new("/"));
    if let Some(token) = user.token_file.take() {
        let token = base.join(token);
        files.push(token.clone());
        // A token in the kubeconfig itself wins only where there is no file.
        user.token = Some(read_token(&token)?);
    }
    files.extend(user.client_certificate.iter().map(PathBuf::from));
    if let Some(key) = &user.client_key {
        files.push(PathBuf::from(key));
        files::check_private(Path::new(key))?;
    }
    Ok(())
}

/// The token in a file of its own.
fn read_token(path: &Path) -> Result<SecretString, CredentialsError> {
    files::check_private(path)?;
    checked_token(path, &files::text(path)?)
}

/// The token without blanks around it; one that no HTTP header can carry is refused, as libraries panic on it.
fn checked_token(path: &Path, token: &str) -> Result<SecretString, CredentialsError> {
    let token = token.trim();
    let fault = if token.contains("-----BEGIN") {
        "is a certificate or a key in PEM"
    } else if token.contains(['\n', '\r']) {
        "holds a line break"
    } else if token.contains(char::is_whitespace) {
        "holds a blank"
    } else if !token.is_ascii() || HeaderValue::try_from(format!("Bearer {token}")).is_err() {
        "holds a character that is not printable ASCII"
    } else {
        return Ok(token.into());
    };
    Err(CredentialsError::Token { path: path.to_owned(), fault })
}

/// The leaves in the form of a kubeconfig, so that both ways are one from here on.
fn from_leaves(connection: &Connection, files: &mut Vec<PathBuf>) -> Result<Kubeconfig, CredentialsError> {
    let Connection::ApiServer { url, certificate_authority, token, client_certificate, insecure_skip_verify } =
        connection
    else {
        return Ok(Kubeconfig::default());
    };
    files.extend(certificate_authority.iter().chain(token).cloned());
    files.extend(client_certificate.iter().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]));

    let as_text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mut user = AuthInfo::default();
    if let Some(token) = token {
        user.token = Some(read_token(token)?);
    }
    if let Some((certificate, key)) = client_certificate {
        files::text(certificate)?;
        files::check_private(key)?;
        user.client_certificate = Some(as_text(certificate));
        user.client_key = Some(as_text(key));
    }
    if let Some(authority) = certificate_authority {
        files::text(authority)?;
    }
    let cluster = Cluster {
        server: Some(url.to_string()),
        certificate_authority: certificate_authority.as_ref().map(as_text),
        insecure_skip_tls_verify: Some(*insecure_skip_verify),
        ..Cluster::default()
    };
    const NAME: &str = "configured";
    let context = Context { cluster: NAME.into(), user: Some(NAME.into()), ..Context::default() };
    Ok(Kubeconfig {
        clusters: vec![NamedCluster { name: NAME.into(), cluster: Some(cluster), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo { name: NAME.into(), auth_info: Some(user), ..NamedAuthInfo::default() }],
        contexts: vec![NamedContext { name: NAME.into(), context: Some(context), ..NamedContext::default() }],
        current_context: Some(NAME.into()),
        ..Kubeconfig::default()
    })
}
