//! Setting of an experiment's namespace: kernel settings, addresses, rules, servers.

use super::distractor::Distractor;
use super::holder::Holder;
use super::wire::Wire;
use crate::linux::firewall::{Rule, Verdict};
use crate::protocol::{Behaviour, Kind};
use crate::server::Config;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The network between client and server, where they are not on one host: the server's namespace has the
/// second address of each network, and it is the client's gateway to everywhere else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cable {
    /// The client's addresses, in a network of 24 bits each.
    pub client: Vec<Ipv4Addr>,
    /// The server's.
    pub server: Vec<Ipv4Addr>,
    /// Fate of packets on it; `None`: they arrive at once.
    pub wire: Option<Wire>,
}

/// Everything in the namespace, before the load.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Kernel parameters by name.
    pub sysctls: Vec<(&'static str, String)>,
    /// Further addresses of the loopback interface.
    pub addresses: Vec<Ipv4Addr>,
    /// A second host, joined by a cable; servers and rules are over there then.
    pub cable: Option<Cable>,
    /// Rules about what arrives at the server.
    pub rules: Vec<Rule>,
    /// Connection tracking, on the client's side.
    pub tracking: Tracking,
    /// A rule of the client's host that gives what leaves it a source port of these, the first and the last.
    pub masquerade: Option<(u16, u16)>,
    /// Lines of `/etc/hosts`, before those of every host.
    pub hosts: Vec<(Ipv4Addr, &'static str)>,
    /// Answer of a name server of its own, whatever it is asked.
    pub dns: Option<Ipv4Addr>,
    /// Variables of the environment.
    pub environment: Vec<(&'static str, &'static str)>,
    /// `RLIMIT_NOFILE` of the client.
    pub nofile: Option<u64>,
    /// Servers.
    pub servers: Vec<Server>,
    /// Another program, in a process of its own, which holds connections.
    pub holder: Option<Holder>,
    /// A thing that happens beside it and is not its cause.
    pub beside: Option<Distractor>,
}

/// Connection tracking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tracking {
    /// Not there.
    #[default]
    Off,
    /// On, and full of connections of others.
    Full {
        /// A port that a rule leaves out of it.
        except: Option<u16>,
    },
}

/// A server.
#[derive(Debug, Clone)]
pub enum Server {
    /// One of ours, in this process.
    Ours(Config),
    /// An ordinary one, in a process of its own: it accepts connections, and keeps them.
    Ordinary {
        /// Where it listens.
        listen: SocketAddr,
        /// Limit of the server's descriptors, `RLIMIT_NOFILE`.
        nofile: u64,
        /// Connections that it keeps; it closes what comes above them.
        at_most: usize,
    },
    /// One that is away for a while.
    Restarting {
        /// Where it listens.
        listen: SocketAddr,
        /// When it goes away, and for how long.
        away: (Duration, Duration),
        /// Fate of the listening socket meanwhile.
        socket: Socket,
    },
}

/// Fate of a listening socket while its server restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// The socket goes with the server.
    Closed,
    /// Somebody else keeps it open, as systemd does with socket activation.
    Kept,
}

impl Setting {
    /// The same with a kernel parameter; of two values the last counts.
    #[must_use]
    pub fn sysctl(mut self, name: &'static str, value: impl ToString) -> Setting {
        self.set_sysctl(name, value);
        self
    }

    /// Sets a kernel parameter.
    pub fn set_sysctl(&mut self, name: &'static str, value: impl ToString) {
        self.sysctls.retain(|(other, _)| *other != name);
        self.sysctls.push((name, value.to_string()));
    }

    /// The same with 1,024 ports, none of which comes back before its minute of TIME_WAIT is over.
    #[must_use]
    pub fn few_ports(self) -> Setting {
        self.sysctl("net.ipv4.ip_local_port_range", "40000 41023")
            .sysctl("net.ipv4.tcp_tw_reuse", 0)
            // A late RST must not end a TIME_WAIT (RFC 1337): the counts are to be exact.
            .sysctl("net.ipv4.tcp_rfc1337", 1)
    }

    /// The same with a second host at the other end of a cable: 10.77.0.1 here, 10.77.0.2 there.
    #[must_use]
    pub fn second_host(mut self) -> Setting {
        let (client, server) = (vec![[10, 77, 0, 1].into()], vec![[10, 77, 0, 2].into()]);
        self.cable = Some(Cable { client, server, wire: None });
        self
    }

    /// The same with such a wire for its cable.
    #[must_use]
    pub fn wired(mut self, wire: Wire) -> Setting {
        if let Some(cable) = &mut self.cable {
            cable.wire = Some(wire);
        }
        self
    }

    /// The same with a server.
    #[must_use]
    pub fn serves(mut self, kind: Kind, behaviour: Behaviour, listen: &str) -> Setting {
        self.serve(kind, behaviour, listen);
        self
    }

    /// Adds a server. An address that is none would be a mistake of the catalogue, which its test finds.
    pub fn serve(&mut self, kind: Kind, behaviour: Behaviour, listen: &str) {
        let listen = listen.split(',').filter_map(|address| address.parse().ok()).collect();
        self.servers.push(Server::Ours(Config { kind, ..Config::new(listen, behaviour) }));
    }

    /// The same with a rule about a port.
    #[must_use]
    pub fn rule(mut self, port: u16, source: Option<Ipv4Addr>, verdict: Verdict) -> Setting {
        self.rules.push(Rule { port: Some(port), source, verdict });
        self
    }
}
