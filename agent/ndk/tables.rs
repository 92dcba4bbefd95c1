//! The stream of the switch's tables: made, read, and made anew whenever it ends.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;
use tracing::{info, warn};

use super::Options;
use super::client::{CallError, Client};
use super::decode::Reader;
use super::session::{Ended, Recreate, messages};
use crate::model::event::{Event, SourceEvent, SourceId};
use crate::supervise::{Throttle, words};
use ndk::notification_register_request::SubscriptionTypes;
use srl_proto::ndk;

/// Notifications that make a batch full. Smaller batches go as soon as the stream has nothing more to give.
const BATCH: usize = 1024;
/// At most one log line about unreadable notifications in this time.
const COMPLAINTS: Duration = Duration::from_secs(30);

/// Follows the tables until the registration is lost. `streaming` is true while a stream is in place.
pub(super) async fn follow(
    client: &mut Client,
    options: &Options,
    events: &mpsc::Sender<Event>,
    streaming: &AtomicBool,
) -> Ended {
    let mut recreate = Recreate::default();
    let mut complaints = Throttle::new(COMPLAINTS);
    loop {
        let stream = match open(client).await {
            Ok(stream) => stream,
            Err(error) => return Ended::Lost(error.to_string()),
        };
        streaming.store(true, Ordering::Relaxed);
        let messages = messages(client.clone(), stream);
        let mut following = Following { events, complaints: &mut complaints, dump: Dump::new(options.quiet) };
        let end = following.run(Gather { messages, reader: Reader::default() }).await;
        streaming.store(false, Ordering::Relaxed);
        let (reason, told) = match end {
            Ok(end) => end,
            Err(ended) => return ended,
        };
        // It has ended; what is left of it on the other side, if anything, is not needed.
        let _ = client.delete_stream(stream).await;
        info!(reason, "table stream ended, making it anew");
        let lost = SourceEvent::Lost(format!("the stream of the switch's tables ended: {reason}").into());
        if events.send(Event::Source(SourceId::Ndk, lost)).await.is_err() {
            return Ended::Closed;
        }
        if let Some(lost) = recreate.after(told).await {
            return Ended::Lost(format!("{lost}: {reason}"));
        }
    }
}

/// Makes a stream with every subscription; gives its id.
async fn open(client: &mut Client) -> Result<u64, CallError> {
    let stream = client.create_stream().await?;
    let needed = [
        SubscriptionTypes::NetworkInstance(ndk::NetworkInstanceSubscriptionRequest {}),
        SubscriptionTypes::AppId(ndk::AppIdentSubscriptionRequest::default()),
        SubscriptionTypes::NexthopGroup(ndk::NextHopGroupSubscriptionRequest::default()),
        SubscriptionTypes::Route(ndk::IpRouteSubscriptionRequest::default()),
    ];
    for subscription in needed {
        client.subscribe(stream, subscription).await?;
    }
    // BFD only adds to what is said about sessions.
    match client.subscribe(stream, SubscriptionTypes::BfdSession(ndk::BfdSessionSubscriptionRequest::default())).await {
        Err(error @ CallError::Refused { .. }) => info!(%error, "no BFD sessions from this switch"),
        other => other?,
    }
    Ok(stream)
}

/// One life of the stream.
struct Following<'a> {
    events: &'a mpsc::Sender<Event>,
    complaints: &'a mut Throttle,
    dump: Dump,
}

impl Following<'_> {
    /// Why the stream ended, and whether it told anything.
    async fn run<S>(&mut self, mut gather: Gather<S>) -> Result<(String, bool), Ended>
    where
        S: Stream<Item = Result<Bytes, Status>> + Unpin,
    {
        self.send(Event::Source(SourceId::Ndk, SourceEvent::Syncing)).await?;
        let mut synced = false;
        let mut told = false;
        loop {
            let quiet = self.dump.ends_at();
            let gathered = tokio::select! {
                // What is there counts before the silence that seemed to be: the agent may have been held up itself.
                biased;
                gathered = gather.next() => gathered,
                () = tokio::time::sleep_until(quiet), if !synced => Gathered { notifications: 0, end: None },
            };
            told |= gathered.notifications > 0;
            self.complain(&mut gather.reader);
            for event in gather.reader.take() {
                self.send(event).await?;
            }
            if let Some(end) = gathered.end {
                return Ok((end.map_or_else(|| "the NDK closed it".to_owned(), |status| words(&status)), told));
            }
            if !synced && self.dump.is_over(gathered.notifications, Instant::now()) {
                synced = true;
                self.send(Event::Source(SourceId::Ndk, SourceEvent::Synced)).await?;
            }
        }
    }

    async fn send(&self, event: Event) -> Result<(), Ended> {
        self.events.send(event).await.map_err(|_| Ended::Closed)
    }

    fn complain(&mut self, reader: &mut Reader) {
        let Some(error) = reader.complaint() else { return };
        if let Some(held_back) = self.complaints.admit(Instant::now()) {
            warn!(%error, held_back, "notification left out");
        }
    }
}

/// Reads as many messages as are there into one batch.
struct Gather<S> {
    messages: S,
    reader: Reader,
}

/// What a batch has come to.
struct Gathered {
    /// Notifications read, also those without an event.
    notifications: usize,
    /// The stream has ended, with the status if it was not closed in peace.
    end: Option<Option<Status>>,
}

impl<S: Stream<Item = Result<Bytes, Status>> + Unpin> Gather<S> {
    /// The next batch: full, or all that can be had without waiting. What it holds is taken from the reader.
    async fn next(&mut self) -> Gathered {
        let mut notifications = 0;
        std::future::poll_fn(|cx| self.poll(cx, &mut notifications)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, notifications: &mut usize) -> Poll<Gathered> {
        while self.reader.gathered() < BATCH {
            let next = Pin::new(&mut self.messages).poll_next(cx);
            if next.is_pending() && *notifications > 0 {
                break;
            }
            let end = match ready!(next) {
                Some(Ok(message)) => {
                    *notifications += self.reader.read(&message);
                    continue;
                }
                Some(Err(status)) => Some(status),
                None => None,
            };
            return Poll::Ready(Gathered { notifications: *notifications, end: Some(end) });
        }
        Poll::Ready(Gathered { notifications: *notifications, end: None })
    }
}

/// Guesses when the dump of a new stream is complete: nothing in the protocol says so.
///
/// It is over when nothing came for a quiet period (two, if nothing came at all). A switch whose routes never rest is not
/// waited for: after some periods, one that brought far less than the busiest did is a trickle of changes, not a dump.
#[derive(Debug)]
struct Dump {
    quiet: Duration,
    begun: Instant,
    last: Option<Instant>,
    period_begun: Instant,
    in_period: usize,
    busiest: usize,
}

impl Dump {
    /// Periods before a trickle is looked for.
    const PATIENCE: u32 = 5;
    /// A trickle is at most this part of the busiest period.
    const TRICKLE: usize = 5;
    /// Periods after which it is over whatever comes.
    const LONGEST: u32 = 60;

    fn new(quiet: Duration) -> Self {
        let now = Instant::now();
        Self { quiet, begun: now, last: None, period_begun: now, in_period: 0, busiest: 0 }
    }

    /// When silence will have ended it.
    fn ends_at(&self) -> Instant {
        self.last.map_or(self.begun + self.quiet * 2, |last| last + self.quiet)
    }

    /// Counts what came by now, and says whether it is over.
    fn is_over(&mut self, notifications: usize, now: Instant) -> bool {
        if notifications == 0 {
            return now >= self.ends_at();
        }
        self.last = Some(now);
        self.in_period += notifications;
        if now < self.period_begun + self.quiet {
            return false;
        }
        let brought = std::mem::replace(&mut self.in_period, 0);
        self.period_begun = now;
        self.busiest = self.busiest.max(brought);
        let trickle = brought * Self::TRICKLE <= self.busiest && now >= self.begun + self.quiet * Self::PATIENCE;
        trickle || now >= self.begun + self.quiet * Self::LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(1);

    /// Whether the dump is over after each of these (milliseconds since its begin, notifications).
    fn course(told: &[(u64, usize)]) -> Vec<bool> {
        let mut dump = Dump::new(QUIET);
        let begun = dump.begun;
        told.iter().map(|(at, count)| dump.is_over(*count, begun + Duration::from_millis(*at))).collect()
    }

    #[test]
    fn one_quiet_period_after_the_last_notification_ends_the_dump() {
        assert_eq!(course(&[(100, 10), (900, 10), (1899, 0), (1900, 0)]), [false, false, false, true]);
    }

    #[test]
    fn an_empty_table_is_believed_after_two_quiet_periods() {
        assert_eq!(course(&[(1000, 0), (1999, 0), (2000, 0)]), [false, false, true]);
    }

    #[test]
    fn a_trickle_of_changes_does_not_hold_up_the_end_for_ever() {
        let mut told = vec![(500, 10_000)];
        told.extend((2..=11).map(|half| (half * 500, 500)));
        let over = course(&told);
        assert_eq!(over.iter().position(|over| *over), Some(9), "{over:?}");
    }

    #[test]
    fn a_long_dump_at_an_even_pace_is_waited_for() {
        let told: Vec<_> = (1..=59).map(|second| (second * 1000, 1000)).collect();
        assert!(course(&told).iter().all(|over| !over));
    }

    #[test]
    fn a_table_that_never_rests_is_believed_after_a_minute() {
        let told: Vec<_> = (1..=60).map(|second| (second * 1000, 1000)).collect();
        assert_eq!(course(&told).last(), Some(&true));
    }
}
