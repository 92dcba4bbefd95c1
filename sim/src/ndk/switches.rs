//! What is not settled about real devices, or differs between releases: one switch each, with the default that the
//! evidence favours.

use std::time::Duration;

/// How the NDK behaves where devices differ or nobody has documented it.
#[derive(Clone, Debug)]
pub struct Switches {
    /// How names are spelt in the `js_path` of delivered configuration in `json` format.
    pub config_path_spelling: Spelling,
    /// Which spelling of names is accepted in the `js_path` of telemetry.
    pub telemetry_paths: AcceptedPaths,
    /// What becomes of a write whose path is spelled otherwise.
    pub misspelled: Misspelled,
    /// Which form of enumeration values is accepted in the JSON of telemetry.
    pub enumerations: Enumerations,
    /// Take a container below an application's root at a path of its own. Lists are always taken.
    pub containers_below_root: bool,
    /// Refuse a second notification stream of one application.
    pub one_stream: bool,
    /// Take subscriptions to a stream that is being read already.
    pub subscribe_while_open: bool,
    /// Deliver the defaults of a delivered node.
    pub deliver_defaults: bool,
    /// What happens to the state of an application that went away without `AgentUnRegister`.
    pub stale_state: StaleState,
    /// Answer a `TelemetryDelete` of a path that was never added with an error.
    pub delete_unknown_is_error: bool,
    /// What is announced first when a route and its next-hop group are new.
    pub announce_first: AnnounceFirst,
    /// Announce every interface with all-zero data before its real state.
    pub zero_interfaces_first: bool,
    /// Announce every network instance with all-zero data before its real state.
    pub zero_network_instances_first: bool,
    /// At most this many notifications in one stream response.
    pub batch: usize,
    /// Answer the opening of a stream only with its first response, as servers that send no early headers do.
    pub late_stream_headers: bool,
    /// After a dropped stream its id and subscriptions still exist and can be opened again.
    pub streams_survive_drop: bool,
    /// How long a commit waits for `AcknowledgeConfig` before it is refused.
    pub acknowledge_within: Duration,
    /// A stream that leaves more configuration notifications than this unread is ended with `RESOURCE_EXHAUSTED`.
    pub unread_config_limit: usize,
    /// What a message of more than 4 MiB does.
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

/// Spelling of a hyphenated YANG name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `_`
    Underscore,
    /// `-`
    Hyphen,
}

/// Spellings of names an NDK takes in telemetry paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedPaths {
    /// Either.
    Both,
    /// `-` alone.
    Hyphen,
    /// `_` alone.
    Underscore,
}

/// What becomes of a write in a spelling that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misspelled {
    /// The call fails.
    Refused,
    /// The call succeeds and nothing is shown.
    NotShown,
}

/// Forms of enumeration values an NDK takes in telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enumerations {
    /// Any of the others.
    Either,
    /// YANG's word alone: `no-route`.
    Plain,
    /// The leaf's name before it: `OPER_REASON_no-route`.
    Prefixed,
    /// The same as an enumerator of protobuf can be spelled: `OPER_REASON_no_route`.
    PrefixedUnderscores,
}

/// Life of state whose application went away without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleState {
    /// It stays until the application registers again.
    UntilRegistered,
    /// It stays until the application deletes it path by path.
    UntilDeleted,
}

/// Order of announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceFirst {
    /// Routes, then the groups they name.
    Routes,
    /// Groups, then the routes that name them.
    Groups,
}

/// What becomes of a call whose message is longer than the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// The call is answered with `RESOURCE_EXHAUSTED`.
    Refused,
    /// The whole connection is reset, with every other call and stream on it.
    BreaksConnection,
}
