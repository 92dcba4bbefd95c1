//! Exposes the readers of objects and kubeconfigs to a fuzzer.

use jiff::Timestamp;

use super::credentials;
use super::reduce::{CoreEndpoints, Kind, Nodes, Services, Slices};
use super::speaker::fuzz::{objects, statuses};
use crate::model::config::Source;
use crate::model::event::{ClusterEvent, Update};
use crate::model::speaker::SpeakerResource;

/// Reads an object after a byte for its kind; returns what the engine would receive.
pub(crate) fn object(source: &Source, bytes: &[u8]) -> Vec<ClusterEvent> {
    let Some((kind, json)) = bytes.split_first() else { return Vec::new() };
    let json = &String::from_utf8_lossy(json);
    // Letters, so that fuzzing seeds are readable.
    match kind {
        b'S' => read(&mut Services::new(source), json),
        b'E' => read(&mut Slices::default(), json),
        b'C' => read(&mut CoreEndpoints::default(), json),
        b'N' => read(&mut Nodes::new(source), json),
        b'B' => read(&mut statuses(SpeakerResource::MetallbStatuses), json),
        b'L' => read(&mut statuses(SpeakerResource::MetallbL2Statuses), json),
        other => {
            let all = SpeakerResource::ALL;
            read(&mut objects(all[usize::from(other.wrapping_sub(b'a')) % all.len()]), json)
        }
    }
}

fn read<K: Kind>(kind: &mut K, json: &str) -> Vec<ClusterEvent> {
    let Ok(reduced) = kind.reduce(json) else { return Vec::new() };
    let updates = reduced.entries.into_iter().map(|(key, value)| match value {
        Some(value) => Update::Set(key, value),
        None => Update::Gone(key),
    });
    updates.map(|update| kind.event(update)).collect()
}

/// Reads a kubeconfig without its files; returns 1 or more if it describes access to a cluster.
pub(crate) fn kubeconfig(bytes: &[u8]) -> usize {
    let access = credentials::of_kubeconfig(bytes, Timestamp::UNIX_EPOCH);
    access.map_or(0, |access| access.expiry.map_or(1, |expiry| 1 + usize::from(expiry.words(expiry.end).is_some())))
}
