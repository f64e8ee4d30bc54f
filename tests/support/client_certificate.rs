//! Servers that demand a certificate of the client.

use rcgen::{CertifiedKey, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// TLS 1.3 of a server that takes its own certificate alone from a client.
pub(crate) fn demanded_as(own: &CertifiedKey<KeyPair>) -> Arc<ServerConfig> {
    let mut trusted = RootCertStore::empty();
    trusted.add(own.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(trusted.into(), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.cert.der().clone()], own.signing_key.serialize_der().try_into().unwrap())
        .unwrap();
    Arc::new(config)
}
