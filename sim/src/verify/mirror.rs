//! Keeps a copy of the agent's state on a leaf by one gNMI subscription.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use srl_proto::gnmi as pb;
use srl_proto::gnmi::g_nmi_client::GNmiClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Endpoint;

use crate::path::{Path, Step};
use pb::subscribe_response::Response as Told;
use pb::typed_value::Value as Typed;

/// First element of the path of the agent's state.
const ROOT: &str = "k8s-services";
/// Pause before subscribing again.
const AGAIN: Duration = Duration::from_secs(1);

/// Credentials for gNMI.
#[derive(Clone)]
pub(super) struct Login {
    username: AsciiMetadataValue,
    password: AsciiMetadataValue,
}

impl Login {
    /// Creates credentials; `None` if metadata cannot carry them.
    pub(super) fn new(username: &str, password: &str) -> Option<Self> {
        let mut password = AsciiMetadataValue::try_from(password).ok()?;
        password.set_sensitive(true);
        Some(Self { username: AsciiMetadataValue::try_from(username).ok()?, password })
    }

    fn write(&self, metadata: &mut MetadataMap) {
        metadata.insert("username", self.username.clone());
        metadata.insert("password", self.password.clone());
    }
}

/// The state of a leaf that has been received.
#[derive(Default)]
struct Heard {
    /// Leaves by path, with keys in the order of their names.
    leaves: BTreeMap<String, String>,
    /// Whether the existing state has been received.
    complete: bool,
    /// Why the last attempt ended.
    trouble: String,
}

/// A copy of a leaf's state, which is updated until it is dropped.
pub(super) struct Mirror {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mirror {
    /// Follows the leaf at `target`; `changes` counts its notifications.
    pub(super) fn start(target: String, login: Login, changes: watch::Sender<u64>) -> Self {
        let heard = Arc::<Mutex<Heard>>::default();
        let task = tokio::spawn(keep(target, login, Arc::clone(&heard), changes));
        Self { heard, task }
    }

    /// Returns why the leaf's state is unknown; `None` if it has sent everything.
    pub(super) fn trouble(&self) -> Option<String> {
        let heard = lock(&self.heard);
        (!heard.complete).then(|| heard.trouble.clone())
    }

    /// Returns the value at a path as text; `None` if there is no value.
    pub(super) fn read(&self, path: &Path) -> Option<String> {
        let path = canonical(path);
        let heard = lock(&self.heard);
        if let Some(value) = heard.leaves.get(&path) {
            return Some(value.clone());
        }
        let mut below = heard.leaves.range(path.clone()..);
        below.next().filter(|(leaf, _)| is_below(leaf, &path)).map(|_| "{...}".to_owned())
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a path with sorted keys, because keys have no order on the wire.
fn canonical(path: &Path) -> String {
    let steps = path.steps().iter().map(|step| {
        let mut keys = step.keys.clone();
        keys.sort_unstable();
        Step { name: step.name.clone(), keys }
    });
    Path::from_steps(steps.collect()).to_string()
}

fn is_below(leaf: &str, path: &str) -> bool {
    leaf.strip_prefix(path).is_some_and(|rest| rest.starts_with(['/', '[']) || rest.is_empty())
}

async fn keep(target: String, login: Login, heard: Arc<Mutex<Heard>>, changes: watch::Sender<u64>) {
    loop {
        let trouble = follow(&target, &login, &heard, &changes).await.err().unwrap_or_else(|| "it ended".to_owned());
        *lock(&heard) = Heard { trouble, ..Heard::default() };
        changes.send_modify(|count| *count += 1);
        tokio::time::sleep(AGAIN).await;
    }
}

async fn follow(target: &str, login: &Login, heard: &Mutex<Heard>, changes: &watch::Sender<u64>) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(target.to_owned()).map_err(|error| error.to_string())?;
    let channel = endpoint.connect().await.map_err(|error| format!("cannot connect: {error}"))?;
    let mut client = GNmiClient::new(channel);
    let requests = futures::stream::once(std::future::ready(request())).chain(futures::stream::pending());
    let mut call = Request::new(requests);
    login.write(call.metadata_mut());
    let mut stream = client.subscribe(call).await.map_err(|status| status.message().to_owned())?.into_inner();
    while let Some(message) = stream.next().await {
        match message.map_err(|status| status.message().to_owned())?.response {
            Some(Told::Update(notification)) => apply(&mut lock(heard).leaves, &notification),
            Some(Told::SyncResponse(_)) => lock(heard).complete = true,
            _ => continue,
        }
        changes.send_modify(|count| *count += 1);
    }
    Ok(())
}

fn request() -> pb::SubscribeRequest {
    let path =
        pb::Path { elem: vec![pb::PathElem { name: ROOT.to_owned(), ..Default::default() }], ..Default::default() };
    let mode = pb::SubscriptionMode::OnChange.into();
    let list = pb::SubscriptionList {
        subscription: vec![pb::Subscription { path: Some(path), mode, ..Default::default() }],
        mode: pb::subscription_list::Mode::Stream.into(),
        encoding: pb::Encoding::Proto.into(),
        ..Default::default()
    };
    pb::SubscribeRequest { request: Some(pb::subscribe_request::Request::Subscribe(list)), ..Default::default() }
}

/// Applies a notification: deletes first, as gNMI requires.
fn apply(leaves: &mut BTreeMap<String, String>, notification: &pb::Notification) {
    let path = |path| canonical(&Path::from_gnmi(notification.prefix.as_ref(), path));
    for gone in &notification.delete {
        let gone = path(Some(gone));
        leaves.retain(|leaf, _| !is_below(leaf, &gone));
    }
    for update in &notification.update {
        let value = update.val.as_ref().and_then(|value| value.value.as_ref()).and_then(text);
        if let Some(value) = value {
            leaves.insert(path(update.path.as_ref()), value);
        }
    }
}

/// Returns a value as on the CLI of an emulated leaf: identities without their module.
fn text(value: &Typed) -> Option<String> {
    Some(match value {
        Typed::StringVal(text) | Typed::AsciiVal(text) => text.clone(),
        Typed::IntVal(number) => number.to_string(),
        Typed::UintVal(number) => number.to_string(),
        Typed::BoolVal(flag) => flag.to_string(),
        Typed::DoubleVal(number) => number.to_string(),
        Typed::JsonVal(bytes) | Typed::JsonIetfVal(bytes) => match serde_json::from_slice(bytes).ok()? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        },
        Typed::LeaflistVal(array) => {
            let texts = array.element.iter().filter_map(|element| text(element.value.as_ref()?));
            serde_json::Value::from(texts.collect::<Vec<_>>()).to_string()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(updates: &[(&str, &str)], deletes: &[&str]) -> pb::Notification {
        let path = |text: &str| text.parse::<Path>().expect("a path").to_gnmi();
        let update = updates.iter().map(|(at, value)| pb::Update {
            path: Some(path(at)),
            val: Some(pb::TypedValue { value: Some(Typed::StringVal((*value).to_owned())) }),
            ..Default::default()
        });
        let delete = deletes.iter().map(|at| path(at)).collect();
        pb::Notification { update: update.collect(), delete, ..Default::default() }
    }

    #[test]
    fn keys_are_matched_in_any_order_and_a_delete_removes_everything_below() {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (task, seen) = (tokio::runtime::Builder::new_current_thread().build().expect("a runtime"), heard.clone());
        let mirror = Mirror { heard: seen, task: task.spawn(async {}) };
        let read = |path: &str| mirror.read(&path.parse().expect("a path"));
        let vip = "/k8s-services/service[namespace=a][name=b]/vip[address=1.1.1.1]";
        let service = notification(&[(&format!("{vip}/oper-state"), "up"), ("/k8s-services/version", "1")], &[]);
        apply(&mut lock(&heard).leaves, &service);
        assert_eq!(
            read("/k8s-services/service[name=b][namespace=a]/vip[address=1.1.1.1]/oper-state").as_deref(),
            Some("up")
        );
        assert!(read("/k8s-services/service[namespace=a][name=b]").is_some(), "an entry is there");
        assert_eq!(read("/k8s-services/vers"), None);
        apply(&mut lock(&heard).leaves, &notification(&[], &["/k8s-services/service[name=b][namespace=a]"]));
        assert_eq!((read(vip), read("/k8s-services/version").as_deref()), (None, Some("1")));
    }
}
