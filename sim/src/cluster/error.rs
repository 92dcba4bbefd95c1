//! The errors of the API, in the words of Kubernetes.

use serde_json::{Value, json};

/// Why a request was refused. [`ApiError::status`] returns the `Status` object that a client receives.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No object has this name.
    #[error("{resource} \"{name}\" not found")]
    NotFound {
        /// `deployments.apps`
        resource: String,
        /// `metadata.name`
        name: String,
    },
    /// The path names nothing that this API serves.
    #[error("the server could not find the requested resource")]
    UnknownPath,
    /// The path belongs to no API group and version that is served. The response is plain text.
    #[error("404 page not found")]
    NoPage,
    /// The manifest's kind is not served: apply its CustomResourceDefinition first.
    #[error("no matches for kind \"{kind}\" in version \"{version}\"")]
    UnknownKind {
        /// `kind`
        kind: String,
        /// `apiVersion`
        version: String,
    },
    /// An object was to be created under a name that is taken.
    #[error("{resource} \"{name}\" already exists")]
    AlreadyExists {
        /// `deployments.apps`
        resource: String,
        /// `metadata.name`
        name: String,
    },
    /// The resourceVersion or uid in the request differs from the object's.
    #[error(
        "Operation cannot be fulfilled on {resource} \"{name}\": the object has been modified; please apply your \
         changes to the latest version and try again"
    )]
    Conflict {
        /// `deployments.apps`
        resource: String,
        /// `metadata.name`
        name: String,
    },
    /// The resourceVersion or continue token is from before the last compaction.
    #[error("{0}")]
    Expired(String),
    /// The server has not reached the requested resourceVersion.
    #[error("Too large resource version: {asked}, current: {current}")]
    TooLargeVersion {
        /// Version the client asked for.
        asked: u64,
        /// Current version of the server.
        current: u64,
    },
    /// The object violates a rule of its kind.
    #[error("{kind} \"{name}\" is invalid: {cause}")]
    Invalid {
        /// `Service`
        kind: String,
        /// `metadata.name`
        name: String,
        /// Field and violated rule.
        cause: String,
    },
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// The resource does not support the verb.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// The format of the body is not supported.
    #[error("the body of the request was in an unknown format - accepted media types include: {0}")]
    UnsupportedMediaType(&'static str),
    /// The client accepts no format that is supported.
    #[error("only the following media types are accepted: application/json")]
    NotAcceptable,
    /// The bearer token is missing or wrong.
    #[error("Unauthorized")]
    Unauthorized,
    /// A deny rule applies.
    #[error("{0}")]
    Forbidden(String),
    /// An injected fault.
    #[error("the server is currently unable to handle the request")]
    Refused(u16),
    /// The manifest is not valid YAML.
    #[error("the manifest cannot be read")]
    Manifest(#[source] serde_norway::Error),
}

impl ApiError {
    /// Returns the HTTP status code.
    pub fn code(&self) -> u16 {
        match self {
            Self::NotFound { .. } | Self::UnknownPath | Self::NoPage | Self::UnknownKind { .. } => 404,
            Self::AlreadyExists { .. } | Self::Conflict { .. } => 409,
            Self::Expired(_) => 410,
            Self::TooLargeVersion { .. } => 504,
            Self::Invalid { .. } => 422,
            Self::BadRequest(_) | Self::Manifest(_) => 400,
            Self::MethodNotAllowed => 405,
            Self::UnsupportedMediaType(_) => 415,
            Self::NotAcceptable => 406,
            Self::Unauthorized => 401,
            Self::Forbidden(_) => 403,
            Self::Refused(code) => *code,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::UnknownPath | Self::NoPage | Self::UnknownKind { .. } => "NotFound",
            Self::AlreadyExists { .. } => "AlreadyExists",
            Self::Conflict { .. } => "Conflict",
            Self::Expired(_) => "Expired",
            Self::TooLargeVersion { .. } => "Timeout",
            Self::Invalid { .. } => "Invalid",
            Self::BadRequest(_) | Self::Manifest(_) => "BadRequest",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::UnsupportedMediaType(_) => "UnsupportedMediaType",
            Self::NotAcceptable => "NotAcceptable",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden(_) => "Forbidden",
            Self::Refused(429) => "TooManyRequests",
            Self::Refused(503) => "ServiceUnavailable",
            Self::Refused(_) => "InternalError",
        }
    }

    /// Returns the `Status` object of the error.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.to_string(), "reason": self.reason(), "code": self.code(),
        });
        let details = match self {
            Self::NotFound { resource, name }
            | Self::AlreadyExists { resource, name }
            | Self::Conflict { resource, name } => {
                let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
                let mut details = json!({"name": name, "kind": plural});
                if !group.is_empty() {
                    details["group"] = group.into();
                }
                Some(details)
            }
            Self::TooLargeVersion { .. } => Some(json!({
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            })),
            Self::Invalid { kind, name, cause } => {
                let (field, message) = cause.split_once(": ").unwrap_or(("", cause));
                let cause = json!({"reason": "FieldValueInvalid", "message": message, "field": field});
                Some(json!({"name": name, "kind": kind, "causes": [cause]}))
            }
            Self::UnknownPath => Some(json!({})),
            Self::Refused(429 | 503) => Some(json!({"retryAfterSeconds": 1})),
            _ => None,
        };
        if let Some(details) = details {
            status["details"] = details;
        }
        status
    }
}
