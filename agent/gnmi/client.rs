//! Wraps one connection to the gNMI server, with the credentials as they were when it was opened.

use std::path::PathBuf;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tonic::codegen::InterceptedService;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::files::{self, FileError, Purpose, Readers};
use crate::server_addr::{ConnectError, ServerAddr};
use gnmi::g_nmi_client::GNmiClient;
use srl_proto::gnmi;

/// Largest answer to a Get of the agent's own state.
const LARGEST_MESSAGE: usize = 256 << 20;

/// Largest answer to questions about what is not up.
const SMALL_MESSAGE: usize = 1 << 20;
/// A password file; a larger file is something else.
const PASSWORD: Purpose = Purpose { what: "the gNMI password file", most: 4096, readers: Readers::Group };

/// The agent's credentials for the gNMI server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// Where the password is.
    pub password_file: PasswordFile,
}

/// A file with the password, optionally followed by a line end. It is read again for every connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordFile {
    /// The agent waits for the file.
    Required(PathBuf),
    /// Without the file, calls have no credentials, for servers with `metadata-authentication false`.
    Optional(PathBuf),
}

/// Why there is no usable password.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The task that reads the file failed.
    #[error("the gNMI password file {0} cannot be read: the reader failed")]
    Reader(PathBuf),
    /// The file is empty.
    #[error("the gNMI password file {0} is empty")]
    Empty(PathBuf),
    /// User or password contain characters that gRPC metadata cannot carry.
    #[error("the gNMI {0} holds a line break or control character")]
    Characters(&'static str),
}

/// Metadata that is added to every call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Secret(Option<(AsciiMetadataValue, AsciiMetadataValue)>);

impl Credentials {
    /// Reads the current password.
    pub(super) async fn read(&self) -> Result<Secret, CredentialsError> {
        let Some(text) = self.password_file.read().await? else { return Ok(Secret(None)) };
        let password = text.strip_suffix(b"\n").unwrap_or(&text);
        let password = password.strip_suffix(b"\r").unwrap_or(password);
        if password.is_empty() {
            return Err(CredentialsError::Empty(self.password_file.path().clone()));
        }
        let user = AsciiMetadataValue::try_from(self.username.as_bytes());
        let mut password =
            AsciiMetadataValue::try_from(password).map_err(|_| CredentialsError::Characters("password"))?;
        password.set_sensitive(true);
        Ok(Secret(Some((user.map_err(|_| CredentialsError::Characters("username"))?, password))))
    }

    /// Describes in words whose credentials these are.
    pub(super) fn words(&self, secret: &Secret) -> String {
        let (user, file) = (&self.username, self.password_file.path().display());
        match secret.0 {
            Some(_) => format!("user '{user}' with the password in {file}"),
            None => format!("calls without credentials (the password of user '{user}' belongs in {file})"),
        }
    }
}

impl PasswordFile {
    /// Returns where the file is, or should be.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Required(path) | Self::Optional(path) => path,
        }
    }

    /// Returns the content of the file; `None` if it is optional and missing.
    async fn read(&self) -> Result<Option<Vec<u8>>, CredentialsError> {
        let path = self.path().clone();
        let read = tokio::task::spawn_blocking(move || files::read(&path, PASSWORD)).await;
        match read.map_err(|_| CredentialsError::Reader(self.path().clone()))? {
            Ok(contents) => Ok(Some(contents.bytes)),
            Err(error) if error.is_missing() && matches!(self, Self::Optional(_)) => Ok(None),
            Err(error) => Err(error.into()),
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

/// The responses of a subscription.
pub(super) type Responses = BoxStream<'static, Result<gnmi::SubscribeResponse, Status>>;

/// The calls of one connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    inner: GNmiClient<InterceptedService<Channel, Secret>>,
}

impl Client {
    pub(super) async fn connect(endpoint: &ServerAddr, secret: Secret) -> Result<Self, ConnectError> {
        let channel = endpoint.connect().await?;
        let inner =
            GNmiClient::new(InterceptedService::new(channel, secret)).max_decoding_message_size(LARGEST_MESSAGE);
        Ok(Self { inner })
    }

    /// Subscribes, and never ends the request on its own side: some servers take that as the end of the subscription.
    /// Opening is part of the stream, because a server may answer only with its first update.
    pub(super) fn subscribe(&self, request: gnmi::SubscribeRequest) -> Responses {
        let mut inner = self.inner.clone();
        let requests = futures::stream::once(std::future::ready(request)).chain(futures::stream::pending());
        let open = async move { inner.subscribe(requests).await.map(tonic::Response::into_inner) };
        futures::stream::once(open).try_flatten().boxed()
    }

    /// Returns the encodings that the server supports.
    pub(super) async fn encodings(&mut self) -> Result<Vec<gnmi::Encoding>, Status> {
        let capabilities = self.inner.capabilities(gnmi::CapabilityRequest::default()).await?.into_inner();
        Ok(capabilities.supported_encodings().collect())
    }

    /// Sends a Get whose answer must be small.
    pub(super) async fn get_small(&self, request: gnmi::GetRequest) -> Result<gnmi::GetResponse, Status> {
        let mut inner = self.inner.clone().max_decoding_message_size(SMALL_MESSAGE);
        Ok(inner.get(request).await?.into_inner())
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
    /// Something else: the server is failing, or gone.
    Other,
}

/// Interprets a status as servers of all releases mean it.
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn credentials(file: &tempfile::NamedTempFile) -> Credentials {
        let password_file = PasswordFile::Required(file.path().to_owned());
        Credentials { username: "admin".to_owned(), password_file }
    }

    #[tokio::test]
    async fn the_password_is_read_without_its_line_ending_and_never_shown() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "NokiaSrl1! \r\n").expect("written");
        let credentials = credentials(&file);
        let mut secret = credentials.read().await.expect("readable");
        let request = secret.call(Request::new(())).expect("never refuses");
        assert_eq!(request.metadata().get("password").expect("sent").as_bytes(), b"NokiaSrl1! ");
        assert!(!format!("{secret:?} {credentials:?} {request:?}").contains("Nokia"));
        assert!(!credentials.words(&secret).contains("Nokia"));
    }

    #[tokio::test]
    async fn an_empty_or_binary_password_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let credentials = credentials(&file);
        assert!(matches!(credentials.read().await, Err(CredentialsError::Empty(_))));
        std::fs::write(file.path(), "two\nlines").expect("written");
        assert!(matches!(credentials.read().await, Err(CredentialsError::Characters("password"))));
    }

    #[tokio::test]
    async fn a_world_readable_password_file_is_refused_with_the_remedy() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "NokiaSrl1!").expect("written");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).expect("changed");
        let error = credentials(&file).read().await.expect_err("refused");
        assert!(error.to_string().ends_with(&format!("(mode 0644): chmod o= {}", file.path().display())), "{error}");
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).expect("changed");
        credentials(&file).read().await.expect("its group may read it");
    }

    #[tokio::test]
    async fn credentials_from_an_optional_file_are_sent_once_the_file_exists() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gnmi-password");
        let credentials =
            Credentials { username: "admin".to_owned(), password_file: PasswordFile::Optional(path.clone()) };
        let none = credentials.read().await.expect("not needed");
        assert_eq!(none, Secret(None));
        assert!(credentials.words(&none).contains(&path.display().to_string()));
        std::fs::write(&path, "NokiaSrl1!").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("changed");
        assert_ne!(credentials.read().await.expect("readable"), none);
    }

    #[test]
    fn refusals_are_classified_by_status() {
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
