//! One connection to the gNMI server, with the credentials of one reading of the password file.

use std::io;
use std::path::PathBuf;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tonic::codegen::InterceptedService;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::endpoint::{ConnectError, Endpoint};
use crate::proto::gnmi;
use gnmi::g_nmi_client::GNmiClient;

/// A Get of the agent's own state may be large.
const LARGEST_MESSAGE: usize = 256 << 20;

/// Who the agent is to the gNMI server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// Where the password stands, and nothing else but a line end; read for every connection. None sends no
    /// credentials, for servers with `metadata-authentication false`.
    pub password_file: Option<PathBuf>,
}

/// Why there is no usable password.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read the gNMI password file {path}")]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is empty.
    #[error("the gNMI password file {0} is empty")]
    Empty(PathBuf),
    /// User or password hold what gRPC metadata cannot carry.
    #[error("the gNMI {0} holds a line break or control character")]
    Characters(&'static str),
}

/// What goes with every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Secret(Option<(AsciiMetadataValue, AsciiMetadataValue)>);

impl Credentials {
    /// Reads the password as it is now.
    pub(super) async fn read(&self) -> Result<Secret, CredentialsError> {
        let Some(path) = &self.password_file else { return Ok(Secret(None)) };
        let text = tokio::fs::read(path)
            .await
            .map_err(|source| CredentialsError::Unreadable { path: path.clone(), source })?;
        let password = text.strip_suffix(b"\n").unwrap_or(&text);
        let password = password.strip_suffix(b"\r").unwrap_or(password);
        if password.is_empty() {
            return Err(CredentialsError::Empty(path.clone()));
        }
        let user = AsciiMetadataValue::try_from(self.username.as_bytes());
        let mut password =
            AsciiMetadataValue::try_from(password).map_err(|_| CredentialsError::Characters("password"))?;
        password.set_sensitive(true);
        Ok(Secret(Some((user.map_err(|_| CredentialsError::Characters("username"))?, password))))
    }

    /// Whose credentials, in words.
    pub(super) fn words(&self) -> String {
        match &self.password_file {
            Some(file) => format!("user '{}' with the password in {}", self.username, file.display()),
            None => "calls without credentials".to_owned(),
        }
    }
}

impl Interceptor for Secret {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some((user, password)) = &self.0 {
            request.metadata_mut().insert("username", user.clone());
            request.metadata_mut().insert("password", password.clone());
        }
        Ok(request)
    }
}

/// The calls of one connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    inner: GNmiClient<InterceptedService<Channel, Secret>>,
}

impl Client {
    pub(super) async fn connect(endpoint: &Endpoint, secret: Secret) -> Result<Self, ConnectError> {
        let channel = endpoint.connect().await?;
        let inner =
            GNmiClient::new(InterceptedService::new(channel, secret)).max_decoding_message_size(LARGEST_MESSAGE);
        Ok(Self { inner })
    }

    /// Subscribes, and never ends the request on its own side: some servers take that for the end of the subscription.
    /// Opening is part of the stream: a server may answer only with its first update.
    pub(super) fn subscribe(
        &self,
        request: gnmi::SubscribeRequest,
    ) -> BoxStream<'static, Result<gnmi::SubscribeResponse, Status>> {
        let mut inner = self.inner.clone();
        let requests = futures::stream::once(std::future::ready(request)).chain(futures::stream::pending());
        let open = async move { inner.subscribe(requests).await.map(tonic::Response::into_inner) };
        futures::stream::once(open).try_flatten().boxed()
    }

    pub(super) async fn get(&mut self, request: gnmi::GetRequest) -> Result<gnmi::GetResponse, Status> {
        Ok(self.inner.get(request).await?.into_inner())
    }
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// User or password.
    Credentials,
    /// Too many requests.
    Limit,
    /// The encoding.
    Encoding,
    /// A path.
    Path,
    /// Nothing of these: the server is not well, or gone.
    Other,
}

/// Reads a status as a server of any release means it.
pub(super) fn refusal(status: &Status) -> Refusal {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Refusal::Credentials,
        Code::ResourceExhausted => Refusal::Limit,
        Code::InvalidArgument | Code::Unimplemented if status.message().to_ascii_lowercase().contains("encoding") => {
            Refusal::Encoding
        }
        Code::InvalidArgument | Code::NotFound | Code::Unimplemented => Refusal::Path,
        _ => Refusal::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_password_is_read_without_its_line_end_and_never_shown() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "NokiaSrl1! \r\n").expect("written");
        let credentials = Credentials { username: "admin".to_owned(), password_file: Some(file.path().to_owned()) };
        let mut secret = credentials.read().await.expect("readable");
        let request = secret.call(Request::new(())).expect("never refuses");
        assert_eq!(request.metadata().get("password").expect("sent").as_bytes(), b"NokiaSrl1! ");
        assert!(!format!("{secret:?} {credentials:?} {request:?}").contains("Nokia"));
    }

    #[tokio::test]
    async fn an_empty_or_binary_password_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let credentials = Credentials { username: "admin".to_owned(), password_file: Some(file.path().to_owned()) };
        assert!(matches!(credentials.read().await, Err(CredentialsError::Empty(_))));
        std::fs::write(file.path(), "two\nlines").expect("written");
        assert!(matches!(credentials.read().await, Err(CredentialsError::Characters("password"))));
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, expected) in [
            (Status::unauthenticated("Wrong password"), Refusal::Credentials),
            (Status::resource_exhausted("rate limit"), Refusal::Limit),
            (Status::unimplemented("Encoding JSON is not supported"), Refusal::Encoding),
            (Status::invalid_argument("Path not valid - unknown element 'x'"), Refusal::Path),
            (Status::unavailable("gone"), Refusal::Other),
        ] {
            assert_eq!(refusal(&status), expected, "{status}");
        }
    }
}
