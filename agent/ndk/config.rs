//! Gathers configuration notifications of the NDK into commits, and answers each commit once.

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use super::client::Client;
use super::convert::{DecodeError, stands};
use super::recreate::SessionEnd;
use crate::model::commit::{ConfigChange, Operation, Problem, Verdict};
use crate::path::Spelling;
use ndk::acknowledge_config_request_info::Result as Answer;
use ndk::config_data::DataType;
use srl_proto::ndk;

/// The path of the notification that ends a commit.
const COMMIT_END: &str = ".commit.end";

/// All configuration changes of one commit.
#[derive(Debug)]
pub struct Commit {
    /// The NDK's number of the commit; 0 for the whole configuration that is delivered when a stream begins, which
    /// replaces everything delivered before.
    pub sequence: u64,
    /// In order of arrival.
    pub notifications: Vec<ConfigChange>,
    /// Receives the answer. If a commit is rejected, it is rolled back, and the switch delivers the former
    /// configuration.
    pub answer: oneshot::Sender<Verdict>,
}

/// Passes gathered commits on and answers them, until nobody receives them.
pub(super) async fn answer(
    client: &Client,
    mut gathered: mpsc::Receiver<(u64, Vec<ConfigChange>)>,
    commits: &mpsc::Sender<Commit>,
) -> SessionEnd {
    while let Some((sequence, notifications)) = gathered.recv().await {
        debug!(sequence, changes = notifications.len(), "configuration commit");
        let (answer, verdict) = oneshot::channel();
        let spelling = spelling(&notifications);
        if commits.send(Commit { sequence, notifications, answer }).await.is_err() {
            return SessionEnd::Closed;
        }
        // During shutdown a commit is accepted unread: the next start reads the whole configuration.
        let verdict = verdict.await.unwrap_or(Verdict::Accepted(Vec::new()));
        if let Err(error) = client.acknowledge(infos(verdict, spelling)).await {
            if sequence == 0 {
                debug!(%error, "initial configuration not acknowledged");
            } else {
                warn!(%error, "configuration not acknowledged");
            }
        }
    }
    SessionEnd::Closed
}

/// Returns how the NDK spells the paths it delivers. Each begins with the name of the module, which contains a hyphen.
fn spelling(notifications: &[ConfigChange]) -> Spelling {
    let underscores = |change: &ConfigChange| change.path.split('{').next().is_some_and(|name| name.contains('_'));
    if notifications.iter().any(underscores) { Spelling::Underscores } else { Spelling::Hyphens }
}

/// Returns the content of the answer, with paths in the spelling that this NDK uses itself.
fn infos(verdict: Verdict, spelling: Spelling) -> Vec<ndk::AcknowledgeConfigRequestInfo> {
    let (problems, answer): (_, fn(String) -> Answer) = match verdict {
        Verdict::Accepted(warnings) => (warnings, Answer::Warning),
        Verdict::Rejected(problems) => (problems, Answer::Error),
    };
    let info = |Problem { path, message }| ndk::AcknowledgeConfigRequestInfo {
        js_path_with_keys: path.js(spelling),
        result: Some(answer(message)),
    };
    problems.into_iter().map(info).collect()
}

/// Gathers notifications until the commit ends.
#[derive(Debug, Default)]
pub(super) struct Gatherer {
    pending: Vec<ConfigChange>,
    /// The number of the last commit; `None` at the start of a stream, whose first commit is the whole configuration.
    last: Option<u64>,
}

impl Gatherer {
    /// Adds a notification; returns the commit that it ends, if any.
    pub(super) fn take(
        &mut self,
        notification: ndk::ConfigNotification,
    ) -> Result<Option<(u64, Vec<ConfigChange>)>, DecodeError> {
        let key = notification.key.ok_or(DecodeError::Key("a configuration node"))?;
        let path = if key.js_path_with_keys.is_empty() { key.js_path } else { key.js_path_with_keys };
        if path.is_empty() {
            return Err(DecodeError::Key("a configuration node"));
        }
        let json = match notification.data.and_then(|data| data.data_type) {
            Some(DataType::Json(json)) => json,
            Some(DataType::Data(_)) => return Err(DecodeError::BinaryConfig),
            None => String::new(),
        };
        if path == COMMIT_END {
            return Ok(Some((self.sequence(&json), std::mem::take(&mut self.pending))));
        }
        let op = if stands(notification.op, "a configuration node")? { Operation::Set } else { Operation::Delete };
        self.pending.push(ConfigChange { op, path, json });
        Ok(None)
    }

    /// Returns the number of a commit. The first commit of a stream counts as 0, whatever its number, because it
    /// contains the whole configuration. A number that cannot be read is the one after the last.
    fn sequence(&mut self, json: &str) -> u64 {
        let sent = commit_sequence(json);
        match self.last {
            None => {
                self.last = Some(sent.unwrap_or(0));
                0
            }
            Some(last) => {
                let sequence = sent.unwrap_or(last.saturating_add(1));
                self.last = Some(sequence);
                sequence
            }
        }
    }
}

/// Parses `{"commit_seq": 32}`, or the number as text or wrapped in `value`.
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
    fn a_commit_is_acknowledged_with_paths_in_the_spelling_it_was_delivered_in() {
        let problem = || Problem {
            path: "/k8s-services/cluster[name=a_b]/vip-pool".parse().expect("a path"),
            message: "no".to_owned(),
        };
        let answer = |delivered: &str, verdict| {
            let change = ConfigChange { op: Operation::Set, path: delivered.to_owned(), json: "{}".to_owned() };
            let info = infos(verdict, spelling(&[change])).remove(0);
            (info.js_path_with_keys, info.result)
        };
        assert_eq!(
            answer(r#".k8s-services.cluster{.name=="a_b"}"#, Verdict::Rejected(vec![problem()])),
            (r#".k8s-services.cluster{.name=="a_b"}.vip-pool"#.to_owned(), Some(Answer::Error("no".to_owned())))
        );
        assert_eq!(
            answer(".k8s_services", Verdict::Accepted(vec![problem()])),
            (r#".k8s_services.cluster{.name=="a_b"}.vip_pool"#.to_owned(), Some(Answer::Warning("no".to_owned())))
        );
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
    fn the_first_commit_of_a_stream_counts_as_a_replay_whatever_its_number() {
        let mut gatherer = Gatherer::default();
        let mut sequence = |json| gatherer.take(end(json)).expect("readable").expect("a commit").0;
        assert_eq!(sequence("{\"commit_seq\":32}"), 0);
        assert_eq!(sequence("{\"commit_seq\":\"34\"}"), 34);
        assert_eq!(sequence("no json"), 35);
        assert_eq!(sequence("{\"commit_seq\":{\"value\":40}}"), 40);
    }

    #[test]
    fn a_node_without_a_path_or_with_binary_content_is_an_error() {
        let mut gatherer = Gatherer::default();
        assert_eq!(gatherer.take(notification(0, "", None)), Err(DecodeError::Key("a configuration node")));
        let mut binary = notification(0, ".k8s_services", None);
        binary.data = Some(ndk::ConfigData { data_type: Some(DataType::Data(Bytes::from_static(b"\x01"))) });
        assert_eq!(gatherer.take(binary), Err(DecodeError::BinaryConfig));
    }

    #[test]
    fn the_path_without_keys_is_used_if_it_is_the_only_one() {
        let mut gatherer = Gatherer::default();
        let mut last = notification(1, "", Some("{\"commit_seq\":7}"));
        last.key = Some(ndk::ConfigKey { js_path: COMMIT_END.to_owned(), ..Default::default() });
        assert!(matches!(gatherer.take(last), Ok(Some((0, _)))));
    }

    proptest! {
        #[test]
        fn arbitrary_commit_sequences_never_panic(json in ".*") {
            commit_sequence(&json);
        }
    }
}
