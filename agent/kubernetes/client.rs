//! The HTTP client: credentials and a dialer -> [`kube::Client`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::RETRY_AFTER;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config, Error};
use tokio::time::Instant;
use tower::{BoxError, ServiceBuilder};

use super::dial::Dialer;

/// The longest a server is left alone because it asked for that.
const LONGEST: Duration = Duration::from_secs(60);

/// Until when a server wants to be left alone: what it says with 429 and 503.
#[derive(Clone, Debug, Default)]
pub(super) struct RetryAfter(Arc<Mutex<Option<Instant>>>);

impl RetryAfter {
    /// How long that still is.
    pub(super) fn remaining(&self) -> Duration {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    fn note<B>(&self, response: &http::Response<B>) {
        if !matches!(response.status().as_u16(), 429 | 503) {
            return;
        }
        // The other form, a date, depends on two clocks.
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        if let Some(seconds) = seconds {
            let until = Instant::now() + Duration::from_secs(seconds).min(LONGEST);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }
}

/// A client that opens its connections with the dialer. One connection per watch and one for everything else. What the
/// server asks for is noted in `asked`.
pub(super) fn build(config: &Config, dialer: Dialer, asked: RetryAfter) -> Result<Client, Error> {
    let connector = config.rustls_https_connector_with_connector(dialer)?;
    let http: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .map_response(move |response: http::Response<hyper::body::Incoming>| {
            asked.note(&response);
            response
        })
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
