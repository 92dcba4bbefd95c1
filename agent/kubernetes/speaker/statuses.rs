//! Reads MetalLB's ServiceBGPStatus and ServiceL2Status: which node's speaker reports that it announces which service.
//!
//! There is one for each service and node that announces it, so that they may outnumber everything else in a cluster.
//! They are reduced to interned names, and a cluster with too many of them is judged without them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::Deserialize;

use super::super::bounded;
use super::super::limits;
use super::super::objects::Meta;
use super::super::reduce::{Kind, Names, Reduced, Unreadable, name, namespace};
use crate::model::event::{ClusterEvent, Update};
use crate::model::names::{NodeName, ServiceKey};
use crate::model::speaker::{SpeakerResource, StatusKey};
use crate::model::text::is_name;

const NODE_LABEL: &str = "metallb.io/node";
const SERVICE_LABEL: &str = "metallb.io/service-name";
const NAMESPACE_LABEL: &str = "metallb.io/service-namespace";

/// The part of a status that is read.
#[derive(Debug, Default, Deserialize)]
struct ServiceStatus {
    metadata: Option<Meta>,
    status: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "bounded::list")]
    peers: Option<Vec<Option<String>>>,
}

/// Reads statuses of one resource.
#[derive(Debug)]
pub(super) struct Statuses {
    resource: SpeakerResource,
    api: Arc<str>,
    names: Names,
}

impl Statuses {
    pub(super) fn new(resource: SpeakerResource, api: Arc<str>) -> Self {
        Self { resource, api, names: Names::default() }
    }

    /// Returns the key from the labels, which the object has from its creation to its deletion.
    fn key(&mut self, meta: &Meta) -> Result<Option<StatusKey>, Unreadable> {
        let object = digest(namespace(meta)?, name(meta)?);
        let label = |label| meta.label(label).filter(|value| is_name(value));
        let labels = (label(NODE_LABEL), label(SERVICE_LABEL), label(NAMESPACE_LABEL));
        let (Some(node), Some(service), Some(namespace)) = labels else { return Ok(None) };
        let service = ServiceKey { namespace: self.names.get(namespace), name: self.names.get(service) };
        Ok(Some(StatusKey { service, node: NodeName::from(self.names.get(node)), object }))
    }
}

fn digest(namespace: &str, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (namespace, name).hash(&mut hasher);
    hasher.finish()
}

impl Kind for Statuses {
    type Key = StatusKey;
    type Value = ();

    const NAMESPACED: bool = false;
    const PAGE: u32 = 500;
    const MOST: usize = limits::STATUSES;
    const EVERY_OBJECT_COUNTS: bool = true;

    fn resource(&self) -> &'static str {
        self.resource.plural()
    }

    fn api(&self) -> String {
        self.api.to_string()
    }

    fn speaker_resource(&self) -> Option<SpeakerResource> {
        Some(self.resource)
    }

    fn keys(&mut self, meta: &Meta) -> Result<Vec<StatusKey>, Unreadable> {
        Ok(self.key(meta)?.into_iter().collect())
    }

    fn reduce(&mut self, json: &str) -> Result<Reduced<StatusKey, ()>, Unreadable> {
        let object: ServiceStatus = serde_json::from_str(json)?;
        let Some(key) = self.key(&object.metadata.unwrap_or_default())? else {
            return Ok(Reduced { entries: Vec::new(), faults: 1, excess: None });
        };
        // Without peers, the service is not announced to anybody by BGP. A status about ARP and ND has no peers.
        let peers = object.status.and_then(|status| status.peers).unwrap_or_default();
        let announced = self.resource == SpeakerResource::MetallbL2Statuses || !peers.is_empty();
        Ok(Reduced::one(key, announced.then_some(()), 0))
    }

    fn bytes(key: &StatusKey, (): &(), _: usize) -> usize {
        let names = [&*key.service.namespace, &*key.service.name, key.node.as_str()];
        limits::SPEAKER_OBJECT_BYTES + names.map(str::len).iter().sum::<usize>()
    }

    fn event(&self, update: Update<StatusKey, ()>) -> ClusterEvent {
        ClusterEvent::Announcements(self.resource, update)
    }
}
