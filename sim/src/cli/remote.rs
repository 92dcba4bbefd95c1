//! Serves CLI sessions on a Unix socket, with one line of JSON per message.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::complete::Completion;
use super::{Output, Session};

/// Creates the session of a user who connects.
pub type Factory = Arc<dyn Fn() -> Session + Send + Sync>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// Runs a line.
    Line(String),
    /// Asks what the word at a position of a line can be.
    Complete { line: String, position: usize },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Output { text: String, status: u8, quit: bool, prompt: String },
    Completion(Completion),
}

/// Serves a session to everyone who connects. Dropping the future ends all sessions.
///
/// # Errors
/// Returns an error if connections cannot be accepted any more.
pub async fn serve(listener: UnixListener, factory: Factory) -> io::Result<()> {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let session = factory();
                sessions.spawn(async move {
                    if let Err(error) = converse(stream, session).await {
                        tracing::debug!(%error, "CLI connection ended");
                    }
                });
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn converse(stream: tokio::net::UnixStream, mut session: Session) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = tokio::io::BufReader::new(reader).lines();
    let banner = Output { text: session.banner().to_owned(), ..Output::default() };
    writer.write_all(&encode(&told(&session, banner))?).await?;
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line)? {
            Request::Line(line) => {
                let output = session.execute(&line).await;
                told(&session, output)
            }
            Request::Complete { line, position } => Answer::Completion(session.complete(&line, position).await),
        };
        writer.write_all(&encode(&answer)?).await?;
    }
    Ok(())
}

fn told(session: &Session, output: Output) -> Answer {
    Answer::Output { text: output.text, status: output.status, quit: output.quit, prompt: session.prompt() }
}

fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(message)?;
    text.push(b'\n');
    Ok(text)
}

/// Client of a session. Its calls block, so use it from its own thread.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    banner: String,
    prompt: String,
}

impl Client {
    /// Connects to the CLI of a switch.
    ///
    /// # Errors
    /// Returns an error if nothing answers at the socket.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let writer = UnixStream::connect(socket)?;
        let reader = BufReader::new(writer.try_clone()?);
        let mut client = Self { reader, writer, banner: String::new(), prompt: String::new() };
        client.banner = client.output()?.text;
        Ok(client)
    }

    /// Returns the greeting.
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// Returns the two lines of the prompt, as they are after the last line.
    pub fn prompt_text(&self) -> &str {
        &self.prompt
    }

    /// Runs a line.
    ///
    /// # Errors
    /// Returns an error if the switch is gone.
    pub fn execute(&mut self, line: &str) -> io::Result<Output> {
        self.writer.write_all(&encode(&Request::Line(line.to_owned()))?)?;
        self.output()
    }

    /// Runs lines one after another and passes the output of each to `print`. Runs all lines even if some fail, unless
    /// `stop_at_error`. Returns 0 if all lines succeeded.
    ///
    /// # Errors
    /// Returns an error if the switch is gone.
    pub fn script(
        &mut self,
        lines: impl IntoIterator<Item = impl AsRef<str>>,
        stop_at_error: bool,
        mut print: impl FnMut(&str),
    ) -> io::Result<u8> {
        let mut status = 0;
        for line in lines {
            let output = self.execute(line.as_ref())?;
            print(&output.text);
            status = status.max(output.status);
            if output.quit || (stop_at_error && status != 0) {
                break;
            }
        }
        Ok(status)
    }

    /// Returns what the word at a position of a line, in bytes, can be.
    ///
    /// # Errors
    /// Returns an error if the switch is gone.
    pub fn complete(&mut self, line: &str, position: usize) -> io::Result<Completion> {
        self.writer.write_all(&encode(&Request::Complete { line: line.to_owned(), position })?)?;
        match self.answer()? {
            Answer::Completion(completion) => Ok(completion),
            Answer::Output { .. } => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn output(&mut self) -> io::Result<Output> {
        match self.answer()? {
            Answer::Output { text, status, quit, prompt } => {
                self.prompt = prompt;
                Ok(Output { text, status, quit })
            }
            Answer::Completion(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the switch has closed the session"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}
