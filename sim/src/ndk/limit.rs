//! Limits the size of messages that the gRPC server accepts: 4 MiB by default.
//!
//! tonic would refuse a longer message with `OUT_OF_RANGE`. Servers in C++ and Go answer `RESOURCE_EXHAUSTED`, and some
//! have been seen to reset the whole connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

use super::TooLarge;
use super::link::Connection;

/// gRPC's default for received messages, in bytes.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;

/// Length of the compressed flag and the message length, which precede each message.
const PREFIX: usize = 5;

/// Limits the messages of requests.
#[derive(Clone, Copy)]
pub(crate) struct Limit(pub(crate) TooLarge);

impl Limit {
    /// Returns the request with a limited body.
    pub(crate) fn bound(self, request: http::Request<Body>) -> http::Request<Body> {
        let cut = match self.0 {
            TooLarge::Refused => None,
            TooLarge::BreaksConnection => request.extensions().get::<Connection>().cloned(),
        };
        request.map(|inner| Body::new(Bounded { inner, cut, lengths: Lengths::default() }))
    }
}

/// A body whose messages are measured as they arrive.
struct Bounded {
    inner: Body,
    cut: Option<Connection>,
    lengths: Lengths,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(length) = self.lengths.take(data)
        {
            if let Some(cut) = &self.cut {
                cut.cut();
            }
            let why = format!("Received message larger than max ({length} vs. {MAX_MESSAGE})");
            return Poll::Ready(Some(Err(Status::resource_exhausted(why))));
        }
        Poll::Ready(frame)
    }
}

/// Position of a body in gRPC's framing.
#[derive(Default)]
struct Lengths {
    prefix: Vec<u8>,
    /// Number of bytes of the current message still to come.
    left: usize,
}

impl Lengths {
    /// Reads the next bytes.
    ///
    /// # Errors
    /// Returns the length of a message that is too long.
    fn take(&mut self, data: &Bytes) -> Result<(), usize> {
        let mut data = data.clone();
        while data.has_remaining() {
            let step = self.left.min(data.len());
            data.advance(step);
            self.left -= step;
            if self.left > 0 {
                break;
            }
            let wanted = (PREFIX - self.prefix.len()).min(data.len());
            self.prefix.extend_from_slice(&data.split_to(wanted));
            if let [_, a, b, c, d] = self.prefix[..] {
                self.prefix.clear();
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                if self.left > MAX_MESSAGE {
                    return Err(self.left);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, of: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.resize(PREFIX + of, 7);
        bytes
    }

    #[test]
    fn messages_are_measured_however_they_are_split() {
        let stream = [message(3, 3), message(0, 0), message(4 << 20, 10)].concat();
        for piece in [1, 2, 4, 5, 7, stream.len()] {
            let mut lengths = Lengths::default();
            let pieces = stream.chunks(piece);
            assert!(pieces.map(Bytes::copy_from_slice).all(|bytes| lengths.take(&bytes).is_ok()), "{piece}");
        }
        let long = [message(3, 3), message((4 << 20) + 1, 0)].concat();
        assert_eq!(Lengths::default().take(&Bytes::from(long)), Err((4 << 20) + 1));
    }
}
