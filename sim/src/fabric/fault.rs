//! Why a BGP session is down, and how its leaf words it.

use crate::tables::BgpNotification;

use super::{Fabric, Lever, NodeKey};

/// What keeps a session down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing gets there: the hold timer runs out.
    Unreachable,
    /// Packets get there, keepalives do not: the hold timer runs out.
    HoldTimer,
    /// BFD gave the session up.
    Bfd,
    /// The neighbor is disabled here.
    AdminDisabled,
    /// The node is in another autonomous system than configured.
    AsMismatch,
    /// The node's speaker shut the session down.
    PeerShutdown,
    /// The node announces more than it may.
    PrefixLimit,
    /// Two speakers on one address.
    Collision,
    /// The node's speaker ended the session in these words.
    Notification { code: String, subcode: String },
    /// Nobody answers at the node's end.
    Silent,
    /// The speaker restarts and asked for its routes to be kept.
    Restarting,
}

impl Fault {
    /// `session-state`
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self::Unreachable => "connect",
            Self::AdminDisabled | Self::PrefixLimit => "idle",
            _ => "active",
        }
    }

    /// `last-event`
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

    /// The NOTIFICATION that the leaf sent.
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

    /// The NOTIFICATION that the leaf received.
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
    /// What the levers pulled do to the session of a node's speaker with a leaf; the surest of several.
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
