//! Follows the speaker's own resources, if the API server has them and permits reading them. The agent works without
//! them.
//!
//! `discovery` asks which of them are served, and in which version, once per group. Each resource then has a loop of
//! its own. A resource that is absent, forbidden, or cannot be listed does not prevent the cluster from being synced:
//! the engine receives an event, one line is logged, and it is tried again at a long interval, when the credentials
//! change, and when another version of it is served.

mod calico;
mod discovery;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod objects;
mod reduce;
mod statuses;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use tokio::sync::{Notify, watch};

use self::discovery::{Served, discover};
use self::reduce::Objects;
use self::statuses::Statuses;
use super::condition::Part;
use super::http::Client;
use super::reduce::Kind;
use super::reporter::Closed;
use super::timings::jittered;
use super::watch::{Failure, FailureKind, Tolerance, WatchContext, Watcher};
use crate::model::config::Speaker;
use crate::model::event::ClusterEvent;
use crate::model::speaker::{ResourceState, SpeakerResource};
use crate::supervise::Backoff;

/// Follows the resources of a speaker; ends only when nobody receives events any more.
pub(super) async fn follow(speaker: Speaker, context: WatchContext) -> Result<Infallible, Closed> {
    let resources: Vec<SpeakerResource> = SpeakerResource::of(speaker).collect();
    let (served, seen) = watch::channel(None);
    let again = Arc::new(Notify::new());
    let mut tasks: Vec<BoxFuture<'_, Result<Infallible, Closed>>> = Vec::new();
    for resource in &resources {
        let follower = Follower {
            resource: *resource,
            part: resource.to_string(),
            context: context.clone(),
            served: seen.clone(),
            again: Arc::clone(&again),
            reported: None,
        };
        tasks.push(match resource {
            resource if resource.is_status() => follower.run(|api| Statuses::new(*resource, api)).boxed(),
            resource => follower.run(|api| Objects::new(*resource, api)).boxed(),
        });
    }
    if resources.is_empty() {
        return future::pending().await;
    }
    tasks.push(keep_discovering(&resources, context.clone(), served, again).boxed());
    future::select_all(tasks).await.0
}

/// Returns the paths where the resources are served, each with the name of the resource.
///
/// # Errors
/// If the server does not answer; returns the reason.
pub(super) async fn served_paths(
    client: &Client,
    resources: &[SpeakerResource],
    patience: Duration,
) -> Result<Vec<(String, &'static str)>, String> {
    let served = discover(client, resources, patience).await?;
    let path = |resource: &SpeakerResource, apis: &[Arc<str>]| Some(format!("{}/{}", apis.first()?, resource.plural()));
    Ok(served.iter().filter_map(|(resource, apis)| Some((path(resource, apis)?, resource.plural()))).collect())
}

/// Asks repeatedly which resources are served.
async fn keep_discovering(
    resources: &[SpeakerResource],
    context: WatchContext,
    served: watch::Sender<Option<Arc<Served>>>,
    again: Arc<Notify>,
) -> Result<Infallible, Closed> {
    let mut backoff = context.timings.backoff();
    let mut link = context.link.clone();
    loop {
        let current = link.get().await?;
        let pause = match discover(&current.client, resources, context.timings.answer).await {
            Ok(found) => {
                backoff.reset();
                let found = Arc::new(found);
                served.send_if_modified(|known| {
                    let changed = known.as_ref() != Some(&found);
                    *known = Some(found);
                    changed
                });
                jittered(context.timings.look_again)
            }
            Err(reason) => {
                tracing::debug!(?reason, "API groups cannot be asked for");
                context.failure.notify_one();
                jittered(backoff.pause())
            }
        };
        tokio::select! {
            () = link.pause(current.epoch, pause) => {}
            () = again.notified() => {}
        }
    }
}

/// Follows one resource.
struct Follower {
    resource: SpeakerResource,
    /// The name of its condition.
    part: String,
    context: WatchContext,
    served: watch::Receiver<Option<Arc<Served>>>,
    /// Triggers discovery at once.
    again: Arc<Notify>,
    /// The last state sent; `None` if the resource has been watched since.
    reported: Option<ResourceState>,
}

impl Follower {
    async fn run<K: Kind>(mut self, kind: impl Fn(Arc<str>) -> K) -> Result<Infallible, Closed> {
        let mut failing = Backoff::new(self.context.timings.first_pause, self.context.timings.look_again);
        let mut link = self.context.link.clone();
        loop {
            let epoch = link.get().await?.epoch;
            let apis = self.apis().await?;
            let state = match self.watch(&apis, &kind).await? {
                Outcome::Moved => continue,
                Outcome::NotServed => ResourceState::Absent,
                Outcome::Failed(failure) => self.state(&failure),
            };
            if !matches!(state, ResourceState::Failed(_)) {
                failing.reset();
            }
            let pause = match &state {
                ResourceState::Failed(_) => failing.pause(),
                _ => self.context.timings.look_again,
            };
            if state == ResourceState::Absent && !apis.is_empty() {
                // It was served a moment ago, and may be in another version now.
                self.again.notify_one();
            }
            if self.reported.as_ref() != Some(&state) {
                self.tell(state).await?;
            }
            tokio::select! {
                () = link.pause(epoch, pause) => {}
                () = self.moved(&apis) => {}
            }
        }
    }

    /// Watches the resource where it is served, the best API first.
    async fn watch<K: Kind>(&mut self, apis: &[Arc<str>], kind: &impl Fn(Arc<str>) -> K) -> Result<Outcome, Closed> {
        let mut worst: Option<Failure> = None;
        for api in apis {
            let mut watcher = Watcher::new(kind(Arc::clone(api)), self.context.clone());
            let (part, mut served) = (self.part.clone(), self.served.clone());
            let failure = tokio::select! {
                failure = watcher.run_until(&part, Tolerance::Optional) => Some(failure?),
                () = elsewhere(&mut served, self.resource, apis) => None,
            };
            self.reported.take_if(|_| watcher.has_listed());
            let Some(failure) = failure else { return Ok(Outcome::Moved) };
            if worst.as_ref().is_none_or(|worst| rank(worst.kind) < rank(failure.kind)) {
                worst = Some(failure);
            }
        }
        Ok(worst.map_or(Outcome::NotServed, Outcome::Failed))
    }

    /// Waits for discovery, and returns where the resource is served, best first.
    async fn apis(&mut self) -> Result<Vec<Arc<str>>, Closed> {
        let served = self.served.wait_for(Option::is_some).await.map_err(|_| Closed)?;
        Ok(served.as_ref().and_then(|served| served.get(&self.resource)).cloned().unwrap_or_default())
    }

    async fn moved(&self, apis: &[Arc<str>]) {
        elsewhere(&mut self.served.clone(), self.resource, apis).await;
    }

    fn state(&self, failure: &Failure) -> ResourceState {
        let (plural, groups) = (self.resource.plural(), self.resource.groups());
        match failure.kind {
            FailureKind::Absent => ResourceState::Absent,
            FailureKind::Forbidden => {
                let groups: Vec<String> = groups.iter().map(|group| format!("\"{}\"", group.name)).collect();
                let groups = groups.join(", ");
                let rule = format!(
                    "add to the ClusterRole of the agent's user: apiGroups [{groups}], resources [\"{plural}\"], verbs \
                     [\"list\", \"watch\"]"
                );
                ResourceState::Forbidden(rule.into())
            }
            FailureKind::TooMany => ResourceState::TooMany(Arc::clone(&failure.reason)),
            FailureKind::Server | FailureKind::Listing => ResourceState::Failed(Arc::clone(&failure.reason)),
        }
    }

    /// Sends a state to the engine, and logs it unless the last one was of the same kind.
    async fn tell(&mut self, state: ResourceState) -> Result<(), Closed> {
        let reporter = &self.context.reporter;
        let (cluster, resource) = (reporter.cluster_name(), &self.part);
        if self.reported.as_ref().map(ResourceState::as_str) != Some(state.as_str()) {
            let (word, detail) = (state.as_str(), state.detail());
            match detail {
                None => tracing::info!(%cluster, %resource, "speaker resource absent: computed without it"),
                Some(detail) => {
                    tracing::warn!(%cluster, %resource, state = word, ?detail, "speaker resource not read: computed without it");
                }
            }
        }
        reporter.cluster(ClusterEvent::SpeakerResource(self.resource, state.clone())).await?;
        self.reported = Some(state);
        reporter.part(&self.part, Part::Live).await
    }
}

/// Why a resource is no longer watched.
enum Outcome {
    /// It is served elsewhere now.
    Moved,
    /// It is not served.
    NotServed,
    /// Watching failed; of several failures, the most informative one.
    Failed(Failure),
}

/// Ranks failures; the highest is the most informative.
fn rank(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Absent => 0,
        FailureKind::Server | FailureKind::Listing => 1,
        FailureKind::TooMany => 2,
        FailureKind::Forbidden => 3,
    }
}

/// Returns when a resource is served elsewhere than at `apis`.
async fn elsewhere(served: &mut watch::Receiver<Option<Arc<Served>>>, resource: SpeakerResource, apis: &[Arc<str>]) {
    let moved = |served: &Option<Arc<Served>>| {
        served.as_ref().is_some_and(|served| served.get(&resource).map(Vec::as_slice).unwrap_or_default() != apis)
    };
    if served.wait_for(moved).await.is_err() {
        future::pending::<()>().await;
    }
}
