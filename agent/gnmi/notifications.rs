//! Stores the last NOTIFICATION in each direction, merged leaf by leaf.

use std::sync::Arc;

use super::leaf::Scalar;
use crate::model::inquiry::Notification;

/// The last NOTIFICATIONs of a neighbor.
#[derive(Clone, Debug, Default)]
pub(super) struct Notifications {
    received: Option<Notification>,
    sent: Option<Notification>,
}

impl Notifications {
    /// Merges a leaf below a neighbor; returns false if it is not of a NOTIFICATION.
    pub(super) fn set(&mut self, leaf: &[&str], value: &Scalar) -> bool {
        let (notification, leaf) = match leaf {
            ["received-messages", leaf] => (&mut self.received, leaf),
            ["sent-messages", leaf] => (&mut self.sent, leaf),
            _ => return false,
        };
        let Some(text) = value.text().filter(|text| !text.is_empty()) else { return true };
        let new = || Notification { at: None, code: Arc::from(""), subcode: None };
        let notification = notification.get_or_insert_with(new);
        match *leaf {
            "last-notification-time" => notification.at = text.parse().ok(),
            "last-notification-error-code" => notification.code = text.into(),
            "last-notification-error-subcode" => notification.subcode = Some(text.into()),
            _ => {}
        }
        true
    }

    /// Returns the last one received and the last one sent, if their code is known.
    pub(super) fn last(&self) -> [Option<Notification>; 2] {
        [&self.received, &self.sent].map(|one| one.clone().filter(|one| !one.code.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_and_received_notifications_are_separate_and_need_a_code() {
        let mut notifications = Notifications::default();
        let text = |text: &str| Scalar::Text(text.to_owned());
        assert!(notifications.set(&["received-messages", "last-notification-error-code"], &text("Cease")));
        assert!(notifications.set(&["sent-messages", "last-notification-time"], &text("2026-06-12T16:29:35.500Z")));
        assert!(notifications.set(&["sent-messages", "last-notification-error-code"], &text("")));
        assert!(!notifications.set(&["last-event"], &text("recvNotify")));
        let [received, sent] = notifications.last();
        assert_eq!((received.map(|one| one.code), sent), (Some("Cease".into()), None));
    }
}
