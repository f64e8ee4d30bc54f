//! A certificate made at start, signed by itself: who trusts it verifies it.

use super::{Certificate, Flaw};
use crate::server::StartError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use std::net::SocketAddr;
use std::sync::Arc;

/// Characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// Certificate and key by which a target proves itself.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    /// The certificate, for those who are to trust it.
    pub(crate) pem: String,
}

impl Identity {
    /// Makes a key and a certificate.
    pub(crate) fn make(wanted: &Certificate, listen: &[SocketAddr]) -> Result<Identity, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::Certificate(error.to_string());
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let params = params(wanted, listen).map_err(|error| failed(&error))?;
        let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
        let pem = pem(certificate.der());
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| failed(&error))?;
        let config = config(certificate.der().clone(), key).map_err(|error| failed(&error))?;
        Ok(Identity { config: Arc::new(config), pem })
    }
}

fn params(wanted: &Certificate, listen: &[SocketAddr]) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(listen.iter().filter(|at| !at.ip().is_unspecified()).map(|at| at.ip().to_string()));
    names.extend(wanted.names.iter().cloned());
    if wanted.flaw == Flaw::WrongName {
        names = vec!["wrong.connstorm.invalid".to_owned()];
    }
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "connstorm target");
    // Not an authority: a client that trusts it takes it for the server's own, and so do those that refuse
    // an authority's certificate at that place (webpki: CaUsedAsEndEntity).
    params.is_ca = IsCa::ExplicitNoCa;
    (params.not_before, params.not_after) = match wanted.flaw {
        Flaw::Expired => (date_time_ymd(2000, 1, 1), date_time_ymd(2000, 12, 31)),
        _ => (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 12, 31)),
    };
    Ok(params)
}

fn config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    // Resumption flatters: a handshake of a load test is a full one.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn pem(der: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: String = text
        .as_bytes()
        .chunks(PEM_LINE)
        .flat_map(|line| line.iter().map(|&byte| char::from(byte)).chain(['\n']))
        .collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn the_pem_is_the_certificate() {
        let made = Identity::make(&Certificate::default(), &["127.0.0.1:1".parse().unwrap()]).unwrap();
        assert!(CertificateDer::from_pem_slice(made.pem.as_bytes()).is_ok());
        assert!(made.pem.lines().all(|line| line.len() <= PEM_LINE));
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_what_to_do() {
        let wanted = Certificate { names: vec!["ü.example".to_owned()], flaw: Flaw::None };
        let told = Identity::make(&wanted, &[]).unwrap_err().to_string();
        assert!(told.starts_with("cannot make a certificate: ") && told.contains("xn--"), "{told}");
    }
}
