//! Tests of the application manager, with small shell scripts as applications.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::ndk::{NdkOptions, SOCKET_NAME, Switches};

const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    manager: AppManager,
    folder: TempDir,
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Datastore::new(crate::ndk::tests::schema());
        let options = NdkOptions { socket: folder.path().join(SOCKET_NAME), tcp: None, switches: Switches::default() };
        let ndk = crate::ndk::serve(options, store.clone()).await.expect("the NDK starts");
        Self { manager: AppManager::new(ndk, store, folder.path().to_owned()), folder }
    }

    /// Adds the application `app`, which runs this script, with these lines in its YAML file.
    fn add(&self, script: &str, lines: &str) -> watch::Receiver<AppStatus> {
        let file = self.folder.path().join("app.yml");
        let text = format!("app:\n  path: /bin\n  launch-command: /bin/sh -c '{script}'\n{lines}");
        std::fs::write(&file, text).expect("the file is written");
        let spec = AppSpec::read(&file).expect("the file is well-formed").remove(0);
        self.manager.add(spec, Overrides::default());
        self.manager.status("app").expect("the application is known")
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.manager.log_file("app")).unwrap_or_default()
    }
}

async fn reach(status: &mut watch::Receiver<AppStatus>, wanted: impl FnMut(&AppStatus) -> bool) -> AppStatus {
    let reached = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await;
    reached.expect("the state is reached in time").expect("the application is supervised").clone()
}

/// Waits until the application has printed this text.
async fn prints(bench: &Bench, text: &str) {
    let printed = async {
        while !bench.output().contains(text) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, printed).await.expect("the text is printed in time");
}

#[tokio::test]
async fn an_application_runs_and_its_output_goes_to_its_log() {
    let bench = Bench::start().await;
    let mut status = bench.add("echo hello; echo trouble >&2; exec sleep 60", "");
    let running = reach(&mut status, |it| it.state == AppState::Running).await;
    assert!(running.pid.is_some());
    prints(&bench, "hello\ntrouble\n").await;
}

#[tokio::test]
async fn stop_terminates_gracefully_and_start_starts_again() {
    let bench = Bench::start().await;
    let script = "trap \"echo bye; exit 0\" TERM; echo up; while :; do sleep 0.05; done";
    let mut status = bench.add(script, "");
    prints(&bench, "up").await;
    let said = bench.manager.operate("app", Operation::Stop).await;
    assert_eq!(said.as_deref(), Ok("Application 'app' was stopped"));
    assert!(bench.output().contains("bye"));
    assert_eq!(reach(&mut status, |it| it.state == AppState::Stopped).await.pid, None);
    assert_eq!(bench.manager.operate("app", Operation::Kill).await, Err(OperationError::NotRunning("app".to_owned())));
    bench.manager.operate("app", Operation::Start).await.expect("it starts");
    reach(&mut status, |it| it.state == AppState::Running).await;
}

#[tokio::test]
async fn restart_kills_the_application_and_starts_it_again() {
    let bench = Bench::start().await;
    let mut status = bench.add("exec sleep 60", "");
    let before = reach(&mut status, |it| it.state == AppState::Running).await;
    let said = bench.manager.operate("app", Operation::Restart).await;
    assert_eq!(said.as_deref(), Ok("Application 'app' was killed with signal 9\nApplication 'app' was restarted"));
    let after = reach(&mut status, |it| it.state == AppState::Running && it.restarts == 1).await;
    assert_ne!(before.pid, after.pid);
}

#[tokio::test]
async fn failures_restart_the_application_up_to_the_threshold() {
    let bench = Bench::start().await;
    let mut status = bench.add("exit 1", "  failure-threshold: 3\n  failure-action: wait=forever\n");
    let failed = reach(&mut status, |it| it.state == AppState::Error).await;
    assert_eq!(failed.restarts, 3);
    bench.manager.operate("app", Operation::Start).await.expect("it starts");
    reach(&mut status, |it| it.state == AppState::Error && it.restarts == 6).await;
}

#[tokio::test]
async fn too_many_failures_delay_the_restart_by_the_configured_wait() {
    let bench = Bench::start().await;
    let mut status = bench.add("exit 1", "  failure-threshold: 1\n  failure-action: wait=0\n");
    reach(&mut status, |it| it.restarts >= 4).await;
}

#[tokio::test]
async fn restricted_operations_and_unknown_applications_are_refused() {
    let bench = Bench::start().await;
    bench.add("exec sleep 60", "  restricted-operations: [kill]\n");
    assert_eq!(
        bench.manager.operate("app", Operation::Kill).await,
        Err(OperationError::Restricted { app: "app".to_owned(), operation: "kill" })
    );
    assert_eq!(
        bench.manager.operate("nobody", Operation::Kill).await,
        Err(OperationError::Unknown("nobody".to_owned()))
    );
}

#[tokio::test]
async fn a_missing_program_leads_to_state_error() {
    let bench = Bench::start().await;
    let file = bench.folder.path().join("app.yml");
    std::fs::write(&file, "app:\n  path: /nowhere\n  failure-action: wait=forever\n").expect("the file is written");
    let spec = AppSpec::read(&file).expect("the file is well-formed").remove(0);
    bench.manager.add(spec, Overrides::default());
    let mut status = bench.manager.status("app").expect("the application is known");
    reach(&mut status, |it| it.state == AppState::Error).await;
}

#[tokio::test]
async fn a_killed_application_loses_its_registration() {
    let bench = Bench::start().await;
    let mut status = bench.add("exec sleep 60", "");
    reach(&mut status, |it| it.state == AppState::Running).await;
    let ndk = bench.manager.shared.ndk.clone();
    let client = crate::ndk::tests::client::Client::connect(ndk.socket(), "app").await;
    client.try_register(Default::default()).await;
    assert!(ndk.is_registered("app"));
    bench.manager.operate("app", Operation::Kill).await.expect("it is killed");
    reach(&mut status, |it| it.state == AppState::Running && it.restarts == 1).await;
    assert!(!ndk.is_registered("app"));
}
