//! Tries every step to one API server once, for the doctor, and reports what fails.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::core::params::{ListParams, WatchParams};

use super::credentials::{self, CredentialsError};
use super::dial::{DialError, Dialer};
use super::http::{Client, RequestError, RequestLimits};
use super::limits;
use super::reason::{self, Request};
use super::reduce::{Kind, Nodes, Services, Slices};
use super::source::{ConnectOptions, version};
use super::speaker::served_paths;
use crate::model::config::Source;
use crate::model::speaker::SpeakerResource;
use crate::model::time::Timestamp;
use crate::supervise::chain;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Size limit for a page of one object.
const PAGE_BYTES: usize = limits::SMALL_PAGE_BYTES;

/// One step, and whether it succeeded.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was tried.
    pub stage: Stage,
    /// The result in a sentence.
    pub result: Result<String, Fault>,
    /// How long it took.
    pub took: Duration,
}

/// The steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the kubeconfig, or the files beside `api-server`.
    Credentials,
    /// Entering the network namespace and resolving the server's name there.
    Namespace,
    /// A TCP connection.
    Connection,
    /// TLS, and an answer to `/version`.
    Answer,
    /// Listing and watching the resources that the agent reads.
    Rights,
}

/// What prevents a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A file of credentials does not exist.
    FileMissing(String, PathBuf),
    /// A file of credentials cannot be used; with a command that helps, if there is one.
    File(String, Option<String>),
    /// The credentials cannot be used.
    Credentials(String),
    /// The network namespace does not exist.
    NamespaceMissing(String),
    /// The network namespace cannot be entered.
    NamespaceClosed(String),
    /// The server's name cannot be resolved.
    Name(String),
    /// Nothing answers: packets are dropped in one direction or the other.
    TimedOut(String, Vec<SocketAddr>),
    /// The server, or something on the way, refuses the connection.
    Refused(String),
    /// Agent and server do not agree on TLS.
    Tls(String, String),
    /// The server does not accept the agent's identity.
    Unauthorized(String),
    /// The agent may not read something; one sentence each.
    Denied(Vec<String>),
    /// The server does not answer as an API server should.
    Answer(String),
}

/// Tries the steps to one cluster, until one fails.
pub async fn probe(source: &Source, options: &ConnectOptions) -> Vec<Step> {
    let mut steps = Steps(Vec::new());
    // Ends at the first step that fails.
    let _ = walk(source, options, &mut steps).await;
    steps.0
}

struct Steps(Vec<Step>);

impl Steps {
    /// Notes a step; `Err` ends the sequence.
    async fn pass<T>(&mut self, stage: Stage, step: impl Future<Output = Result<(T, String), Fault>>) -> Result<T, ()> {
        let begun = std::time::Instant::now();
        let (passed, result) = match step.await {
            Ok((value, words)) => (Ok(value), Ok(words)),
            Err(fault) => (Err(()), Err(fault)),
        };
        self.0.push(Step { stage, result, took: begun.elapsed() });
        passed
    }
}

async fn walk(source: &Source, options: &ConnectOptions, steps: &mut Steps) -> Result<(), ()> {
    let access = steps.pass(Stage::Credentials, load(source, options)).await?;
    let dialer = Dialer::new(options.dialers.clone(), source.network_namespace.clone(), PATIENCE);
    let url = access.url.clone();
    let addresses = steps.pass(Stage::Namespace, resolve(source, &dialer, &url)).await?;
    steps.pass(Stage::Connection, connect(dialer.clone(), url.clone(), addresses)).await?;
    let client = steps.pass(Stage::Answer, answer(access, dialer, &url)).await?;
    steps.pass(Stage::Rights, rights(source, &client)).await
}

async fn load(source: &Source, options: &ConnectOptions) -> Result<(credentials::Access, String), Fault> {
    let (connection, folder) = (source.connection.clone(), Arc::clone(&options.credentials));
    let read = move || {
        let mut files = Vec::new();
        let access = credentials::load(&connection, &folder, Timestamp::now(), &mut files);
        (access, files)
    };
    let read = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(read)).await;
    let Ok(Ok((access, files))) = read else {
        return Err(Fault::Credentials("reading the credentials does not end: is their file system there?".to_owned()));
    };
    let access = access.map_err(|error| {
        let words = chain(&error);
        match &error {
            CredentialsError::File(file) if file.is_missing() => {
                Fault::FileMissing(words, files.last().cloned().unwrap_or_default())
            }
            CredentialsError::File(file) => Fault::File(words, file.remedy()),
            _ => Fault::Credentials(words),
        }
    })?;
    let mut words = match files.len() {
        0 => format!("server {}, no files", access.url),
        _ => {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            format!("server {} by {}", access.url, files.join(", "))
        }
    };
    for note in [access.caveat.as_deref().map(str::to_owned), access.expiry.and_then(|it| it.words(Timestamp::now()))] {
        words.extend(note.map(|note| format!("; {note}")));
    }
    Ok((access, words))
}

async fn resolve(source: &Source, dialer: &Dialer, url: &http::Uri) -> Result<(Vec<SocketAddr>, String), Fault> {
    let addresses = dialer.addresses(url).await.map_err(|error| fault_of(&error, &[]))?;
    let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let place = source.network_namespace.as_deref().unwrap_or("its own");
    let words = format!("{place}; the server is {}", list.join(", "));
    Ok((addresses, words))
}

async fn connect(dialer: Dialer, url: http::Uri, addresses: Vec<SocketAddr>) -> Result<((), String), Fault> {
    match dialer.dial(url.clone()).await {
        Ok(_) => Ok(((), format!("{} takes connections", url.authority().map_or("", |it| it.as_str())))),
        Err(error) => Err(fault_of(&error, &addresses)),
    }
}

fn fault_of(error: &DialError, addresses: &[SocketAddr]) -> Fault {
    let words = chain(error);
    match error {
        DialError::NoNamespace { .. } => Fault::NamespaceMissing(words),
        DialError::EnterNamespace { .. } => Fault::NamespaceClosed(words),
        DialError::Resolve { .. } | DialError::NoAddress { .. } => Fault::Name(words),
        DialError::TimedOut { .. } if addresses.is_empty() => Fault::Name(words),
        DialError::TimedOut { .. } => Fault::TimedOut(words, addresses.to_vec()),
        DialError::Connect { cause, .. } if cause.kind() == std::io::ErrorKind::TimedOut => {
            Fault::TimedOut(words, addresses.to_vec())
        }
        DialError::Connect { .. } | DialError::Prepare(_) => Fault::Refused(words),
    }
}

async fn answer(access: credentials::Access, dialer: Dialer, url: &http::Uri) -> Result<(Client, String), Fault> {
    let server = url.authority().map_or_else(String::new, ToString::to_string);
    let encrypted = url.scheme_str() == Some("https");
    let unusable = |error| Fault::Credentials(format!("the credentials cannot be used ({})", chain(&error)));
    let client = Client::new(access, dialer, RequestLimits::default()).map_err(unusable)?;
    let request = Request { verb: "get", resource: "/version", namespace: None };
    let version = match version(&client, PATIENCE).await {
        Ok(version) => version,
        // Ask again for the kind of failure: the first text is meant for the state of a cluster.
        Err(words) => {
            return Err(match client.get("/version", limits::ANSWER_BYTES, PATIENCE).await {
                Err(error) if error.code() == Some(401) => Fault::Unauthorized(reason::explain(&error, request)),
                Err(error) if reason::is_tls(&error) => Fault::Tls(reason::explain(&error, request), server),
                _ => Fault::Answer(words),
            });
        }
    };
    let tls = if encrypted { "TLS" } else { "plain HTTP, which nobody authenticates" };
    Ok((client, format!("Kubernetes {version} over {tls}")))
}

/// A resource that is listed and watched: its path, and its name in sentences.
struct Wanted {
    path: String,
    resource: &'static str,
    namespace: Option<Arc<str>>,
}

async fn rights(source: &Source, client: &Client) -> Result<((), String), Fault> {
    let mut denied = Vec::new();
    let wanted = wanted(source);
    for one in &wanted {
        denied.extend(may_read(client, one).await?);
    }
    if !denied.is_empty() {
        return Err(Fault::Denied(denied));
    }
    let resources: Vec<SpeakerResource> = SpeakerResource::of(source.speaker).collect();
    let mut without = Vec::new();
    for (path, resource) in served_paths(client, &resources, PATIENCE).await.map_err(Fault::Answer)? {
        let one = Wanted { path, resource, namespace: None };
        if !may_read(client, &one).await?.is_empty() {
            without.push(resource);
        }
    }
    let mut words = "services, endpointslices and nodes may be listed and watched".to_owned();
    if !without.is_empty() {
        words.push_str("; done without, as they may not be read: ");
        words.push_str(&without.join(", "));
    }
    Ok(((), words))
}

fn wanted(source: &Source) -> Vec<Wanted> {
    let (services, slices, nodes) = (Services::new(source), Slices::default(), Nodes::new(source));
    let mut places: Vec<Option<Arc<str>>> = source.namespaces.iter().cloned().map(Some).collect();
    if places.is_empty() {
        places.push(None);
    }
    let mut wanted = vec![Wanted {
        path: format!("{}/{}", nodes.api(), nodes.resource()),
        resource: nodes.resource(),
        namespace: None,
    }];
    for (api, resource) in [(services.api(), services.resource()), (slices.api(), slices.resource())] {
        wanted.extend(places.iter().map(|place| {
            let path = match place {
                Some(namespace) => format!("{api}/namespaces/{namespace}/{resource}"),
                None => format!("{api}/{resource}"),
            };
            Wanted { path, resource, namespace: place.clone() }
        }));
    }
    wanted
}

/// Lists one object and opens a watch; returns a sentence for each that is not permitted.
async fn may_read(client: &Client, wanted: &Wanted) -> Result<Vec<String>, Fault> {
    let request = kube::core::Request::new(wanted.path.as_str());
    let list = request.list(&ListParams::default().limit(1));
    let watch = request.watch(&WatchParams { timeout: Some(1), ..WatchParams::default() }, "0");
    let (Ok(list), Ok(watch)) = (list, watch) else { return Ok(Vec::new()) };
    let mut denied = Vec::new();
    let listed = client.ask(list, PAGE_BYTES, PATIENCE).await.map(drop);
    let watched = client.open(watch, PATIENCE).await.map(drop);
    for (verb, answer) in [("list", listed), ("watch", watched)] {
        let asked = Request { verb, resource: wanted.resource, namespace: wanted.namespace.as_deref() };
        match answer {
            Ok(()) | Err(RequestError::TooLarge { .. }) => {}
            Err(error) if error.code() == Some(403) => denied.push(reason::explain(&error, asked)),
            // An older server, or a speaker that is not installed: the agent works without it, too.
            Err(error) if error.code() == Some(404) => {}
            Err(error) if error.code() == Some(401) => return Err(Fault::Unauthorized(reason::explain(&error, asked))),
            Err(error) => return Err(Fault::Answer(reason::explain(&error, asked))),
        }
    }
    Ok(denied)
}
