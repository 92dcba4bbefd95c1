//! The HTTP side of the cluster: listeners and connections. The modules below handle requests.

mod answer;
mod context;
mod discovery;
mod media;
mod openapi;
mod read;
mod request;
mod route;
mod scale;
mod stream;
mod swagger;
mod table;
mod write;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::faults::Faults;
use super::{Cluster, Inner};

/// Number of connections that may wait to be accepted once the server answers again.
const BACKLOG: u32 = 1024;

/// A listener of the API. Dropping it closes the listener and its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cluster {
    /// Serves the API (plain HTTP, versions 1 and 2) on a listener. After [`Cluster::stop`] and [`Cluster::start`] it
    /// binds the same address again, in the network namespace of the runtime's threads.
    ///
    /// # Errors
    /// Returns an error if the listener has no local address.
    pub fn serve(&self, listener: TcpListener) -> io::Result<Server> {
        let address = listener.local_addr()?;
        let inner = Arc::clone(&self.inner);
        let counted = Listening::count(&inner);
        let task = tokio::spawn(listen(inner, listener, address, counted));
        Ok(Server { address, task })
    }
}

/// Counts one listener until it is dropped, however its task ends.
struct Listening(Arc<Inner>);

impl Listening {
    fn count(inner: &Arc<Inner>) -> Self {
        inner.listening.send_modify(|listening| *listening += 1);
        Self(Arc::clone(inner))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.send_modify(|listening| *listening -= 1);
    }
}

async fn listen(inner: Arc<Inner>, mut listener: TcpListener, address: SocketAddr, counted: Listening) {
    let mut faults = inner.faults.subscribe();
    let mut counted = Some(counted);
    loop {
        accept(&inner, &listener, address, &mut faults).await;
        drop(listener);
        let held = hold(address).await;
        counted.take();
        // The sender lives in the cluster, which this task keeps alive.
        let _ = faults.wait_for(|faults| faults.answering).await;
        listener = match held.listen(BACKLOG) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%address, %error, "cannot listen on the address again");
                return;
            }
        };
        counted.replace(Listening::count(&inner));
    }
}

/// Accepts connections until the cluster stops answering, then closes them.
async fn accept(inner: &Arc<Inner>, listener: &TcpListener, address: SocketAddr, faults: &mut watch::Receiver<Faults>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = faults.wait_for(|faults| !faults.answering) => break,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(Arc::clone(inner), stream))),
            Err(error) => {
                tracing::warn!(%address, %error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    connections.shutdown().await;
}

/// Keeps the address bound without listening: connections to it are refused, and nobody else can bind it.
async fn hold(address: SocketAddr) -> TcpSocket {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections closed a moment ago may still linger on the address.
        socket.set_reuseaddr(true)?;
        socket.bind(address).map(|()| socket)
    };
    let mut said = false;
    loop {
        match bound() {
            Ok(socket) => return socket,
            Err(error) if !std::mem::replace(&mut said, true) => {
                tracing::warn!(%address, %error, "the address is still in use");
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn connection(inner: Arc<Inner>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay refused");
    }
    let service = service_fn(move |request| {
        let inner = Arc::clone(&inner);
        async move { Ok::<_, Infallible>(request::handle(inner, request).await) }
    });
    if let Err(error) = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection ended");
    }
}
