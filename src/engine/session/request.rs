//! The head of an HTTP request, a WebSocket's handshake included: made ready once, filled for each attempt.

use super::context::Context;
use crate::plan::Header;
use crate::protocol::{Alphabet, Application, Fields, Kind, Named, Place, Template, Values};
use rand::RngCore;
use std::io::Write;
use std::net::SocketAddr;

/// Everything of a request's head that does not change from one attempt to the next but for placeholders.
#[derive(Debug, Clone)]
pub(in crate::engine) struct RequestHead {
    kind: Kind,
    application: Application,
    /// `None`: the address that is connected to.
    host: Option<String>,
    method: String,
    path: Template,
    /// Every header but the host, each with the end of its line.
    headers: Template,
    /// True if the host is among them.
    has_host: bool,
    subprotocols: Vec<Template>,
}

/// Subject of a request.
pub(in crate::engine) struct Wanted<'w> {
    /// Protocol that is spoken.
    pub application: Application,
    /// Method.
    pub method: &'w str,
    /// Path and query.
    pub path: &'w str,
    /// Headers beside those that every client sends.
    pub headers: &'w [Header],
    /// Subprotocols offered.
    pub subprotocols: &'w [String],
}

/// Values with which a head is filled, and where it goes.
pub(in crate::engine) struct Filling<'f> {
    /// Numbers.
    pub fields: Fields,
    /// Names.
    pub named: &'f dyn Named,
}

impl RequestHead {
    /// The head of what is wanted of a host. Placeholders may use the names that have an index.
    pub(in crate::engine) fn new(
        kind: Kind,
        host: Option<String>,
        wanted: &Wanted<'_>,
        index_of: &dyn Fn(&str) -> Option<u16>,
    ) -> RequestHead {
        let template = |text: &str| {
            // A plan that was checked has no other names; one that was not says what it says.
            let read = Template::naming(text, &|name| index_of(name).is_some());
            let index = |name: &str| index_of(name).unwrap_or_default();
            read.map_or_else(|_| Template::literal(text), |template| template.bound(&index))
        };
        RequestHead {
            kind,
            application: wanted.application,
            host,
            method: wanted.method.to_owned(),
            path: template(wanted.path),
            headers: template(&headers(wanted)),
            has_host: wanted.headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")),
            subprotocols: wanted.subprotocols.iter().map(|name| template(name)).collect(),
        }
    }

    /// True if it asks for a WebSocket.
    pub(super) fn is_of_websocket(&self) -> bool {
        self.application == Application::WebSocket
    }

    /// True if replies have no body.
    pub(in crate::engine) fn is_of_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Adds request line, host and headers to what is to be sent; the empty line is still to come.
    pub(super) fn begin(&self, filling: &Filling<'_>, context: &mut Context<'_>) {
        self.write(filling, context.destination, context.rng.random(), context.out);
    }

    /// Adds request line, host and headers to `out`; the empty line is still to come.
    pub(super) fn write(
        &self,
        filling: &Filling<'_>,
        destination: SocketAddr,
        random: &mut dyn RngCore,
        out: &mut Vec<u8>,
    ) {
        let values = |place| Values {
            fields: filling.fields,
            named: filling.named,
            alphabet: Alphabet::Letters,
            place,
        };
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        self.path.fill(&values(Place::Url), random, out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        if !self.has_host {
            self.write_host(destination, out);
        }
        self.headers.fill(&values(Place::Header), random, out);
    }

    /// The subprotocols that are offered.
    pub(super) fn offered(&self, filling: &Filling<'_>, random: &mut dyn RngCore) -> Vec<String> {
        let values = Values {
            fields: filling.fields,
            named: filling.named,
            alphabet: Alphabet::Letters,
            place: Place::Header,
        };
        let offered = self.subprotocols.iter().map(|name| {
            let mut out = Vec::new();
            name.fill(&values, random, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        });
        offered.collect()
    }

    /// RFC 9110, section 7.2: the host as it is in the URL, with the port unless it is the scheme's own.
    fn write_host(&self, destination: SocketAddr, out: &mut Vec<u8>) {
        // Writing to a Vec can't fail.
        let _ = match &self.host {
            // A zone has a meaning on this host alone (RFC 6874, section 4).
            Some(host) if host.contains(':') => {
                write!(out, "Host: [{}]", host.split('%').next().unwrap_or(host))
            }
            Some(host) => write!(out, "Host: {host}"),
            None if destination.is_ipv6() => write!(out, "Host: [{}]", destination.ip()),
            None => write!(out, "Host: {}", destination.ip()),
        };
        let _ = match destination.port() {
            port if Some(port) == self.kind.own_port() => write!(out, "\r\n"),
            port => write!(out, ":{port}\r\n"),
        };
    }
}

/// Adds what makes a request a WebSocket's handshake, and the empty line.
pub(super) fn write_upgrade(out: &mut Vec<u8>, key: &str, offered: &[String]) {
    out.extend_from_slice(
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
    );
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\r\n");
    if !offered.is_empty() {
        // Writing to a Vec can't fail.
        let _ = write!(out, "Sec-WebSocket-Protocol: {}\r\n", offered.join(", "));
    }
    out.extend_from_slice(b"\r\n");
}

/// The plan's headers, and those without which some servers refuse.
fn headers(wanted: &Wanted<'_>) -> String {
    let is_given = |name: &str| wanted.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    let mut text = String::new();
    if !is_given("user-agent") {
        text += concat!("User-Agent: connstorm/", env!("CARGO_PKG_VERSION"), "\r\n");
    }
    if wanted.application == Application::Http && !is_given("accept") {
        text += "Accept: */*\r\n";
    }
    for header in wanted.headers {
        text += &format!("{}: {}\r\n", header.name, header.value);
    }
    text
}
