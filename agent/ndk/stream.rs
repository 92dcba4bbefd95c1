//! Runs the one notification stream: tables of the switch and configuration. It is created, read, and created again
//! whenever it ends.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;
use tracing::{info, warn};

use super::Options;
use super::client::{CallError, Client};
use super::config::Gatherer;
use super::decode::Reader;
use super::pace::Pace;
use super::recreate::{Recreate, SessionEnd};
use crate::adapted::Adapted;
use crate::model::adaptation::{Asker, Refused};
use crate::model::commit::ConfigChange;
use crate::model::event::{DumpPace, Event, SourceEvent, SwitchEvent};
use crate::model::source::SourceId;
use crate::supervise::{Throttle, words};
use ndk::notification_register_request::SubscriptionTypes;
use srl_proto::ndk;

/// Notifications in a full batch. Smaller batches are sent as soon as the stream has nothing more. A batch fits into a
/// core's own cache, and allocators serve it from memory that they have.
const BATCH: usize = 256;
/// Quiet periods after a rest within which a network instance that arrived without data may still get them.
const ZEROED_PERIODS: u32 = 5;
/// Least time between two log lines about unreadable notifications.
const COMPLAINTS: Duration = Duration::from_secs(30);

/// Receivers of what is read.
#[derive(Debug)]
pub(super) struct Outputs<'a> {
    pub(super) events: &'a mpsc::Sender<Event>,
    /// Commits, to be answered.
    pub(super) commits: mpsc::Sender<(u64, Vec<ConfigChange>)>,
    /// Receives what the NDK is found to require.
    pub(super) adapted: &'a Adapted,
}

impl Outputs<'_> {
    async fn send(&self, event: Event) -> Result<(), SessionEnd> {
        self.events.send(event).await.map_err(|_| SessionEnd::Closed)
    }
}

/// Follows the stream until the registration is lost. `streaming` is true while a stream exists.
pub(super) async fn follow(
    client: &mut Client,
    options: &Options,
    to: &Outputs<'_>,
    streaming: &AtomicBool,
) -> SessionEnd {
    let mut recreate = Recreate::default();
    let mut complaints = Throttle::new(COMPLAINTS);
    loop {
        let stream = match open(client).await {
            Ok((stream, refused)) => {
                to.adapted.report(|found| {
                    found.streams = Some("one");
                    found.refused.insert(Asker::Ndk, refused);
                });
                stream
            }
            Err(error) => return SessionEnd::Lost(error.to_string()),
        };
        streaming.store(true, Ordering::Relaxed);
        let mut following = Following {
            to,
            complaints: &mut complaints,
            gather: Gather { messages: messages(client.clone(), stream), reader: Reader::default() },
            gatherer: Gatherer::default(),
            pace: Pace::new(options.quiet),
            zeroed_wait: options.quiet * ZEROED_PERIODS,
            release: None,
        };
        let end = following.run().await;
        streaming.store(false, Ordering::Relaxed);
        let (reason, fruitful) = match end {
            Ok(end) => end,
            Err(ended) => return ended,
        };
        // The stream has ended, so any remains of it on the other side are not needed.
        let _ = client.delete_stream(stream).await;
        info!(reason, "notification stream ended, making it again");
        let lost = SourceEvent::Lost(format!("the stream of the switch's tables ended: {reason}").into());
        if to.events.send(Event::Source(SourceId::Ndk, lost)).await.is_err() {
            return SessionEnd::Closed;
        }
        if let Some(lost) = recreate.after(fruitful).await {
            return SessionEnd::Lost(format!("{lost}: {reason}"));
        }
    }
}

/// Creates a stream with every subscription; returns its id, and which subscriptions the NDK refused.
async fn open(client: &mut Client) -> Result<(u64, Refused), CallError> {
    let stream = client.create_stream().await?;
    let needed = [
        SubscriptionTypes::Config(ndk::ConfigSubscriptionRequest { key: None }),
        SubscriptionTypes::NetworkInstance(ndk::NetworkInstanceSubscriptionRequest {}),
        SubscriptionTypes::AppId(ndk::AppIdentSubscriptionRequest::default()),
        SubscriptionTypes::NexthopGroup(ndk::NextHopGroupSubscriptionRequest::default()),
        SubscriptionTypes::Route(ndk::IpRouteSubscriptionRequest::default()),
    ];
    for subscription in needed {
        client.subscribe(stream, subscription).await?;
    }
    let mut refused = Refused::default();
    // BFD sessions only add detail.
    match client.subscribe(stream, SubscriptionTypes::BfdSession(ndk::BfdSessionSubscriptionRequest::default())).await {
        Err(error @ CallError::Refused { .. }) => {
            info!(%error, "no BFD sessions from this switch");
            refused.features.insert("NDK subscription to BFD sessions".into());
        }
        other => other?,
    }
    Ok((stream, refused))
}

/// Returns the messages of a stream that is not open yet: opening may last until the switch has something to send.
fn messages(client: Client, stream: u64) -> BoxStream<'static, Result<Bytes, Status>> {
    futures::stream::once(async move { client.open(stream).await }).try_flatten().boxed()
}

/// One stream, until it ends.
struct Following<'a> {
    to: &'a Outputs<'a>,
    complaints: &'a mut Throttle,
    gather: Gather<BoxStream<'static, Result<Bytes, Status>>>,
    gatherer: Gatherer,
    pace: Pace,
    zeroed_wait: Duration,
    /// When network instances that still have no data are released.
    release: Option<Instant>,
}

impl Following<'_> {
    /// Runs until the stream ends; returns the reason, and whether the stream delivered anything.
    async fn run(&mut self) -> Result<(String, bool), SessionEnd> {
        self.to.send(Event::Source(SourceId::Ndk, SourceEvent::Syncing)).await?;
        let mut fruitful = false;
        loop {
            let timer = [self.pace.due(), self.release].into_iter().flatten().min();
            let gathered = tokio::select! {
                // Messages that have already arrived take precedence over silence: the agent itself may have been held
                // up.
                biased;
                gathered = self.gather.next() => gathered,
                () = tokio::time::sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {
                    Gathered { notifications: 0, end: End::Open }
                }
            };
            fruitful |= gathered.notifications > 0;
            self.pass_on().await?;
            match gathered.end {
                End::Open => {}
                End::Closed => return Ok(("the NDK closed it".to_owned(), fruitful)),
                End::Failed(status) => return Ok((words(&status), fruitful)),
            }
            self.time(gathered.notifications, Instant::now()).await?;
        }
    }

    /// Passes on what was gathered: tables as events, configuration as commits.
    async fn pass_on(&mut self) -> Result<(), SessionEnd> {
        self.complain();
        for event in self.gather.reader.take() {
            self.to.send(event).await?;
        }
        for notification in self.gather.reader.take_config() {
            match self.gatherer.take(notification) {
                Ok(None) => {}
                Ok(Some(commit)) => self.to.commits.send(commit).await.map_err(|_| SessionEnd::Closed)?,
                Err(error) => {
                    warn!(%error, "configuration notification left out");
                    self.to.send(Event::Source(SourceId::Ndk, SourceEvent::Malformed)).await?;
                }
            }
        }
        Ok(())
    }

    /// Reports the pace, and releases network instances that have received no data.
    async fn time(&mut self, notifications: usize, now: Instant) -> Result<(), SessionEnd> {
        let pace = if notifications > 0 { self.pace.heard(notifications, now) } else { self.pace.silent(now) };
        if let Some(pace) = pace {
            self.to.send(Event::Switch(SwitchEvent::Pace(pace))).await?;
            if pace == DumpPace::Rested && self.gather.reader.holds_back() {
                self.release.get_or_insert(now + self.zeroed_wait);
            }
        }
        if self.release.is_some_and(|at| at <= now) {
            self.release = None;
            self.gather.reader.release();
            self.pass_on().await?;
        }
        Ok(())
    }

    fn complain(&mut self) {
        let Some(error) = self.gather.reader.complaint() else { return };
        if let Some(held_back) = self.complaints.admit(Instant::now()) {
            warn!(%error, held_back, "notification left out");
        }
    }
}

/// Reads all available messages into one batch.
struct Gather<S> {
    messages: S,
    reader: Reader,
}

/// The result of reading a batch.
struct Gathered {
    /// Number of notifications read, including those without an event.
    notifications: usize,
    /// Whether the stream has ended.
    end: End,
}

/// Whether a stream has ended, and how.
enum End {
    /// It has not.
    Open,
    /// The NDK closed it.
    Closed,
    /// It ended with this status.
    Failed(Status),
}

impl<S: Stream<Item = Result<Bytes, Status>> + Unpin> Gather<S> {
    /// Returns the next batch: full, or everything available without waiting. Its content is then taken from the
    /// reader.
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
                Some(Err(status)) => End::Failed(status),
                None => End::Closed,
            };
            return Poll::Ready(Gathered { notifications: *notifications, end });
        }
        Poll::Ready(Gathered { notifications: *notifications, end: End::Open })
    }
}
