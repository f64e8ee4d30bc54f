//! The TLS configuration of a run: whom it trusts, what it shows. Reads the files that the plan names.

use super::script::ScriptError;
use crate::plan::{Tls, TlsVersion};
use crate::protocol::{Application, Kind};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version};
use std::path::Path;
use std::sync::Arc;

/// The configuration for a plan's TLS.
///
/// # Errors
/// When a file can't be read, or holds no PEM that can be used.
pub fn config(tls: &Tls, kind: Kind) -> Result<Arc<ClientConfig>, ScriptError> {
    let provider = Arc::new(ring::default_provider());
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
        builder.with_root_certificates(roots(tls)?)
    };
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| ScriptError::Tls(format!("the client certificate: {error}")))?,
        _ => builder.with_no_client_auth(),
    };
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

/// Whom to trust: the file of the plan, else the system; and the run's own target.
fn roots(tls: &Tls) -> Result<RootCertStore, ScriptError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| pem_error(path, error.to_string()))?;
            }
        }
        // A run's own target is trusted by its own certificate: no other is asked for.
        None if tls.ca_pem.is_some() => {}
        None => {
            let found = rustls_native_certs::load_native_certs();
            // Some of a system's certificates are often not what rustls takes; the others do.
            roots.add_parsable_certificates(found.certs);
        }
    }
    if let Some(pem) = &tls.ca_pem {
        let own = CertificateDer::pem_slice_iter(pem.as_bytes());
        let own = own.collect::<Result<Vec<_>, _>>().map_err(|error| ScriptError::Tls(error.to_string()))?;
        roots.add_parsable_certificates(own);
    }
    Ok(roots)
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
