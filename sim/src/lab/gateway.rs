//! The connection from one leaf to one API server, behind the leaf's control-plane filter.
//!
//! While the filter drops the server's answers, new connections time out (the SYN is lost, as a dropped SYN-ACK would
//! be), and established ones receive nothing. For new connections, Linux does this if a listener's queue is full.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::datastore::Datastore;
use crate::leaf::admits_answers_of;
use crate::proxy::{Passing, join};

/// Number of connections that may wait while the filter is open.
const QUEUE: i32 = 128;

/// A running gateway. Dropping it ends it and its connections.
#[derive(Debug)]
pub(super) struct Gateway {
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Gateway {
    /// Opens a port of this machine in front of a server. The switch's configuration decides what passes.
    ///
    /// # Errors
    /// Returns an error if no port can be bound.
    pub(super) async fn start(store: Datastore, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let passing = watch::Sender::new(Passing::ToServer);
        let served = serve(listener, server, passing.subscribe());
        let tasks = [tokio::spawn(served), tokio::spawn(follow(store, address, passing))];
        Ok(Self { address, tasks })
    }

    /// Returns the address it listens on.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Opens and shuts the gateway according to the configuration.
async fn follow(store: Datastore, address: SocketAddr, passing: watch::Sender<Passing>) {
    use tokio::sync::broadcast::error::RecvError;
    let mut news = store.subscribe();
    loop {
        let now = if admits_answers_of(&store, address) { Passing::Both } else { Passing::ToServer };
        passing.send_if_modified(|passing| std::mem::replace(passing, now) != now);
        loop {
            match news.recv().await {
                Ok(transaction) if transaction.store == crate::datastore::Store::Running => break,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
            }
        }
    }
}

async fn serve(listener: TcpListener, server: SocketAddr, mut passing: watch::Receiver<Passing>) {
    let mut connections = JoinSet::new();
    loop {
        let open = *passing.borrow_and_update() == Passing::Both;
        let kept = if open {
            accept(&listener, server, &mut passing, &mut connections).await
        } else {
            refuse(&listener, &mut passing).await
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "cannot accept connections to an API server any longer");
            return;
        }
    }
}

/// Accepts connections until the filter changes.
async fn accept(
    listener: &TcpListener,
    server: SocketAddr,
    passing: &mut watch::Receiver<Passing>,
    connections: &mut JoinSet<()>,
) -> io::Result<()> {
    rustix::net::listen(listener, QUEUE)?;
    loop {
        tokio::select! {
            changed = passing.changed() => return changed.map_err(|_| io::ErrorKind::BrokenPipe.into()),
            accepted = listener.accept() => {
                let (client, _) = accepted?;
                while connections.try_join_next().is_some() {}
                let passing = passing.clone();
                connections.spawn(async move {
                    // If the server is down, the client's connection is closed, as the server's own would be.
                    if let Ok(server) = TcpStream::connect(server).await {
                        let _ = join(client.into_split(), server.into_split(), passing).await;
                    }
                });
            }
        }
    }
}

/// Keeps the queue full until the filter changes, so that the kernel drops every SYN.
async fn refuse(listener: &TcpListener, passing: &mut watch::Receiver<Passing>) -> io::Result<()> {
    rustix::net::listen(listener, 0)?;
    let filler = TcpStream::connect(listener.local_addr()?);
    tokio::pin!(filler);
    let mut filled = None;
    loop {
        tokio::select! {
            changed = passing.changed() => return changed.map_err(|_| io::ErrorKind::BrokenPipe.into()),
            // If another connection has filled the queue, this one hangs like the others.
            stream = &mut filler, if filled.is_none() => filled = Some(stream?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::leaf::boot_filter;
    use crate::path::Path;

    const QUIET: Duration = Duration::from_millis(300);

    async fn commit(store: &Datastore, path: &Path, value: Option<&serde_json::Value>) {
        let candidate = store.private_candidate();
        match value {
            Some(value) => candidate.set(path, value).expect("the schema knows it"),
            None => candidate.delete(path).expect("the schema knows it"),
        }
        store.commit(&candidate).await.expect("committed");
    }

    #[tokio::test]
    async fn connections_time_out_until_a_filter_entry_admits_the_answers() {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let server = echo.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        let store = Datastore::new(crate::ndk::tests::schema());
        boot_filter(&store);
        let gateway = Gateway::start(store.clone(), server).await.expect("a gateway");
        let address = gateway.address();
        tokio::time::sleep(QUIET).await;
        let early = tokio::time::timeout(QUIET, TcpStream::connect(address)).await;
        assert!(early.is_err(), "{early:?}");

        let entry: Path = "/acl/acl-filter[name=cpm][type=ipv4]/entry[sequence-id=370]".parse().expect("a path");
        let port = json!({ "operator": "eq", "value": address.port().to_string() });
        let accept = json!({ "match": { "transport": { "source-port": port } }, "action": { "accept": {} } });
        commit(&store, &entry, Some(&accept)).await;
        let connected = tokio::time::timeout(Duration::from_secs(10), TcpStream::connect(address)).await;
        let mut stream = connected.expect("in time").expect("connected");
        stream.write_all(b"a").await.expect("sent");
        stream.read_exact(&mut [0]).await.expect("answered");

        commit(&store, &entry, None).await;
        tokio::time::sleep(QUIET).await;
        stream.write_all(b"b").await.expect("sent");
        let silent = tokio::time::timeout(QUIET, stream.read_exact(&mut [0])).await;
        assert!(silent.is_err(), "a standing connection hears nothing either");
        let late = tokio::time::timeout(QUIET, TcpStream::connect(address)).await;
        assert!(late.is_err(), "{late:?}");
    }
}
