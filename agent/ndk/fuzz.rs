//! Exposes the decoder of notifications to a fuzzer.

use bytes::Bytes;

use super::config::Gatherer;
use super::decode::Reader;
use crate::model::commit::ConfigChange;
use crate::model::event::Event;

/// Reads a message and releases what is held back; returns events, and the commits that end in it.
pub(crate) fn message(bytes: &[u8]) -> (Vec<Event>, Vec<Vec<ConfigChange>>) {
    let (mut reader, mut gatherer) = (Reader::default(), Gatherer::default());
    reader.read(&Bytes::copy_from_slice(bytes));
    reader.release();
    let notifications = reader.take_config().into_iter();
    let commits = notifications.filter_map(|notification| gatherer.take(notification).ok().flatten());
    let commits = commits.map(|(_, changes)| changes).collect();
    (reader.take(), commits)
}
