//! Behaviour that is uncertain for real devices, or differs between releases: one switch for each, with the default
//! that the evidence favours.

use std::time::Duration;

/// Behaviour of the NDK that differs between devices or is not documented.
#[derive(Clone, Debug)]
pub struct Switches {
    /// Spelling of names in the `js_path` of configuration delivered in `json` format.
    pub config_path_spelling: Spelling,
    /// Spellings of names that are accepted in the `js_path` of telemetry.
    pub telemetry_paths: AcceptedPaths,
    /// What happens to a write whose path is spelled differently.
    pub misspelled: Misspelled,
    /// Forms of enumeration values that are accepted in the JSON of telemetry.
    pub enumerations: Enumerations,
    /// Accept a container below an application's root at its own path. Lists are always accepted.
    pub containers_below_root: bool,
    /// Refuse a second notification stream of an application.
    pub one_stream: bool,
    /// Accept subscriptions to a stream that is already being read.
    pub subscribe_while_open: bool,
    /// Include defaults in delivered nodes.
    pub deliver_defaults: bool,
    /// What happens to the state of an application that disappeared without `AgentUnRegister`.
    pub stale_state: StaleState,
    /// Answer with an error if a `TelemetryDelete` names a path that was never added.
    pub delete_unknown_is_error: bool,
    /// What is announced first if a route and its next-hop group are new.
    pub announce_first: AnnounceFirst,
    /// Announce every interface with all-zero data before its real state.
    pub zero_interfaces_first: bool,
    /// Announce every network instance with all-zero data before its real state.
    pub zero_network_instances_first: bool,
    /// Maximum number of notifications in a stream response.
    pub batch: usize,
    /// Answer the opening of a stream only with the first response, as servers without early headers do.
    pub late_stream_headers: bool,
    /// Whether a dropped stream and its subscriptions still exist and can be opened again.
    pub streams_survive_drop: bool,
    /// Time a commit waits for `AcknowledgeConfig` before it is refused.
    pub acknowledge_within: Duration,
    /// Maximum number of unread configuration notifications. A stream with more is ended with `RESOURCE_EXHAUSTED`.
    pub unread_config_limit: usize,
    /// What happens if a message is larger than 4 MiB.
    pub too_large: TooLarge,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            config_path_spelling: Spelling::Underscore,
            telemetry_paths: AcceptedPaths::Both,
            misspelled: Misspelled::Refused,
            enumerations: Enumerations::Either,
            containers_below_root: true,
            one_stream: false,
            subscribe_while_open: true,
            deliver_defaults: true,
            stale_state: StaleState::UntilRegistered,
            delete_unknown_is_error: false,
            announce_first: AnnounceFirst::Routes,
            zero_interfaces_first: true,
            zero_network_instances_first: false,
            batch: 256,
            late_stream_headers: false,
            streams_survive_drop: false,
            acknowledge_within: Duration::from_secs(30),
            unread_config_limit: 100_000,
            too_large: TooLarge::Refused,
        }
    }
}

/// Spelling of a hyphen in a YANG name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `_`
    Underscore,
    /// `-`
    Hyphen,
}

/// Spellings of names that an NDK accepts in telemetry paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedPaths {
    /// Either.
    Both,
    /// Only `-`.
    Hyphen,
    /// Only `_`.
    Underscore,
}

/// What happens to a write in a spelling that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misspelled {
    /// The call fails.
    Refused,
    /// The call succeeds, but nothing is shown.
    NotShown,
}

/// Forms of enumeration values that an NDK accepts in telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enumerations {
    /// Any of the other forms.
    Either,
    /// Only the name in YANG: `no-route`.
    Plain,
    /// The name after that of the leaf: `OPER_REASON_no-route`.
    Prefixed,
    /// As an enumerator of protobuf: `OPER_REASON_no_route`.
    PrefixedUnderscores,
}

/// Lifetime of the state of an application that disappeared without unregistering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleState {
    /// It is kept until the application registers again.
    UntilRegistered,
    /// It is kept until the application deletes it path by path.
    UntilDeleted,
}

/// Order of announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceFirst {
    /// Routes, then their groups.
    Routes,
    /// Groups, then their routes.
    Groups,
}

/// What happens to a call whose message is larger than the server accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// The call is answered with `RESOURCE_EXHAUSTED`.
    Refused,
    /// The whole connection is reset, with every other call and stream on it.
    BreaksConnection,
}
