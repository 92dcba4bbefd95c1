//! Describes errors of requests in words that an operator can act on.

use std::error::Error as StdError;
use std::io;

use kube::core::Status;

use super::dial::DialError;
use super::http::{PLAIN, RequestError};
use crate::model::text::{LONGEST, printable};
use crate::supervise::chain;

/// A request to the API server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// `list`, `watch`, `get` or `create`, as RBAC names it.
    pub(super) verb: &'static str,
    /// `services`, or `/version`.
    pub(super) resource: &'static str,
    /// The namespace; `None` for the whole cluster.
    pub(super) namespace: Option<&'a str>,
}

/// Describes why a request failed.
pub(super) fn explain(error: &RequestError, request: Request<'_>) -> String {
    let Request { verb, resource, .. } = request;
    match error {
        RequestError::Refused(status) => refused(status, request),
        RequestError::Foreign { server, code, content } => foreign(server, *code, content, request),
        RequestError::TooLarge { most } => {
            format!("the API server's answer to {verb} {resource} is larger than {most} bytes, and was not read")
        }
        RequestError::Silent(after) => {
            format!("the API server did not answer {verb} {resource} within {} s", after.as_secs())
        }
        RequestError::Built(_) | RequestError::Connection(_) | RequestError::Body(_) => broken(error, request),
    }
}

/// Returns whether agent and server did not agree on TLS.
pub(super) fn is_tls(error: &RequestError) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| tls(error).is_some()))
}

/// Describes why there is no answer, or only a part of it.
fn broken(error: &RequestError, request: Request<'_>) -> String {
    for cause in causes(error) {
        if let Some(dial) = cause.downcast_ref::<DialError>() {
            return chain(dial);
        }
        if let Some(text) = cause.downcast_ref::<io::Error>().and_then(tls) {
            return text;
        }
    }
    format!("the API server broke off the answer to {} {} ({})", request.verb, request.resource, chain(error))
}

/// Describes JSON that cannot be read: what is wrong and where. The text of the error is left out, because it contains
/// whatever string is in the wrong place.
pub(super) fn json(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Io => "it cannot be read",
        Category::Syntax => "it is not JSON",
        Category::Data => "it has a value that does not belong there",
        Category::Eof => "its JSON ends too soon",
    };
    format!("{what}: line {}, column {}", error.line(), error.column())
}

/// Describes why the API server refused. Its message comes from elsewhere, so only one printable line is passed on.
pub(super) fn refused(status: &Status, request: Request<'_>) -> String {
    let message = if status.message.is_empty() { &status.reason } else { &status.message };
    refusal(status.code, &printable(message, LONGEST), request)
}

fn refusal(code: u16, message: &str, request: Request<'_>) -> String {
    let Request { verb, resource, namespace } = request;
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    let verbs = match verb {
        "list" | "watch" => "verbs list and watch",
        verb => &format!("verb {verb}"),
    };
    let message = if message.is_empty() { code.to_string() } else { format!("{code} {message}") };
    match code {
        401 => format!(
            "the API server does not accept the credentials ({message}): renew the token or client certificate; \
             its file is read again when it changes"
        ),
        403 => {
            format!(
                "not allowed to {verb} {resource}{place}: grant {verbs} on {resource} to the agent's user ({message})"
            )
        }
        404 => format!("the API server does not know {resource}{place} ({message})"),
        429 => format!("the API server is overloaded ({message})"),
        _ => format!("the API server cannot {verb} {resource}{place} ({message})"),
    }
}

/// Describes a refusal without a Status: from a proxy, a web server, or an API server that is too busy to make one. Its
/// text is not quoted.
fn foreign(server: &str, code: u16, content: &str, request: Request<'_>) -> String {
    let Request { verb, resource, .. } = request;
    match (code, content) {
        // An API server that sheds load or shuts down sends a plain line.
        (429 | 503, PLAIN) => refusal(code, "", request),
        (400, _) if server.starts_with("http://") => {
            format!("{server} refuses plain http (400): an API server speaks https, set https:// in the URL")
        }
        (401 | 403 | 429, _) => refusal(code, &format!("not from an API server, {content}"), request),
        (404, _) => {
            format!("{server} answers but is not a Kubernetes API (404 for {resource}): check the URL and the port")
        }
        _ => format!(
            "{server} cannot {verb} {resource} ({code}, not from an API server ({content})): check the URL, and what is \
             between this switch and the API server"
        ),
    }
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// Describes a TLS error, which arrives as an I/O error around an error of its own.
fn tls(error: &io::Error) -> Option<String> {
    const PEER: &str = "invalid peer certificate: ";
    let text = printable(&error.get_ref()?.to_string(), LONGEST);
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
    if text.contains("ProtocolVersion") || text.contains("TlsVersions") {
        return Some(format!("the API server speaks less than TLS 1.2 ({text}): it must take TLS 1.2 or 1.3"));
    }
    text.contains("received fatal alert").then(|| {
        format!("the API server refused the TLS connection ({text}): check the client certificate and its key")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: Request<'_> = Request { verb: "list", resource: "services", namespace: None };

    fn not_api(code: u16, content: &str) -> String {
        explain(&RequestError::Foreign { server: "127.0.0.1:29404".into(), code, content: content.to_owned() }, LIST)
    }

    #[test]
    fn a_server_that_is_not_kubernetes_is_reported_without_quoting_it() {
        for (code, content, words) in [
            (404, "text/html", "127.0.0.1:29404 answers but is not a Kubernetes API (404 for services)"),
            (502, "text/html", "502, not from an API server (text/html)"),
            (302, "no content type", "302, not from an API server"),
            (403, "text/html", "grant verbs list and watch on services to the agent's user (403 not from"),
            (429, "text/plain", "the API server is overloaded (429)"),
            (503, "text/plain", "the API server cannot list services (503)"),
        ] {
            let reason = not_api(code, content);
            assert!(reason.contains(words), "{words}: {reason}");
        }
    }

    #[test]
    fn plain_http_to_an_https_server_is_reported_with_the_remedy() {
        let (server, content) = ("http://127.0.0.1:6443".into(), "no content type".to_owned());
        let reason = explain(&RequestError::Foreign { server, code: 400, content }, LIST);
        assert!(reason.contains("refuses plain http (400)") && reason.ends_with("set https:// in the URL"), "{reason}");
    }

    #[test]
    fn the_message_of_a_status_becomes_one_printable_line() {
        let message = format!("no\u{1b}[31m way\nWARN all is well {}", "x".repeat(9000));
        let reason = refused(&Status { code: 500, message, ..Status::default() }, LIST);
        assert_eq!(reason, "the API server cannot list services (500 no [31m way)");
        let message = "x".repeat(9000);
        let reason = refused(&Status { code: 429, message, ..Status::default() }, LIST);
        assert!(reason.chars().count() < 260 && reason.ends_with("…)"), "{reason}");
    }

    #[test]
    fn json_that_cannot_be_read_is_never_quoted() {
        for (text, words) in [
            ("\"\u{7f}secret\"", "it has a value that does not belong there: line 1, column 9"),
            ("<html>secret", "it is not JSON: line 1, column 1"),
            ("\n[", "its JSON ends too soon: line 2, column 1"),
        ] {
            let error = serde_json::from_str::<Vec<u8>>(text).expect_err("no list");
            assert_eq!(json(&error), words);
        }
    }

    #[test]
    fn an_old_tls_version_is_named_in_the_reason() {
        let error = io::Error::other("received fatal alert: ProtocolVersion");
        assert!(tls(&error).expect("words").contains("less than TLS 1.2"));
    }
}
