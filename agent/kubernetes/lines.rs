//! Lines of a watch: split as they arrive, bounded in length.

use std::io;

use futures::{AsyncBufRead, AsyncBufReadExt};

/// An object in etcd has 1.5 MiB at most; as JSON it may grow, but not to this.
pub(super) const LONGEST: usize = 8 << 20;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Text(Vec<u8>),
    /// One that was too long, left out.
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    longest: usize,
    skipping: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, longest: usize) -> Self {
        Self { reader, line: Vec::new(), longest, skipping: false }
    }

    /// The next line that is not empty; none at the end. May be dropped at any time without losing anything.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                // What a broken connection cut off is no line.
                return Ok(None);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let used = part.len() + usize::from(end.is_some());
            self.skipping |= self.line.len() + part.len() > self.longest;
            if self.skipping {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            self.reader.consume_unpin(used);
            if end.is_none() {
                continue;
            }
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

    #[tokio::test]
    async fn lines_are_split_wherever_they_were_cut_and_long_ones_are_left_out() {
        let bytes: &[u8] = b"one\n\ntwenty-one\ntwo\nrest";
        for capacity in 1..30 {
            let mut lines = Lines::new(futures::io::BufReader::with_capacity(capacity, bytes), 5);
            let mut all = Vec::new();
            while let Some(line) = lines.next().await.expect("no error") {
                all.push(line);
            }
            assert_eq!(all, [Line::Text(b"one".into()), Line::TooLong, Line::Text(b"two".into())]);
        }
    }
}
