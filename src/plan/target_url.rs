//! The target as a URL: `tcp://host:port`, with one port or several, and a path where there is HTTP in it; or
//! as HOST:PORT, which is TCP. The one grammar of `run`, `find`, `doctor` and scenarios.

use super::diagnostics::quote;
use super::nearest::nearest;
use super::session::Header;
use super::syntax::{Fault, Syntax};
use super::words::{port, port_range};
use crate::protocol::{Application, Kind};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A target as its URL has it. In a scenario the ports may be left to the field `ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    /// Protocol that is spoken.
    pub scheme: Kind,
    /// Host name or literal address (IPv6 without brackets, its zone after `%`).
    pub host: String,
    /// Ports; empty where the URL has none and its scheme has no port of its own.
    pub ports: Vec<u16>,
    /// True if the ports are those of the scheme, because the URL has none.
    pub(super) default_port: bool,
    /// Path and query, as they go over the wire; empty where the URL has none.
    pub path: String,
    /// The user name and password of the URL, as the header that they become.
    pub credentials: Option<Header>,
}

/// A text that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetUrlError(String);

/// A whole target: one without a port is none.
impl FromStr for TargetUrl {
    type Err = TargetUrlError;

    fn from_str(text: &str) -> Result<TargetUrl, TargetUrlError> {
        let url = target_url(text).map_err(|fault| TargetUrlError(fault.told()))?;
        if url.ports.is_empty() {
            let expected = format!("a port after the host: {}://host:port", url.scheme);
            return Err(TargetUrlError(Fault::new("the target has no port").expected(expected).told()));
        }
        Ok(url)
    }
}

/// Without the user name and password.
impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let colon = if ports.is_empty() { "" } else { ":" };
        write!(f, "{}://{}{colon}{}{}", self.scheme, in_url(&self.host), ports.join(","), self.path)
    }
}

/// A host as it stands in a URL: an IPv6 address in brackets.
pub(super) fn in_url(host: &str) -> Cow<'_, str> {
    if host.contains(':') { format!("[{host}]").into() } else { host.into() }
}

/// The URL without the user name and password that it may hold.
pub(super) fn without_secrets(url: &str) -> String {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

pub(super) const TARGET_URL: Syntax<TargetUrl> = Syntax {
    expected: "a string with a URL, such as \"tcp://127.0.0.1:9001\"",
    bare_number: false,
    pattern: "",
    parse: target_url,
};

/// Several ports: `9001`, `9001-9004`, or such separated by commas.
pub(super) const PORTS: Syntax<Vec<u16>> = Syntax {
    expected: "ports, such as [9001, 9002] or \"9001-9004\"",
    bare_number: true,
    pattern: r"[0-9, -]+",
    parse: ports,
};

fn target_url(text: &str) -> Result<TargetUrl, Fault> {
    let trimmed = text.trim();
    let (scheme, rest) = match trimmed.split_once("://") {
        Some((scheme, rest)) => (self::scheme(scheme).map_err(|fault| fault.in_part(text, scheme))?, rest),
        None if trimmed.contains(':') && !trimmed.contains('/') => (Kind::Tcp, trimmed),
        None => {
            return Err(Fault::new(format!("{} has no port and no scheme", quote(text)))
                .expected("tcp://host:port, or HOST:PORT for tcp"));
        }
    };
    let (rest, path, credentials) = around_authority(scheme, text, rest)?;
    let (host, port_list) = split_host(rest).map_err(|fault| fault.in_part(text, rest))?;
    let shown = if host.is_empty() { rest } else { host };
    check_host(host, rest).map_err(|fault| fault.in_part(text, shown))?;
    let host = &without_escaped_percent(host);
    let (ports, default_port) = match port_list {
        Some(list) => (ports(list).map_err(|fault| fault.in_part(text, list))?, false),
        None => (scheme.own_port().into_iter().collect(), true),
    };
    Ok(TargetUrl { scheme, host: host.to_owned(), ports, default_port, path, credentials })
}

/// A zone as the resolver takes it: RFC 6874 writes its `%` as `%25` in a URL.
fn without_escaped_percent(host: &str) -> String {
    match host.split_once("%25") {
        Some((address, zone)) if !zone.is_empty() => format!("{address}%{zone}"),
        _ => host.to_owned(),
    }
}

/// Text between user name and path, the path itself, and the header that the user name becomes.
fn around_authority<'t>(
    scheme: Kind,
    text: &str,
    rest: &'t str,
) -> Result<(&'t str, String, Option<Header>), Fault> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let at = authority.rfind('@');
    if scheme.application() == Application::Stream {
        let fault = |what: &str, part: &str| {
            Fault::new(format!("a {scheme} target has no {what}"))
                .expected(format!("{scheme}://host:port and nothing else"))
                .in_part(text, part)
        };
        return match at {
            Some(at) => Err(fault("user name", &authority[..=at])),
            // "/" alone is what stands behind every URL that was copied from somewhere.
            None if !path.is_empty() && path != "/" => Err(fault("path", path)),
            None => Ok((authority, String::new(), None)),
        };
    }
    // What stands behind # is the browser's own, and never sent.
    let path = path.split('#').next().unwrap_or_default();
    if let Some(bad) = path.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        let part = &path[bad.0..bad.0 + bad.1.len_utf8()];
        return Err(Fault::new("a path holds no blanks and nothing but ASCII")
            .expected("other characters as %20 and the like")
            .in_part(text, part));
    }
    let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
    let Some(at) = at else { return Ok((authority, path, None)) };
    let value = format!("Basic {}", BASE64_STANDARD.encode(unescaped(&authority[..at])));
    let credentials = Header { name: "Authorization".to_owned(), value };
    Ok((&authority[at + 1..], path, Some(credentials)))
}

/// The bytes behind `%41` and the like.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    // A user without a password has an empty one (RFC 7617).
    if !bytes.contains(&b':') {
        bytes.push(b':');
    }
    bytes
}

fn scheme(name: &str) -> Result<Kind, Fault> {
    if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name)) {
        return Ok(kind);
    }
    let spoken = "`tcp`, `tls`, `http`, `https`, `ws` or `wss`, as in tcp://host:port";
    let fault = Fault::new(format!("{} is not a scheme", quote(name))).expected(spoken);
    Err(match nearest(name, Kind::ALL.map(Kind::name)) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    })
}

/// Host and ports, the brackets of an IPv6 address taken off.
fn split_host(rest: &str) -> Result<(&str, Option<&str>), Fault> {
    if let Some(bracketed) = rest.strip_prefix('[') {
        let Some((host, after)) = bracketed.split_once(']') else {
            return Err(Fault::new("the bracket of the IPv6 address is not closed")
                .expected("an address in brackets, such as [::1]:9001"));
        };
        return match after.strip_prefix(':') {
            Some(ports) => Ok((host, Some(ports))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(Fault::new(format!("{} stands between the address and its port", quote(after)))
                .expected("`:` and a port, such as [::1]:9001")),
        };
    }
    match rest.split_once(':') {
        Some((_, more)) if more.contains(':') => {
            Err(Fault::new("an IPv6 address in a URL stands in brackets").expected("tcp://[::1]:9001"))
        }
        Some((host, ports)) => Ok((host, Some(ports))),
        None => Ok((rest, None)),
    }
}

/// True if the host can be an address or a name. That a name resolves is seen when the run starts.
fn check_host(host: &str, rest: &str) -> Result<(), Fault> {
    if host.is_empty() {
        return Err(Fault::new("the host is missing").expected("tcp://host:port"));
    }
    if rest.starts_with('[') {
        // A zone, as in fe80::1%eth0, is the resolver's business.
        let (address, _zone) = host.split_once('%').unwrap_or((host, ""));
        return match address.parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(Fault::new(format!("{} is not an IPv6 address", quote(host)))
                .expected("an IPv6 address in brackets, such as [::1]")),
        };
    }
    if !host.is_ascii() {
        return Err(Fault::new(format!("{} is not a host name in ASCII", quote(host)))
            .expected("letters, digits, `-`, `_` and `.`")
            .help("write an international name in its xn-- form"));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let labels_fit =
        host.strip_suffix('.').unwrap_or(host).split('.').all(|label| (1..=63).contains(&label.len()));
    if !host.bytes().all(allowed) || !labels_fit || host.len() > 253 {
        return Err(Fault::new(format!("{} is not a host name", quote(host)))
            .expected("a host name or an address, such as localhost or 127.0.0.1"));
    }
    // No host name ends in a label of digits alone (RFC 1123, 2.1), so this is a mistyped address.
    let digits_at_the_end = host.ends_with(|c: char| c.is_ascii_digit())
        && host.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    if digits_at_the_end && host.parse::<Ipv4Addr>().is_err() {
        return Err(Fault::new(format!("{} is not an IPv4 address", quote(host)))
            .expected("four numbers from 0 to 255, such as 127.0.0.1"));
    }
    Ok(())
}

fn ports(text: &str) -> Result<Vec<u16>, Fault> {
    let mut ports = Vec::new();
    for item in text.split(',') {
        let range = if item.contains('-') { port_range(item) } else { port(item).map(|port| (port, port)) };
        let (low, high) = range.map_err(|fault| fault.in_part(text, item))?;
        if let Some(twice) = ports.iter().find(|port| (low..=high).contains(port)) {
            return Err(Fault::new(format!("port {twice} is given twice"))
                .expected("each port once")
                .in_part(text, item));
        }
        ports.extend(low..=high);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> (String, Vec<u16>) {
        let url = target_url(text).expect(text);
        (url.host, url.ports)
    }

    fn fault(text: &str) -> (String, String) {
        let fault = target_url(text).expect_err(text);
        let part = fault.part().map_or("all", |part| &text[part]).to_owned();
        (fault.at(super::super::diagnostics::Place::Whole).summary(), part)
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(url("tcp://127.0.0.1:9001"), ("127.0.0.1".to_owned(), vec![9001]));
        assert_eq!(url("tcp://[::1]:9000"), ("::1".to_owned(), vec![9000]));
        assert_eq!(url("tcp://[fe80::1%eth0]:9000"), ("fe80::1%eth0".to_owned(), vec![9000]));
        assert_eq!(url("tcp://my_host.example.:1"), ("my_host.example.".to_owned(), vec![1]));
        assert_eq!(url("tcp://host:9001-9004").1, [9001, 9002, 9003, 9004]);
        assert_eq!(url("tcp://host:9001,9005-9006").1, [9001, 9005, 9006]);
        assert_eq!(url("tcp://host"), ("host".to_owned(), vec![]));
        assert_eq!(url("127.0.0.1:9001"), ("127.0.0.1".to_owned(), vec![9001]));
        assert_eq!(url(" [fe80::1%25eth0]:9000-9001"), ("fe80::1%eth0".to_owned(), vec![9000, 9001]));
    }

    #[test]
    fn a_target_is_shown_as_it_is_written_without_its_secrets() {
        for (text, shown) in [
            ("127.0.0.1:9000", "tcp://127.0.0.1:9000"),
            ("[::1]:9000", "tcp://[::1]:9000"),
            ("ws://host.example/chat?a=1#x", "ws://host.example:80/chat?a=1"),
            ("WSS://[fe80::1%eth0]", "wss://[fe80::1%eth0]:443"),
            ("https://a?x", "https://a:443/?x"),
            ("http://me:secret@h/", "http://h:80/"),
            ("tls://h:1,3-4/", "tls://h:1,3,4"),
        ] {
            let target: TargetUrl = text.parse().unwrap();
            assert_eq!(target.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<TargetUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_whole_target_has_a_port() {
        for (text, part) in [
            ("127.0.0.1", "no scheme"),
            ("tcp://127.0.0.1", "has no port; expected a port after the host"),
            ("ftp://a:1", "'ftp' is not a scheme"),
            ("tcp://a:0", "not a port"),
            ("::1:80", "in brackets"),
        ] {
            let error = text.parse::<TargetUrl>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<TargetUrl>();
        }
    }

    #[test]
    fn paths_users_and_ports_of_schemes() {
        let read = |text| target_url(text).expect(text);
        let url = read("ws://Aladdin:open%20sesame@h/chat?room=1#top");
        assert_eq!(
            (url.host.as_str(), url.ports.as_slice(), url.path.as_str()),
            ("h", &[80][..], "/chat?room=1")
        );
        assert_eq!(url.credentials.unwrap().value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!((read("https://h").ports, read("wss://h?a=b").path), (vec![443], "/?a=b".to_owned()));
        assert_eq!(read("http://[::1]:9000-9001/").ports, [9000, 9001]);
        assert!(read("tls://h").ports.is_empty() && read("http://h").default_port);
        assert_eq!(without_secrets("ws://u:p@h:1/a@b"), "ws://h:1/a@b");
        assert_eq!(without_secrets("tcp://h:1"), "tcp://h:1");
    }

    #[test]
    fn each_mistake_has_its_place() {
        for (text, says, part) in [
            ("127.0.0.1/9001", "no scheme", "all"),
            ("localhost", "no scheme", "all"),
            ("localhost:http", "not a port", "http"),
            ("", "no scheme", "all"),
            ("wws://h:1/chat", "not a scheme", "wws"),
            ("ws://h:1/a b", "no blanks", " "),
            ("tls://u@h:1", "a tls target has no user name", "u@"),
            ("tpc://h:1", "not a scheme", "tpc"),
            ("tcp://h:1/chat", "no path", "/chat"),
            ("tcp://u:p@h:1", "no user name", "u:p@"),
            ("tcp://:1", "host is missing", ":1"),
            ("tcp://::1:9000", "brackets", "::1:9000"),
            ("tcp://[::1:9000", "not closed", "[::1:9000"),
            ("tcp://[::1]9000", "between", "[::1]9000"),
            ("tcp://[::g]:9000", "not an IPv6 address", "::g"),
            ("tcp://256.0.0.1:1", "not an IPv4 address", "256.0.0.1"),
            ("tcp://höst:1", "in ASCII", "höst"),
            ("tcp://a b:1", "not a host name", "a b"),
            ("tcp://a..b:1", "not a host name", "a..b"),
            ("tcp://h:http", "not a port", "http"),
            ("tcp://h:1,2,0", "not a port", "0"),
            ("tcp://h:9004-9001", "upwards", "9004-9001"),
            ("tcp://h:1,5-x", "not a port", "x"),
            ("tcp://h:1-5,3", "port 3 is given twice", "3"),
            ("tcp://h:", "not a port", "all"),
        ] {
            let (summary, at) = fault(text);
            assert!(summary.contains(says), "{text}: {summary}");
            assert_eq!(at, part, "{text}");
        }
    }
}
