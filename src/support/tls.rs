//! TLS connections: crypto provider and trusted roots. Nothing is set for the whole process.

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// Returns the given provider, else the one installed for the process, else that of the feature `ring`.
pub(crate) fn crypto_provider(given: Option<&Arc<CryptoProvider>>) -> Result<Arc<CryptoProvider>, NoCryptoProvider> {
    if let Some(given) = given {
        return Ok(Arc::clone(given));
    }
    if let Some(of_process) = CryptoProvider::get_default() {
        return Ok(Arc::clone(of_process));
    }
    #[cfg(feature = "ring")]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(feature = "ring"))]
    Err(NoCryptoProvider)
}

/// No crypto provider is available for TLS.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("TLS has no provider of cryptography, wanted the feature `ring`, or one that the program gives")]
pub(crate) struct NoCryptoProvider;

/// Client configurations.
#[cfg(any(feature = "fhir-http", feature = "iot-hub", feature = "mqtt", feature = "object-store", feature = "server"))]
mod client {
    use super::crypto_provider;
    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ClientConfig, RootCertStore};
    use rustls_platform_verifier::BuilderVerifierExt as _;
    use std::sync::Arc;

    /// Client certificate chain and its key.
    pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

    /// Creates a client configuration for HTTP/1.1. It trusts only `roots`, or, without any, the roots of the platform.
    pub(crate) fn client_config(
        given: Option<&Arc<CryptoProvider>>,
        roots: &[CertificateDer<'static>],
        identity: Option<&Identity>,
    ) -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
        let builder =
            ClientConfig::builder_with_provider(crypto_provider(given)?).with_safe_default_protocol_versions()?;
        let builder = if roots.is_empty() {
            builder.with_platform_verifier()?
        } else {
            let mut trusted = RootCertStore::empty();
            roots.iter().try_for_each(|root| trusted.add(root.clone()))?;
            builder.with_root_certificates(trusted)
        };
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Certificates and keys as PEM.
#[cfg(any(feature = "fhir-http", feature = "iot-hub", feature = "mqtt"))]
mod pem {
    #[cfg(any(feature = "fhir-http", feature = "mqtt"))]
    use super::client::Identity;
    use rustls::pki_types::CertificateDer;
    #[cfg(any(feature = "fhir-http", feature = "mqtt"))]
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::{Error, PemObject};

    fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
        let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, Error>>();
        let read = read.map_err(|error| error.to_string())?;
        if read.is_empty() { Err("the file holds none".to_owned()) } else { Ok(read) }
    }

    /// Reads the certificates that are trusted.
    pub(crate) fn read_roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
        certificates(pem).map_err(|why| format!("the trusted certificates: {why}"))
    }

    /// Reads the own certificate with its chain, and its private key.
    #[cfg(any(feature = "fhir-http", feature = "mqtt"))]
    pub(crate) fn read_identity(pem: &[u8]) -> Result<Identity, String> {
        let wrong = |why: String| format!("the own certificate: {why}");
        let chain = certificates(pem).map_err(wrong)?;
        Ok((chain, PrivateKeyDer::from_pem_slice(pem).map_err(|error| wrong(error.to_string()))?))
    }
}

#[cfg(any(feature = "fhir-http", feature = "mqtt"))]
pub(crate) use client::Identity;
#[cfg(any(
    feature = "fhir-http",
    feature = "iot-hub",
    feature = "mqtt",
    feature = "object-store",
    feature = "server"
))]
pub(crate) use client::client_config;
#[cfg(any(feature = "fhir-http", feature = "mqtt"))]
pub(crate) use pem::read_identity;
#[cfg(any(feature = "fhir-http", feature = "iot-hub", feature = "mqtt"))]
pub(crate) use pem::read_roots;
