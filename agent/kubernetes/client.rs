//! The HTTP client: credentials and a dialer -> [`kube::Client`].

use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config, Error};
use tower::{BoxError, ServiceBuilder};

use super::dial::Dialer;

/// A client that opens its connections with the dialer. One connection per watch and one for everything else.
pub(super) fn build(config: &Config, dialer: Dialer) -> Result<Client, Error> {
    let connector = config.rustls_https_connector_with_connector(dialer)?;
    let http: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
