//! Reads state on the switch back over gNMI, to find out whether what was written appears, and what an earlier run
//! left.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::debug;

use crate::adapted::Adapted;
use crate::gnmi;
use crate::model::adaptation::{Asker, Refused};
use crate::ndk::Registration;
use crate::path::Path;
use crate::publish::Input;
use crate::tree;

/// When state is read after the NDK accepted a write, which first passes through the database and the management
/// server. The last answer counts.
const LOOKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(5)];
/// How long state of an earlier run is kept if a source does not sync.
const LONGEST_SYNC: Duration = Duration::from_secs(30);
/// The pause before state is read again if gNMI failed.
const RETRY: Duration = Duration::from_secs(60);

/// Reads state, and reports what the server refuses.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// How the gNMI server is reached.
    pub(crate) gnmi: gnmi::Options,
    /// Receives what is found out.
    pub(crate) adapted: Adapted,
}

impl Reader {
    async fn get(&self, path: &str) -> Option<Value> {
        let answer = gnmi::get(&self.gnmi.endpoint, &self.gnmi.credentials, path).await;
        let refused = answer.as_ref().err().and_then(gnmi::GetError::refused);
        if refused.is_some() || answer.is_ok() {
            self.note(path, refused.unwrap_or_default());
        }
        answer.inspect_err(|error| debug!(%error, path, "state cannot be read back yet")).ok()
    }

    /// Returns whether state has any list entry that an agent wrote; `None` if that cannot be read.
    async fn has_entries(&self) -> Option<bool> {
        let leaves: Vec<String> = tree::written_leaves().iter().map(Path::to_string).collect();
        let answer = gnmi::has_any(&self.gnmi.endpoint, &self.gnmi.credentials, &leaves).await;
        answer.inspect_err(|error| debug!(%error, "whether state has entries cannot be read")).ok()
    }

    /// Notes what was refused for this path, instead of what was refused for it before.
    fn note(&self, path: &str, refused: Refused) {
        self.adapted.report(|found| {
            let known = found.refused.entry(Asker::ReadBack).or_default();
            known.paths.remove(path);
            known.paths.extend(refused.paths);
            known.features = refused.features;
        });
    }
}

/// Reads after each acceptance by the NDK whether `/k8s-services/oper-state` appears. An NDK may accept paths or
/// enumerations in a form that never appears.
#[derive(Debug)]
pub(crate) struct Shows {
    /// Reads the state.
    pub(crate) reader: Reader,
    /// Receives the result.
    pub(crate) inputs: mpsc::Sender<Input>,
    /// Counts acceptances.
    pub(crate) accepted: watch::Receiver<u64>,
}

impl Shows {
    /// Runs until the publisher has ended.
    pub(crate) async fn run(mut self) {
        while self.accepted.changed().await.is_ok() {
            let acceptance = *self.accepted.borrow_and_update();
            let mut later = self.accepted.clone();
            // Another acceptance makes this one irrelevant.
            let shows = tokio::select! {
                shows = shows(&self.reader) => shows,
                _ = later.wait_for(|now| *now != acceptance) => continue,
            };
            if self.inputs.send(Input::ReadBack { acceptance, shows }).await.is_err() {
                return;
            }
        }
    }
}

/// Returns whether the root appears; waits for an answer while gNMI has none, since what was accepted remains valid
/// until then.
async fn shows(reader: &Reader) -> bool {
    let begin = Instant::now();
    let mut last = None;
    for look in LOOKS {
        tokio::time::sleep_until(begin + look).await;
        last = reader.get("/k8s-services/oper-state").await.map(|value| !value.is_null()).or(last);
        if last == Some(true) {
            return true;
        }
    }
    loop {
        if let Some(shows) = last {
            return shows;
        }
        tokio::time::sleep(RETRY).await;
        last = reader.get("/k8s-services/oper-state").await.map(|value| !value.is_null());
    }
}

/// Reads the release of SR Linux once.
#[derive(Debug)]
pub(crate) struct Release(pub(crate) Reader);

impl Release {
    /// Asks until there is an answer, then waits without end: another release means another process.
    pub(crate) async fn run(self) {
        loop {
            if let Some(Value::String(release)) = self.0.get("/system/information/version").await {
                self.0.adapted.report(|found| found.release = Some(release.into()));
                return std::future::pending().await;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Reads, after each registration, what is on the switch when the first sync has ended, so that what an earlier run
/// left there is deleted. Nothing is read if there were no entries at the time of the registration: all state of a
/// large cluster takes the switch and the agent a second, and tens of megabytes.
#[derive(Debug)]
pub(crate) struct Leftovers {
    /// Reads the state.
    pub(crate) reader: Reader,
    /// Receives the result.
    pub(crate) inputs: mpsc::Sender<Input>,
    /// The current registration.
    pub(crate) registration: watch::Receiver<Option<Registration>>,
    /// Whether the first sync has ended.
    pub(crate) settled: watch::Receiver<bool>,
}

impl Leftovers {
    /// Runs until there will be no further registration.
    pub(crate) async fn run(mut self) {
        let mut done = None;
        loop {
            let Some(generation) = self.registered(done).await else { return };
            if self.reader.has_entries().await == Some(false) {
                done = Some(generation);
                continue;
            }
            // A source that does not sync must not keep what an earlier run wrote.
            let _ = tokio::time::timeout(LONGEST_SYNC, self.settled.wait_for(|settled| *settled)).await;
            match self.reader.get("/k8s-services").await {
                Some(state) => {
                    done = Some(generation);
                    if self.inputs.send(Input::Leftover(state)).await.is_err() {
                        return;
                    }
                }
                None => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Waits for a registration other than `done`, and returns its generation; `None` if there will be no further one.
    async fn registered(&mut self, done: Option<u64>) -> Option<u64> {
        let generation = |now: &Option<Registration>| now.as_ref().map(|now| now.generation);
        let is_new = |now: &Option<Registration>| generation(now).is_some_and(|now| Some(now) != done);
        let seen = self.registration.wait_for(is_new).await.ok()?;
        generation(&seen)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_refused_path_is_reported_until_it_is_answered() {
        let (adapted, seen) = Adapted::new();
        let endpoint = "unix:///nowhere".parse().expect("an address");
        let password_file = gnmi::PasswordFile::Optional("/nowhere".into());
        let credentials = gnmi::Credentials { username: "admin".to_owned(), password_file };
        let reader = Reader { gnmi: gnmi::Options::new(endpoint, credentials), adapted };
        let paths =
            |paths: &[&str]| Refused { paths: paths.iter().map(|path| (*path).into()).collect(), ..Refused::default() };
        reader.note("/a", paths(&["/a"]));
        reader.note("/b", paths(&["/b"]));
        assert_eq!(seen.borrow().refused_paths(), BTreeSet::from(["/a", "/b"]));
        reader.note("/a", Refused::default());
        assert_eq!(seen.borrow().refused_paths(), BTreeSet::from(["/b"]));
        reader.note("/b", Refused { features: BTreeSet::from(["Get".into()]), ..Refused::default() });
        assert_eq!(seen.borrow().refused_features(), BTreeSet::from(["Get"]));
        assert!(seen.borrow().refused_paths().is_empty());
    }
}
