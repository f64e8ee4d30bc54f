//! One connection's TLS, as a client: the pump of both roles, and names for what goes wrong. No I/O.

use super::context::SessionError;
use super::script::TlsScript;
use super::tls_config::certificate_requests;
use super::tls_trust::only_lacks_an_issuer;
use crate::model::{Cause, Failure, Reply, Stage};
use crate::protocol::sniff;
use crate::protocol::tls::{self, Opened};
use rustls::{CertificateError, ClientConnection, Error, ProtocolVersion};
use std::net::IpAddr;

/// A TLS session of ours.
#[derive(Debug)]
pub(super) struct Client {
    connection: ClientConnection,
    /// Bytes of the peer.
    came: u64,
    /// True if it has asked for our certificate.
    asked_for_certificate: bool,
    /// True if anything has come inside TLS.
    has_plain_text: bool,
}

impl Client {
    /// A session whose ClientHello comes with the first [`Client::seal`].
    pub(super) fn new(script: &TlsScript, address: IpAddr) -> Result<Client, SessionError> {
        let name = script.name.clone().unwrap_or_else(|| address.into());
        let connection =
            ClientConnection::new(script.config.clone(), name).map_err(|error| trouble(&error))?;
        Ok(Client { connection, came: 0, asked_for_certificate: false, has_plain_text: false })
    }

    /// Adds to `plain` what was said in `cipher`. What TLS itself has to answer comes with the next
    /// [`Client::seal`], after an error too: the alert.
    pub(super) fn open(&mut self, cipher: &[u8], plain: &mut Vec<u8>) -> Result<Opened, SessionError> {
        if self.came == 0 && !matches!(cipher, [0x14..=0x17, ..]) {
            return Err(not_tls(cipher));
        }
        self.came += cipher.len() as u64;
        let requests = certificate_requests();
        let opened = tls::open(&mut self.connection, cipher, plain).map_err(|error| trouble(&error));
        self.asked_for_certificate |= certificate_requests() != requests;
        self.has_plain_text |= !plain.is_empty();
        opened
    }

    /// Adds to `cipher` what is to be sent so that the peer hears `plain`.
    pub(super) fn seal(&mut self, plain: &[u8], cipher: &mut Vec<u8>) {
        tls::seal(&mut self.connection, plain, cipher);
    }

    /// True if the server may still refuse us although the handshake is done: in TLS 1.3 it judges the client's
    /// certificate afterwards (RFC 8446, section 4.4.2.4).
    pub(super) fn awaits_verdict(&self) -> bool {
        self.asked_for_certificate && self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// True if the server has asked for our certificate, and has said nothing inside TLS since.
    pub(super) fn may_miss_a_certificate(&self) -> bool {
        self.asked_for_certificate && !self.has_plain_text
    }

    /// True if anything has come inside TLS.
    pub(super) fn has_plain_text(&self) -> bool {
        self.has_plain_text
    }

    /// The trouble of a handshake that began and did not go on; `None`: nothing came.
    pub(super) fn what_came(&self) -> Option<SessionError> {
        let failure = Failure::new(Stage::Tls, Cause::Stalled);
        let says = format!("stalled after {} bytes of the server's TLS handshake", self.came);
        (self.came > 0).then(|| SessionError::because(failure, Reply::saying(says)))
    }

    /// The version that was agreed on, once it is.
    pub(super) fn version(&self) -> Option<String> {
        self.connection.protocol_version().map(|version| format!("{version:?}"))
    }

    /// That we send no more (`close_notify`) comes with the next [`Client::seal`].
    pub(super) fn close(&mut self) {
        self.connection.send_close_notify();
    }
}

/// The first bytes are no TLS record.
fn not_tls(bytes: &[u8]) -> SessionError {
    let protocol = sniff(bytes);
    let is_text =
        protocol.is_some_and(|protocol| !matches!(protocol, "a binary protocol" | "MySQL" | "HTTP/2"));
    let cause = if is_text { Cause::PlainTextOnTls } else { Cause::NotTls };
    let mut reply = Reply::saying("the peer's first bytes are no TLS record").beginning_with(bytes);
    reply.protocol = protocol.map(str::to_owned);
    SessionError::because(Failure::new(Stage::Tls, cause), reply)
}

/// The name of an error of TLS. Its stage is set by who knows how far things had come.
fn trouble(error: &Error) -> SessionError {
    let failure = |cause| Failure::new(Stage::Tls, cause);
    let failure = match error {
        Error::AlertReceived(alert) => {
            Failure::with_code(Stage::Tls, Cause::TlsAlert, u8::from(*alert).into())
        }
        Error::InvalidCertificate(why) => failure(match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Cause::CertificateExpired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Cause::CertificateNotYetValid
            }
            why if only_lacks_an_issuer(why) => Cause::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Cause::NameMismatch
            }
            _ => Cause::CertificateInvalid,
        }),
        _ => failure(Cause::TlsError),
    };
    let says = match error {
        Error::InvalidCertificate(CertificateError::Other(_)) if failure.cause == Cause::UnknownIssuer => {
            "it is signed by itself, and is an authority's own".to_owned()
        }
        _ => error.to_string(),
    };
    SessionError::because(failure, Reply::saying(says))
}
