//! What a leaf's datastore says, and its CLI.
use super::control::Response;
use crate::leaf::Leaf;
use tokio::sync::watch;
/// E
#[derive(Debug, thiserror::Error)]
#[error("view")]
pub struct ViewError;
pub(super) struct Prompt;
impl Prompt {
    pub(super) fn new(_: &Leaf) -> Self {
        Self
    }
    pub(super) async fn run(&mut self, _: &str) -> Response {
        Response::Done
    }
    pub(super) fn complete(&self, _: &str) -> Vec<String> {
        vec![]
    }
}
pub(super) async fn commit(_: &Leaf, _: &str) -> Result<(), ViewError> {
    Ok(())
}
/// Tells when the state of any leaf changes.
#[derive(Debug)]
pub(crate) struct Changes(watch::Receiver<u64>);
impl Changes {
    pub(crate) fn new(receiver: watch::Receiver<u64>) -> Self {
        Self(receiver)
    }
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
impl super::Lab {
    pub(crate) fn read(&self, _: &str, _: &str) -> Result<Option<String>, ViewError> {
        Ok(None)
    }
    pub(crate) fn changes(&self) -> Changes {
        Changes::new(self.changes.subscribe())
    }
    pub(crate) async fn cli(&self, _: &str, _: &str) -> Result<String, ViewError> {
        Ok(String::new())
    }
}
