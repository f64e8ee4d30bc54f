//! The TLS configuration of a run: which certificates it trusts, which it shows. Reads the files that the plan names.

use super::script::ScriptError;
use super::tls_trust::OrItself;
use crate::plan::{Tls, TlsVersion};
use crate::protocol::{Application, Kind};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedCipherSuite, version,
};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// The configuration for a plan's TLS.
///
/// # Errors
/// When a file can't be read, or holds no PEM that can be used.
pub(super) fn config(tls: &Tls, kind: Kind) -> Result<Arc<ClientConfig>, ScriptError> {
    let provider = Arc::new(provider());
    let versions = match tls.version {
        None => vec![&version::TLS13, &version::TLS12],
        Some(TlsVersion::V12) => vec![&version::TLS12],
        Some(TlsVersion::V13) => vec![&version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder =
        builder.with_protocol_versions(&versions).map_err(|error| ScriptError::Tls(error.to_string()))?;
    let builder = if tls.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        let (roots, named) = roots(tls)?;
        match named.is_empty() {
            true => builder.with_root_certificates(roots),
            false => {
                let verifier = OrItself::new(roots, named, provider)?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        }
    };
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| ScriptError::Tls(format!("the client certificate: {error}")))?,
        _ => builder.with_no_client_auth(),
    };
    config.client_auth_cert_resolver = Arc::new(Counting(config.client_auth_cert_resolver));
    if !tls.resumption {
        config.resumption = Resumption::disabled();
    }
    config.alpn_protocols = match kind.application() {
        _ if !tls.alpn.is_empty() => tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
        Application::Stream => Vec::new(),
        Application::Http | Application::WebSocket => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

/// Cryptography of a client, with AES-128-GCM before the others, as browsers offer it: TLS 1.3 then hashes with SHA-256
/// in place of SHA-384, which costs a handshake less.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let is_first = |suite: &SupportedCipherSuite| {
        use CipherSuite::{
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            TLS13_AES_128_GCM_SHA256,
        };
        matches!(
            suite.suite(),
            TLS13_AES_128_GCM_SHA256
                | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    provider.cipher_suites.sort_by_key(|suite| !is_first(suite));
    provider
}

/// Certificates to trust: those of the plan's file, else of the system, and of the run's own target; and which of
/// them the user named.
fn roots(tls: &Tls) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), ScriptError> {
    let mut roots = RootCertStore::empty();
    let mut named = Vec::new();
    match &tls.ca {
        Some(path) => named = certificates(path)?,
        // A run's own target is trusted by its own certificate: no other is asked for.
        None if tls.ca_pem.is_some() => {}
        None => {
            let found = rustls_native_certs::load_native_certs();
            // Some of a system's certificates are often not what rustls takes; the others do.
            roots.add_parsable_certificates(found.certs);
        }
    }
    for certificate in &named {
        let path = tls.ca.as_deref().unwrap_or(Path::new(""));
        roots.add(certificate.clone()).map_err(|error| pem_error(path, error.to_string()))?;
    }
    if let Some(pem) = &tls.ca_pem {
        let own = CertificateDer::pem_slice_iter(pem.as_bytes());
        let own = own.collect::<Result<Vec<_>, _>>().map_err(|error| ScriptError::Tls(error.to_string()))?;
        roots.add_parsable_certificates(own);
    }
    Ok((roots, named))
}

fn pem_error(path: &Path, why: String) -> ScriptError {
    ScriptError::Pem { path: path.to_owned(), why }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ScriptError> {
    let failed = |error: String| pem_error(path, error);
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(failed("there is no certificate in it".into())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ScriptError> {
    let failed = |error: String| pem_error(path, error);
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| failed(error.to_string()))
}

thread_local! {
    static CERTIFICATE_REQUESTS: Cell<u64> = const { Cell::new(0) };
}

/// Requests for a certificate that servers have made to this thread. A resolver is not told for which connection it
/// is asked; who compares before and after a call knows.
pub(super) fn certificate_requests() -> u64 {
    CERTIFICATE_REQUESTS.get()
}

/// Counts the requests for a certificate, and answers as another does.
#[derive(Debug)]
struct Counting(Arc<dyn ResolvesClientCert>);

impl ResolvesClientCert for Counting {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        CERTIFICATE_REQUESTS.set(CERTIFICATE_REQUESTS.get() + 1);
        self.0.resolve(hints, schemes)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.0.has_certs()
    }
}

/// Accepts any certificate, as `--insecure` asks for. That the peer has its key is verified all the same.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_128_is_offered_first_and_nothing_is_left_out() {
        let (ours, plain) = (provider().cipher_suites, ring::default_provider().cipher_suites);
        assert_eq!(ours[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(ours.len(), plain.len());
        assert!(plain.iter().all(|suite| ours.contains(suite)));
    }
}
