//! Errors of the client in words an operator can act on.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::dial::DialError;
use crate::supervise::chain;

/// What was asked of the API server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// `list`, `watch`, `get` or `create`, as RBAC names it.
    pub(super) verb: &'static str,
    /// `services`, or `/version`.
    pub(super) resource: &'static str,
    /// Where; none for the whole cluster.
    pub(super) namespace: Option<&'a str>,
}

/// Why a request failed.
pub(super) fn explain(error: &kube::Error, request: Request<'_>) -> String {
    if let kube::Error::Api(status) = error {
        return refused(status.code, &status.message, &status.reason, request);
    }
    for cause in causes(error) {
        if let Some(dial) = cause.downcast_ref::<DialError>() {
            return chain(dial);
        }
        if let Some(text) = cause.downcast_ref::<io::Error>().and_then(tls) {
            return text;
        }
    }
    let what = format!("the API server broke off the answer to {} {}", request.verb, request.resource);
    match error {
        kube::Error::Service(cause) => format!("{what} ({})", chain(cause.as_ref())),
        error => format!("{what} ({})", chain(error)),
    }
}

/// Why the API server said no.
pub(super) fn refused(code: u16, message: &str, reason: &str, request: Request<'_>) -> String {
    let Request { verb, resource, namespace } = request;
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    let verbs = match verb {
        "list" | "watch" => "verbs list and watch",
        verb => &format!("verb {verb}"),
    };
    let said = if message.is_empty() { reason } else { message };
    match code {
        401 => format!(
            "the API server does not accept the credentials (401 {said}): renew the token or client certificate; \
             its file is read again when it changes"
        ),
        403 => format!(
            "not allowed to {verb} {resource}{place}: grant {verbs} on {resource} to the agent's user (403 {said})"
        ),
        404 => format!("the API server does not know {resource}{place} (404 {said})"),
        429 => format!("the API server is overloaded (429 {said})"),
        code => format!("the API server cannot {verb} {resource}{place} ({code} {said})"),
    }
}

/// Why nothing was answered in time.
pub(super) fn silent(request: Request<'_>, after: Duration) -> String {
    format!("the API server did not answer {} {} within {} s", request.verb, request.resource, after.as_secs())
}

fn causes(error: &kube::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(match error {
        kube::Error::Service(cause) => cause.as_ref(),
        error => error,
    });
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// What TLS says: it arrives as an I/O error around an error of its own.
fn tls(error: &io::Error) -> Option<String> {
    const PEER: &str = "invalid peer certificate: ";
    let text = error.get_ref()?.to_string();
    if let Some(cause) = text.strip_prefix(PEER) {
        let remedy = if cause.contains("UnknownIssuer") {
            "it is not signed by the configured certificate authority; check certificate-authority-file, or \
             certificate-authority-data of the kubeconfig"
        } else if cause.contains("not valid for name") || cause.contains("NotValidForName") {
            "use a name or address the certificate holds"
        } else if cause.contains("xpired") || cause.contains("NotValidYet") || cause.contains("not valid yet") {
            "renew it, or check the clock of this switch"
        } else {
            "check the certificate of the API server"
        };
        return Some(format!("the certificate of the API server is not accepted ({cause}): {remedy}"));
    }
    if text.contains("InvalidContentType") || text.contains("corrupt message") {
        return Some(
            "the API server does not speak TLS on this port: check the URL (https or http) and the port".into(),
        );
    }
    if text.contains("handshake eof") {
        return Some("the API server ended the TLS handshake: check the URL (https or http) and the port".into());
    }
    text.contains("received fatal alert").then(|| {
        format!("the API server refused the TLS connection ({text}): check the client certificate and its key")
    })
}
