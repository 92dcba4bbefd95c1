//! One subscription: what it covers, and when it sends.

use std::collections::HashMap;
use std::time::Duration;

use srl_proto::gnmi as pb;
use tokio::time::Instant;
use tonic::Status;

use super::super::encoding::{Encoding, leaf_of};
use super::super::wire::invalid;
use crate::datastore::{Node, Target};
use crate::path::Path;
use crate::schema::{NodeId, Schema};

/// The shortest sample interval.
const SHORTEST: Duration = Duration::from_secs(1);

/// One subscription.
pub(super) struct Rule {
    pub(super) target: Target,
    pub(super) encoding: Encoding,
    pub(super) part: Part,
    /// Whether changes are sent.
    pub(super) on_change: bool,
    /// Sample interval.
    pub(super) every: Option<Duration>,
    /// Interval at which unchanged data is sent too.
    heartbeat: Option<Duration>,
    /// Whether samples omit unchanged data. If so, `last` is the previous sample by path.
    suppress: bool,
    last: HashMap<String, pb::Update>,
}

/// The leaves to which a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    /// TARGET_DEFINED: leaves that the schema samples.
    Sampled,
    /// TARGET_DEFINED: the other leaves.
    NotSampled,
}

impl Part {
    pub(super) fn has(self, schema: &Schema, leaf: NodeId) -> bool {
        match self {
            Self::All => true,
            Self::Sampled => schema.node(leaf).sample_seconds.is_some(),
            Self::NotSampled => schema.node(leaf).sample_seconds.is_none(),
        }
    }
}

impl Rule {
    /// Returns the rules of a request.
    pub(super) fn of_list(
        schema: &Schema,
        list: &pb::SubscriptionList,
        encoding: Encoding,
    ) -> Result<Vec<Self>, Status> {
        let mut rules = Vec::new();
        for subscription in &list.subscription {
            let path = Path::from_gnmi(list.prefix.as_ref(), subscription.path.as_ref());
            let target = schema.resolve(&path).map_err(|refusal| invalid(&refusal))?;
            let mode = pb::SubscriptionMode::try_from(subscription.mode).map_err(|_| {
                Status::invalid_argument(format!("Subscription mode {} is not known", subscription.mode))
            })?;
            rules.extend(Self::of_subscription(schema, target, mode, subscription, encoding));
        }
        if rules.is_empty() {
            return Err(Status::invalid_argument("The request has no subscription"));
        }
        Ok(rules)
    }

    fn of_subscription(
        schema: &Schema,
        target: Target,
        mode: pb::SubscriptionMode,
        subscription: &pb::Subscription,
        encoding: Encoding,
    ) -> Vec<Self> {
        let nanoseconds = |number: u64| (number > 0).then(|| Duration::from_nanos(number).max(SHORTEST));
        let rule = |part, every: Option<Duration>| Self {
            target: target.clone(),
            encoding,
            part,
            on_change: every.is_none(),
            every,
            heartbeat: nanoseconds(subscription.heartbeat_interval),
            suppress: subscription.suppress_redundant,
            last: HashMap::new(),
        };
        let interval = nanoseconds(subscription.sample_interval);
        match mode {
            pb::SubscriptionMode::OnChange => vec![rule(Part::All, None)],
            pb::SubscriptionMode::Sample => vec![rule(Part::All, Some(interval.unwrap_or(SHORTEST)))],
            pb::SubscriptionMode::TargetDefined => {
                let sampled = shortest_sample(schema, target.node());
                let sampled = sampled.map(|seconds| Duration::from_secs(seconds.into()));
                let mut rules = vec![rule(if sampled.is_some() { Part::NotSampled } else { Part::All }, None)];
                rules.extend(sampled.map(|every| rule(Part::Sampled, Some(interval.unwrap_or(every)))));
                rules
            }
        }
    }

    /// Returns all data it covers.
    pub(super) fn everything(&self, schema: &Schema, root: &Node) -> Vec<pb::Update> {
        let mut updates = Vec::new();
        for (mut places, node) in self.target.find(schema, root) {
            match self.target.leaf(schema) {
                Some(leaf) if self.part.has(schema, leaf) => {
                    if let Some(value) = leaf_of(schema, &places, node, leaf) {
                        updates.extend(self.encoding.leaves(schema, &places, [(leaf, &value)]));
                    }
                }
                Some(_) => {}
                None => {
                    let wanted = |leaf| self.part.has(schema, leaf);
                    self.encoding.spread(schema, &mut places, node, &wanted, &mut updates);
                }
            }
        }
        updates
    }

    /// Returns all data, and remembers it for comparison with later samples.
    pub(super) fn first(&mut self, schema: &Schema, root: &Node) -> Vec<pb::Update> {
        let updates = self.everything(schema, root);
        if self.suppress && self.every.is_some() {
            self.last = updates.iter().map(|update| (name(update), update.clone())).collect();
        }
        updates
    }

    /// Returns a sample. A heartbeat includes unchanged data.
    pub(super) fn sample(&mut self, schema: &Schema, root: &Node, heartbeat: bool) -> Vec<pb::Update> {
        let updates = self.everything(schema, root);
        if !self.suppress || self.every.is_none() {
            return updates;
        }
        let now: HashMap<_, _> = updates.iter().map(|update| (name(update), update.clone())).collect();
        let before = std::mem::replace(&mut self.last, now);
        updates.into_iter().filter(|update| heartbeat || before.get(&name(update)) != Some(update)).collect()
    }
}

/// Returns the path of an update, as text for comparison.
fn name(update: &pb::Update) -> String {
    Path::from_gnmi(None, update.path.as_ref()).to_string()
}

/// Returns the shortest sample interval in the schema at or below a node.
fn shortest_sample(schema: &Schema, node: NodeId) -> Option<u32> {
    let own = schema.node(node).sample_seconds;
    let below = schema.node(node).children.iter().filter_map(|child| shortest_sample(schema, *child));
    below.chain(own).min()
}

/// A sample or heartbeat that is due.
pub(super) struct Due {
    /// Index of the rule.
    pub(super) rule: usize,
    /// Whether it is a heartbeat and not a sample.
    pub(super) heartbeat: bool,
}

/// The times at which samples and heartbeats are due.
pub(super) struct Timing {
    alarms: Vec<Alarm>,
}

struct Alarm {
    at: Instant,
    every: Duration,
    rule: usize,
    heartbeat: bool,
}

impl Timing {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let now = Instant::now();
        let mut alarms = Vec::new();
        for (rule, it) in rules.iter().enumerate() {
            // A sample without suppression needs no heartbeat.
            let heartbeat = it.heartbeat.filter(|_| it.on_change || it.suppress);
            for (every, heartbeat) in
                it.every.map(|every| (every, false)).into_iter().chain(heartbeat.map(|it| (it, true)))
            {
                alarms.push(Alarm { at: now + every, every, rule, heartbeat });
            }
        }
        Self { alarms }
    }

    /// Waits for what is due next; waits forever if nothing is.
    pub(super) async fn next(&mut self) -> Vec<Due> {
        let Some(at) = self.alarms.iter().map(|alarm| alarm.at).min() else { return std::future::pending().await };
        tokio::time::sleep_until(at).await;
        let due = self.alarms.iter_mut().filter(|alarm| alarm.at <= at);
        due.map(|alarm| {
            alarm.at += alarm.every;
            Due { rule: alarm.rule, heartbeat: alarm.heartbeat }
        })
        .collect()
    }
}
