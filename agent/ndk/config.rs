//! Configuration as the NDK delivers it: notifications, gathered to commits, each answered once.

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::client::Client;
use super::convert::{Unreadable, stands};
use super::session::Ended;
use ndk::acknowledge_config_request_info::Result as Verdict;
use ndk::config_data::DataType;
use srl_proto::ndk;

/// The path of the notification that ends a commit.
const COMMIT_END: &str = ".commit.end";

/// All configuration changes of one commit.
#[derive(Debug)]
pub struct Commit {
    /// The NDK's number of the commit; 0 for the whole configuration as it is told at the begin of a stream, which
    /// replaces all that was told before.
    pub sequence: u64,
    /// In order of arrival.
    pub notifications: Vec<ConfigChange>,
    /// Where the verdict goes: no problems accept the commit, any problem has the switch reject it and tell the former
    /// configuration again.
    pub answer: oneshot::Sender<Vec<Problem>>,
}

/// One configuration notification, unjudged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Whether the node stands or is gone.
    pub op: Operation,
    /// JS path with keys, as received: `.k8s_services.cluster{.name=="c1"}`, hyphens or underscores.
    pub path: String,
    /// The node's whole content; may be empty.
    pub json: String,
}

/// What became of a configuration node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is new or has new content.
    Set,
    /// It is gone.
    Delete,
}

/// Why a commit cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The node it is about, as the switch should name it.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Passes gathered commits on and answers them, until nobody listens.
pub(super) async fn answer(
    client: &Client,
    mut gathered: mpsc::Receiver<(u64, Vec<ConfigChange>)>,
    commits: &mpsc::Sender<Commit>,
) -> Ended {
    while let Some((sequence, notifications)) = gathered.recv().await {
        debug!(sequence, changes = notifications.len(), "configuration commit");
        let (answer, verdict) = oneshot::channel();
        if commits.send(Commit { sequence, notifications, answer }).await.is_err() {
            return Ended::Closed;
        }
        // On shutdown a commit is accepted unread; the next start reads the whole configuration.
        let problems = verdict.await.unwrap_or_default();
        if let Err(error) = client.acknowledge(infos(problems)).await {
            if sequence == 0 {
                debug!(%error, "initial configuration not acknowledged");
            } else {
                warn!(%error, "configuration not acknowledged");
            }
        }
    }
    Ended::Closed
}

fn infos(problems: Vec<Problem>) -> Vec<ndk::AcknowledgeConfigRequestInfo> {
    problems
        .into_iter()
        .map(|Problem { path, message }| ndk::AcknowledgeConfigRequestInfo {
            js_path_with_keys: js_path(&path),
            result: Some(Verdict::Error(message)),
        })
        .collect()
}

/// The path of a node as the NDK spells it, from what operators write: `.k8s-services.cluster{.name=="c1"}` from
/// `/k8s-services/cluster[name=c1]`. A value ends where its bracket does and a new step or key, or nothing, follows.
fn js_path(path: &str) -> String {
    let mut text = String::with_capacity(path.len() + 8);
    let mut rest = path;
    while let Some(at) = rest.find(['/', '[']) {
        text.push_str(&rest[..at]);
        let (is_key, after) = (rest[at..].starts_with('['), &rest[at + 1..]);
        let entry = after.split_once('=').filter(|_| is_key);
        let Some((key, after)) = entry else {
            text.push('.');
            rest = after;
            continue;
        };
        let ends = |at: &usize| after[at + 1..].is_empty() || after[at + 1..].starts_with(['/', '[']);
        let end = after.match_indices(']').map(|(at, _)| at).find(ends).unwrap_or(after.len());
        let value = after[..end].replace('\\', "\\\\").replace('"', "\\\"");
        match text.strip_suffix('}').map(str::len) {
            Some(length) => text.replace_range(length.., "&&"),
            None => text.push('{'),
        }
        text.push_str(&format!(".{key}==\"{value}\"}}"));
        rest = after.get(end + 1..).unwrap_or_default();
    }
    text + rest
}

/// Gathers notifications until the commit ends.
#[derive(Debug, Default)]
pub(super) struct Gatherer {
    pending: Vec<ConfigChange>,
    /// The number of the last commit; none at the begin of a stream, whose first commit is the whole configuration.
    last: Option<u64>,
}

impl Gatherer {
    /// Takes one notification; returns the commit it ends.
    pub(super) fn take(
        &mut self,
        notification: ndk::ConfigNotification,
    ) -> Result<Option<(u64, Vec<ConfigChange>)>, Unreadable> {
        let key = notification.key.ok_or(Unreadable::Key("a configuration node"))?;
        let path = if key.js_path_with_keys.is_empty() { key.js_path } else { key.js_path_with_keys };
        if path.is_empty() {
            return Err(Unreadable::Key("a configuration node"));
        }
        let json = match notification.data.and_then(|data| data.data_type) {
            Some(DataType::Json(json)) => json,
            Some(DataType::Data(_)) => return Err(Unreadable::BinaryConfig),
            None => String::new(),
        };
        if path == COMMIT_END {
            return Ok(Some((self.sequence(&json), std::mem::take(&mut self.pending))));
        }
        let op = if stands(notification.op, "a configuration node")? { Operation::Set } else { Operation::Delete };
        self.pending.push(ConfigChange { op, path, json });
        Ok(None)
    }

    /// The first commit of a stream counts as 0, whatever its number: it tells the whole configuration. A number that
    /// cannot be read is the one after the last.
    fn sequence(&mut self, json: &str) -> u64 {
        let told = commit_sequence(json);
        match self.last {
            None => {
                self.last = Some(told.unwrap_or(0));
                0
            }
            Some(last) => {
                let sequence = told.unwrap_or(last.saturating_add(1));
                self.last = Some(sequence);
                sequence
            }
        }
    }
}

/// `{"commit_seq": 32}`, or with the number as text or wrapped in `value`.
fn commit_sequence(json: &str) -> Option<u64> {
    let value: Value = serde_json::from_str(json).ok()?;
    let number = value.get("commit_seq").or_else(|| value.get("commit-seq"))?;
    let number = number.get("value").unwrap_or(number);
    number.as_u64().or_else(|| number.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn notification(op: i32, path: &str, json: Option<&str>) -> ndk::ConfigNotification {
        ndk::ConfigNotification {
            op,
            key: Some(ndk::ConfigKey { js_path_with_keys: path.to_owned(), ..Default::default() }),
            data: json.map(|json| ndk::ConfigData { data_type: Some(DataType::Json(json.to_owned())) }),
        }
    }

    fn end(json: &str) -> ndk::ConfigNotification {
        notification(1, COMMIT_END, Some(json))
    }

    #[test]
    fn a_problem_is_told_with_a_path_the_ndk_reads() {
        let told = |path| js_path(path);
        assert_eq!(told("/k8s-services/alarm-policy/history-size"), ".k8s-services.alarm-policy.history-size");
        let node = "/k8s-services/cluster[name=c1]/node[name=n.1/a]/fabric-address";
        assert_eq!(told(node), r#".k8s-services.cluster{.name=="c1"}.node{.name=="n.1/a"}.fabric-address"#);
        assert_eq!(told(r#"/a/b[x=1][y="\]z]"#), r#".a.b{.x=="1"&&.y=="\"\\]z"}"#);
        assert_eq!(told(".k8s_services"), ".k8s_services");
    }

    #[test]
    fn changes_are_gathered_until_the_commit_ends() {
        let mut gatherer = Gatherer::default();
        assert_eq!(gatherer.take(notification(0, ".k8s_services", Some("{}"))), Ok(None));
        assert_eq!(gatherer.take(notification(2, r#".k8s_services.cluster{.name=="c1"}"#, None)), Ok(None));
        let (sequence, changes) = gatherer.take(end("{\"commit_seq\":0}")).expect("readable").expect("a commit");
        assert_eq!(sequence, 0);
        let expected =
            [(Operation::Set, ".k8s_services", "{}"), (Operation::Delete, r#".k8s_services.cluster{.name=="c1"}"#, "")];
        let expected = expected.map(|(op, path, json)| ConfigChange { op, path: path.into(), json: json.into() });
        assert_eq!(changes, expected);
        let (sequence, changes) =
            gatherer.take(end(" { \"commit_seq\" :\n 33 } \n")).expect("readable").expect("a commit");
        assert_eq!((sequence, changes.len()), (33, 0));
    }

    #[test]
    fn the_first_commit_of_a_stream_is_the_whole_configuration_whatever_its_number() {
        let mut gatherer = Gatherer::default();
        let mut sequence = |json| gatherer.take(end(json)).expect("readable").expect("a commit").0;
        assert_eq!(sequence("{\"commit_seq\":32}"), 0);
        assert_eq!(sequence("{\"commit_seq\":\"34\"}"), 34);
        assert_eq!(sequence("no json"), 35);
        assert_eq!(sequence("{\"commit_seq\":{\"value\":40}}"), 40);
    }

    #[test]
    fn a_node_without_a_path_or_with_binary_content_is_named() {
        let mut gatherer = Gatherer::default();
        assert_eq!(gatherer.take(notification(0, "", None)), Err(Unreadable::Key("a configuration node")));
        let mut binary = notification(0, ".k8s_services", None);
        binary.data = Some(ndk::ConfigData { data_type: Some(DataType::Data(Bytes::from_static(b"\x01"))) });
        assert_eq!(gatherer.take(binary), Err(Unreadable::BinaryConfig));
    }

    #[test]
    fn the_path_without_keys_does_where_there_is_no_other() {
        let mut gatherer = Gatherer::default();
        let mut last = notification(1, "", Some("{\"commit_seq\":7}"));
        last.key = Some(ndk::ConfigKey { js_path: COMMIT_END.to_owned(), ..Default::default() });
        assert!(matches!(gatherer.take(last), Ok(Some((0, _)))));
    }

    proptest! {
        #[test]
        fn any_text_in_place_of_the_number_is_survived(json in ".*") {
            commit_sequence(&json);
        }
    }
}
