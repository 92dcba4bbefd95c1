//! Writes alarms to syslog: one structured line for each that is raised, changes its severity or is cleared.
//!
//! ```text
//! alarm-raised severity=critical type=vip-route-missing owner=network cause=peer-shutdown affected=1 id="vip-route-missing/c1/default/web/1.1.1.100"
//! resource="/k8s-services/cluster[name=c1]/..." raised=2026-01-02T03:04:05.678Z occurrences=1 text="VIP 1.1.1.100 ..."
//! ```
//!
//! This is one line, split here for reading; `cause=` is present only if the cause is known. `alarm-changed` has the
//! same fields, `alarm-cleared` adds `cleared=` and `because=`. `alarms-omitted` counts what was left out of a flood.
//! Lines go to the local syslog socket with facility local7, like those of other NDK applications, and tag
//! `k8s-services`, in the form of RFC 3164 that syslog(3) writes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::broadcast::{self, error::RecvError};
use tracing::{info, warn};

use crate::model::alarm::{AlarmNotification, NotificationEvent, Severity};
use crate::model::time::Timestamp;
use crate::tree;

const TAG: &str = "k8s-services";
const LOCAL7: u8 = 23;
/// How long a syslog daemon may take for one line before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest line, in bytes, that daemons accept in full (RFC 5424 section 6.1 asks for 2048).
const LONGEST_LINE: usize = 2048;

/// Writes lines to syslog.
#[derive(Debug)]
pub struct Syslog {
    /// The datagram socket of the syslog daemon; if `None`, lines go to the log of the agent instead.
    path: Option<PathBuf>,
    socket: Option<UnixDatagram>,
    failing: bool,
}

impl Syslog {
    /// Creates a writer to the socket at `path` (`/dev/log`); `None` turns syslog off.
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, socket: None, failing: false }
    }

    /// Writes every notification until the sender is dropped.
    pub async fn run(mut self, mut notifications: broadcast::Receiver<Arc<AlarmNotification>>) {
        loop {
            match notifications.recv().await {
                Ok(notification) => self.write(&notification).await,
                Err(RecvError::Lagged(missed)) => {
                    warn!(missed, "alarms changed faster than syslog took lines; /k8s-services/alarm has them all");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn write(&mut self, notification: &AlarmNotification) {
        let now = Timestamp::now();
        if let Some(line) = line(notification) {
            self.write_line(&frame(priority(notification), now, &line)).await;
        }
        if let Some(line) = omitted(notification) {
            self.write_line(&frame(Priority::Warning, now, &line)).await;
        }
    }

    async fn write_line(&mut self, frame: &Frame) {
        let line = &frame.text[frame.header..];
        match self.send(frame.text.as_bytes()).await {
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
                    warn!(%path, %error, "syslog cannot be reached; alarms are written to this log until it can");
                }
                info!("{line}");
            }
        }
    }

    /// Sends a line; returns false if syslog is turned off.
    async fn send(&mut self, datagram: &[u8]) -> std::io::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        // A restarted daemon has closed the old socket.
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

/// Severities of syslog (RFC 3164 section 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Priority {
    Critical = 2,
    Error = 3,
    Warning = 4,
    Notice = 5,
}

fn priority(notification: &AlarmNotification) -> Priority {
    match (notification.event, notification.alarm.severity) {
        (NotificationEvent::Cleared(..), _) => Priority::Notice,
        (_, Severity::Critical) => Priority::Critical,
        (_, Severity::Major) => Priority::Error,
        (_, Severity::Minor | Severity::Warning) => Priority::Warning,
    }
}

/// A datagram: priority, time, tag and process, then the line.
struct Frame {
    text: String,
    /// Where the line begins, in bytes.
    header: usize,
}

fn frame(priority: Priority, now: Timestamp, line: &str) -> Frame {
    let priority = LOCAL7 * 8 + priority as u8;
    let time = now.strftime("%b %e %H:%M:%S");
    let mut text = format!("<{priority}>{time} {TAG}[{}]: ", std::process::id());
    let header = text.len();
    text.push_str(line);
    text.truncate(text.floor_char_boundary(LONGEST_LINE));
    Frame { text, header }
}

/// Returns the line for a notification; `None` for changed members of an alarm that stays.
fn line(notification: &AlarmNotification) -> Option<String> {
    let AlarmNotification { key, alarm, event, .. } = notification;
    let name = match event {
        NotificationEvent::Raised => "alarm-raised",
        NotificationEvent::Changed => "alarm-changed",
        NotificationEvent::Cleared(..) => "alarm-cleared",
        NotificationEvent::Joined | NotificationEvent::Left(..) => return None,
    };
    let (severity, kind, owner) = (alarm.severity.as_str(), key.kind.as_str(), alarm.owner.as_str());
    let mut line = format!("{name} severity={severity} type={kind} owner={owner}");
    if let Some(cause) = alarm.cause {
        let _ = write!(line, " cause={}", cause.as_str());
    }
    let _ = write!(line, " affected={}", alarm.affected);
    quoted(&mut line, "id", &key.to_string());
    quoted(&mut line, "resource", &tree::resource(&key.resource).to_string());
    let _ = write!(line, " raised={}", at(alarm.raised));
    if let NotificationEvent::Cleared(cleared, because) = event {
        let _ = write!(line, " cleared={} because={}", at(*cleared), because.as_str());
        if let Some(kind) = because.became() {
            let _ = write!(line, " became={}", kind.as_str());
        }
    }
    let _ = write!(line, " occurrences={}", alarm.occurrences);
    quoted(&mut line, "text", &alarm.text);
    Some(line)
}

/// Returns the line about notifications that were omitted before this one.
fn omitted(notification: &AlarmNotification) -> Option<String> {
    let count = notification.omitted;
    let whose = match notification.key.resource.cluster() {
        Some(cluster) => format!("cluster {cluster}"),
        None => "this switch".to_owned(),
    };
    let (alarms, changed) = if count == 1 { ("alarm", "was") } else { ("alarms", "were") };
    let mut line = format!("alarms-omitted count={count}");
    let text = format!("{count} more {alarms} of {whose} {changed} raised or cleared: see /k8s-services/alarm");
    quoted(&mut line, "text", &text);
    (count > 0).then_some(line)
}

fn at(time: Timestamp) -> impl std::fmt::Display {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// Appends ` name="value"`, and escapes what would end the value or the line.
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
    use crate::model::alarm::{AlarmKey, AlarmType, AlarmView, ClearedBecause, Resource};
    use crate::model::names::ServiceKey;
    use crate::model::verdict::{Owner, ProbableCause};

    fn notification(event: NotificationEvent, text: &str) -> AlarmNotification {
        let address = "1.1.1.100".parse().unwrap();
        let resource = Resource::Vip("c1".into(), ServiceKey::new("default", "web"), address);
        let raised = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let alarm = AlarmView {
            severity: Severity::Major,
            owner: Owner::Network,
            text: text.into(),
            affected: 1,
            raised,
            last_change: raised,
            occurrences: 2,
            cause: Some(ProbableCause::PeerShutdown),
        };
        AlarmNotification {
            key: AlarmKey { kind: AlarmType::VipRouteMissing, resource },
            alarm,
            event,
            services: Arc::default(),
            omitted: 0,
        }
    }

    fn written(event: NotificationEvent, text: &str) -> String {
        line(&notification(event, text)).expect("a line")
    }

    #[test]
    fn members_that_join_an_alarm_give_no_line() {
        assert_eq!(line(&notification(NotificationEvent::Joined, "no route")), None);
    }

    fn cleared(because: ClearedBecause) -> NotificationEvent {
        NotificationEvent::Cleared("2026-01-02T03:05:00Z".parse().unwrap(), because)
    }

    #[test]
    fn a_line_has_the_event_the_alarm_and_its_time() {
        assert_eq!(
            written(NotificationEvent::Raised, "no route"),
            r#"alarm-raised severity=major type=vip-route-missing owner=network cause=peer-shutdown affected=1 id="vip-route-missing/c1/default/web/1.1.1.100" resource="/k8s-services/cluster[name=c1]/service[namespace=default][name=web]/vip[address=1.1.1.100]" raised=2026-01-02T03:04:05.678Z occurrences=2 text="no route""#
        );
    }

    #[test]
    fn the_line_of_a_cleared_alarm_has_the_reason() {
        let well = written(cleared(ClearedBecause::Well), "no route");
        assert!(well.starts_with("alarm-cleared "), "{well}");
        assert!(well.contains(" cleared=2026-01-02T03:05:00.000Z because=well "), "{well}");
        let became = written(cleared(ClearedBecause::Became(AlarmType::VipNoEndpoint)), "no route");
        assert!(became.contains(" because=became became=vip-no-endpoint "), "{became}");
    }

    #[test]
    fn alarms_omitted_in_a_flood_are_counted_in_one_line() {
        let notification = notification(NotificationEvent::Raised, "no route");
        assert_eq!(omitted(&notification), None);
        let many = AlarmNotification { omitted: 70, ..notification };
        let line = omitted(&many).unwrap();
        assert_eq!(
            line,
            r#"alarms-omitted count=70 text="70 more alarms of cluster c1 were raised or cleared: see /k8s-services/alarm""#
        );
    }

    #[test]
    fn characters_that_would_end_a_value_or_line_are_escaped() {
        let line = written(NotificationEvent::Changed, "a \"b\" \\ c\nd\u{7}");
        assert!(line.ends_with(r#"text="a \"b\" \\ c\nd ""#), "{line}");
    }

    #[test]
    fn the_facility_is_local7_and_a_cleared_alarm_is_a_notice() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let start = |event| frame(priority(&notification(event, "")), now, "x").text;
        assert!(start(NotificationEvent::Raised).starts_with("<187>Jan  2 03:04:05 k8s-services["));
        assert!(start(cleared(ClearedBecause::Well)).starts_with("<189>"));
    }

    #[test]
    fn a_datagram_is_never_longer_than_syslog_daemons_accept() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let text = frame(Priority::Critical, now, &"é".repeat(2000)).text;
        assert!(text.len() <= LONGEST_LINE && text.len() > LONGEST_LINE - 2, "{}", text.len());
    }

    #[tokio::test]
    async fn lines_reach_the_socket_after_a_restart_of_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (sender, receiver) = broadcast::channel(8);
        let daemon = UnixDatagram::bind(&path).unwrap();
        let task = tokio::spawn(Syslog::new(Some(path.clone())).run(receiver));
        let mut buffer = vec![0; 2048];
        sender.send(Arc::new(notification(NotificationEvent::Raised, "one"))).unwrap();
        let length = daemon.recv(&mut buffer).await.unwrap();
        assert!(buffer[..length].ends_with(br#"text="one""#));
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        sender.send(Arc::new(notification(NotificationEvent::Raised, "two"))).unwrap();
        let length = daemon.recv(&mut buffer).await.unwrap();
        assert!(buffer[..length].ends_with(br#"text="two""#), "no line is lost to a restart");
        drop(sender);
        task.await.unwrap();
    }
}
