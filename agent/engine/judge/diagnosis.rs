//! Finds one probable cause why a session is down or a next-hop is absent, from the switch's own state.
//!
//! A cause is something that was seen, never a guess: an empty or refused table proves nothing about one address.
//! Causes do not change verdicts.

use std::fmt::Write;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::SignedDuration;

use crate::engine::facts::switch::BGP_OWNER;
use crate::model::inquiry::{Down, NeighborWords, Notification, Path, Place, RibRoute};
use crate::model::switch::{BfdState, SessionState};
use crate::model::time::Timestamp;
use crate::model::verdict::ProbableCause;
use crate::model::view::Cause;

/// How much earlier than the fall of its session a NOTIFICATION may be recorded.
const RECORDED: SignedDuration = SignedDuration::from_secs(5);
/// How long a speaker must have been without an answer to count as silent.
const SILENT_FOR: SignedDuration = SignedDuration::from_secs(30);

/// What is known about a session that is down.
#[derive(Clone, Debug)]
pub(crate) struct SessionFacts<'a> {
    /// The address of the node.
    pub(crate) address: IpAddr,
    /// The address whose ARP/ND entry shows where the node is plugged in: its own, or the gateway to it.
    pub(crate) link: IpAddr,
    /// Whether the node is what answers at `link`, and no router before it.
    pub(crate) link_is_node: bool,
    /// State of the session; `None` if its dynamic neighbor has vanished.
    pub(crate) session: Option<SessionState>,
    /// When it last became established, as far as the agent has seen that.
    pub(crate) established_at: Option<Timestamp>,
    /// When it left established.
    pub(crate) fell_at: Option<Timestamp>,
    /// What the neighbor's state says about its last messages and events, and when it was read.
    pub(crate) words: Option<(&'a NeighborWords, Timestamp)>,
    /// Since when that state is asked for. The session has not been up since.
    pub(crate) asked_since: Option<Timestamp>,
    /// Where `link` is plugged in.
    pub(crate) place: Option<&'a Place>,
    /// The VTEP of another leaf that the host route of `link` leads to.
    pub(crate) moved_to: Option<IpAddr>,
    /// Whether `link` has a host route of this leaf's own (ARP/ND).
    pub(crate) has_host_route: bool,
    /// Whether `link` is reached by a route over other addresses, so that it has no ARP/ND entry of its own.
    pub(crate) is_beyond: bool,
    /// State of its BFD session; `None` if BFD does not run.
    pub(crate) bfd: Option<BfdState>,
}

impl SessionFacts<'_> {
    /// Returns what is plugged in, in words.
    fn link(&self) -> String {
        match self.link == self.address {
            true => self.address.to_string(),
            false => format!("{}, the gateway to {},", self.link, self.address),
        }
    }
}

/// Returns why a session is down.
pub(crate) fn session_cause(facts: &SessionFacts<'_>) -> Option<Cause> {
    // The order matters, because several may be true at once: with the port down, the hold timer expires as well.
    disabled(facts)
        .or_else(|| interface_down(facts))
        .or_else(|| moved(facts))
        .or_else(|| unreachable(facts))
        .or_else(|| bfd_down(facts))
        .or_else(|| last_words(facts))
        .or_else(|| silent(facts))
}

fn cause(probable: ProbableCause, detail: String) -> Option<Cause> {
    Some(Cause { probable, detail: detail.into() })
}

fn disabled(facts: &SessionFacts<'_>) -> Option<Cause> {
    let (words, _) = facts.words?;
    let detail = || format!("neighbor {} has admin-state disable on this switch", facts.address);
    words.disabled.then(|| cause(ProbableCause::AdminDisabled, detail()))?
}

fn interface_down(facts: &SessionFacts<'_>) -> Option<Cause> {
    let place = facts.place?;
    let (mut detail, link) = (down(place)?, facts.link());
    match facts.moved_to {
        // A node with a second cable and a node that was moved look the same from here.
        Some(vtep) => {
            let _ = write!(detail, "; {link} was plugged in there{}", mac(place));
            let _ = write!(detail, ", and is behind another leaf now: its host route leads to VTEP {vtep}");
        }
        None => {
            let _ = write!(detail, "; {link} is plugged in there{}", mac(place));
        }
    }
    cause(ProbableCause::InterfaceDown, detail)
}

/// Says which port or subinterface of a place is down, why, and since when.
fn down(place: &Place) -> Option<String> {
    let port = place.port.as_ref().zip(place.port_down.as_ref());
    let subinterface = place.subinterface.as_ref().zip(place.subinterface_down.as_ref());
    let (name, Down { reason, since }) = port.or(subinterface)?;
    let mut detail = format!("{name} is down");
    if let Some(reason) = reason {
        let _ = write!(detail, " ({reason})");
    }
    if let Some(since) = since {
        let _ = write!(detail, " since {since:.0}");
    }
    Some(detail)
}

/// Returns the cause if what answered ARP or ND for an address was plugged in at a port that is down.
pub(crate) fn holder_cut_off(address: IpAddr, place: &Place) -> Option<Cause> {
    let mut detail = down(place)?;
    let _ = write!(detail, "; what answered ARP or ND for {address} is plugged in there{}", mac(place));
    cause(ProbableCause::InterfaceDown, detail)
}

/// Returns the cause if an address does not answer ARP or ND any more.
pub(crate) fn holder_gone(address: IpAddr, place: &Place) -> Option<Cause> {
    let gone = place.is_known && !place.answers && place.subinterface.is_some();
    gone.then(|| cause(ProbableCause::NodeUnreachable, silence(&address.to_string(), place)))?
}

/// Says that an address does not answer, and where it was.
fn silence(link: &str, place: &Place) -> String {
    let mut detail = format!("{link} does not answer ARP or ND here");
    if let Some(subinterface) = &place.subinterface {
        let _ = write!(detail, "; it was on {subinterface}");
        if let Some(port) = &place.port {
            let _ = write!(detail, ", port {port}");
        }
        detail += &mac(place);
    }
    detail
}

fn mac(place: &Place) -> String {
    place.link_layer_address.as_ref().map_or_else(String::new, |mac| format!(" with MAC {mac}"))
}

fn moved(facts: &SessionFacts<'_>) -> Option<Cause> {
    let vtep = facts.moved_to?;
    let detail = format!("{} is behind another leaf: its host route leads to VTEP {vtep}", facts.link());
    cause(ProbableCause::NodeMoved, detail)
}

fn unreachable(facts: &SessionFacts<'_>) -> Option<Cause> {
    let place = facts.place?;
    let was_here = place.subinterface.is_some();
    if place.answers || !place.is_known || facts.has_host_route || facts.is_beyond && !was_here {
        return None;
    }
    cause(ProbableCause::NodeUnreachable, silence(&facts.link(), place))
}

fn bfd_down(facts: &SessionFacts<'_>) -> Option<Cause> {
    let down = facts.bfd == Some(BfdState::Down);
    down.then(|| cause(ProbableCause::BfdDown, format!("the BFD session with {} is down", facts.address)))?
}

/// Returns the cause by the NOTIFICATION or event that ended this session: one that is newer than its last
/// establishment. If the agent has not seen that, because it was started later, the NOTIFICATION must not be older than
/// the fall: the switch never clears the last one.
fn last_words(facts: &SessionFacts<'_>) -> Option<Cause> {
    let (words, _) = facts.words?;
    let of_this_fall = |notification: &&Notification| {
        notification.at.is_some_and(|at| match (facts.established_at, facts.fell_at) {
            (Some(established), _) => at > established,
            (None, Some(fell)) => fell.duration_since(at) <= RECORDED,
            (None, None) => true,
        })
    };
    let received = words.received.as_ref().filter(of_this_fall).map(|notification| (notification, true));
    let sent = words.sent.as_ref().filter(of_this_fall).map(|notification| (notification, false));
    match [received, sent].into_iter().flatten().max_by_key(|(notification, received)| (notification.at, *received)) {
        Some((notification, received)) => told(facts.address, words, notification, received),
        None => event(facts.address, words.last_event.as_deref()?),
    }
}

/// Returns the cause that a NOTIFICATION names.
fn told(address: IpAddr, words: &NeighborWords, notification: &Notification, received: bool) -> Option<Cause> {
    use ProbableCause as Word;
    let subcode = notification.subcode.as_deref().unwrap_or_default();
    let who = if received { format!("{address} sent") } else { format!("this switch sent {address}") };
    let what = if subcode.is_empty() { String::new() } else { format!(" ({subcode})") };
    let when = notification.at.map_or_else(String::new, |at| format!(" at {at:.0}"));
    let mut detail = format!("{who} NOTIFICATION {}{what}{when}", notification.code);
    let word = match (&*plain(&notification.code), &*plain(subcode)) {
        ("holdtimererror", _) => Word::HoldTimerExpired,
        (_, "badpeeras") => {
            let _ = match (words.local_as.zip(words.peer_as), received) {
                (Some((own, expected)), true) => write!(
                    detail,
                    ": this switch is AS {own}, and the speaker expects another one (it should be AS {expected})"
                ),
                (Some((own, expected)), false) => {
                    write!(detail, ": this switch is AS {own} and expects AS {expected}, the speaker says another one")
                }
                // The neighbor is gone, and its configuration was that of its group.
                (None, true) => write!(detail, ": the speaker expects another AS than this switch is in"),
                (None, false) => write!(detail, ": the speaker is in another AS than this switch expects"),
            };
            Word::AsMismatch
        }
        ("cease", "maximumnumberofprefixesreached") => Word::PrefixLimit,
        ("cease", "administrativeshutdown" | "peerdeconfigured") if received => Word::PeerShutdown,
        ("cease", "connectioncollisionresolution") => Word::Collision,
        ("cease", "connectionrejected") if received => {
            detail += ": the peer does not know this switch";
            Word::Notification
        }
        _ => Word::Notification,
    };
    cause(word, detail)
}

/// Returns the cause that a last event names by itself.
fn event(address: IpAddr, event: &str) -> Option<Cause> {
    let (word, what) = match event {
        "holdTime" => (ProbableCause::HoldTimerExpired, "the hold timer expired"),
        "maxPrefixExceed" => (ProbableCause::PrefixLimit, "the peer sent more prefixes than are allowed"),
        "collisionResolution" => (ProbableCause::Collision, "two connections collided"),
        _ => return None,
    };
    cause(word, format!("{what} ({address}, last-event {event})"))
}

/// Returns only letters and digits, in lower case, because releases differ in spelling.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

/// Returns the cause if the address is reachable and refuses nothing, but the speaker does not answer.
fn silent(facts: &SessionFacts<'_>) -> Option<Cause> {
    use SessionState::{Active, Connect, Idle, OpenSent};
    let (words, asked_at) = facts.words?;
    let answers = facts.has_host_route || facts.place.is_some_and(|place| place.answers);
    let reachable = answers && facts.link_is_node;
    let trying = matches!(facts.session, Some(Idle | Connect | Active | OpenSent));
    let event = words.last_event.as_deref().unwrap_or("none");
    let no_more = matches!(event, "none" | "start" | "startPassive" | "connectRetry" | "openFail");
    // A session that never came up has been silent since it was first asked about.
    let long = facts.fell_at.or(facts.asked_since).is_some_and(|since| asked_at.duration_since(since) >= SILENT_FOR);
    let detail = || {
        let silent = match facts.fell_at {
            Some(fell) => format!("has not answered since {fell:.0}"),
            None => "does not answer".to_owned(),
        };
        format!("{} is reachable and refuses nothing, but its BGP {silent} (last-event {event})", facts.address)
    };
    (reachable && trying && no_more && long).then(|| cause(ProbableCause::SpeakerSilent, detail()))?
}

/// What is known about a route that an established neighbor should have sent.
#[derive(Clone, Debug)]
pub(crate) struct PathFacts<'a> {
    /// The neighbor.
    pub(crate) neighbor: IpAddr,
    /// The prefix.
    pub(crate) prefix: IpNet,
    /// What the tables show of it.
    pub(crate) path: &'a Path,
    /// Owner and preference of the route that is in use.
    pub(crate) route: Option<(&'a str, u32)>,
    /// `received-routes` of the neighbor.
    pub(crate) received_routes: Option<u32>,
    /// The comparison that the best of the other nodes' paths for the prefix lost by, if known.
    pub(crate) best_lost_by: Option<&'a str>,
}

/// Returns why a next-hop is absent although its session is up.
pub(crate) fn path_cause(facts: &PathFacts<'_>) -> Option<Cause> {
    use ProbableCause as Word;
    let PathFacts { neighbor, prefix, path, route, received_routes, best_lost_by } = facts;
    let Path { received, accepted, is_known, .. } = path;
    let Some(row) = accepted.as_ref().or(received.as_ref()) else {
        let detail = format!("{neighbor} does not send {prefix}: its session is up, and nothing of it is in the RIB");
        // A neighbor that sends no routes does not send this one.
        let is_certain = *is_known || *received_routes == Some(0);
        return is_certain.then(|| cause(Word::NotReceived, detail))?;
    };
    let is = |flag: fn(&RibRoute) -> bool| [received, accepted].into_iter().flatten().any(flag);
    let rejected =
        || cause(Word::RejectedByPolicy, format!("{neighbor} sends {prefix}, and the import policy rejects it"));
    if is(|row| row.rejected) {
        return rejected();
    }
    if is(|row| row.as_loop) {
        return cause(Word::AsLoop, format!("the path of {prefix} from {neighbor} holds an AS number of this switch"));
    }
    if is(|row| row.next_hop_unresolved) {
        return cause(Word::NextHopUnresolved, format!("the next-hop of {prefix} from {neighbor} does not resolve"));
    }
    if is(|row| row.damped) {
        return cause(Word::Damped, format!("{prefix} from {neighbor} is suppressed by route flap damping"));
    }
    if is(|row| row.fib_disabled) {
        let detail = format!("{prefix} from {neighbor} is kept out of the forwarding table by configuration");
        return cause(Word::FibSuppressed, detail);
    }
    if accepted.is_none() {
        return rejected();
    }
    // Among equal paths, the last comparisons only decide which comes first; all of them lost by what the first of them
    // lost by. If BGP's route is in use, its paths are equal to it and lost to each other.
    let own = row.tie_break.as_deref().filter(|_| !row.used);
    let is_by_bgp = route.is_some_and(|(owner, _)| owner == BGP_OWNER);
    let decisive = own.map(|own| match best_lost_by {
        Some(best) if is_among_equals(own) && !is_by_bgp => best,
        _ => own,
    });
    let by_preference = matches!(decisive, Some("rtm-pref" | "owner")) || differs_in_preference(path, *route);
    match (decisive, route) {
        _ if row.stale => stale_cause(*neighbor, *prefix, path),
        (Some(tie_break), Some((BGP_OWNER, _))) if is_among_equals(tie_break) => {
            let detail = format!(
                "{prefix} from {neighbor} is as good as those in use and lost by {tie_break}: look at maximum-paths and \
                 allow-multiple-as"
            );
            cause(Word::MultipathLimit, detail)
        }
        (Some(tie_break), _) if !by_preference => {
            let mut detail = format!("{prefix} from {neighbor} is valid and lost by {tie_break}");
            let _ = match route {
                Some((BGP_OWNER, _)) => write!(detail, " to the path that BGP uses"),
                Some((owner, preference)) => {
                    write!(detail, " to the route of {owner} (preference {preference}{})", own_preference(path))
                }
                None => Ok(()),
            };
            cause(Word::NotBest, detail)
        }
        (_, Some((owner, preference))) if *owner != BGP_OWNER && (row.valid || row.used) => {
            let own = own_preference(path);
            let detail = format!(
                "{prefix} from {neighbor} is valid, and the route of {owner} wins by preference {preference}{own}"
            );
            cause(Word::Preference, detail)
        }
        (_, Some(_)) if row.used => {
            let detail = format!(
                "{prefix} from {neighbor} is used and not among the next-hops: look at maximum-paths and allow-multiple-as"
            );
            cause(Word::MultipathLimit, detail)
        }
        _ => None,
    }
}

/// Returns whether a comparison only orders paths that multipath uses together.
pub(crate) fn is_among_equals(tie_break: &str) -> bool {
    matches!(
        tie_break,
        "multi-path"
            | "peer-router-id"
            | "peer-ip"
            | "local-peer"
            | "originator-id"
            | "cluster-list"
            | "path-identifier"
    )
}

/// Returns whether the route in use has another owner, and another preference than BGP's own route.
fn differs_in_preference(path: &Path, route: Option<(&str, u32)>) -> bool {
    let own = path.preferences.get(BGP_OWNER);
    route.zip(own).is_some_and(|((owner, preference), own)| owner != BGP_OWNER && preference != *own)
}

/// Returns BGP's own preference in words, if its route is in the table.
fn own_preference(path: &Path) -> String {
    path.preferences.get(BGP_OWNER).map_or_else(String::new, |own| format!(", BGP's is {own}"))
}

/// Returns why a next-hop is installed although its session is down.
pub(crate) fn stale_cause(neighbor: IpAddr, prefix: IpNet, path: &Path) -> Option<Cause> {
    let stale = [&path.received, &path.accepted].into_iter().flatten().any(|row| row.stale);
    let detail = || format!("{prefix} from {neighbor} is kept by graceful restart alone: its session is down");
    stale.then(|| cause(ProbableCause::Stale, detail()))?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn node() -> IpAddr {
        IpAddr::from([192, 168, 1, 11])
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    /// A session that came up at 100, fell at 200, and was asked about at 300; the node answers ARP.
    struct Case {
        words: NeighborWords,
        place: Option<Place>,
        change: fn(&mut SessionFacts<'_>),
    }

    impl Default for Case {
        fn default() -> Self {
            let place = Place { answers: true, is_known: true, ..Place::default() };
            Self { words: NeighborWords::default(), place: Some(place), change: |_| {} }
        }
    }

    impl Case {
        fn cause(&self) -> Option<(ProbableCause, String)> {
            let mut facts = SessionFacts {
                address: node(),
                link: node(),
                link_is_node: true,
                session: Some(SessionState::Active),
                established_at: Some(at(100)),
                fell_at: Some(at(200)),
                words: Some((&self.words, at(300))),
                asked_since: Some(at(201)),
                place: self.place.as_ref(),
                moved_to: None,
                has_host_route: false,
                is_beyond: false,
                bfd: None,
            };
            (self.change)(&mut facts);
            session_cause(&facts).map(|cause| (cause.probable, cause.detail.to_string()))
        }

        fn word(&self) -> Option<ProbableCause> {
            self.cause().map(|(word, _)| word)
        }
    }

    fn notification(second: i64, code: &str, subcode: &str) -> Option<Notification> {
        Some(Notification { at: Some(at(second)), code: code.into(), subcode: Some(subcode.into()) })
    }

    fn received(code: &str, subcode: &str) -> Case {
        let received = notification(200, code, subcode);
        Case {
            words: NeighborWords { received, last_event: Some("recvNotify".into()), ..NeighborWords::default() },
            ..Case::default()
        }
    }

    fn sent(code: &str, subcode: &str) -> Case {
        let sent = notification(200, code, subcode);
        Case { words: NeighborWords { sent, ..NeighborWords::default() }, ..Case::default() }
    }

    fn down(reason: &str) -> Option<Down> {
        Some(Down { reason: Some(reason.into()), since: Some(at(199)) })
    }

    fn plugged_in() -> Place {
        Place {
            is_known: true,
            subinterface: Some("irb1.1".into()),
            port: Some("ethernet-1/1".into()),
            link_layer_address: Some("AA:C1:AB:00:00:11".into()),
            ..Place::default()
        }
    }

    #[test]
    fn a_notification_from_before_the_fall_is_not_its_cause_after_a_restart_either() {
        let word = |second, change| {
            let received = notification(second, "Cease", "Administrative Shutdown");
            Case { words: NeighborWords { received, ..NeighborWords::default() }, change, ..Case::default() }.word()
        };
        let restarted: fn(&mut SessionFacts<'_>) = |facts| facts.established_at = None;
        let never_up: fn(&mut SessionFacts<'_>) = |facts| (facts.established_at, facts.fell_at) = (None, None);
        let shutdown = Some(ProbableCause::PeerShutdown);
        for (second, change, expected) in [
            (99, Case::default().change, None),
            (150, Case::default().change, shutdown),
            (150, restarted, None),
            (196, restarted, shutdown),
            (250, restarted, shutdown),
            (150, never_up, shutdown),
        ] {
            assert_eq!(word(second, change).filter(|word| *word == ProbableCause::PeerShutdown), expected, "{second}");
        }
    }

    #[test]
    fn an_as_mismatch_says_who_refused_whom() {
        let detail = |case: Case| {
            let words = NeighborWords { local_as: Some(65_001), peer_as: Some(65_535), ..case.words };
            Case { words, ..Case::default() }.cause().expect("a cause").1
        };
        let sent = detail(sent("Open Message Error", "Bad Peer As"));
        assert!(sent.ends_with("this switch is AS 65001 and expects AS 65535, the speaker says another one"), "{sent}");
        let vanished = self::sent("Open Message Error", "Bad Peer As").cause().expect("a cause").1;
        assert!(vanished.ends_with(": the speaker is in another AS than this switch expects"), "{vanished}");
        let received = detail(received("Open Message Error", "Bad Peer As"));
        assert!(received.contains("this switch is AS 65001, and the speaker expects another one"), "{received}");
    }

    #[test]
    fn notifications_at_the_time_of_the_session_loss_name_the_cause() {
        use ProbableCause::*;
        let cases = [
            (received("Cease", "Administrative Shutdown"), PeerShutdown),
            (received("Cease", "Peer De-configured"), PeerShutdown),
            (received("Cease", "Maximum Number of Prefixes Reached"), PrefixLimit),
            (sent("Cease", "Maximum Number of Prefixes Reached"), PrefixLimit),
            (received("Open Message Error", "Bad Peer As"), AsMismatch),
            (sent("Open Message Error", "Bad Peer As"), AsMismatch),
            (sent("Hold Timer Error", ""), HoldTimerExpired),
            (received("Hold Timer Error", ""), HoldTimerExpired),
            (received("Cease", "Connection Collision Resolution"), Collision),
            (received("Cease", "Connection Rejected"), Notification),
            (received("Cease", "Administrative Reset"), Notification),
            (sent("Cease", "Administrative Shutdown"), Notification),
            (received("Update Message Error", "Malformed Attribute List"), Notification),
        ];
        for (case, expected) in cases {
            assert_eq!(case.word(), Some(expected), "{:?}", case.words);
        }
    }

    #[test]
    fn an_as_mismatch_is_explained_with_who_refused_and_both_as_numbers() {
        let mut case = sent("Open Message Error", "Bad Peer As");
        (case.words.local_as, case.words.peer_as) = (Some(65001), Some(65535));
        let (_, detail) = case.cause().expect("a cause");
        assert!(
            detail.starts_with("this switch sent 192.168.1.11 NOTIFICATION Open Message Error (Bad Peer As)"),
            "{detail}"
        );
        assert!(
            detail.ends_with("this switch is AS 65001 and expects AS 65535, the speaker says another one"),
            "{detail}"
        );
        let (_, detail) = received("Cease", "Connection Rejected").cause().expect("a cause");
        assert!(detail.ends_with("the peer does not know this switch"), "{detail}");
    }

    #[test]
    fn notifications_of_an_earlier_session_loss_are_ignored() {
        let mut case = received("Cease", "Administrative Shutdown");
        case.words.received = notification(99, "Cease", "Administrative Shutdown");
        case.words.last_event = Some("connectRetry".into());
        assert_eq!(case.word(), Some(ProbableCause::SpeakerSilent));
        case.words.received.as_mut().expect("one").at = None;
        assert_eq!(case.word(), Some(ProbableCause::SpeakerSilent), "nobody knows when it was");
    }

    #[test]
    fn the_later_of_two_notifications_counts() {
        let mut case = received("Cease", "Administrative Shutdown");
        case.words.sent = notification(201, "Hold Timer Error", "");
        assert_eq!(case.word(), Some(ProbableCause::HoldTimerExpired));
    }

    #[test]
    fn a_down_port_takes_precedence_over_the_hold_timer() {
        let mut case = sent("Hold Timer Error", "");
        case.place = Some(Place { port_down: down("port-admin-disabled"), ..plugged_in() });
        let (word, detail) = case.cause().expect("a cause");
        assert_eq!(word, ProbableCause::InterfaceDown);
        for part in ["ethernet-1/1 is down (port-admin-disabled) since 2027-", "AA:C1:AB:00:00:11"] {
            assert!(detail.contains(part), "{detail}");
        }
        let moved = Case {
            words: case.words.clone(),
            place: case.place.clone(),
            change: |facts| facts.moved_to = Some(IpAddr::from([10, 0, 1, 2])),
        };
        let (word, detail) = moved.cause().expect("a cause");
        assert_eq!(word, ProbableCause::InterfaceDown, "certain, where a second cable is no move");
        assert!(detail.ends_with("and is behind another leaf now: its host route leads to VTEP 10.0.1.2"), "{detail}");
        case.place = Some(Place { subinterface_down: down("no-ip-config"), ..plugged_in() });
        assert!(case.cause().expect("a cause").1.starts_with("irb1.1 is down (no-ip-config)"));
    }

    #[test]
    fn a_disabled_neighbor_takes_precedence_over_all_other_causes() {
        let mut case = received("Cease", "Administrative Shutdown");
        case.words.disabled = true;
        case.place = Some(Place { port_down: down("port-admin-disabled"), ..plugged_in() });
        assert_eq!(case.word(), Some(ProbableCause::AdminDisabled));
    }

    #[test]
    fn a_moved_node_is_distinguished_from_an_unreachable_one() {
        let moved =
            Case { change: |facts| facts.moved_to = Some(IpAddr::from([10, 0, 1, 2])), ..sent("Hold Timer Error", "") };
        assert_eq!(moved.word(), Some(ProbableCause::NodeMoved));
        let gone = Case { place: Some(plugged_in()), ..sent("Hold Timer Error", "") };
        let (word, detail) = gone.cause().expect("a cause");
        assert_eq!(word, ProbableCause::NodeUnreachable);
        assert!(detail.contains("it was on irb1.1, port ethernet-1/1 with MAC"), "{detail}");
        let empty = Case { place: Some(Place::default()), ..sent("Hold Timer Error", "") };
        assert_eq!(empty.word(), Some(ProbableCause::HoldTimerExpired), "an empty table says nothing of one address");
        let beyond =
            |place| Case { place: Some(place), change: |facts| facts.is_beyond = true, ..sent("Hold Timer Error", "") };
        let elsewhere = Place { is_known: true, ..Place::default() };
        assert_eq!(beyond(elsewhere).word(), Some(ProbableCause::HoldTimerExpired), "a loopback has no entry to miss");
        assert_eq!(beyond(plugged_in()).word(), Some(ProbableCause::NodeUnreachable), "it had an entry");
        let hosted = Case { change: |facts| facts.has_host_route = true, ..gone };
        assert_eq!(hosted.word(), Some(ProbableCause::HoldTimerExpired));
    }

    #[test]
    fn a_node_behind_a_gateway_is_looked_for_where_the_gateway_is() {
        let behind =
            |words: &NeighborWords, place: Place, change| Case { words: words.clone(), place: Some(place), change };
        let gateway: fn(&mut SessionFacts<'_>) = |facts| facts.link = IpAddr::from([192, 168, 101, 20]);
        let expired = sent("Hold Timer Error", "").words;
        let named = "192.168.101.20, the gateway to 192.168.1.11,";
        let cut = Place { port_down: down("port-admin-disabled"), ..plugged_in() };
        let (word, detail) = behind(&expired, cut, gateway).cause().expect("a cause");
        assert_eq!(word, ProbableCause::InterfaceDown);
        assert!(detail.contains(&format!("{named} is plugged in there")), "{detail}");
        let (word, detail) = behind(&expired, plugged_in(), gateway).cause().expect("a cause");
        assert_eq!(word, ProbableCause::NodeUnreachable);
        assert!(detail.starts_with(&format!("{named} does not answer ARP or ND here")), "{detail}");
        let answering = Place { answers: true, ..plugged_in() };
        assert_eq!(behind(&expired, answering.clone(), gateway).word(), Some(ProbableCause::HoldTimerExpired));
        let nothing = NeighborWords::default();
        assert_eq!(behind(&nothing, answering.clone(), gateway).word(), Some(ProbableCause::SpeakerSilent));
        let router = |facts: &mut SessionFacts<'_>| {
            (facts.link, facts.link_is_node) = (IpAddr::from([192, 168, 101, 20]), false);
        };
        assert_eq!(behind(&nothing, answering, router).word(), None, "a router answers whether the node lives or not");
    }

    #[test]
    fn bfd_down_takes_precedence_over_the_notification_it_caused() {
        let case = Case { change: |facts| facts.bfd = Some(BfdState::Down), ..sent("Cease", "Other") };
        assert_eq!(case.word(), Some(ProbableCause::BfdDown));
    }

    #[test]
    fn a_speaker_is_called_silent_only_after_a_while_and_without_other_causes() {
        let case = Case::default();
        assert_eq!(case.word(), Some(ProbableCause::SpeakerSilent));
        let early = Case { change: |facts| facts.fell_at = Some(at(280)), ..Case::default() };
        assert_eq!(early.word(), None);
        let never_up = |change| Case { change, ..Case::default() };
        let long = never_up(|facts| (facts.fell_at, facts.asked_since) = (None, Some(at(270))));
        assert_eq!(long.word(), Some(ProbableCause::SpeakerSilent));
        let just_started = never_up(|facts| (facts.fell_at, facts.asked_since) = (None, Some(at(271))));
        assert_eq!(just_started.word(), None, "a switch that has just started waits for its neighbors");
        let further = Case { change: |facts| facts.session = Some(SessionState::OpenConfirm), ..Case::default() };
        assert_eq!(further.word(), None);
        let more = NeighborWords { last_event: Some("parseError".into()), ..NeighborWords::default() };
        assert_eq!(Case { words: more, ..Case::default() }.word(), None);
        assert_eq!(Case { place: None, ..Case::default() }.word(), None, "nobody knows that it is reachable");
        let unasked = Case { change: |facts| facts.words = None, ..Case::default() };
        assert_eq!(unasked.word(), None);
    }

    #[test]
    fn some_last_events_name_the_cause_without_a_notification() {
        use ProbableCause::*;
        for (event, expected) in
            [("holdTime", HoldTimerExpired), ("maxPrefixExceed", PrefixLimit), ("collisionResolution", Collision)]
        {
            let words = NeighborWords { last_event: Some(event.into()), ..NeighborWords::default() };
            assert_eq!(Case { words, ..Case::default() }.word(), Some(expected));
        }
    }

    fn row() -> RibRoute {
        RibRoute { valid: true, ..RibRoute::default() }
    }

    fn path_word(path: &Path, route: Option<(&str, u32)>) -> Option<(ProbableCause, String)> {
        let prefix = "1.1.1.100/32".parse().expect("a prefix");
        let cause = path_cause(&PathFacts {
            neighbor: node(),
            prefix,
            path,
            route,
            received_routes: Some(3),
            best_lost_by: None,
        });
        cause.map(|cause| (cause.probable, cause.detail.to_string()))
    }

    fn both(row: RibRoute) -> Path {
        Path { received: Some(row.clone()), accepted: Some(row), is_known: true, preferences: BTreeMap::new() }
    }

    const BGP: Option<(&str, u32)> = Some(("bgp_mgr", 169));
    const EVPN: Option<(&str, u32)> = Some(("bgp_evpn_mgr", 170));

    #[test]
    fn a_route_that_was_not_received_is_distinguished_from_an_unknown_one() {
        let path = Path { is_known: true, ..Path::default() };
        assert_eq!(path_word(&path, EVPN).map(|(word, _)| word), Some(ProbableCause::NotReceived));
        assert_eq!(path_word(&Path::default(), EVPN), None);
    }

    #[test]
    fn rib_flags_name_the_cause_of_an_unused_route() {
        use ProbableCause::*;
        let only_received = |row| Path { accepted: None, ..both(row) };
        let cases = [
            (only_received(row()), RejectedByPolicy),
            (only_received(RibRoute { as_loop: true, valid: false, ..row() }), AsLoop),
            (only_received(RibRoute { next_hop_unresolved: true, valid: false, ..row() }), NextHopUnresolved),
            (only_received(RibRoute { damped: true, ..row() }), Damped),
            (both(RibRoute { rejected: true, valid: false, ..row() }), RejectedByPolicy),
            (both(RibRoute { as_loop: true, valid: false, ..row() }), AsLoop),
            (both(RibRoute { next_hop_unresolved: true, valid: false, ..row() }), NextHopUnresolved),
            (both(RibRoute { damped: true, ..row() }), Damped),
            (both(RibRoute { fib_disabled: true, used: true, ..row() }), FibSuppressed),
            (both(RibRoute { stale: true, ..row() }), Stale),
            (both(RibRoute { tie_break: Some("as-path-length".into()), ..row() }), NotBest),
            (both(RibRoute { used: true, ..row() }), MultipathLimit),
        ];
        for (path, expected) in cases {
            assert_eq!(path_word(&path, BGP).map(|(word, _)| word), Some(expected), "{path:?}");
        }
        assert_eq!(path_word(&both(RibRoute { valid: false, ..row() }), BGP), None, "invalid, and nothing says why");
    }

    #[test]
    fn equal_paths_lost_for_the_reason_the_best_of_them_lost() {
        let prefix = "1.1.1.100/32".parse().expect("a prefix");
        let mut path = both(RibRoute { tie_break: Some("peer-router-id".into()), ..row() });
        let word = |path: &Path, route, best_lost_by| {
            let facts = PathFacts { neighbor: node(), prefix, path, route, received_routes: Some(1), best_lost_by };
            path_cause(&facts).map(|cause| (cause.probable, cause.detail.to_string()))
        };
        let (cause, detail) = word(&path, EVPN, Some("as-path-length")).expect("a cause");
        assert_eq!(cause, ProbableCause::NotBest);
        assert!(detail.contains("lost by as-path-length"), "{detail}");
        for best_lost_by in [None, Some("as-path-length")] {
            let word = word(&path, BGP, best_lost_by).map(|(word, _)| word);
            assert_eq!(word, Some(ProbableCause::MultipathLimit), "it is equal to BGP's own route");
        }
        path.preferences.insert("bgp_mgr".into(), 180);
        assert_eq!(word(&path, EVPN, None).map(|(word, _)| word), Some(ProbableCause::Preference));
    }

    #[test]
    fn a_path_that_lost_to_evpn_is_explained_with_tie_break_and_both_preferences() {
        let mut path = both(RibRoute { tie_break: Some("as-path-length".into()), ..row() });
        path.preferences.insert("bgp_mgr".into(), 170);
        let (word, detail) = path_word(&path, EVPN).expect("a cause");
        assert_eq!(word, ProbableCause::NotBest);
        for part in ["lost by as-path-length", "bgp_evpn_mgr", "170", "BGP's is 170"] {
            assert!(detail.contains(part), "{detail}");
        }
        let (_, within_bgp) = path_word(&path, BGP).expect("a cause");
        assert!(within_bgp.ends_with("is valid and lost by as-path-length to the path that BGP uses"), "{within_bgp}");
        let by_owner = both(RibRoute { used: true, ..row() });
        assert_eq!(path_word(&by_owner, EVPN).map(|(word, _)| word), Some(ProbableCause::Preference));
        let by_table = both(RibRoute { tie_break: Some("rtm-pref".into()), ..row() });
        assert_eq!(path_word(&by_table, EVPN).map(|(word, _)| word), Some(ProbableCause::Preference));
    }
}
