//! Delivers configuration to applications by commits, waits for acknowledgements, and mirrors it into state.

use std::sync::{Arc, Weak};

use serde_json::Value;
use srl_proto::ndk as pb;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::core::Core;
use super::service::Service;
use super::{AppInfo, Inner, NdkEvent, delivery};
use crate::datastore::{Commit, CommitHook, Delivery, Node, Problem, StateOp};
use crate::path::Path;
use pb::SdkMgrStatus::{Failed, Success};

/// Sequence number of the delivery at the beginning of a subscription; commits count from 1.
const REPLAY: u64 = 0;

/// Hook that delivers commits to applications.
pub(crate) struct Hook(pub(crate) Weak<Inner>);

#[tonic::async_trait]
impl CommitHook for Hook {
    async fn commit(&self, commit: &Commit) -> Result<Vec<Problem>, Vec<Problem>> {
        match self.0.upgrade() {
            Some(inner) => inner.commit(commit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn restore(&self, commit: &Commit) {
        if let Some(inner) = self.0.upgrade() {
            inner.restore(commit).await;
        }
    }
}

/// An application for whose answer a commit waits.
struct Waiting {
    app: String,
    answer: oneshot::Receiver<Vec<pb::AcknowledgeConfigRequestInfo>>,
}

/// The answers of applications to a commit.
#[derive(Default)]
struct Verdict {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Inner {
    /// Returns whether an application has configuration.
    pub(crate) fn has_config(&self, app: &str) -> bool {
        let core = self.core();
        core.apps.get(app).is_some_and(|app| !self.manner_of(&app.info).nodes(&core.config).is_empty())
    }

    /// Delivers the whole existing configuration to one subscription.
    pub(crate) fn replay(&self, core: &mut Core, app: &str, stream: u64, subscription: u64) {
        let Some(info) = core.apps.get(app).map(|app| app.info.clone()) else { return };
        let manner = self.manner_of(&info);
        let mut told = manner.changes(&[], &manner.nodes(&core.config));
        told.push(delivery::end_of_commit(REPLAY));
        let Some(open) = core.stream(app, stream).filter(|stream| stream.is_open()) else { return };
        open.push_config(subscription, &told, self.switches.unread_config_limit);
        if let Some(registration) = core.registration_mut(app).filter(|it| it.wait_config_ack) {
            registration.unacknowledged.push_back(None);
        }
        self.tell(NdkEvent::ConfigFollowed(app.to_owned()));
    }

    /// Delivers a commit to the applications it concerns, and waits for the answers of those that acknowledge.
    async fn commit(&self, commit: &Commit) -> Result<Vec<Problem>, Vec<Problem>> {
        let waiting = self.deliver(commit, |manner, old, new| manner.changes(old, new));
        let verdict = self.verdict_of(waiting).await;
        if !verdict.errors.is_empty() {
            return Err(verdict.errors);
        }
        self.mirror(commit);
        Ok(verdict.warnings)
    }

    /// Delivers the configuration that stays, after a commit was refused, to those that received the commit.
    async fn restore(&self, commit: &Commit) {
        let waiting = self.deliver(commit, |manner, old, new| match old == new {
            true => Vec::new(),
            false => manner.whole(old, new),
        });
        for Problem { path, message } in self.verdict_of(waiting).await.errors {
            tracing::warn!(%path, %message, "an application objects to the configuration that stays");
        }
        self.mirror(commit);
    }

    /// Writes an application's configuration to its state, if it asked for that.
    pub(crate) fn mirror_all(&self, app: &str) {
        let core = self.core();
        if !core.registration(app).is_some_and(|registration| registration.auto_telemetry_state) {
            return;
        }
        let Some(info) = core.apps.get(app).map(|app| app.info.clone()) else { return };
        let config = core.config.clone();
        drop(core);
        self.mirror_of(&info, &Node::default(), &config);
    }

    fn mirror(&self, commit: &Commit) {
        let core = self.core();
        let mirrored =
            core.apps.values().filter(|it| it.registration.as_ref().is_some_and(|it| it.auto_telemetry_state));
        let infos: Vec<Arc<AppInfo>> = mirrored.map(|app| app.info.clone()).collect();
        drop(core);
        for info in infos {
            self.mirror_of(&info, &commit.before, &commit.after);
        }
    }

    fn mirror_of(&self, info: &AppInfo, old: &Node, new: &Node) {
        let manner = self.manner_of(info);
        let (old, new) = (manner.nodes(old), manner.nodes(new));
        let gone = old.iter().rev().filter(|node| !new.iter().any(|after| after.places == node.places));
        let mut ops: Vec<StateOp> = gone.map(|node| StateOp::Delete(node.path.clone())).collect();
        ops.extend(new.into_iter().map(|node| StateOp::Replace(node.path, Value::Object(node.json))));
        if let Err(refusal) = self.store.apply_state(&info.name, ops) {
            tracing::warn!(app = %info.name, %refusal, "mirrored configuration was refused as state");
        }
    }

    fn manner_of<'a>(&'a self, info: &'a AppInfo) -> delivery::Manner<'a> {
        delivery::Manner {
            schema: self.store.schema(),
            modules: &info.modules,
            defaults: self.switches.deliver_defaults,
            format: info.config_format,
            spelling: self.switches.config_path_spelling,
        }
    }

    /// Delivers to every application that reads configuration what concerns it, as one commit.
    fn deliver(
        &self,
        commit: &Commit,
        told: impl Fn(delivery::Manner<'_>, &[Delivery], &[Delivery]) -> Vec<pb::ConfigNotification>,
    ) -> Vec<Waiting> {
        let mut core = self.core();
        core.config = commit.after.clone();
        let infos: Vec<Arc<AppInfo>> = core.apps.values().map(|app| app.info.clone()).collect();
        let mut waiting = Vec::new();
        for info in infos {
            let manner = self.manner_of(&info);
            let mut notifications = told(manner, &manner.nodes(&commit.before), &manner.nodes(&commit.after));
            if notifications.is_empty() {
                continue;
            }
            notifications.push(delivery::end_of_commit(commit.sequence));
            let mut read = false;
            for stream in core.streams.values_mut().filter(|stream| stream.app == info.name) {
                for subscription in stream.config_readers() {
                    stream.push_config(subscription, &notifications, self.switches.unread_config_limit);
                    read = true;
                }
            }
            let registration = core.registration_mut(&info.name).filter(|it| read && it.wait_config_ack);
            if let Some(registration) = registration {
                let (sender, answer) = oneshot::channel();
                registration.unacknowledged.push_back(Some(sender));
                waiting.push(Waiting { app: info.name.clone(), answer });
            }
        }
        waiting
    }

    /// Returns the answers of applications. An application that leaves has no objection; one that does not answer in
    /// time has.
    async fn verdict_of(&self, waiting: Vec<Waiting>) -> Verdict {
        let mut verdict = Verdict::default();
        for Waiting { app, answer } in waiting {
            match tokio::time::timeout(self.switches.acknowledge_within, answer).await {
                Ok(Ok(infos)) => infos.into_iter().for_each(|info| verdict.add(&app, info)),
                Ok(Err(_)) => {}
                Err(_) => {
                    if let Some(registration) = self.core().registration_mut(&app) {
                        registration.unacknowledged.retain(|it| it.as_ref().is_none_or(|sender| !sender.is_closed()));
                    }
                    let message = format!("application '{app}' did not acknowledge the configuration in time");
                    verdict.errors.push(Problem { path: "/".to_owned(), message });
                }
            }
        }
        verdict
    }
}

impl Verdict {
    fn add(&mut self, app: &str, info: pb::AcknowledgeConfigRequestInfo) {
        use pb::acknowledge_config_request_info::Result as Word;
        // Operators see the path in their own notation.
        let path = Path::from_js(&info.js_path_with_keys).map_or(info.js_path_with_keys, |path| spelled(&path));
        match info.result {
            Some(Word::Error(message)) => self.errors.push(Problem { path, message }),
            Some(Word::Warning(message)) => self.warnings.push(Problem { path, message }),
            Some(Word::Output(message)) => {
                tracing::info!(%app, %path, %message, "application says about the configuration");
            }
            None => {}
        }
    }
}

#[tonic::async_trait]
impl pb::sdk_mgr_config_service_server::SdkMgrConfigService for Service {
    async fn acknowledge_config(
        &self,
        request: Request<pb::AcknowledgeConfigRequest>,
    ) -> Result<Response<pb::AcknowledgeConfigResponse>, Status> {
        let app = self.enter(&request).await;
        let mut core = self.0.core();
        let answer = match core.registration_mut(&app) {
            None => Err("the application is not registered, or agent_name is missing"),
            Some(registration) if !registration.wait_config_ack => {
                Err("the application did not register with wait_config_ack")
            }
            Some(registration) => {
                // A second answer to one commit finds nothing that waits and is ignored.
                if let Some(Some(waiting)) = registration.unacknowledged.pop_front() {
                    // The commit may not be waiting any more.
                    let _ = waiting.send(request.into_inner().infos);
                }
                Ok(())
            }
        };
        let (status, error_str) = match answer {
            Ok(()) => (Success as i32, String::new()),
            Err(why) => (Failed as i32, why.to_owned()),
        };
        Ok(Response::new(pb::AcknowledgeConfigResponse { status, error_str }))
    }
}

/// Returns a path as an operator writes it: with hyphens in names, where the NDK may use underscores.
fn spelled(path: &Path) -> String {
    let mut in_key = false;
    let hyphenated = |letter: char| {
        in_key = (in_key || letter == '[') && letter != ']';
        if letter == '_' && !in_key { '-' } else { letter }
    };
    path.to_string().chars().map(hyphenated).collect()
}
