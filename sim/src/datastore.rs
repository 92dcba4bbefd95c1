//! stub
#![allow(missing_docs)]
use crate::path::Path;
use crate::schema::Schema;
use std::sync::Arc;
use tokio::sync::broadcast;
#[derive(Clone)]
pub struct Datastore(broadcast::Sender<()>);
#[derive(Debug, Clone)]
pub enum StateOp {
    Replace(Path, serde_json::Value),
    Delete(Path),
}
#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub struct Refusal;
impl Datastore {
    pub fn new(_: Arc<Schema>) -> Self {
        Self(broadcast::Sender::new(1))
    }
    pub fn apply_state(&self, _: &str, _: Vec<StateOp>) -> Result<(), Refusal> {
        Ok(())
    }
    pub fn wipe_owner(&self, _: &str) {}
    pub fn subscribe(&self) -> broadcast::Receiver<()> {
        self.0.subscribe()
    }
}
