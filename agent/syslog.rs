//! Alarms on syslog: one structured line per change.
//!
//! ```text
//! alarm-raised severity=critical type=vip-route-missing id="vip-route-missing/c1/default/web/1.1.1.100"
//! resource="/k8s-services/cluster[name=c1]/..." raised=2026-01-02T03:04:05.678Z occurrences=1 text="VIP 1.1.1.100 ..."
//! ```
//!
//! (One line; broken here to be read.) `alarm-changed` says the same, `alarm-cleared` adds `cleared=`. Facility local7, as
//! NDK applications do, tag `k8s-services`, to the local syslog socket in the form of RFC 3164 that syslog(3) writes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::broadcast::{self, error::RecvError};
use tracing::{info, warn};

use crate::model::alarm::{Notice, NoticeEvent, Severity};
use crate::model::time::Timestamp;
use crate::publish;

const TAG: &str = "k8s-services";
const LOCAL7: u8 = 23;
/// A syslog daemon that takes longer than this for one line is as good as gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Debug)]
pub struct Syslog {
    /// The datagram socket of the syslog daemon; none: alarms are told by the log of the agent instead.
    path: Option<PathBuf>,
    socket: Option<UnixDatagram>,
    failing: bool,
}

impl Syslog {
    /// Lines to the socket at `path` (`/dev/log`); none turns syslog off.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, socket: None, failing: false }
    }

    /// Tells every notice until the sender is gone.
    pub async fn run(mut self, mut notices: broadcast::Receiver<Arc<Notice>>) {
        loop {
            match notices.recv().await {
                Ok(notice) => self.tell(&notice).await,
                Err(RecvError::Lagged(missed)) => {
                    warn!(missed, "changes of alarms came faster than syslog took them; state has them all");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn tell(&mut self, notice: &Notice) {
        let line = line(notice);
        match self.send(&frame(notice, Timestamp::now(), &line)).await {
            Ok(true) => {
                if std::mem::take(&mut self.failing) {
                    info!("syslog takes alarms again");
                }
            }
            Ok(false) => info!("{line}"),
            Err(error) => {
                self.socket = None;
                if !std::mem::replace(&mut self.failing, true) {
                    let path = self.path.as_deref().unwrap_or("".as_ref()).display();
                    warn!(%path, %error, "syslog cannot be reached; alarms are told here until it can");
                }
                info!("{line}");
            }
        }
    }

    /// False when syslog is turned off.
    async fn send(&mut self, datagram: &[u8]) -> std::io::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        // A daemon that was started anew closed the old socket.
        if let Some(socket) = &self.socket
            && let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, socket.send(datagram)).await
        {
            return Ok(true);
        }
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        tokio::time::timeout(PATIENCE, socket.send(datagram)).await??;
        self.socket = Some(socket);
        Ok(true)
    }
}

/// The datagram: priority, time, tag and process, line.
fn frame(notice: &Notice, now: Timestamp, line: &str) -> Vec<u8> {
    let severity = match (notice.event, notice.key.kind.severity()) {
        (NoticeEvent::Cleared(_), _) => 5,
        (_, Severity::Critical) => 2,
        (_, Severity::Major) => 3,
        (_, Severity::Minor | Severity::Warning) => 4,
    };
    let priority = LOCAL7 * 8 + severity;
    let time = now.strftime("%b %e %H:%M:%S");
    format!("<{priority}>{time} {TAG}[{}]: {line}", std::process::id()).into_bytes()
}

/// What is told of a notice.
fn line(notice: &Notice) -> String {
    let Notice { key, alarm, event } = notice;
    let name = match event {
        NoticeEvent::Raised => "alarm-raised",
        NoticeEvent::Changed => "alarm-changed",
        NoticeEvent::Cleared(_) => "alarm-cleared",
    };
    let mut line = format!("{name} severity={} type={}", key.kind.severity().as_str(), key.kind.as_str());
    quoted(&mut line, "id", &key.to_string());
    quoted(&mut line, "resource", &publish::resource(&key.resource));
    let _ = write!(line, " raised={}", at(alarm.raised));
    if let NoticeEvent::Cleared(cleared) = event {
        let _ = write!(line, " cleared={}", at(*cleared));
    }
    let _ = write!(line, " occurrences={}", alarm.occurrences);
    quoted(&mut line, "text", &alarm.text);
    line
}

fn at(time: Timestamp) -> impl std::fmt::Display {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// ` name="value"`, with what would end the value or the line escaped.
fn quoted(line: &mut String, name: &str, value: &str) {
    let _ = write!(line, " {name}=\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            '\n' => line.push_str("\\n"),
            character if character.is_control() => line.push(' '),
            character => line.push(character),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alarm::{AlarmKey, AlarmType, AlarmView, Resource};
    use crate::model::names::ServiceKey;

    fn notice(event: NoticeEvent, text: &str) -> Notice {
        let address = "1.1.1.100".parse().unwrap();
        let resource = Resource::Vip("c1".into(), ServiceKey::new("default", "web"), address);
        let raised = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let alarm = AlarmView { text: text.into(), raised, last_change: raised, occurrences: 2 };
        Notice { key: AlarmKey { kind: AlarmType::VipRouteMissing, resource }, alarm, event }
    }

    #[test]
    fn a_line_says_what_happened_to_which_alarm_and_since_when() {
        assert_eq!(
            line(&notice(NoticeEvent::Raised, "no route")),
            r#"alarm-raised severity=critical type=vip-route-missing id="vip-route-missing/c1/default/web/1.1.1.100" resource="/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address=1.1.1.100]" raised=2026-01-02T03:04:05.678Z occurrences=2 text="no route""#
        );
        let cleared = NoticeEvent::Cleared("2026-01-02T03:05:00Z".parse().unwrap());
        let line = line(&notice(cleared, "no route"));
        assert!(line.starts_with("alarm-cleared ") && line.contains(" cleared=2026-01-02T03:05:00.000Z "), "{line}");
    }

    #[test]
    fn what_would_end_a_value_or_the_line_is_escaped() {
        let line = line(&notice(NoticeEvent::Changed, "a \"b\" \\ c\nd\u{7}"));
        assert!(line.ends_with(r#"text="a \"b\" \\ c\nd ""#), "{line}");
    }

    #[test]
    fn the_priority_is_of_local7_and_a_cleared_alarm_is_a_notice() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let start = |event| String::from_utf8(frame(&notice(event, ""), now, "x")).unwrap();
        assert!(start(NoticeEvent::Raised).starts_with("<186>Jan  2 03:04:05 k8s-services["));
        assert!(start(NoticeEvent::Cleared(now)).starts_with("<189>"));
    }

    #[tokio::test]
    async fn lines_reach_the_socket_also_after_the_daemon_was_started_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (sender, receiver) = broadcast::channel(8);
        let daemon = UnixDatagram::bind(&path).unwrap();
        let task = tokio::spawn(Syslog::new(Some(path.clone())).run(receiver));
        let mut buffer = vec![0; 2048];
        sender.send(Arc::new(notice(NoticeEvent::Raised, "one"))).unwrap();
        let length = daemon.recv(&mut buffer).await.unwrap();
        assert!(buffer[..length].ends_with(br#"text="one""#));
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        sender.send(Arc::new(notice(NoticeEvent::Raised, "two"))).unwrap();
        let length = daemon.recv(&mut buffer).await.unwrap();
        assert!(buffer[..length].ends_with(br#"text="two""#), "no line is lost to a restart");
        drop(sender);
        task.await.unwrap();
    }
}
