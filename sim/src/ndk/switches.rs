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
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            config_path_spelling: Spelling::Underscore,
            telemetry_paths: AcceptedPaths::Both,
            deliver_defaults: true,
            stale_state: StaleState::UntilRegistered,
            delete_unknown_is_error: false,
            announce_first: AnnounceFirst::Routes,
            zero_interfaces_first: true,
            batch: 256,
            late_stream_headers: false,
            streams_survive_drop: false,
            acknowledge_within: Duration::from_secs(30),
            unread_config_limit: 100_000,
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
