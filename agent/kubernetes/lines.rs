//! Splits the lines of a watch as they arrive, and limits their length.

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};

/// The next line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its line end.
    Text(Vec<u8>),
    /// A line that was too long and is skipped.
    TooLong,
}

/// Reads lines from the body of an answer.
#[derive(Debug)]
pub(super) struct Lines<B> {
    body: B,
    /// Data that has arrived and has not been read.
    rest: Bytes,
    line: Vec<u8>,
    longest: usize,
    skipping: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Lines<B> {
    /// Reads lines of at most `longest` bytes.
    pub(super) fn new(body: B, longest: usize) -> Self {
        Self { body, rest: Bytes::new(), line: Vec::new(), longest, skipping: false }
    }

    /// Returns the next line that is not empty; `None` at the end. May be dropped at any time without losing anything.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, B::Error> {
        loop {
            if self.rest.is_empty() {
                // A line that a broken connection cut off does not count.
                let Some(frame) = self.body.frame().await else { return Ok(None) };
                self.rest = frame?.into_data().unwrap_or_default();
            }
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let part = self.rest.split_to(end.unwrap_or(self.rest.len()));
            self.skipping |= self.line.len() + part.len() > self.longest;
            if self.skipping {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(&part);
            }
            if end.is_none() {
                continue;
            }
            let _ = self.rest.split_to(1);
            let line = std::mem::take(&mut self.line);
            if std::mem::take(&mut self.skipping) {
                return Ok(Some(Line::TooLong));
            }
            if !line.is_empty() {
                return Ok(Some(Line::Text(line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    #[tokio::test]
    async fn lines_are_split_however_chunks_are_cut_and_long_ones_left_out() {
        let bytes: &[u8] = b"one\n\ntwenty-one\ntwo\nrest";
        for size in 1..30 {
            let parts = bytes.chunks(size).map(|part| Ok::<_, std::io::Error>(Frame::data(Bytes::from(part))));
            let mut lines = Lines::new(StreamBody::new(stream::iter(parts)), 5);
            let mut all = Vec::new();
            while let Some(line) = lines.next().await.expect("no error") {
                all.push(line);
            }
            assert_eq!(all, [Line::Text(b"one".into()), Line::TooLong, Line::Text(b"two".into())]);
        }
    }
}
