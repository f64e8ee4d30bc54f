//! What was written of the part above TCP, value by value and not yet checked as a whole.

use super::super::field::Field;
use super::super::units::Count;
use super::{Expect, Header, Statuses, TlsVersion};
use crate::protocol::Template;
use std::path::PathBuf;
use std::time::Duration;

/// The fields that the file and the flags have in common.
#[derive(Debug, Default)]
pub(in crate::plan) struct SessionSettings {
    pub(super) headers: Vec<Header>,
    pub(super) auth: Field<Header>,
    pub(super) origin: Field<String>,
    pub(super) subprotocols: Field<Vec<String>>,
    pub(super) method: Field<String>,
    pub(super) body: Field<Template>,
    pub(super) requests: Field<Count>,
    pub(super) statuses: Field<Statuses>,
    pub(super) ca: Field<PathBuf>,
    pub(super) cert: Field<PathBuf>,
    pub(super) key: Field<PathBuf>,
    pub(super) insecure: Field<bool>,
    pub(super) server_name: Field<String>,
    pub(super) alpn: Field<Vec<String>>,
    pub(super) tls_version: Field<TlsVersion>,
    pub(super) resumption: Field<bool>,
    pub(super) send: Field<Template>,
    pub(super) binary: Field<bool>,
    pub(super) every: Field<Duration>,
    pub(super) think: Field<Duration>,
    pub(super) count: Field<Count>,
    pub(super) expect: Field<Expect>,
    pub(super) timeout: Field<Duration>,
    pub(super) ping_every: Field<Duration>,
    pub(super) close_code: Field<u16>,
    pub(super) senders: Field<Count>,
    pub(super) reconnect: Field<bool>,
    pub(super) backoff: Field<Duration>,
    pub(super) backoff_max: Field<Duration>,
    pub(super) jitter: Field<f64>,
    pub(super) attempts: Field<Count>,
}

impl SessionSettings {
    /// How long a connection takes to say what it is to say, the answers left out.
    pub(in crate::plan) fn longest_speech(&self) -> Duration {
        let pause: Duration = [&self.every, &self.think].into_iter().filter_map(Field::value).sum();
        let times = [&self.count, &self.requests].into_iter().filter_map(Field::value).max();
        pause.saturating_mul(times.map_or(0, |times| u32::try_from(*times).unwrap_or(u32::MAX)))
    }

    /// These settings (the flags') over others (the file's). A header takes the place of the file's of the
    /// same name.
    pub(in crate::plan) fn over(self, file: SessionSettings) -> SessionSettings {
        let overridden =
            |name: &str| self.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
        let mut headers = file.headers;
        headers.retain(|header| !overridden(&header.name));
        headers.extend(self.headers);
        SessionSettings {
            headers,
            auth: self.auth.or(file.auth),
            origin: self.origin.or(file.origin),
            subprotocols: self.subprotocols.or(file.subprotocols),
            method: self.method.or(file.method),
            body: self.body.or(file.body),
            requests: self.requests.or(file.requests),
            statuses: self.statuses.or(file.statuses),
            ca: self.ca.or(file.ca),
            cert: self.cert.or(file.cert),
            key: self.key.or(file.key),
            insecure: self.insecure.or(file.insecure),
            server_name: self.server_name.or(file.server_name),
            alpn: self.alpn.or(file.alpn),
            tls_version: self.tls_version.or(file.tls_version),
            resumption: self.resumption.or(file.resumption),
            send: self.send.or(file.send),
            binary: self.binary.or(file.binary),
            every: self.every.or(file.every),
            think: self.think.or(file.think),
            count: self.count.or(file.count),
            expect: self.expect.or(file.expect),
            timeout: self.timeout.or(file.timeout),
            ping_every: self.ping_every.or(file.ping_every),
            close_code: self.close_code.or(file.close_code),
            senders: self.senders.or(file.senders),
            reconnect: self.reconnect.or(file.reconnect),
            backoff: self.backoff.or(file.backoff),
            backoff_max: self.backoff_max.or(file.backoff_max),
            jitter: self.jitter.or(file.jitter),
            attempts: self.attempts.or(file.attempts),
        }
    }
}
