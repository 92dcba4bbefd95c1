//! Sends commands to an FRR daemon over its vty socket, as vtysh does: text that ends with NUL. The answer is text that
//! ends with three NULs and a status.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Time limit of an answer. A busy daemon answers late; one that is stuck does not answer.
const ANSWER: Duration = Duration::from_secs(5);
/// NULs that end an answer before its status.
const END: &[u8] = &[0; 3];

/// Why a command has no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum VtyError {
    /// The socket of the daemon is missing or failed.
    #[error("no answer on {socket}: is the daemon running?")]
    Socket {
        /// Path of the socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The daemon does not know the command or cannot execute it.
    #[error("'{command}' was refused: {answer}")]
    Refused {
        /// The command.
        command: String,
        /// The daemon's answer.
        answer: String,
    },
    /// The answer has another shape than in the supported releases.
    #[error("cannot parse the answer to '{command}'")]
    Answer {
        /// The command.
        command: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// A connection to one daemon.
pub(super) struct Vty {
    socket: PathBuf,
    stream: UnixStream,
}

impl Vty {
    /// Connects to a daemon with the right to run every command.
    pub(super) async fn connect(folder: &Path, daemon: &str) -> Result<Self, VtyError> {
        let socket = folder.join(format!("{daemon}.vty"));
        let failed = |source| VtyError::Socket { socket: socket.clone(), source };
        let stream = UnixStream::connect(&socket).await.map_err(failed)?;
        let mut vty = Self { socket, stream };
        vty.run("enable").await?;
        Ok(vty)
    }

    /// Runs a command and returns its answer, which is JSON. A command about something that does not exist has an empty
    /// answer.
    pub(super) async fn json<T: DeserializeOwned + Default>(&mut self, command: &str) -> Result<T, VtyError> {
        let text = self.run(command).await?;
        if text.trim().is_empty() {
            return Ok(T::default());
        }
        serde_json::from_str(&text).map_err(|source| VtyError::Answer { command: command.to_owned(), source })
    }

    async fn run(&mut self, command: &str) -> Result<String, VtyError> {
        let exchange = timeout(ANSWER, self.exchange(command)).await;
        let answer = exchange.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (text, status) = answer.map_err(|source| VtyError::Socket { socket: self.socket.clone(), source })?;
        let text = String::from_utf8_lossy(&text).into_owned();
        if status != 0 {
            return Err(VtyError::Refused { command: command.to_owned(), answer: text.trim().to_owned() });
        }
        Ok(text)
    }

    async fn exchange(&mut self, command: &str) -> io::Result<(Vec<u8>, u8)> {
        self.stream.write_all(command.as_bytes()).await?;
        self.stream.write_all(&[0]).await?;
        let mut answer = Vec::new();
        loop {
            if self.stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((status, text)) = answer.split_last()
                && let Some(text) = text.strip_suffix(END)
            {
                return Ok((text.to_owned(), *status));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::net::UnixListener;

    use super::*;

    /// Starts a daemon that answers each command with the next of these, in two pieces.
    fn daemon(folder: &Path, answers: &'static [&'static [u8]]) {
        let listener = UnixListener::bind(folder.join("zebra.vty")).expect("a socket");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            for answer in [b"\0\0\0\0" as &[u8]].iter().chain(answers) {
                let mut command = Vec::new();
                while !command.ends_with(&[0]) {
                    assert_ne!(stream.read_buf(&mut command).await.expect("readable"), 0, "a whole command");
                }
                let (one, two) = answer.split_at(answer.len() / 2);
                stream.write_all(one).await.expect("written");
                tokio::task::yield_now().await;
                stream.write_all(two).await.expect("written");
            }
        });
    }

    #[tokio::test]
    async fn answers_are_read_whole_and_errors_name_the_command() {
        let folder = tempfile::tempdir().expect("a folder");
        daemon(
            folder.path(),
            &[b"{\"a\":1}\n\0\0\0\0", b"\0\0\0\0", b"% Unknown command: c\n\0\0\0\x02", b"{]\0\0\0\0"],
        );
        let mut vty = Vty::connect(folder.path(), "zebra").await.expect("connected");
        type Answer = BTreeMap<String, u8>;
        assert_eq!(vty.json::<Answer>("a").await.expect("JSON"), BTreeMap::from([("a".to_owned(), 1)]));
        assert_eq!(vty.json::<Answer>("b").await.expect("nothing"), BTreeMap::new());
        let refused = vty.json::<Answer>("c").await.expect_err("refused");
        assert_eq!(refused.to_string(), "'c' was refused: % Unknown command: c");
        let garbled = vty.json::<Answer>("d").await.expect_err("no JSON");
        assert!(matches!(garbled, VtyError::Answer { .. }), "{garbled}");
        let ended = vty.json::<Answer>("e").await.expect_err("the daemon ended");
        assert!(ended.to_string().contains("zebra.vty: is the daemon running?"), "{ended}");
    }
}
