//! Exposes the decoders of subscriptions and answers to a fuzzer.

use jiff::Timestamp;
use prost::Message;

use super::counters::{Counted, Counters};
use super::fib::Fib;
use super::investigator;
use super::leaf::{Scalar, leaves};
use super::neighbors::Neighbors;
use super::path::elems;
use crate::model::event::{Event, Update};
use crate::path::Element;
use gnmi::subscribe_response::Response;
use srl_proto::gnmi;

/// Merges a message into neighbors, counters and FIB programming; returns what the engine would receive.
pub(crate) fn subscription(bytes: &[u8]) -> Vec<Event> {
    let Ok(gnmi::SubscribeResponse { response: Some(Response::Update(notification)), .. }) =
        gnmi::SubscribeResponse::decode(bytes)
    else {
        return Vec::new();
    };
    let prefix = notification.prefix.as_ref();
    let (mut neighbors, mut counters, mut fib) = (Neighbors::default(), Counters::default(), Fib::default());
    let mut read: Vec<(Vec<Element>, Scalar)> = Vec::new();
    for update in &notification.update {
        // Skips unreadable leaves, like the source.
        let _ = leaves(prefix, update, |path, value| read.push((path.to_vec(), value.clone())));
    }
    let mut counted = Vec::new();
    for (path, value) in &read {
        let _ = neighbors.set(path, value);
        counted.extend(counters.set(path, value).ok().flatten());
    }
    fib.set_all(read.iter().map(|(path, value)| (path.as_slice(), value)), Timestamp::UNIX_EPOCH, &mut Vec::new());
    let mut events: Vec<Event> = vec![Event::Neighbors(neighbors.all())];
    events.extend(
        counted
            .into_iter()
            .filter_map(|change| match change {
                Counted::Active(table) => counters.active().get(&table).map(|count| (table, *count)),
                Counted::Failed { .. } => None,
            })
            .map(|(table, count)| Event::ActiveRoutes(Update::Set(table, count))),
    );
    events.push(Event::Fib(Update::All(fib.faults().collect())));
    for path in &notification.delete {
        let path = elems(prefix, Some(path));
        neighbors.delete(&path);
        counters.delete(&path);
        let _ = fib.delete(&path);
    }
    events.extend(neighbors.changes().into_iter().map(Event::Neighbors));
    events
}

/// Parses an answer to a Get as if every question had been asked. Returns the number of leaves read.
pub(crate) fn answer(bytes: &[u8]) -> usize {
    gnmi::GetResponse::decode(bytes).map_or(0, investigator::fuzz::look_through)
}
