//! Tests of the agent's own NDK session on an emulated leaf.

use std::time::Duration;

use srl_k8s_services::model::commit::Verdict;
use srl_k8s_services::model::event::{DumpPace, Event, SwitchEvent};
use srl_k8s_services::ndk::{AGENT_NAME, Commit, Options, Registration, Session};
use tokio::sync::{mpsc, watch};

use super::tests::{leaf_with, local_over_evpn, tables};
use super::*;
use crate::ndk::Switches;

const PATIENCE: Duration = Duration::from_secs(20);

struct Agent {
    leaf: Leaf,
    events: mpsc::Receiver<Event>,
    commits: mpsc::Receiver<Commit>,
    registration: watch::Receiver<Option<Registration>>,
    stop: watch::Sender<bool>,
    session: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Agent {
    async fn start() -> Self {
        Self::on(Switches::default()).await
    }

    async fn on(switches: Switches) -> Self {
        let (leaf, folder) = leaf_with(switches).await;
        leaf.set_tables(tables(local_over_evpn()));
        leaf.ndk().add_app(ndk::AppInfo {
            name: AGENT_NAME.to_owned(),
            config_format: ndk::ConfigFormat::Json,
            ..ndk::AppInfo::default()
        });
        let endpoint = format!("unix://{}", leaf.ndk().socket().display()).parse().expect("an endpoint");
        let mut options = Options::new(endpoint);
        options.quiet = Duration::from_millis(100);
        let (events_in, events) = mpsc::channel(1024);
        let (commits_in, commits) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        let (session, registration) = Session::new(options, events_in, commits_in, stopped);
        let session = tokio::spawn(session.run());
        Self { leaf, events, commits, registration, stop, session, _folder: folder }
    }

    /// Returns the events until the next dump rests.
    async fn until_rested(&mut self) -> Vec<Event> {
        let mut seen = Vec::new();
        let all = async {
            loop {
                let event = self.events.recv().await.expect("the session runs");
                let synced = matches!(event, Event::Switch(SwitchEvent::Pace(DumpPace::Rested)));
                seen.push(event);
                if synced {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the dump ends in time");
        seen
    }

    /// Accepts the next commit.
    async fn accept(&mut self) -> u64 {
        let commit = tokio::time::timeout(PATIENCE, self.commits.recv()).await.expect("a commit in time");
        let commit = commit.expect("the session runs");
        commit.answer.send(Verdict::Accepted(Vec::new())).expect("the session waits for the answer");
        commit.sequence
    }

    async fn registered(&mut self, generation: u64) -> Registration {
        let reached = self.registration.wait_for(|it| it.as_ref().is_some_and(|it| it.generation == generation));
        let registration = tokio::time::timeout(PATIENCE, reached).await.expect("registered in time");
        registration.expect("the session runs").clone().expect("a registration")
    }
}

/// Counts routes, groups and names of applications in these events.
fn counts(events: &[Event]) -> (usize, usize, usize) {
    let mut counts = (0, 0, 0);
    for event in events {
        match event {
            Event::Switch(SwitchEvent::Routes(_, routes)) => counts.0 += routes.len(),
            Event::Switch(SwitchEvent::NextHopGroups(groups)) => counts.1 += groups.len(),
            Event::Switch(SwitchEvent::Application(..)) => counts.2 += 1,
            _ => {}
        }
    }
    counts
}

#[tokio::test]
async fn the_agents_session_reads_the_dump_and_ends_gracefully() {
    let mut agent = Agent::start().await;
    agent.registered(1).await;
    let seen = agent.until_rested().await;
    assert_eq!(counts(&seen), (1, 2, NATIVE_APPS.len() + 1));
    assert_eq!(agent.accept().await, 0);
    agent.stop.send_replace(true);
    tokio::time::timeout(PATIENCE, agent.session).await.expect("the session ends in time").expect("in good order");
    assert!(!agent.leaf.ndk().is_registered(AGENT_NAME));
}

#[tokio::test]
async fn the_agents_session_works_with_every_variant_of_uncertain_switch_behaviour() {
    for switches in [
        Switches { late_stream_headers: true, ..Switches::default() },
        Switches { announce_first: ndk::AnnounceFirst::Groups, batch: 1, ..Switches::default() },
        Switches { config_path_spelling: ndk::Spelling::Hyphen, deliver_defaults: false, ..Switches::default() },
    ] {
        let mut agent = Agent::on(switches).await;
        assert_eq!(counts(&agent.until_rested().await).0, 1);
        assert_eq!(agent.accept().await, 0);
    }
}

#[tokio::test]
async fn the_agents_session_survives_dropped_streams_under_one_registration() {
    let mut agent = Agent::start().await;
    agent.until_rested().await;
    agent.leaf.ndk().drop_streams();
    let seen = agent.until_rested().await;
    assert_eq!(counts(&seen).0, 1);
    assert_eq!(agent.registered(1).await.generation, 1);
}

#[tokio::test]
async fn the_agents_session_registers_again_after_a_restart_of_the_ndk() {
    let mut agent = Agent::start().await;
    let first = agent.registered(1).await;
    agent.until_rested().await;
    agent.leaf.ndk().restart(Duration::from_millis(300)).await.expect("the NDK starts again");
    agent.registered(2).await;
    assert_eq!(counts(&agent.until_rested().await).0, 1);
    let update = vec![(".my_app".to_owned(), "{}".to_owned())];
    assert!(first.telemetry.update(update).await.is_err());
}
