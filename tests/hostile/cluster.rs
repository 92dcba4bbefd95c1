//! The source of one cluster, and its events.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use srl_k8s_services::kubernetes::{ClusterSource, ConnectOptions, Dialers, Notices};
use srl_k8s_services::model::config::{Connection, Source, Speaker};
use srl_k8s_services::model::event::{ClusterEvent, Event, SourceEvent};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use crate::server::Server;

/// Returns the result of a future. Panics if it takes longer than a minute.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("within a minute")
}

/// A running source.
pub(crate) struct Cluster {
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cluster {
    /// Follows a server over plain HTTP, without credentials.
    pub(crate) fn of(server: &Server) -> Self {
        Self::at(&server.url(), None)
    }

    /// Follows the server at a URL, with a token if given.
    pub(crate) fn at(url: &str, token: Option<PathBuf>) -> Self {
        Self::start(Connection::ApiServer {
            url: url.into(),
            certificate_authority: None,
            token,
            client_certificate: None,
            insecure_skip_verify: false,
        })
    }

    /// Follows the server at a URL with these files: the authority that signed its certificate, and a certificate and a
    /// key of the agent's own.
    pub(crate) fn certified(url: &str, authority: &Path, certificate: &Path, key: &Path) -> Self {
        Self::start(Connection::ApiServer {
            url: url.into(),
            certificate_authority: Some(authority.to_owned()),
            token: None,
            client_certificate: Some((certificate.to_owned(), key.to_owned())),
            insecure_skip_verify: false,
        })
    }

    /// Follows the server of a kubeconfig.
    pub(crate) fn by(kubeconfig: &Path) -> Self {
        Self::start(Connection::Kubeconfig { path: kubeconfig.to_owned(), context: None })
    }

    fn start(connection: Connection) -> Self {
        let config = Source {
            connection,
            network_namespace: None,
            speaker: Speaker::Generic,
            namespaces: BTreeSet::new(),
            label_selector: None,
            include_external_ips: true,
            node_address_annotation: Some("example.com/bgp".into()),
            node_labels: true,
        };
        let (sender, events) = mpsc::channel(64);
        let told = Notices { notices: broadcast::channel(8).0, enabled: watch::channel(false).1, leaf: "leaf1".into() };
        let refresh = watch::channel(0).1;
        let options =
            ConnectOptions { credentials: Arc::from(Path::new("/")), dialers: Dialers::start().expect("a thread") };
        let source = ClusterSource::new("c1".into(), config, sender, refresh, told, options);
        Self { events, task: tokio::spawn(source.run()) }
    }

    /// Returns the next event.
    pub(crate) async fn next(&mut self) -> Event {
        soon(self.events.recv()).await.expect("the source runs")
    }

    /// Waits until the source is lost. Returns the reason.
    pub(crate) async fn lost(&mut self) -> String {
        loop {
            if let Event::Source(_, SourceEvent::Lost(reason)) = self.next().await {
                return reason.to_string();
            }
        }
    }

    pub(crate) async fn synced(&mut self) {
        while !matches!(self.next().await, Event::Source(_, SourceEvent::Synced)) {}
    }

    /// Returns the next change of the cluster.
    pub(crate) async fn change(&mut self) -> ClusterEvent {
        loop {
            if let Event::Cluster(_, event) = self.next().await {
                return event;
            }
        }
    }

    /// Waits for a note in the cluster's state that contains these words. Returns the note.
    pub(crate) async fn note(&mut self, words: &str) -> String {
        loop {
            if let ClusterEvent::Connected { caveat: Some(note), .. } = self.change().await
                && note.contains(words)
            {
                return note.to_string();
            }
        }
    }
}

/// Asserts that a reason is one printable line of bounded length.
pub(crate) fn assert_printable(reason: &str) {
    assert!(reason.chars().count() < 600, "{} characters: {:.300}", reason.chars().count(), reason);
    assert!(reason.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{reason:?}");
}
