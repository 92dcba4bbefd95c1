//! What every call does with messages on the wire: checks paths, and words refusals and answers.

use jiff::Timestamp;
use srl_proto::gnmi as pb;
use tonic::Status;

use crate::datastore::Refusal;

/// Returns nanoseconds since the epoch.
pub(super) fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

/// Returns the status for the refusal of a path or value.
pub(super) fn invalid(refusal: &Refusal) -> Status {
    let known = refusal.message.starts_with("Path not valid");
    Status::invalid_argument(if known { refusal.message.clone() } else { refusal.to_string() })
}

/// Refuses paths whose origin the switch does not support.
pub(super) fn check_origin<'a>(paths: impl IntoIterator<Item = &'a pb::Path>) -> Result<(), Status> {
    match paths.into_iter().find(|path| !matches!(path.origin.as_str(), "" | "native" | "srl_nokia")) {
        Some(path) => Err(Status::invalid_argument(format!("Origin '{}' is not supported", path.origin))),
        None => Ok(()),
    }
}

/// Refuses paths with an element that the switch is configured not to know.
pub(super) fn check_known<'a>(unknown: &[String], paths: impl IntoIterator<Item = &'a pb::Path>) -> Result<(), Status> {
    let mut elements = paths.into_iter().flat_map(|path| &path.elem).map(|elem| &elem.name);
    match elements.find(|name| unknown.contains(name)) {
        Some(name) => Err(Status::invalid_argument(format!("Path not valid - unknown element '{name}'"))),
        None => Ok(()),
    }
}

/// Returns the prefix of an answer, which is the target that the client named.
pub(super) fn target_only(prefix: &pb::Path) -> Option<pb::Path> {
    let target = prefix.target.clone();
    (!target.is_empty()).then(|| pb::Path { target, ..pb::Path::default() })
}
