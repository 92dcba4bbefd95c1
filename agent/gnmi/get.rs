//! Reads the state at a path as one JSON value, by one Get.

use std::borrow::Borrow;
use std::time::Duration;

use serde_json::{Map, Value};
use tonic::{Code, Status};

use super::client::{Client, Credentials, CredentialsError, Refusal, refusal};
use super::path::{bare, elems, parse};
use crate::model::adaptation::Refused;
use crate::path::{Element, PathError};
use crate::server_addr::{ConnectError, ServerAddr};
use crate::supervise::words;
use gnmi::get_request::DataType;
use gnmi::typed_value::Value as Typed;
use srl_proto::gnmi;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why the state at a path could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The path is malformed.
    #[error(transparent)]
    Path(#[from] PathError),
    /// There is no usable password; the text names the file.
    #[error("{0}")]
    Credentials(String),
    /// There is no connection.
    #[error("no connection to the gNMI server")]
    Connect(#[source] ConnectError),
    /// The server refused or failed.
    #[error("the gNMI server does not return {path}: {}", words(.status))]
    Status {
        /// What was asked for.
        path: String,
        /// The answer.
        status: Status,
    },
    /// The answer is not JSON.
    #[error("the gNMI server answers with something that is not JSON")]
    Json(#[source] serde_json::Error),
}

impl GetError {
    /// Returns what the server refused: `Get` as a whole, or the path. `None` if it failed otherwise.
    pub fn refused(&self) -> Option<Refused> {
        let Self::Status { path, status } = self else { return None };
        let mut refused = Refused::default();
        match refusal(status) {
            Refusal::Path if status.code() == Code::Unimplemented => refused.features.insert("Get".into()),
            Refusal::Path => refused.paths.insert(path.as_str().into()),
            _ => return None,
        };
        Some(refused)
    }
}

impl From<CredentialsError> for GetError {
    fn from(error: CredentialsError) -> Self {
        Self::Credentials(crate::supervise::chain(&error))
    }
}

/// Reads the state at `path` (`/k8s-services`) with one request. Returns the content of that node, with member names
/// without module prefixes; null if the node does not exist.
///
/// # Errors
/// If the server does not answer, or refuses the user or the path. The content is unknown then.
pub async fn get(endpoint: &ServerAddr, credentials: &Credentials, path: &str) -> Result<Value, GetError> {
    read(endpoint, credentials, path, DataType::State).await
}

/// Reads the configuration at `path`, as [`get`] reads state.
///
/// # Errors
/// As [`get`].
pub async fn get_config(endpoint: &ServerAddr, credentials: &Credentials, path: &str) -> Result<Value, GetError> {
    read(endpoint, credentials, path, DataType::Config).await
}

/// Returns whether state has anything at one of these paths, which may have wildcards for keys.
///
/// # Errors
/// As [`get`].
pub async fn has_any<P: Borrow<str>>(
    endpoint: &ServerAddr,
    credentials: &Credentials,
    paths: &[P],
) -> Result<bool, GetError> {
    Ok(has_value(ask(endpoint, credentials, paths, DataType::State).await?))
}

/// Returns whether an answer has a value. Some servers answer with an empty one where there is nothing.
fn has_value(response: gnmi::GetResponse) -> bool {
    let updates = response.notification.into_iter().flat_map(|notification| notification.update);
    updates.filter_map(|update| update.val?.value).any(|value| match value {
        Typed::JsonIetfVal(bytes) | Typed::JsonVal(bytes) => !matches!(&*bytes, b"" | b"null" | b"{}" | b"[]"),
        _ => true,
    })
}

async fn read(endpoint: &ServerAddr, credentials: &Credentials, path: &str, part: DataType) -> Result<Value, GetError> {
    let response = ask(endpoint, credentials, &[path], part).await?;
    compose(&elems(None, Some(&parse(path)?)), response).map_err(GetError::Json)
}

async fn ask<P: Borrow<str>>(
    endpoint: &ServerAddr,
    credentials: &Credentials,
    paths: &[P],
    part: DataType,
) -> Result<gnmi::GetResponse, GetError> {
    let path: Vec<_> = paths.iter().map(|path| parse(path.borrow())).collect::<Result<_, _>>()?;
    let mut client = Client::connect(endpoint, credentials.read().await?).await.map_err(GetError::Connect)?;
    let request = |encoding: gnmi::Encoding| gnmi::GetRequest {
        path: path.clone(),
        r#type: part.into(),
        encoding: encoding.into(),
        ..Default::default()
    };
    let mut answer = bounded(client.get(request(gnmi::Encoding::JsonIetf))).await;
    if answer.as_ref().is_err_and(|status| refusal(status) == Refusal::Encoding) {
        answer = bounded(client.get(request(gnmi::Encoding::Json))).await;
    }
    answer.map_err(|status| GetError::Status { path: paths.join(", "), status })
}

async fn bounded<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = || Status::deadline_exceeded(format!("no answer in {} s", TIMEOUT.as_secs()));
    tokio::time::timeout(TIMEOUT, call).await.unwrap_or_else(|_| Err(late()))
}

/// Puts every update of a response in its place below the requested path.
fn compose(asked: &[Element], response: gnmi::GetResponse) -> Result<Value, serde_json::Error> {
    let mut whole = Value::Null;
    for notification in response.notification {
        for update in notification.update {
            let path = elems(notification.prefix.as_ref(), update.path.as_ref());
            let value = match update.val.and_then(|value| value.value) {
                Some(Typed::JsonIetfVal(bytes) | Typed::JsonVal(bytes)) => unprefixed(serde_json::from_slice(&bytes)?),
                Some(Typed::StringVal(text) | Typed::AsciiVal(text)) => Value::String(text),
                _ => continue,
            };
            match path.get(asked.len()..) {
                Some(below) => place(&mut whole, below, value),
                // An answer from further up contains the requested path.
                None => place(&mut whole, &[], asked[path.len()..].iter().fold(value, dig)),
            }
        }
    }
    Ok(whole)
}

/// Returns the member, or the list entry, that a step leads to.
fn dig(value: Value, step: &Element) -> Value {
    let Value::Object(mut members) = value else { return Value::Null };
    match members.remove(&*step.name) {
        Some(Value::Array(entries)) if !step.keys.is_empty() => {
            entries.into_iter().find(|entry| is_entry(entry, step)).unwrap_or_default()
        }
        other => other.unwrap_or_default(),
    }
}

fn is_entry(entry: &Value, step: &Element) -> bool {
    let key_of =
        |key: &str| entry.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    step.keys.iter().all(|(key, wanted)| key_of(key).as_ref() == Some(wanted))
}

/// Merges a value into `whole` below these steps.
fn place(whole: &mut Value, below: &[Element], value: Value) {
    let Some((step, below)) = below.split_first() else { return merge(whole, value) };
    if !whole.is_object() {
        *whole = Value::Object(Map::new());
    }
    let Some(members) = whole.as_object_mut() else { return };
    let member = members.entry(step.name.to_string()).or_insert(Value::Null);
    if step.keys.is_empty() {
        return place(member, below, value);
    }
    if !member.is_array() {
        *member = Value::Array(Vec::new());
    }
    let Some(entries) = member.as_array_mut() else { return };
    let index = entries.iter().position(|entry| is_entry(entry, step)).unwrap_or_else(|| {
        let keys = step.keys.iter().map(|(key, value)| (key.to_string(), Value::String(value.clone())));
        entries.push(Value::Object(keys.collect()));
        entries.len() - 1
    });
    place(&mut entries[index], below, value);
}

fn merge(whole: &mut Value, value: Value) {
    match (whole, value) {
        (Value::Object(members), Value::Object(more)) => {
            for (name, value) in more {
                merge(members.entry(name).or_insert(Value::Null), value);
            }
        }
        (whole, value) => *whole = value,
    }
}

/// Removes module prefixes from member names.
pub fn unprefixed(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (bare(&name).to_owned(), unprefixed(value))).collect()
        }
        Value::Array(entries) => entries.into_iter().map(unprefixed).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn response(updates: &[(&str, Value)]) -> gnmi::GetResponse {
        let update = updates
            .iter()
            .map(|(path, value)| gnmi::Update {
                path: Some(parse(path).expect("a path")),
                val: Some(gnmi::TypedValue { value: Some(Typed::JsonIetfVal(value.to_string().into())) }),
                ..Default::default()
            })
            .collect();
        let notification = vec![gnmi::Notification { update, ..Default::default() }];
        gnmi::GetResponse { notification, ..Default::default() }
    }

    fn composed(asked: &str, updates: &[(&str, Value)]) -> Value {
        let asked = elems(None, Some(&parse(asked).expect("a path")));
        compose(&asked, response(updates)).expect("JSON")
    }

    #[test]
    fn an_answer_without_updates_or_with_empty_ones_has_no_value() {
        assert!(!has_value(response(&[])));
        assert!(!has_value(response(&[("/", json!({})), ("/a", json!([])), ("/b", Value::Null)])));
        assert!(has_value(response(&[("/", json!({})), ("/a/b", json!("up"))])));
        assert!(has_value(response(&[("/", json!({"a": [{"k": "1", "b": "up"}]}))])));
    }

    #[test]
    fn a_single_value_at_the_path_is_returned_without_module_prefixes() {
        let value = json!({"k:admin-state": "enable", "cluster": [{"name": "c1", "k:node": []}]});
        assert_eq!(
            composed("/k8s-services", &[("/k8s-services:k8s-services", value)]),
            json!({"admin-state": "enable", "cluster": [{"name": "c1", "node": []}]})
        );
    }

    #[test]
    fn an_answer_from_the_root_or_in_pieces_gives_the_same_value() {
        let whole = json!({"cluster": [{"name": "c1", "node": [{"name": "n1", "x": 1}]}]});
        assert_eq!(composed("/k8s-services", &[("/", json!({"k8s-services:k8s-services": whole}))]), whole);
        let pieces = [
            ("/k8s-services/cluster[name=c1]", json!({"name": "c1"})),
            ("/k8s-services/cluster[name=c1]/node[name=n1]", json!({"name": "n1"})),
            ("/k8s-services/cluster[name=c1]/node[name=n1]/x", json!(1)),
        ];
        assert_eq!(composed("/k8s-services", &pieces), whole);
    }

    #[test]
    fn a_refusal_concerns_the_path_or_get_itself() {
        let refused = |status| GetError::Status { path: "/a".to_owned(), status }.refused();
        let path = refused(Status::invalid_argument("Path not valid - unknown element 'a'")).expect("refused");
        assert!(path.paths.contains("/a") && path.features.is_empty());
        let get = refused(Status::unimplemented("no Get")).expect("refused");
        assert!(get.features.contains("Get") && get.paths.is_empty());
        for status in
            [Status::unavailable("gone"), Status::unauthenticated("who?"), Status::resource_exhausted("limit")]
        {
            assert_eq!(refused(status), None);
        }
    }

    #[test]
    fn an_empty_answer_is_null() {
        assert_eq!(composed("/k8s-services", &[]), Value::Null);
        assert_eq!(composed("/k8s-services", &[("/", json!({}))]), Value::Null);
    }

    proptest! {
        #[test]
        fn arbitrary_answers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), depth in 0usize..4) {
            let path = ["/", "/a", "/a/b[k=1]", "/a/b[k=1]/c"][depth];
            let update = gnmi::Update {
                path: Some(parse(path).expect("a path")),
                val: Some(gnmi::TypedValue { value: Some(Typed::JsonVal(bytes.into())) }),
                ..Default::default()
            };
            let notification = vec![gnmi::Notification { update: vec![update], ..Default::default() }];
            let asked = elems(None, Some(&parse("/a/b[k=1]").expect("a path")));
            let _ = compose(&asked, gnmi::GetResponse { notification, ..Default::default() });
        }
    }
}
