//! `TelemetryAddOrUpdate` and `TelemetryDelete`: write an application's state to the datastore.

use std::time::Instant;

use serde_json::Value;
use srl_proto::ndk as pb;
use tonic::{Request, Response, Status};

use super::Inner;
use super::record::{TelemetryCall, TelemetryKind};
use super::service::Service;
use crate::datastore::StateOp;
use crate::path::{Path, Step};
use pb::SdkMgrStatus::{Failed, Success};

const NOT_REGISTERED: &str = "the application is not registered, or agent_name is missing";

#[tonic::async_trait]
impl pb::sdk_mgr_telemetry_service_server::SdkMgrTelemetryService for Service {
    async fn telemetry_add_or_update(
        &self,
        request: Request<pb::TelemetryUpdateRequest>,
    ) -> Result<Response<pb::TelemetryUpdateResponse>, Status> {
        let arrived = Instant::now();
        let app = self.registered(&request).await;
        let states = request.into_inner().states.into_iter();
        let (paths, contents): (Vec<String>, Vec<String>) = states
            .map(|state| {
                let path = state.key.unwrap_or_default().js_path;
                (path, state.data.unwrap_or_default().json_content)
            })
            .unzip();
        let bytes = paths.iter().chain(&contents).map(String::len).sum();
        let done = self.0.take_over(app.as_deref(), &paths, |inner, app| inner.update(app, &paths, &contents));
        let (status, error_str) = self.0.recorded(app, TelemetryKind::Update, arrived, paths, bytes, done);
        Ok(Response::new(pb::TelemetryUpdateResponse { status, error_str }))
    }

    async fn telemetry_delete(
        &self,
        request: Request<pb::TelemetryDeleteRequest>,
    ) -> Result<Response<pb::TelemetryDeleteResponse>, Status> {
        let arrived = Instant::now();
        let app = self.registered(&request).await;
        let paths: Vec<String> = request.into_inner().keys.into_iter().map(|key| key.js_path).collect();
        let bytes = paths.iter().map(String::len).sum();
        let done = self.0.take_over(app.as_deref(), &paths, |inner, app| inner.delete(app, &paths));
        let (status, error_str) = self.0.recorded(app, TelemetryKind::Delete, arrived, paths, bytes, done);
        Ok(Response::new(pb::TelemetryDeleteResponse { status, error_str }))
    }
}

impl Inner {
    fn take_over(
        &self,
        app: Option<&str>,
        paths: &[String],
        work: impl FnOnce(&Self, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        let app = app.ok_or(NOT_REGISTERED)?;
        if self.faults.refuses(paths) {
            return Err("telemetry is not accepted at the moment".to_owned());
        }
        work(self, app)
    }

    /// Applies all of a call, or nothing.
    fn update(&self, app: &str, paths: &[String], contents: &[String]) -> Result<(), String> {
        let mut ops = Vec::with_capacity(paths.len());
        for (text, content) in paths.iter().zip(contents) {
            let value: Value = serde_json::from_str(content)
                .map_err(|error| format!("JSON of path '{text}' is malformed: {error}"))?;
            let Some(path) = self.read_path(text)? else { continue };
            self.check_form(&path, &value)?;
            ops.push(StateOp::Replace(path, value));
        }
        let written = match self.switches.delete_unknown_is_error {
            true => ops.iter().map(hyphenated).collect(),
            false => Vec::new(),
        };
        self.store.apply_state(app, ops).map_err(|refusal| refusal.to_string())?;
        if let Some(known) = self.core().apps.get_mut(app) {
            known.written.extend(written);
        }
        Ok(())
    }

    fn delete(&self, app: &str, paths: &[String]) -> Result<(), String> {
        let read = paths.iter().filter_map(|text| self.read_path(text).transpose());
        let ops: Vec<StateOp> = read.map(|path| path.map(StateOp::Delete)).collect::<Result<_, _>>()?;
        if self.switches.delete_unknown_is_error
            && let Some(known) = self.core().apps.get_mut(app)
        {
            let gone: Vec<Path> = ops.iter().map(hyphenated).collect();
            if let Some(unknown) = gone.iter().position(|path| !known.written.contains(path)) {
                return Err(format!("path '{}' was never added", paths[unknown]));
            }
            known.written.retain(|path| !gone.contains(path));
        }
        self.store.apply_state(app, ops).map_err(|refusal| refusal.to_string())
    }

    fn recorded(
        &self,
        app: Option<String>,
        kind: TelemetryKind,
        at: Instant,
        paths: Vec<String>,
        bytes: usize,
        done: Result<(), String>,
    ) -> (i32, String) {
        let refused = done.err();
        let answer = match &refused {
            None => (Success as i32, String::new()),
            Some(why) => (Failed as i32, why.clone()),
        };
        let took = at.elapsed();
        let app = app.unwrap_or_default();
        self.record.add(TelemetryCall { at, took, app, kind, paths, bytes, refused });
        answer
    }
}

/// Returns the path of a write with all names in one spelling and keys in one order, so that equal paths compare equal.
fn hyphenated(op: &StateOp) -> Path {
    let (StateOp::Replace(path, _) | StateOp::Delete(path)) = op;
    let steps = path.steps().iter().map(|step| {
        let mut keys: Vec<_> = step.keys.iter().map(|(key, value)| (key.replace('_', "-"), value.clone())).collect();
        keys.sort();
        Step { name: step.name.replace('_', "-"), keys }
    });
    Path::from_steps(steps.collect())
}
