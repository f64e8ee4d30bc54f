//! The target of an examination, as the user names it: a URL, or HOST:PORT.

use crate::protocol::Kind;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// TargetUrl to examine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetUrl {
    /// What is spoken.
    pub kind: Kind,
    /// Host name or literal address (IPv6 without brackets).
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, for HTTP and WebSocket; `/` where none was given.
    pub path: String,
}

/// What is wrong with a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetUrlError {
    /// The scheme is unknown.
    #[error("'{0}' is no scheme; write tcp, tls, http, https, ws or wss, as in ws://127.0.0.1:9001/chat")]
    Scheme(String),
    /// There is no host, or it is none.
    #[error(
        "'{0}' is no host name and no address; write HOST:PORT, [::1]:PORT or a URL such as ws://127.0.0.1:9001/chat"
    )]
    Host(String),
    /// There is no port, and the scheme has none of its own.
    #[error("'{0}' has no port; write it behind the host, as in tcp://127.0.0.1:9000")]
    NoPort(String),
    /// The port is none.
    #[error("'{0}' is no port from 1 to 65535")]
    Port(String),
    /// A user name stands in the URL.
    #[error("a user name in the URL is not used here; leave out what stands before the @")]
    User,
}

impl FromStr for TargetUrl {
    type Err = TargetUrlError;

    fn from_str(text: &str) -> Result<TargetUrl, TargetUrlError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        let kind = Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(scheme));
        let kind = kind.ok_or_else(|| TargetUrlError::Scheme(scheme.to_owned()))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(TargetUrlError::User);
        }
        let (host, port) = split(authority).ok_or_else(|| TargetUrlError::Host(authority.to_owned()))?;
        let port = match (port, kind) {
            (Some(port), _) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| TargetUrlError::Port(port.to_owned()))?,
            (None, Kind::Http | Kind::Ws) => 80,
            (None, Kind::Https | Kind::Wss) => 443,
            (None, Kind::Tcp | Kind::Tls) => return Err(TargetUrlError::NoPort(text.to_owned())),
        };
        // A fragment is the client's own business (RFC 3986, section 3.5).
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(TargetUrlError::Host(text.to_owned()));
        }
        // A zone as the resolver takes it: RFC 6874 writes its `%` as `%25` in a URL.
        let host = match host.split_once("%25") {
            Some((address, zone)) if !zone.is_empty() => format!("{address}%{zone}"),
            _ => host.to_owned(),
        };
        Ok(TargetUrl { kind, host, port, path })
    }
}

/// Host and port, the brackets of an IPv6 address taken off; `None` where the host can be none.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']')?;
        let address = host.split('%').next().unwrap_or_default();
        address.parse::<std::net::Ipv6Addr>().ok()?;
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
    } else if authority.parse::<std::net::Ipv6Addr>().is_ok() {
        (authority, None)
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'%');
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(allowed)).then_some((host, port))
}

impl TargetUrl {
    /// The host as it stands in a URL and in the header Host.
    pub fn authority(&self) -> String {
        match self.host.split('%').next().unwrap_or_default().parse::<IpAddr>() {
            Ok(IpAddr::V6(_)) => format!("[{}]:{}", self.host, self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.kind, self.authority())?;
        if self.path == "/" { Ok(()) } else { f.write_str(&self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_and_bare_addresses_are_read() {
        for (text, shown, path) in [
            ("127.0.0.1:9000", "tcp://127.0.0.1:9000", "/"),
            ("[::1]:9000", "tcp://[::1]:9000", "/"),
            ("ws://host.example/chat?a=1#x", "ws://host.example:80/chat?a=1", "/chat?a=1"),
            ("WSS://[fe80::1%eth0]", "wss://[fe80::1%eth0]:443", "/"),
            ("https://a?x", "https://a:443/?x", "/?x"),
        ] {
            let target: TargetUrl = text.parse().unwrap();
            assert_eq!((target.to_string().as_str(), target.path.as_str()), (shown, path), "{text}");
        }
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (text, part) in [
            ("127.0.0.1", "no port"),
            ("ftp://a:1", "no scheme"),
            ("tcp://a:0", "no port from 1"),
            ("tcp://a:x", "no port from 1"),
            ("", "no host"),
            ("tcp://[::1:80", "no host"),
            ("ws://me@host", "before the @"),
            ("ws://a b", "no host"),
            ("ws://a/b c", "no host"),
        ] {
            let error = text.parse::<TargetUrl>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = text.parse::<TargetUrl>();
        }
    }
}
