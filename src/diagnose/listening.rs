//! Sockets that listen on this host, and whether a proxy is one of them.

use crate::linux::holders::Holder;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// Complete connections that wait for accept().
    pub waiting: u32,
    /// Length of that queue: the smaller of listen()'s backlog and `net.core.somaxconn`.
    pub backlog: u32,
    /// Who listens, where this user may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The listener takes IPv6 only (`IPV6_V6ONLY`), where that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v6_only: Option<bool>,
    /// Index of the one interface that it takes connections by (`SO_BINDTODEVICE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u32>,
    /// SYNs and ACKs that it dropped since it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drops: Option<u32>,
}

impl Listening {
    /// A listener with an empty queue, of which nothing more is known.
    pub fn at(address: SocketAddr, backlog: u32) -> Listening {
        Listening { address, waiting: 0, backlog, holder: None, v6_only: None, device: None, drops: None }
    }

    /// True if it is known to take IPv6 only.
    pub fn is_v6_only(&self) -> bool {
        self.v6_only == Some(true)
    }

    /// True if connections to an address arrive here.
    pub fn serves(&self, to: SocketAddr) -> bool {
        let own = self.address.ip();
        // A listener at [::] takes IPv4 as well, unless it says IPV6_V6ONLY.
        let any = own.is_unspecified()
            && if own.is_ipv6() { to.is_ipv6() || !self.is_v6_only() } else { to.is_ipv4() };
        self.address.port() == to.port() && (own == to.ip() || any)
    }

    /// True if the next connection finds no room (`sk_acceptq_is_full()`: more than the backlog wait).
    pub fn is_full(&self) -> bool {
        self.waiting > self.backlog
    }

    /// The address, with the program where it is known.
    pub fn described(&self) -> String {
        match &self.holder {
            Some(holder) => format!("{} ({}, pid {})", self.address, holder.name, holder.pid),
            None => self.address.to_string(),
        }
    }
}

/// A proxy variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// The variable: `https_proxy`.
    pub name: String,
    /// Value of the variable, without a password.
    pub value: String,
}

/// Knowledge of the place that a proxy variable names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyListener {
    /// The place is on this host, and something listens there.
    Some,
    /// The place is on this host, and nothing listens there.
    None,
    /// The place is on another host, or its port is not known.
    Elsewhere,
}

impl Proxy {
    /// A variable. A user name and a password in it are not kept.
    pub fn new(name: &str, value: &str) -> Proxy {
        let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
        let authority = rest.split('/').next().unwrap_or_default();
        let bare = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let value = if scheme.is_empty() { bare.to_owned() } else { format!("{scheme}://{bare}") };
        Proxy { name: name.to_owned(), value }
    }

    /// The value for a person.
    pub fn shown(&self) -> &str {
        &self.value
    }

    /// The address that it names, where that is a literal one, or `localhost`, with a port.
    pub fn address(&self) -> Option<SocketAddr> {
        let (_, authority) = self.value.split_once("://").unwrap_or(("", &self.value));
        let (host, port) = authority.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let ip = if host == "localhost" { IpAddr::from([127, 0, 0, 1]) } else { host.parse().ok()? };
        Some(SocketAddr::new(ip, port.parse().ok()?))
    }

    /// True if something listens there, as far as this host's own sockets tell.
    pub fn listener(&self, listening: &[Listening]) -> ProxyListener {
        let Some(address) = self.address().filter(|address| address.ip().is_loopback()) else {
            return ProxyListener::Elsewhere;
        };
        // Nothing seen may be nothing that could be seen.
        if listening.is_empty() {
            return ProxyListener::Elsewhere;
        }
        if listening.iter().any(|at| at.serves(address)) { ProxyListener::Some } else { ProxyListener::None }
    }
}

/// True if `no_proxy` exempts a host: by name, by the end of a name, by address, or all (`*`).
pub fn exempted(no_proxy: &str, host: &str) -> bool {
    no_proxy.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let suffix = entry.trim_start_matches('*').trim_start_matches('.');
        entry == "*" || host == suffix || (!suffix.is_empty() && host.ends_with(&format!(".{suffix}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Listening {
        Listening::at(address.parse().unwrap(), 128)
    }

    #[test]
    fn a_listener_serves_its_address_or_all() {
        let to = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(at("127.0.0.1:80").serves(to("127.0.0.1:80")));
        assert!(!at("127.0.0.1:80").serves(to("127.0.0.2:80")));
        assert!(!at("127.0.0.1:80").serves(to("127.0.0.1:81")));
        assert!(at("0.0.0.0:80").serves(to("127.0.0.2:80")) && at("[::]:80").serves(to("127.0.0.2:80")));
        assert!(!at("0.0.0.0:80").serves(to("[::1]:80")));
    }

    #[test]
    fn a_proxy_keeps_no_password_and_is_looked_up_on_this_host() {
        let proxy = Proxy::new("http_proxy", "http://me:secret@127.0.0.1:7890/");
        assert_eq!(proxy.shown(), "http://127.0.0.1:7890");
        assert_eq!(proxy.listener(&[at("127.0.0.1:22")]), ProxyListener::None);
        assert_eq!(proxy.listener(&[at("0.0.0.0:7890")]), ProxyListener::Some);
        assert_eq!(proxy.listener(&[]), ProxyListener::Elsewhere);
        assert_eq!(
            Proxy::new("x", "proxy.example:3128").listener(&[at("127.0.0.1:1")]),
            ProxyListener::Elsewhere
        );
        assert_eq!(Proxy::new("x", "socks5://[::1]:1080").address(), Some("[::1]:1080".parse().unwrap()));
    }

    #[test]
    fn exemptions_go_by_name_and_by_end_of_name() {
        assert!(exempted("localhost,127.0.0.1", "127.0.0.1"));
        assert!(exempted(".example.com", "www.example.com") && exempted("example.com", "www.example.com"));
        assert!(
            !exempted("example.com", "notexample.com") && exempted("*", "anything") && !exempted("", "a")
        );
    }
}
