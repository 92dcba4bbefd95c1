//! Reasons for which a BGP session is down, and the words that its leaf uses for them.

use crate::tables::BgpNotification;

use super::{Fabric, Lever, NodeKey};

/// What keeps a session down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Packets do not arrive: the hold timer expires.
    Unreachable,
    /// Packets arrive but keepalives do not: the hold timer expires.
    HoldTimer,
    /// BFD ended the session.
    Bfd,
    /// The neighbor is disabled on the leaf.
    AdminDisabled,
    /// The node is in another autonomous system than configured.
    AsMismatch,
    /// The node's speaker shut the session down.
    PeerShutdown,
    /// The node announces more prefixes than allowed.
    PrefixLimit,
    /// Two speakers use one address.
    Collision,
    /// The node's speaker ended the session with this NOTIFICATION.
    Notification { code: String, subcode: String },
    /// Nobody answers on the node.
    Silent,
    /// The speaker restarts and asked the leaf to keep its routes.
    Restarting,
}

impl Fault {
    /// Returns the `session-state`.
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self::Unreachable => "connect",
            Self::AdminDisabled | Self::PrefixLimit => "idle",
            _ => "active",
        }
    }

    /// Returns the `last-event`.
    pub(crate) fn event(&self) -> &'static str {
        match self {
            Self::Unreachable | Self::HoldTimer => "holdTime",
            Self::Bfd => "stop",
            Self::AdminDisabled => "adminShutdown",
            Self::AsMismatch => "error",
            Self::PeerShutdown | Self::Notification { .. } => "recvNotify",
            Self::PrefixLimit => "maxPrefixExceed",
            Self::Collision => "collisionResolution",
            Self::Silent => "connectRetry",
            Self::Restarting => "close",
        }
    }

    /// Returns the NOTIFICATION that the leaf sent.
    pub(crate) fn sent(&self, at: &str) -> Option<BgpNotification> {
        let (code, subcode) = match self {
            Self::Unreachable | Self::HoldTimer => ("Hold Timer Error", None),
            Self::AdminDisabled => ("Cease", Some("Administrative Shutdown")),
            Self::AsMismatch => ("Open Message Error", Some("Bad Peer As")),
            Self::PrefixLimit => ("Cease", Some("Maximum Number of Prefixes Reached")),
            Self::Collision => ("Cease", Some("Connection Collision Resolution")),
            Self::Bfd | Self::PeerShutdown | Self::Notification { .. } | Self::Silent | Self::Restarting => {
                return None;
            }
        };
        Some(notification(code, subcode, at))
    }

    /// Returns the NOTIFICATION that the leaf received.
    pub(crate) fn received(&self, at: &str) -> Option<BgpNotification> {
        match self {
            Self::PeerShutdown => Some(notification("Cease", Some("Administrative Shutdown"), at)),
            Self::Notification { code, subcode } => Some(notification(code, Some(subcode.as_str()), at)),
            _ => None,
        }
    }
}

fn notification(code: &str, subcode: Option<&str>, at: &str) -> BgpNotification {
    BgpNotification { code: code.to_owned(), subcode: subcode.map(str::to_owned), at: at.to_owned() }
}

impl Fabric {
    /// Returns what the pulled levers do to the session between a node's speaker and a leaf. If there are several
    /// faults, the one of highest rank wins.
    pub(super) fn pulled_fault(&self, key: &NodeKey, on: &str) -> Option<Fault> {
        let here = |leaf: &Option<String>| leaf.as_deref().is_none_or(|leaf| leaf == on);
        let fault = |lever: &Lever| match lever {
            Lever::AdminDisabled { leaf, .. } if leaf == on => Some((0, Fault::AdminDisabled)),
            Lever::BfdDown { .. } => Some((1, Fault::Bfd)),
            Lever::AsMismatch { leaf, .. } if here(leaf) => Some((2, Fault::AsMismatch)),
            Lever::PrefixLimit { leaf, .. } if here(leaf) => Some((3, Fault::PrefixLimit)),
            Lever::PeerShutdown { leaf, .. } if here(leaf) => Some((4, Fault::PeerShutdown)),
            Lever::Collision { .. } => Some((5, Fault::Collision)),
            Lever::Notification { code, subcode, .. } => {
                Some((6, Fault::Notification { code: code.clone(), subcode: subcode.clone() }))
            }
            Lever::SpeakerDead { .. } | Lever::SpeakerSilent { .. } => Some((7, Fault::Silent)),
            Lever::GracefulRestart { .. } => Some((8, Fault::Restarting)),
            Lever::SessionDown { leaf, .. } if here(leaf) => Some((9, Fault::HoldTimer)),
            _ => None,
        };
        let concerned = self.levers().filter(|lever| lever.concerns(key));
        concerned.filter_map(fault).min_by_key(|(rank, _)| *rank).map(|(_, fault)| fault)
    }
}
