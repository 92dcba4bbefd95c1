//! Configures TLS to the API server: which authorities to trust, and the agent's own certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::credentials::{Access, Trust};

/// Why TLS cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// A certificate is invalid, or a key does not fit its certificate.
    #[error("a certificate or key cannot be used")]
    Material(#[from] rustls::Error),
    /// There is no usable authority.
    #[error(
        "no certificate authority can be used: set certificate-authority-file, or certificate-authority-data in the kubeconfig"
    )]
    NoAuthority(#[from] rustls::client::VerifierBuilderError),
}

/// Returns the configuration for one cluster: TLS 1.2 and 1.3.
pub(super) fn config(access: &mut Access) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = match &access.trust {
        Trust::Anybody => Arc::new(Unverified(provider.signature_verification_algorithms)),
        Trust::Authorities(authorities) => verifier(authorities.clone(), provider)?,
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(match access.identity.take() {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
        None => builder.with_no_client_auth(),
    })
}

fn verifier(
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
}

/// Accepts any certificate, for `insecure-skip-verify`. State shows a note while this is in use.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
