//! The raw arguments of `connstorm watch`.

use crate::plan::threshold::Threshold;
use clap::Args;
use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  # Which tuples of this host run out of ports, when, and whose they are
  sudo connstorm watch

  # One program and its children; what it does to one server
  connstorm watch --pid 4711
  connstorm watch --to 10.0.0.5:443

  # In a container, by any process of it
  sudo connstorm watch --container-of $(docker inspect -f '{{.State.Pid}}' web)

  # In CI: run a client, and fail where it uses too many ports
  connstorm watch --for 60s --threshold 'ports.used < 80%' -- ./my-client

  # For Prometheus; packaging/watch has a unit, a DaemonSet, alert rules and
  # a dashboard
  connstorm watch --quiet --listen 0.0.0.0:9464

Metrics of thresholds:
  ports.used         of the ports that a tuple can have, those in use; of the fullest tuple
  time_wait.max      TIME_WAIT sockets of one tuple
  close_wait.max     connections kept for 10 s or longer after the peer has closed
  descriptors.used   of the descriptors that a program may have, those open
  listener.drops     handshakes that listeners have dropped
  conntrack.used     of the entries of connection tracking, those in use
  onset.NAME         such as 'onset.ports_exhausted == never'

Exit codes:
  0  passed, or nothing was asked for    2  wrong usage
  1  could not watch                     3  a threshold failed
  N  of the program that was started, where every threshold holds; 127 if there is no such program";

/// Watches the ports, listeners and descriptors of programs that are not ours, without a load
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct WatchArgs {
    /// Only connections of this process and its children, in its network namespace [default: all]
    #[arg(long, value_name = "PID", conflicts_with = "program")]
    pub(super) pid: Option<u32>,
    /// Only connections to this destination; may be given several times [default: all]
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_destinations)]
    pub(super) to: Vec<Destinations>,
    /// The network namespace that this process is in, such as a container's [default: this one]
    #[arg(long, value_name = "PID", conflicts_with_all = ["pid", "program"])]
    pub(super) container_of: Option<u32>,
    /// End after this time; a program that was started is ended then (SIGTERM, after 5 s SIGKILL)
    /// [default: at Ctrl-C, or when the program ends]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    pub(super) time: Option<Duration>,
    /// Fail where this does not hold at the end: 'ports.used < 80%'; may be given several times
    /// [default: none]
    #[arg(long, value_name = "METRIC COMPARISON", value_parser = parse_threshold)]
    pub(super) threshold: Vec<Threshold>,
    /// Answer GET /metrics with OpenMetrics text on this address, in the namespace that connstorm was started in
    /// [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<SocketAddr>,
    /// Write JSON lines: onsets as they begin, a look each --every, and what it came to
    #[arg(long, value_name = "FILE|-")]
    pub(super) json: Option<PathBuf>,
    /// Time between two looks that are written or shown
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    pub(super) every: Duration,
    /// Tuples that are shown, written and exported, the fullest first
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub(super) top: u16,
    /// Lines as in a pipe, although this is a terminal
    #[arg(long)]
    pub(super) plain: bool,
    /// Show nothing; the exit code tells
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// A program to start and to watch, with its arguments
    #[arg(value_name = "CMD", last = true)]
    pub(super) program: Vec<OsString>,
}

/// The addresses of one destination.
#[derive(Debug, Clone)]
pub(super) struct Destinations(pub(super) Vec<SocketAddr>);

fn parse_destinations(text: &str) -> Result<Destinations, String> {
    let wrong =
        || format!("'{text}' is no destination; expected HOST:PORT, such as 10.0.0.5:443 or [::1]:80");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    port.parse::<u16>().ok().filter(|_| !host.is_empty()).ok_or_else(wrong)?;
    let found = text.to_socket_addrs().map_err(|error| format!("'{host}' has no address: {error}"))?;
    let mut addresses: Vec<SocketAddr> =
        found.map(|address| crate::model::as_connected(None, address)).collect();
    addresses.dedup();
    Ok(Destinations(addresses))
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let time =
        humantime::parse_duration(text.trim()).map_err(|error| format!("{error}; write 60s or 10min"))?;
    if time.is_zero() { Err("it has to be longer than nothing, such as 60s".into()) } else { Ok(time) }
}

fn parse_threshold(text: &str) -> Result<Threshold, String> {
    let threshold: Threshold =
        text.parse().map_err(|error: crate::plan::threshold::ThresholdError| error.to_string())?;
    if !threshold.metric().is_of_a_watch() {
        return Err(format!(
            "'{}' is measured by a run, not by a watch, which sees no attempt; here are ports.used, time_wait.max, \
             close_wait.max, descriptors.used, listener.drops, conntrack.used and onset.NAME",
            threshold.metric()
        ));
    }
    Ok(threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_addresses_and_ports() {
        let of = |text: &str| parse_destinations(text).map(|found| found.0);
        assert_eq!(of("10.0.0.5:443").unwrap(), ["10.0.0.5:443".parse().unwrap()]);
        assert_eq!(of("0.0.0.0:443").unwrap(), ["127.0.0.1:443".parse().unwrap()]);
        assert_eq!(of("[::ffff:10.0.0.5]:1").unwrap(), ["10.0.0.5:1".parse().unwrap()]);
        for wrong in ["10.0.0.5", ":80", "host:http", "a:99999"] {
            assert!(of(wrong).unwrap_err().contains("HOST:PORT"), "{wrong}");
        }
    }

    #[test]
    fn thresholds_are_those_of_a_watch() {
        for right in ["ports.used < 80%", "onset.ports_exhausted == never", "descriptors.used <= 90%"] {
            assert!(parse_threshold(right).is_ok(), "{right}");
        }
        assert!(parse_threshold("connect.p99 < 5ms").unwrap_err().contains("by a run"));
        assert!(parse_threshold("onset.generator_saturated never").unwrap_err().contains("by a run"));
        assert!(parse_threshold("port.used < 5%").unwrap_err().contains("ports.used"));
        assert!(parse_time("0s").is_err() && parse_time("1 fortnight").is_err());
    }
}
