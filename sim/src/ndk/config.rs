//! Configuration: delivered commit by commit, acknowledged, mirrored into state.

use std::sync::Arc;

use serde_json::Value;
use srl_k8s_services::proto::ndk as pb;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::core::Core;
use super::service::Service;
use super::{AppInfo, Inner, delivery};
use crate::datastore::StateOp;
use crate::leaf::state::path_of_steps;
use pb::SdkMgrStatus::{Failed, Success};

/// The sequence of the delivery that begins a subscription; commits count from 1.
const REPLAY: u64 = 0;

/// What an application says is wrong with a commit: path and message.
pub(crate) type Objections = Vec<(String, String)>;

/// An application whose answer a commit waits for.
struct Waiting {
    app: String,
    answer: oneshot::Receiver<Vec<pb::AcknowledgeConfigRequestInfo>>,
}

pub(crate) fn attach(_: &crate::datastore::Datastore, _: &Arc<Inner>) {}

impl Inner {
    fn running(&self) -> Value {
        self.store.running()
    }

    /// Whether there is configuration for an application.
    pub(crate) fn has_config(&self, app: &str) -> bool {
        let info = self.core().apps.get(app).map(|app| app.info.clone());
        info.is_some_and(|info| !self.nodes(&info, &self.running()).is_empty())
    }

    /// Tells one subscription the whole configuration there is.
    pub(crate) fn replay(&self, core: &mut Core, app: &str, stream: u64, subscription: u64) {
        let Some(info) = core.apps.get(app).map(|app| app.info.clone()) else { return };
        let nodes = self.nodes(&info, &self.running());
        let mut told = delivery::changes(&self.shape, self.delivery(&info), &[], &nodes);
        told.push(delivery::end_of_commit(REPLAY));
        let limit = self.switches.unread_config_limit;
        let Some(open) = core.stream(app, stream).filter(|stream| stream.is_open()) else { return };
        open.push_config(subscription, &told, limit);
        if let Some(registration) = core.registration_mut(app).filter(|it| it.wait_config_ack) {
            registration.unacknowledged.push_back(None);
        }
    }

    /// Delivers a commit to every application it concerns, and waits for the answers of those that give any.
    ///
    /// # Errors
    /// What the applications object to.
    pub(crate) async fn commit(&self, running: &Value, candidate: &Value) -> Result<(), Objections> {
        let waiting = self.deliver(|info| {
            let (old, new) = (self.nodes(info, running), self.nodes(info, candidate));
            delivery::changes(&self.shape, self.delivery(info), &old, &new)
        });
        let mut objections = Vec::new();
        for one in waiting {
            objections.extend(self.answer_of(one).await);
        }
        if !objections.is_empty() {
            return Err(objections);
        }
        self.mirror(running, candidate);
        Ok(())
    }

    /// A commit was refused: whoever was told of it is told of the configuration that stays.
    pub(crate) async fn roll_back(&self, refused: &Value, running: &Value) {
        let waiting = self.deliver(|info| {
            let (old, new) = (self.nodes(info, refused), self.nodes(info, running));
            match old == new {
                true => Vec::new(),
                false => delivery::whole(&self.shape, self.delivery(info), &old, &new),
            }
        });
        for one in waiting {
            let app = one.app.clone();
            for (path, message) in self.answer_of(one).await {
                tracing::warn!(%app, %path, %message, "application objects to the configuration that stays");
            }
        }
    }

    /// Writes an application's configuration into its state, where it asked for that.
    pub(crate) fn mirror_all(&self, app: &str) {
        let info = {
            let core = self.core();
            if !core.registration(app).is_some_and(|registration| registration.auto_telemetry_state) {
                return;
            }
            core.apps.get(app).map(|app| app.info.clone())
        };
        if let Some(info) = info {
            self.mirror_of(&info, &Value::Null, &self.running());
        }
    }

    fn mirror(&self, running: &Value, candidate: &Value) {
        let core = self.core();
        let mirrored =
            core.apps.values().filter(|app| app.registration.as_ref().is_some_and(|it| it.auto_telemetry_state));
        let infos: Vec<Arc<AppInfo>> = mirrored.map(|app| app.info.clone()).collect();
        drop(core);
        for info in infos {
            self.mirror_of(&info, running, candidate);
        }
    }

    fn mirror_of(&self, info: &AppInfo, old: &Value, new: &Value) {
        let (old, new) = (self.nodes(info, old), self.nodes(info, new));
        let gone = old.iter().rev().filter(|node| !new.iter().any(|after| after.path == node.path));
        let mut ops: Vec<StateOp> = gone.map(|node| StateOp::Delete(path_of_steps(&node.path))).collect();
        ops.extend(
            new.iter().map(|node| StateOp::Replace(path_of_steps(&node.path), Value::Object(node.value.clone()))),
        );
        if let Err(refusal) = self.store.apply_state(&info.name, ops) {
            tracing::warn!(app = %info.name, %refusal, "mirrored configuration was refused as state");
        }
    }

    fn nodes(&self, info: &AppInfo, config: &Value) -> Vec<delivery::Node> {
        delivery::nodes(&self.shape, &info.modules, self.switches.deliver_defaults, config)
    }

    fn delivery(&self, info: &AppInfo) -> delivery::Manner {
        delivery::Manner { format: info.config_format, spelling: self.switches.config_path_spelling }
    }

    /// Tells every application that reads configuration what concerns it, as one commit.
    fn deliver(&self, told: impl Fn(&AppInfo) -> Vec<pb::ConfigNotification>) -> Vec<Waiting> {
        let mut core = self.core();
        let sequence = core.next_commit();
        let infos: Vec<Arc<AppInfo>> = core.apps.values().map(|app| app.info.clone()).collect();
        let mut waiting = Vec::new();
        for info in infos {
            let mut notifications = told(&info);
            if notifications.is_empty() {
                continue;
            }
            notifications.push(delivery::end_of_commit(sequence));
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

    /// The objections in an application's answer. One that goes away objects to nothing, one that stays silent does.
    async fn answer_of(&self, waiting: Waiting) -> Objections {
        let Waiting { app, answer } = waiting;
        match tokio::time::timeout(self.switches.acknowledge_within, answer).await {
            Ok(Ok(infos)) => infos.into_iter().filter_map(|info| objection(&app, info)).collect(),
            Ok(Err(_)) => Vec::new(),
            Err(_) => {
                if let Some(registration) = self.core().registration_mut(&app) {
                    registration.unacknowledged.retain(|it| it.as_ref().is_none_or(|sender| !sender.is_closed()));
                }
                let message = format!("application '{app}' did not acknowledge the configuration in time");
                vec![(String::from("/"), message)]
            }
        }
    }
}

fn objection(app: &str, info: pb::AcknowledgeConfigRequestInfo) -> Option<(String, String)> {
    use pb::acknowledge_config_request_info::Result as Word;
    let path = info.js_path_with_keys;
    match info.result {
        Some(Word::Error(message)) => Some((path, message)),
        Some(Word::Warning(message)) => {
            tracing::info!(%app, %path, %message, "application warns of the configuration");
            None
        }
        Some(Word::Output(message)) => {
            tracing::info!(%app, %path, %message, "application says of the configuration");
            None
        }
        None => None,
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
                    // The commit may have given up waiting.
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
