//! Connections that can be frozen and cut. Every socket that the NDK accepts is used through a [`Link`].

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream, WatchStream};
use tonic::transport::server::Connected;

/// What may pass through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Everything.
    Open,
    /// Nothing passes, and the peer is not notified.
    Frozen,
    /// The connection is reset.
    Cut,
}

trait Socket: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Socket for T {}

/// An accepted connection behind a gate.
pub(crate) struct Link {
    socket: Pin<Box<dyn Socket>>,
    gate: Gate,
    changes: WatchStream<Gate>,
    connection: Connection,
    cut: WatchStream<bool>,
}

/// A connection, for the requests on it.
#[derive(Clone)]
pub(crate) struct Connection {
    cut: Arc<watch::Sender<bool>>,
    /// Whether it is a TCP connection.
    pub(crate) tcp: bool,
}

impl Connection {
    /// Resets the connection.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }
}

impl Link {
    fn new(socket: impl Socket + 'static, gate: &watch::Receiver<Gate>, tcp: bool) -> Self {
        let connection = Connection { cut: Arc::new(watch::Sender::new(false)), tcp };
        let cut = WatchStream::new(connection.cut.subscribe());
        let (gate, changes) = (*gate.borrow(), WatchStream::new(gate.clone()));
        Self { socket: Box::pin(socket), gate, changes, connection, cut }
    }

    /// Returns ready if bytes may pass. Always registers the waker with the gate.
    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Poll::Ready(Some(cut)) = self.cut.poll_next_unpin(context) {
            if cut {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        while let Poll::Ready(change) = self.changes.poll_next_unpin(context) {
            self.gate = change.unwrap_or(Gate::Cut);
            if change.is_none() {
                break;
            }
        }
        match self.gate {
            Gate::Open => Poll::Ready(Ok(())),
            Gate::Frozen => Poll::Pending,
            Gate::Cut => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_gate(context))?;
        self.socket.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_gate(context))?;
        self.socket.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_gate(context))?;
        self.socket.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_gate(context))?;
        self.socket.as_mut().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

impl Connected for Link {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.clone()
    }
}

/// Returns accepted connections from a unix socket and, if given, from TCP.
pub(crate) fn incoming(
    unix: UnixListener,
    tcp: Option<TcpListener>,
    gate: watch::Receiver<Gate>,
) -> impl Stream<Item = io::Result<Link>> + Send {
    let tcp_gate = gate.clone();
    let tcp = futures::stream::iter(tcp).flat_map(move |listener| of_tcp(listener, tcp_gate.clone()));
    futures::stream::select(of_unix(unix, gate), tcp)
}

/// Returns connections accepted at a unix socket.
pub(crate) fn of_unix(
    listener: UnixListener,
    gate: watch::Receiver<Gate>,
) -> impl Stream<Item = io::Result<Link>> + Send + Unpin {
    UnixListenerStream::new(listener).map(move |socket| Ok(Link::new(socket?, &gate, false)))
}

/// Returns connections accepted over TCP.
pub(crate) fn of_tcp(
    listener: TcpListener,
    gate: watch::Receiver<Gate>,
) -> impl Stream<Item = io::Result<Link>> + Send + Unpin {
    TcpListenerStream::new(listener).map(move |socket| Ok(Link::new(socket?, &gate, true)))
}

/// Binds a unix socket, and replaces the file that a dead process may have left there.
///
/// # Errors
/// Returns an error if the socket cannot be bound or the existing file cannot be removed.
pub(crate) fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}
