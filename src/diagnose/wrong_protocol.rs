//! Replies that are not of the protocol that was spoken, with the words in which browsers tell of them.

use super::first_bytes::Spoken;
use super::{Certainty, Exchange, Facts, Finding, Heard};
use crate::attempt::Side;
use crate::metrics::Evidence;
use crate::protocol::{Application, Kind};

/// What a browser's console says before the reason.
const CONSOLE: &str = "Error during WebSocket handshake:";

/// The first reply that is not what was due.
pub(super) fn wrong_protocol(facts: &Facts) -> Option<(u64, Finding)> {
    facts.exchanges.iter().find_map(|reply| Some((reply.count, of(reply)?)))
}

fn of(reply: &Exchange) -> Option<Finding> {
    let finding = match &reply.heard {
        Heard::Bytes { spoken, in_place_of_tls: true, shown } => in_place_of_tls(reply, spoken, shown),
        Heard::Bytes { spoken, in_place_of_tls: false, shown } => in_place_of_http(reply, spoken, shown)?,
        Heard::TlsFailed(why) => tls_failed(reply, why),
        Heard::Closed => {
            ended(reply, "closed-before-the-reply", "closed it without a byte", "net::ERR_CONNECTION_CLOSED")
        }
        Heard::Reset => ended(reply, "reset-in-the-handshake", "reset it", "net::ERR_CONNECTION_RESET"),
        // Silence has a rule of its own.
        Heard::AsDue | Heard::Silence { .. } => return None,
    };
    let evidence = Evidence::default()
        .with("destination", reply.destination.to_string())
        .with("spoken_to_it", reply.expected.name())
        .with("replies", reply.count);
    let evidence = match &reply.heard {
        Heard::Bytes { spoken, shown, .. } => {
            let status = if let Spoken::Http(status) = spoken { Some(u32::from(*status)) } else { None };
            evidence
                .with("answered_in", spoken.name())
                .with("first_bytes", shown.clone())
                .with_known("status", status)
        }
        _ => evidence,
    };
    Some(finding.resting_on(evidence))
}

/// TLS was spoken, and the answer is none.
fn in_place_of_tls(reply: &Exchange, spoken: &Spoken, shown: &str) -> Finding {
    let (to, expected) = (reply.destination, reply.expected);
    if matches!(spoken, Spoken::Http(_)) {
        let says = format!(
            "{to} speaks plain HTTP, and {expected}:// begins with a TLS handshake: it answered that with \"{shown}\". \
             Browsers say net::ERR_SSL_PROTOCOL_ERROR"
        );
        return Finding::new("tls-to-a-plain-port", Side::Target, Certainty::Proved, says)
            .remedy(format!("use {}://, or the server's TLS port", plain(expected)))
            .remedy("or give the server a certificate and let it speak TLS there");
    }
    other(reply, spoken, shown, "a TLS handshake")
}

/// HTTP or a WebSocket handshake was spoken.
fn in_place_of_http(reply: &Exchange, spoken: &Spoken, shown: &str) -> Option<Finding> {
    match (reply.expected.application(), spoken) {
        // Bare TCP may be anything.
        (Application::Stream, _) => None,
        (_, Spoken::Http(400)) if reply.says_it_wants_tls() => Some(wants_tls(reply, shown)),
        (Application::Http, Spoken::Http(426)) => Some(wants_websocket(reply, shown)),
        (Application::Http, Spoken::Http(_)) => None,
        (Application::WebSocket, Spoken::Http(101)) => Some(violation(reply)),
        (Application::WebSocket, Spoken::Http(status)) => Some(status_code(reply, *status, shown)),
        (_, Spoken::Tls | Spoken::TlsAlert(_)) => Some(wants_tls(reply, shown)),
        _ => Some(other(reply, spoken, shown, "an HTTP request")),
    }
}

/// 426 Upgrade Required: a WebSocket server that is spoken to in HTTP.
fn wants_websocket(reply: &Exchange, shown: &str) -> Finding {
    let says = format!(
        "{} wants another protocol than {} and answered \"{shown}\": a WebSocket server, as a rule",
        reply.destination, reply.expected
    );
    let scheme = if reply.expected.is_encrypted() { "wss" } else { "ws" };
    Finding::new(status_id(426), Side::Target, Certainty::Proved, says)
        .remedy(format!("use {scheme}://, or the port of the HTTP server"))
}

fn wants_tls(reply: &Exchange, shown: &str) -> Finding {
    let says = format!(
        "{} wants TLS, and {}:// speaks plain text: it answered \"{shown}\"",
        reply.destination, reply.expected
    );
    let encrypted = match reply.expected {
        Kind::Ws => "wss",
        Kind::Http => "https",
        _ => "tls",
    };
    Finding::new("plain-text-to-a-tls-port", Side::Target, Certainty::Proved, says)
        .remedy(format!("use {encrypted}://, or the server's plain port"))
}

/// A WebSocket handshake that was answered by another status than 101: each means something else.
fn status_code(reply: &Exchange, status: u16, shown: &str) -> Finding {
    let (means, remedy) = match status {
        200..=299 => (
            "a plain HTTP server answers there, which does not know WebSocket at that path",
            "let the server speak WebSocket there (Workerman: new Worker('websocket://0.0.0.0:PORT')), or mend port and path",
        ),
        300..=399 => (
            "it sends clients elsewhere, and WebSocket clients do not follow",
            "connect to where the header Location leads",
        ),
        400 => (
            "it does not understand the request as a WebSocket handshake: an HTTP server, or a proxy that takes the Upgrade header away",
            "let the proxy pass Upgrade and Connection on (nginx: proxy_set_header Upgrade $http_upgrade; proxy_http_version 1.1)",
        ),
        401 | 403 => (
            "it wants to know who asks, or does not let this origin in",
            "give the header it wants: --header 'Authorization: …' or Origin",
        ),
        404 => ("the host and the port are right, and the path is wrong", "mend the path of the URL"),
        405 => ("that path takes no GET, so that it is no WebSocket endpoint", "mend the path of the URL"),
        426 => (
            "it wants another version of the protocol",
            "look at its headers Upgrade and Sec-WebSocket-Version",
        ),
        429 => ("it limits how often a client may connect", "lower the rate, or raise the server's limit"),
        502..=504 => (
            "a proxy or balancer answers, and the server behind it does not (502), is overloaded (503), or is too slow (504)",
            "look at the server behind the proxy, and at the proxy's limits",
        ),
        500..=599 => ("the server failed while it answered", "look into the server's log"),
        _ => ("which is no answer to a WebSocket handshake", "look at what listens there"),
    };
    let proxy = reply.proxy_header().map_or(String::new(), |header| format!(" A proxy answered ({header})."));
    let says = format!(
        "{} answered the WebSocket handshake with \"{shown}\": {means}.{proxy} Browsers say \"{CONSOLE} Unexpected \
         response code: {status}\"",
        reply.destination
    );
    Finding::new(status_id(status), Side::Target, Certainty::Proved, says).remedy(remedy)
}

/// A status that is not 101, by what is to be done about it.
fn status_id(status: u16) -> &'static str {
    match status {
        200..=299 => "no-websocket-there",
        300..=399 => "redirected",
        401 | 403 | 407 => "not-authorised",
        404 | 405 | 410 => "wrong-path",
        426 => "upgrade-required",
        408 | 429 => "rate-limited",
        400..=499 => "bad-request",
        502 | 504 => "no-backend",
        503 => "unavailable",
        _ => "server-error",
    }
}

/// 101 whose proof of having understood is wrong.
fn violation(reply: &Exchange) -> Finding {
    let says = format!(
        "{} accepted the WebSocket handshake with 101, and its Sec-WebSocket-Accept does not answer the key that was \
         sent, or is missing. Browsers say \"{CONSOLE} Incorrect 'Sec-WebSocket-Accept' header value\"",
        reply.destination
    );
    Finding::new("wrong-accept-key", Side::Target, Certainty::Proved, says).remedy(
        "mend the server: base64(SHA-1(key + the GUID of RFC 6455)); a cache on the way gives old answers",
    )
}

fn other(reply: &Exchange, spoken: &Spoken, shown: &str, asked: &str) -> Finding {
    let known = spoken.is_known();
    let what = if known {
        match spoken {
            Spoken::Echo => "an echo server, which sends back whatever it gets".to_owned(),
            _ => format!("{spoken} is spoken there"),
        }
    } else {
        format!("that is no {} (an unknown protocol, in {spoken})", reply.expected)
    };
    let browsers = match reply.expected {
        Kind::Ws => format!(". Browsers say \"{CONSOLE} net::ERR_INVALID_HTTP_RESPONSE\""),
        Kind::Http => ". Browsers say net::ERR_INVALID_HTTP_RESPONSE".to_owned(),
        _ => ". Browsers say net::ERR_SSL_PROTOCOL_ERROR".to_owned(),
    };
    let says = format!("{} answered {asked} with \"{shown}\": {what}{browsers}", reply.destination);
    // What is not known may be the right protocol with a fault in it.
    let certainty = if known { Certainty::Proved } else { Certainty::Likely };
    let id = if reply.expected.is_encrypted() { "tls-to-another-protocol" } else { "reply-is-not-http" };
    Finding::new(id, Side::Target, certainty, says)
        .remedy(format!(
            "client and server have to speak the same: let the server speak {} there",
            reply.expected
        ))
        .remedy("or mend the port: something else listens on this one")
}

fn tls_failed(reply: &Exchange, why: &str) -> Finding {
    let says = format!("the TLS handshake with {} failed: {why}", reply.destination);
    Finding::new("tls-fails", Side::Target, Certainty::Proved, says)
        .remedy(format!("openssl s_client -connect {} -brief", reply.destination))
        .remedy("let client and server have a version (1.2, 1.3) and a cipher in common; give the name that the server expects (SNI)")
}

fn ended(reply: &Exchange, id: &str, did: &str, browsers: &str) -> Finding {
    let says = format!(
        "{} took the connection and {did} when {} was spoken to it: another protocol is expected there, a proxy has no \
         server behind it, or the server turns this client away. Browsers say {browsers}",
        reply.destination, reply.expected
    );
    // Bare TCP may be anything, a server that closes first among it.
    let certainty = if reply.expected == Kind::Tcp { Certainty::Possible } else { Certainty::Likely };
    Finding::new(id, Side::Target, certainty, says)
        .remedy("look into the server's log, and at what listens there: ss -ltnp")
}

/// The scheme without TLS.
fn plain(kind: Kind) -> &'static str {
    match kind {
        Kind::Wss => "ws",
        Kind::Https => "http",
        _ => "tcp",
    }
}

impl Exchange {
    /// A server over TLS that understood plain text: nginx and Apache say so with 400.
    fn says_it_wants_tls(&self) -> bool {
        self.body.as_ref().is_some_and(|body| {
            let body = body.to_ascii_lowercase();
            body.contains("https port") || body.contains("ssl-enabled") || body.contains("to an https server")
        })
    }

    /// A header that a proxy or a cache adds, as it came.
    pub(super) fn proxy_header(&self) -> Option<String> {
        const NAMES: [&str; 6] = ["via", "x-cache", "cf-ray", "x-squid-error", "proxy-status", "x-varnish"];
        self.headers
            .iter()
            .find(|(name, _)| NAMES.contains(&name.to_ascii_lowercase().as_str()))
            .map(|(name, value)| format!("{name}: {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{diagnose, first_bytes};

    fn reply(expected: Kind, heard: Heard) -> Exchange {
        Exchange::new(([127, 0, 0, 1], 80).into(), expected, heard)
    }

    fn heard(expected: Kind, bytes: &[u8], in_place_of_tls: bool) -> Exchange {
        let spoken = Spoken::of(bytes).unwrap();
        reply(expected, Heard::Bytes { spoken, in_place_of_tls, shown: first_bytes::shown(bytes) })
    }

    fn told(reply: Exchange) -> Option<(String, Certainty, String)> {
        let facts = Facts { exchanges: vec![reply], ..Facts::default() };
        diagnose(&facts).into_iter().next().map(|finding| (finding.id, finding.certainty, finding.says))
    }

    #[test]
    fn browsers_words_are_quoted() {
        let (id, certainty, says) = told(heard(Kind::Ws, b"HTTP/1.1 404 Not Found\r\n", false)).unwrap();
        assert_eq!((id.as_str(), certainty), ("wrong-path", Certainty::Proved));
        assert!(says.contains("Error during WebSocket handshake: Unexpected response code: 404"), "{says}");
        let (id, certainty, says) = told(heard(Kind::Ws, b"SSH-2.0-OpenSSH_9.6\r\n", false)).unwrap();
        assert_eq!((id.as_str(), certainty), ("reply-is-not-http", Certainty::Proved));
        assert!(says.contains("Error during WebSocket handshake: net::ERR_INVALID_HTTP_RESPONSE"), "{says}");
        assert!(says.contains("SSH is spoken there"), "{says}");
    }

    #[test]
    fn a_status_is_named_by_what_to_do_about_it() {
        for (status, id) in
            [(302, "redirected"), (403, "not-authorised"), (502, "no-backend"), (503, "unavailable")]
        {
            let line = format!("HTTP/1.1 {status} x\r\n");
            assert_eq!(told(heard(Kind::Ws, line.as_bytes(), false)).unwrap().0, id);
        }
    }

    #[test]
    fn tls_and_plain_text_that_meet_are_named() {
        assert_eq!(
            told(heard(Kind::Wss, b"HTTP/1.1 400 Bad Request\r\n", true)).unwrap().0,
            "tls-to-a-plain-port"
        );
        assert_eq!(
            told(heard(Kind::Ws, b"\x15\x03\x01\x00\x02\x02\x46", false)).unwrap().0,
            "plain-text-to-a-tls-port"
        );
        let mut nginx = heard(Kind::Http, b"HTTP/1.1 400 Bad Request\r\n", false);
        nginx.body = Some("The plain HTTP request was sent to HTTPS port".into());
        assert_eq!(told(nginx).unwrap().0, "plain-text-to-a-tls-port");
        assert_eq!(
            told(heard(Kind::Tls, b"-ERR unknown command\r\n", true)).unwrap().0,
            "tls-to-another-protocol"
        );
    }

    #[test]
    fn what_may_be_right_is_not_called_wrong() {
        assert_eq!(told(heard(Kind::Http, b"HTTP/1.1 503 Service Unavailable\r\n", false)), None);
        assert_eq!(told(heard(Kind::Tcp, b"SSH-2.0-x\r\n", false)), None);
        assert_eq!(told(reply(Kind::Ws, Heard::AsDue)), None);
        assert_eq!(told(heard(Kind::Ws, b"hello there\r\n", false)).unwrap().1, Certainty::Likely);
    }

    #[test]
    fn violations_ends_and_failed_handshakes_have_names() {
        for (heard, id) in [
            (Heard::Closed, "closed-before-the-reply"),
            (Heard::Reset, "reset-in-the-handshake"),
            (Heard::TlsFailed("received fatal alert: HandshakeFailure".into()), "tls-fails"),
        ] {
            assert_eq!(told(reply(Kind::Wss, heard)).unwrap().0, id);
        }
        let violation = heard(Kind::Ws, b"HTTP/1.1 101 Switching Protocols\r\n", false);
        assert_eq!(told(violation).unwrap().0, "wrong-accept-key");
    }
}
