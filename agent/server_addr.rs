//! Connects to a gRPC server of the switch.
//!
//! A connection is never reopened implicitly: when it is lost, every call on its channel fails. A server that was
//! restarted has forgotten registrations and subscriptions, so the owner of a channel must notice.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Channel;
use tower::{ServiceExt, service_fn};

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a TCP peer may be silent before the kernel probes it. HTTP/2 pings are not used: gRPC servers drop clients
/// that ping more often than every five minutes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
/// HTTP/2 window: the dump of a table comes in bursts, and the reader is on the same machine.
const WINDOW: u32 = 4 << 20;

/// The address of a gRPC server: `unix:///path` or `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddr(Address);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    /// The file name may contain a colon: SR Linux names one `sr_sdk_service_manager:50053`.
    Unix(PathBuf),
    Tcp(Uri),
}

/// Why a text is not the address of a gRPC server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerAddrError {
    /// The text has neither scheme.
    #[error("'{0}' is not a server address: write unix:///path/of/socket or http://host:port")]
    Scheme(String),
    /// The socket path is relative or missing.
    #[error("'{0}' names no absolute path: write unix:///path/of/socket")]
    RelativePath(String),
    /// Host or port is missing or unreadable, or followed by more text.
    #[error("'{0}' is not http://host:port")]
    HostAndPort(String),
}

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket file does not exist.
    #[error("{endpoint} does not exist")]
    Absent {
        /// The address.
        endpoint: ServerAddr,
    },
    /// The socket cannot be connected to.
    #[error("cannot connect to {endpoint}")]
    Socket {
        /// The address.
        endpoint: ServerAddr,
        /// The error of the system.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There was no answer in time.
    #[error("{endpoint} did not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// The address.
        endpoint: ServerAddr,
    },
}

impl ServerAddr {
    /// Connects once. The channel fails permanently when the connection is lost.
    pub async fn connect(&self) -> Result<Channel, ConnectError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout { endpoint: self.clone() }),
        }
    }

    async fn open(&self) -> Result<Channel, ConnectError> {
        match &self.0 {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => ConnectError::Absent { endpoint: self.clone() },
                    _ => self.refused(error),
                })?;
                self.channel(Uri::from_static("http://localhost"), TokioIo::new(stream)).await
            }
            Address::Tcp(uri) => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                connector.set_keepalive(Some(TCP_KEEPALIVE));
                let stream = connector.oneshot(uri.clone()).await.map_err(|error| self.refused(error))?;
                self.channel(uri.clone(), stream).await
            }
        }
    }

    async fn channel<I>(&self, origin: Uri, io: I) -> Result<Channel, ConnectError>
    where
        I: Read + Write + Send + Unpin + 'static,
    {
        let mut only = Some(io);
        let connector = service_fn(move |_: Uri| {
            std::future::ready(only.take().ok_or_else(|| io::Error::other("the connection was lost")))
        });
        tonic::transport::Endpoint::from(origin)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .connect_with_connector(connector)
            .await
            .map_err(|error| self.refused(error))
    }

    fn refused(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConnectError {
        ConnectError::Socket { endpoint: self.clone(), source: source.into() }
    }
}

impl FromStr for ServerAddr {
    type Err = ServerAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.len() < 2 || !path.starts_with('/') {
                return Err(ServerAddrError::RelativePath(text.to_owned()));
            }
            return Ok(Self(Address::Unix(PathBuf::from(path))));
        }
        if !text.starts_with("http://") {
            return Err(ServerAddrError::Scheme(text.to_owned()));
        }
        let wrong = || ServerAddrError::HostAndPort(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let whole = uri.path() == "/" && uri.query().is_none() && uri.port_u16().is_some_and(|port| port > 0);
        if whole && uri.host().is_some_and(|host| !host.is_empty()) {
            Ok(Self(Address::Tcp(uri)))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(uri) => write!(f, "http://{}", uri.authority().map_or("", |authority| authority.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_address_are_parsed_and_printed() {
        for text in [
            "unix:///opt/srlinux/var/run/sr_sdk_service_manager:50053",
            "unix:///opt/srlinux/var/run/sr_grpc_server_insecure-mgmt",
            "http://127.0.0.1:57401",
            "http://[::1]:50053",
            "http://leaf1:50053",
        ] {
            let endpoint: ServerAddr = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), text);
        }
        assert_eq!("unix:/run/a".parse(), "unix:///run/a".parse::<ServerAddr>());
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        for (text, expected) in [
            ("", "unix:///path"),
            ("localhost:50053", "unix:///path"),
            ("https://leaf1:57400", "http://host:port"),
            ("unix://run/a", "absolute path"),
            ("unix:///", "absolute path"),
            ("http://leaf1", "is not http://host:port"),
            ("http://leaf1:0", "is not http://host:port"),
            ("http://leaf1:99999", "is not http://host:port"),
            ("http://leaf1:1/path", "is not http://host:port"),
            ("http://:1", "is not http://host:port"),
        ] {
            let error = text.parse::<ServerAddr>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn a_missing_socket_is_distinguished_from_one_that_refuses_connections() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("sr:1");
        let endpoint: ServerAddr = format!("unix://{}", path.display()).parse().expect("an address");
        assert!(matches!(endpoint.connect().await, Err(ConnectError::Absent { .. })));
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(matches!(endpoint.connect().await, Err(ConnectError::Socket { .. })));
    }

    #[tokio::test]
    async fn an_http_address_connects_to_a_tcp_server() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let port = listener.local_addr().expect("bound").port();
        let endpoint: ServerAddr = format!("http://127.0.0.1:{port}").parse().expect("an address");
        endpoint.connect().await.expect("connected");
        drop(listener);
        assert!(matches!(endpoint.connect().await, Err(ConnectError::Socket { .. })));
    }
}
