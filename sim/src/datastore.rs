//! stub
#![allow(missing_docs)]
use crate::path::Path;
use crate::schema::Schema;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;
#[derive(Clone)]
pub struct Datastore(broadcast::Sender<()>, Arc<Mutex<(Value, BTreeMap<Path, (String, Value)>)>>);
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
        Self(broadcast::Sender::new(1), Arc::default())
    }
    pub fn apply_state(&self, owner: &str, ops: Vec<StateOp>) -> Result<(), Refusal> {
        for op in ops {
            match op {
                StateOp::Replace(path, value) => drop(self.1.lock().unwrap().1.insert(path, (owner.into(), value))),
                StateOp::Delete(path) => drop(self.1.lock().unwrap().1.remove(&path)),
            }
        }
        Ok(())
    }
    pub fn schema(&self) -> &Schema {
        &Schema
    }
    pub fn wipe_owner(&self, owner: &str) {
        self.1.lock().unwrap().1.retain(|_, (of, _)| of != owner);
    }
    pub fn running(&self) -> Value {
        self.1.lock().unwrap().0.clone()
    }
    pub fn set_running(&self, value: Value) {
        self.1.lock().unwrap().0 = value;
    }
    pub fn state(&self, path: &Path) -> Option<Value> {
        self.1.lock().unwrap().1.get(path).map(|it| it.1.clone())
    }
    pub fn state_tree(&self) -> Value {
        let mut root = serde_json::json!({});
        for (path, (_, value)) in &self.1.lock().unwrap().1 {
            let mut at = &mut root;
            for (name, keys) in &path.0 {
                at = &mut at[name.as_str()];
                if !keys.is_empty() {
                    if at.is_null() {
                        *at = serde_json::json!([]);
                    }
                    let entries = at.as_array_mut().unwrap();
                    let mut entry = serde_json::json!({});
                    keys.iter().for_each(|(k, v)| entry[k] = v.as_str().into());
                    entries.push(entry);
                    at = entries.last_mut().unwrap();
                } else if at.is_null() {
                    *at = serde_json::json!({});
                }
            }
            for (k, v) in value.as_object().unwrap() {
                at[k] = v.clone();
            }
        }
        root
    }
    pub fn subscribe(&self) -> broadcast::Receiver<()> {
        self.0.subscribe()
    }
}
