//! Converts what bgpd reports about the end of a session to the words of the leaf. bgpd reports a NOTIFICATION without
//! a time, and only until the next event, so it is kept here with the time when it was read.

use jiff::Timestamp;

use super::read::Peer;
use crate::tables::{BgpNotification, SessionRecord};

/// `lastResetCode` of a NOTIFICATION received, of one sent, and of a session closed by the peer.
const RECEIVED: u32 = 13;
const SENT: u32 = 14;
const CLOSED: u32 = 15;

/// The last NOTIFICATION in each direction, and the counter when it was read.
#[derive(Debug, Default)]
pub(super) struct Words {
    received: (u64, Option<BgpNotification>),
    sent: (u64, Option<BgpNotification>),
}

impl Words {
    /// Records what bgpd reports about a peer now.
    pub(super) fn note(&mut self, peer: &Peer, now: Timestamp) -> SessionRecord {
        let (counted, kept) = match peer.last_reset_code {
            SENT => (peer.message_stats.notifications_sent, &mut self.sent),
            _ => (peer.message_stats.notifications_recv, &mut self.received),
        };
        if let (Some(said), true) = (notification(peer, now), kept.0 != counted) {
            *kept = (counted, Some(said));
        }
        SessionRecord {
            admin_disabled: peer.admin_shut_down,
            last_event: Some(event(peer).to_owned()),
            sent: self.sent.1.clone(),
            received: self.received.1.clone(),
        }
    }
}

/// Parses `lastErrorCodeSubcode`: two bytes in hexadecimal digits.
fn notification(peer: &Peer, now: Timestamp) -> Option<BgpNotification> {
    let digits = peer.last_error_code_subcode.as_deref().filter(|_| matches!(peer.last_reset_code, RECEIVED | SENT))?;
    let [code, subcode] = u16::from_str_radix(digits, 16).ok()?.to_be_bytes();
    let (code, subcode) = (code_name(code)?, subcode_name(code, subcode));
    Some(BgpNotification { code: code.to_owned(), subcode: subcode.map(str::to_owned), at: format!("{now:.3}") })
}

/// Returns the name of an error code of RFC 4271.
fn code_name(code: u8) -> Option<&'static str> {
    let names = [
        "Message Header Error",
        "Open Message Error",
        "Update Message Error",
        "Hold Timer Error",
        "Finite State Machine Error",
        "Cease",
    ];
    names.get(usize::from(code.checked_sub(1)?)).copied()
}

/// Returns the name of a subcode of RFC 4271, RFC 4486, RFC 8538 or RFC 9384.
fn subcode_name(code: u8, subcode: u8) -> Option<&'static str> {
    Some(match (code, subcode) {
        (2, 1) => "Unsupported Version Number",
        (2, 2) => "Bad Peer As",
        (2, 3) => "Bad BGP Identifier",
        (2, 4) => "Unsupported Optional Parameter",
        (2, 6) => "Unacceptable Hold Time",
        (2, 7) => "Unsupported Capability",
        (6, 1) => "Maximum Number of Prefixes Reached",
        (6, 2) => "Administrative Shutdown",
        (6, 3) => "Peer De-configured",
        (6, 4) => "Administrative Reset",
        (6, 5) => "Connection Rejected",
        (6, 6) => "Other Configuration Change",
        (6, 7) => "Connection Collision Resolution",
        (6, 8) => "Out of Resources",
        (6, 9) => "Hard Reset",
        (6, 10) => "BFD Down",
        _ => return None,
    })
}

/// Returns the `last-event`: a NOTIFICATION first, then whether BGP is connecting, then what else ended the session.
fn event(peer: &Peer) -> &'static str {
    match (peer.last_reset_code, peer.bgp_state.as_str()) {
        (RECEIVED, _) => "recvNotify",
        (SENT, _) => "error",
        (_, "Active" | "Connect") => "connectRetry",
        (CLOSED, _) => "close",
        _ if peer.admin_shut_down => "adminShutdown",
        _ => "none",
    }
}
