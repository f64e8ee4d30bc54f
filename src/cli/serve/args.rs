//! The arguments of `connstorm serve`: one subcommand a kind of target, and flags that all share.

use super::help;
use crate::plan::behaviour::parse_flag;
use crate::plan::units::{parse_duration, parse_size};
use crate::protocol::{Behaviour, Kind};
use crate::server::{Certificate, Config, DEFAULT_BACKLOG, Flaw, Limits};
use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Runs a target to connect to: one that works, or one that is broken in a chosen way.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serves bare TCP
    #[command(after_help = help::TCP)]
    Tcp {
        /// Behaviour towards a connection; see below
        #[arg(long, default_value = "echo", value_parser = |text: &str| parse_flag(Kind::Tcp, text))]
        behaviour: Behaviour,
        #[command(flatten)]
        flags: Flags,
    },
    /// Serves bytes over TLS, with a certificate made at start
    #[command(after_help = help::TLS)]
    Tls {
        /// Behaviour towards a connection; see below
        #[arg(long, default_value = "echo", value_parser = |text: &str| parse_flag(Kind::Tls, text))]
        behaviour: Behaviour,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        identity: Identity,
    },
    /// Serves HTTP/1.1
    #[command(after_help = help::HTTP)]
    Http {
        /// Behaviour towards a connection; see below
        #[arg(long, default_value = "echo", value_parser = |text: &str| parse_flag(Kind::Http, text))]
        behaviour: Behaviour,
        #[command(flatten)]
        flags: Flags,
    },
    /// Serves HTTP/1.1 over TLS, with a certificate made at start
    #[command(after_help = help::HTTP)]
    Https {
        /// Behaviour towards a connection; see below
        #[arg(long, default_value = "echo", value_parser = |text: &str| parse_flag(Kind::Https, text))]
        behaviour: Behaviour,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        identity: Identity,
    },
    /// Serves WebSocket
    #[command(after_help = help::WS)]
    Ws {
        /// Behaviour towards a connection; see below
        #[arg(long, default_value = "echo", value_parser = |text: &str| parse_flag(Kind::Ws, text))]
        behaviour: Behaviour,
        #[command(flatten)]
        flags: Flags,
    },
    /// Serves WebSocket over TLS, with a certificate made at start
    #[command(after_help = help::WS)]
    Wss {
        /// Behaviour towards a connection; see below
        #[arg(long, default_value = "echo", value_parser = |text: &str| parse_flag(Kind::Wss, text))]
        behaviour: Behaviour,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        identity: Identity,
    },
}

#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Addresses and ports to listen on, IPv4 or IPv6; port 0 is the kernel's choice
    #[arg(long, value_name = "ADDRESS:PORT", value_delimiter = ',', default_value = "127.0.0.1:9000")]
    #[arg(value_parser = parse_address)]
    listen: Vec<SocketAddr>,
    /// Length of each accept queue; the kernel cuts it to net.core.somaxconn
    #[arg(long, value_name = "CONNECTIONS", default_value_t = DEFAULT_BACKLOG)]
    backlog: u32,
    /// Worker threads, each with a descriptor table of its own [default: one a core, more as they fill up]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroU32>,
    /// Bytes that all connections together may hold of what is not complete or not read; more closes a connection
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "1GiB")]
    memory: u64,
    /// Time in which a handshake, request or message that has begun has to be complete, and answers to be read
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "60s")]
    slow_client: Duration,
    /// Stop by itself after this time, such as 30s [default: at Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) duration: Option<Duration>,
    /// Run all workers on this CPU, counted from 0 [default: on any]
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Write the final counters as JSON to a file, or to standard output with '-'; the addresses then go
    /// to standard error
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

/// Certificate by which a target proves itself over TLS.
#[derive(Debug, Default, Args)]
pub(super) struct Identity {
    /// Write the certificate as PEM to this file, for clients that are to trust it
    #[arg(long, value_name = "FILE")]
    pub(super) write_ca: Option<PathBuf>,
    /// A host name or address that the certificate is for, beside localhost and those listened on [default: none]
    #[arg(long = "name", value_name = "NAME", value_delimiter = ',')]
    names: Vec<String>,
    /// Fault of the certificate, beside that it is signed by itself
    #[arg(long, value_name = "FLAW", value_enum, default_value_t = FlawName::None)]
    certificate: FlawName,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum FlawName {
    /// Nothing
    #[default]
    None,
    /// Valid in the year 2000 alone
    Expired,
    /// For wrong.connstorm.invalid alone
    WrongName,
}

impl Serve {
    /// Settings of the target, and the output that is written.
    pub(super) fn split(self) -> (Config, Flags, Option<PathBuf>) {
        let (kind, behaviour, flags, identity) = match self.what {
            What::Tcp { behaviour, flags } => (Kind::Tcp, behaviour, flags, Identity::default()),
            What::Http { behaviour, flags } => (Kind::Http, behaviour, flags, Identity::default()),
            What::Ws { behaviour, flags } => (Kind::Ws, behaviour, flags, Identity::default()),
            What::Tls { behaviour, flags, identity } => (Kind::Tls, behaviour, flags, identity),
            What::Https { behaviour, flags, identity } => (Kind::Https, behaviour, flags, identity),
            What::Wss { behaviour, flags, identity } => (Kind::Wss, behaviour, flags, identity),
        };
        let flaw = match identity.certificate {
            FlawName::None => Flaw::None,
            FlawName::Expired => Flaw::Expired,
            FlawName::WrongName => Flaw::WrongName,
        };
        let config = Config {
            listen: flags.listen.clone(),
            kind,
            behaviour,
            certificate: Certificate { names: identity.names, flaw },
            backlog: flags.backlog,
            workers: flags.workers,
            descriptors: None,
            limits: Limits {
                memory: usize::try_from(flags.memory).unwrap_or(usize::MAX),
                slow_client: flags.slow_client,
            },
            cpu: flags.cpu,
        };
        (config, flags, identity.write_ca)
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "expected an address and a port, such as 127.0.0.1:9000, 0.0.0.0:9000 or [::1]:9000".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_is_told_what_is_missing() {
        assert_eq!(parse_address(" [::1]:80 ").unwrap().to_string(), "[::1]:80");
        assert!(parse_address("localhost").unwrap_err().contains("such as 127.0.0.1:9000"));
    }
}
