//! One connection's TLS, as a client: ciphertext to plain text and back, and names for what goes wrong. No I/O.

use super::context::SessionError;
use super::script::TlsScript;
use crate::model::{Cause, Failure, Reply, Stage};
use crate::protocol::sniff;
use rustls::{CertificateError, ClientConnection, Error};
use std::io::{Read, Write};
use std::net::IpAddr;

/// A TLS session of ours.
#[derive(Debug)]
pub struct Client {
    connection: ClientConnection,
    heard: bool,
}

/// What came of ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The handshake has ended with it.
    pub established: bool,
    /// The peer will send no more (`close_notify`).
    pub closed: bool,
}

impl Client {
    /// A session whose ClientHello comes with the first [`Client::seal`].
    pub fn new(script: &TlsScript, address: IpAddr) -> Result<Client, SessionError> {
        let name = script.name.clone().unwrap_or_else(|| address.into());
        let connection =
            ClientConnection::new(script.config.clone(), name).map_err(|error| trouble(&error))?;
        Ok(Client { connection, heard: false })
    }

    /// Adds to `plain` what was said in `cipher`. What TLS itself has to answer comes with the next
    /// [`Client::seal`], after an error too: the alert.
    pub fn open(&mut self, mut cipher: &[u8], plain: &mut Vec<u8>) -> Result<Opened, SessionError> {
        if !std::mem::replace(&mut self.heard, true) && !matches!(cipher, [0x14..=0x17, ..]) {
            return Err(not_tls(cipher));
        }
        let was_handshaking = self.connection.is_handshaking();
        let mut closed = false;
        while !cipher.is_empty() && !closed {
            match self.connection.read_tls(&mut cipher) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(trouble(&Error::General(error.to_string()))),
            }
            let state = self.connection.process_new_packets().map_err(|error| trouble(&error))?;
            closed = state.peer_has_closed();
            let begin = plain.len();
            plain.resize(begin + state.plaintext_bytes_to_read(), 0);
            // Exactly as many are there.
            let read = self.connection.reader().read_exact(&mut plain[begin..]);
            read.map_err(|error| trouble(&Error::General(error.to_string())))?;
        }
        Ok(Opened { established: was_handshaking && !self.connection.is_handshaking(), closed })
    }

    /// Adds to `cipher` what is to be sent so that the peer hears `plain`.
    pub fn seal(&mut self, mut plain: &[u8], cipher: &mut Vec<u8>) {
        loop {
            // Neither fails: both ends are in memory. The writer takes 64 KiB at a time.
            let taken = self.connection.writer().write(plain).unwrap_or(0);
            plain = &plain[taken..];
            while self.connection.wants_write()
                && self.connection.write_tls(cipher).is_ok_and(|written| written > 0)
            {}
            if plain.is_empty() || taken == 0 {
                return;
            }
        }
    }

    /// The version that was agreed on, once it is.
    pub fn version(&self) -> Option<String> {
        self.connection.protocol_version().map(|version| format!("{version:?}"))
    }

    /// That we send no more (`close_notify`) comes with the next [`Client::seal`].
    pub fn close(&mut self) {
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
            CertificateError::UnknownIssuer => Cause::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Cause::NameMismatch
            }
            _ => Cause::CertificateInvalid,
        }),
        _ => failure(Cause::TlsError),
    };
    SessionError::because(failure, Reply::saying(error.to_string()))
}
