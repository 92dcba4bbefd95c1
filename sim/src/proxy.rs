//! A proxy in front of a server that can silently stop forwarding, like a connection whose peer vanishes without a FIN.
//! Connections are kept, new ones are accepted, but nothing passes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::ndk::link::bind_unix;

/// Maximum number of bytes forwarded at once.
const PIECE: usize = 64 << 10;

/// What a proxy forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// In both directions.
    Both,
    /// Only from client to server: answers are held back.
    ToServer,
    /// Only from server to client: requests are held back.
    ToClient,
    /// Nothing.
    Nothing,
}

impl Passing {
    fn to_server(self) -> bool {
        matches!(self, Self::Both | Self::ToServer)
    }

    fn to_client(self) -> bool {
        matches!(self, Self::Both | Self::ToClient)
    }
}

/// A running proxy. Dropping it closes its listener and connections. Data that was held back is forwarded once it may
/// pass, so nothing is lost.
#[derive(Debug)]
pub struct Proxy {
    passing: watch::Sender<Passing>,
    address: Option<SocketAddr>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts a proxy on a unix socket in front of another one, which need not exist yet.
    ///
    /// # Errors
    /// Returns an error if the socket cannot be bound.
    pub fn unix(listen: &Path, server: PathBuf) -> io::Result<Self> {
        let listener = bind_unix(listen)?;
        let passing = watch::Sender::new(Passing::Both);
        let task = tokio::spawn(serve_unix(listener, server, passing.clone()));
        Ok(Self { passing, address: None, task })
    }

    /// Starts a proxy on a TCP port of this machine in front of an address.
    ///
    /// # Errors
    /// Returns an error if no port can be bound.
    pub async fn tcp(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = Some(listener.local_addr()?);
        let passing = watch::Sender::new(Passing::Both);
        let task = tokio::spawn(serve_tcp(listener, server, passing.clone()));
        Ok(Self { passing, address, task })
    }

    /// Returns the address it listens on, if it uses TCP.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Changes what is forwarded, for existing and new connections.
    pub fn pass(&self, passing: Passing) {
        self.passing.send_replace(passing);
    }
}

async fn serve_unix(listener: UnixListener, server: PathBuf, passing: watch::Sender<Passing>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (server, passing) = (server.clone(), passing.subscribe());
        connections.spawn(async move {
            // If the server is down, the client's connection is closed, as the server's own would be.
            if let Ok(server) = UnixStream::connect(server).await {
                let _ = join(client.into_split(), server.into_split(), passing).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, server: SocketAddr, passing: watch::Sender<Passing>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let passing = passing.subscribe();
        connections.spawn(async move {
            // If the server is down, the client's connection is closed, as the server's own would be.
            if let Ok(server) = TcpStream::connect(server).await {
                let _ = join(client.into_split(), server.into_split(), passing).await;
            }
        });
    }
}

/// Forwards in both directions until both have ended, or one failed.
pub(crate) async fn join<R, W>(client: (R, W), server: (R, W), passing: watch::Receiver<Passing>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let up = forward(client.0, server.1, passing.clone(), Passing::to_server);
    let down = forward(server.0, client.1, passing, Passing::to_client);
    tokio::try_join!(up, down).map(drop)
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut passing: watch::Receiver<Passing>,
    may: fn(Passing) -> bool,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        until(&mut passing, may, true).await?;
        let count = tokio::select! {
            biased;
            // The end of a connection is held back like everything else.
            held = until(&mut passing, may, false) => {
                held?;
                continue;
            }
            count = from.read(&mut piece) => count?,
        };
        until(&mut passing, may, true).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..count]).await?;
    }
}

/// Waits until something may pass, or may not. Fails if the proxy is gone.
async fn until(passing: &mut watch::Receiver<Passing>, may: fn(Passing) -> bool, wanted: bool) -> io::Result<()> {
    let waited = passing.wait_for(|passing| may(*passing) == wanted).await;
    waited.map(drop).map_err(|_| io::ErrorKind::ConnectionReset.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Starts a server that echoes what it receives.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut read, mut write) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        address
    }

    async fn comes(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut byte)).await.is_ok()
    }

    #[tokio::test]
    async fn data_held_back_in_either_direction_passes_once_allowed() {
        let proxy = Proxy::tcp(echo().await).await.expect("a proxy");
        let mut client = TcpStream::connect(proxy.address().expect("TCP")).await.expect("connected");
        client.write_all(b"a").await.expect("sent");
        assert!(comes(&mut client).await);
        for held in [Passing::Nothing, Passing::ToServer, Passing::ToClient] {
            proxy.pass(held);
            client.write_all(b"b").await.expect("sent");
            assert!(!comes(&mut client).await, "{held:?}");
            proxy.pass(Passing::Both);
            client.read_exact(&mut [0]).await.expect("it comes through");
        }
    }
}
