//! `connstorm serve`: runs a target until it is interrupted or its time is over.

use super::exit::Exit;
use super::interrupt::Interrupt;
use super::output::{Output, say};
use crate::kernel::clock::Clock;
use crate::kernel::fd_table;
use crate::scenario::units::parse_duration;
use crate::target::{Behaviour, Config, Counters, DEFAULT_BACKLOG, Running, Target};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// How often the main thread looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

/// Runs a target to connect to: one that works, or one that is broken in a chosen way.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Tcp(Tcp),
}

const EXAMPLES: &str = "\
Behaviours:
  echo                sends back what it receives
  sink                receives and sends nothing
  discard             closes at once: the target's side keeps TIME_WAIT
  close-after(TIME)   echoes, and closes so long after it accepted, such as close-after(2s)
  close-after(SIZE)   echoes, and closes when so much has come, such as close-after(64KiB)
  reset               sends RST right after accepting
  silent              accepts, and neither reads nor writes
  full-backlog        listens, and never accepts
  slow-accept(RATE)   accepts no faster than that, such as slow-accept(10/s), and echoes

Examples:
  connstorm serve tcp
  connstorm serve tcp --listen 127.0.0.1:9000,127.0.0.2:9000 --listen '[::1]:9000'
  connstorm serve tcp --listen 127.0.0.1:0 --behaviour discard --duration 30s --json -
  connstorm serve tcp --behaviour full-backlog --backlog 16
  connstorm serve tcp --behaviour 'close-after(2s)'

Ctrl-C ends it, with exit code 0.";

/// Serves bare TCP.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct Tcp {
    /// Addresses and ports to listen on, IPv4 or IPv6; port 0 is the kernel's choice
    #[arg(long, value_name = "ADDRESS:PORT", value_delimiter = ',', default_value = "127.0.0.1:9000")]
    #[arg(value_parser = parse_address)]
    listen: Vec<SocketAddr>,
    /// What to do with a connection; see below
    #[arg(long, default_value = "echo", value_parser = crate::scenario::behaviour::parse_flag)]
    behaviour: Behaviour,
    /// Length of each accept queue; the kernel cuts it to net.core.somaxconn
    #[arg(long, value_name = "CONNECTIONS", default_value_t = DEFAULT_BACKLOG)]
    backlog: u32,
    /// Worker threads, each with a descriptor table of its own [default: one a core, more as they fill up]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroU32>,
    /// Stop by itself after this time, such as 30s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Run all workers on this CPU, counted from 0
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Write the final counters as JSON to a file, or to standard output with '-'; the addresses then go
    /// to standard error
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Final<'a> {
    schema_version: u32,
    listened_on: &'a [SocketAddr],
    behaviour: String,
    elapsed_s: f64,
    counters: Counters,
}

/// Runs it.
pub(super) fn run(serve: Serve) -> anyhow::Result<Exit> {
    let What::Tcp(tcp) = serve.what;
    let interrupt = Interrupt::watch().context("cannot handle signals")?;
    if let Err(error) = fd_table::raise_soft_limit() {
        say(&format!("the soft limit on descriptors stays as it is, more workers will be needed: {error}"));
    }
    // Opened first: what can't be written should fail before the run, not after it.
    let json = tcp.json.as_deref().map(Output::open).transpose()?;
    let clock = Clock::start();
    let running = Target::start(tcp.config())?;
    announce(running.addresses(), json.as_ref().is_some_and(Output::is_stdout))?;

    wait(&running, &interrupt, tcp.duration, clock);
    let elapsed_s = clock.now().as_secs_f64();
    let listened_on = running.addresses().to_vec();
    let counters = running.stop();
    say(&summary(&counters, elapsed_s));
    if let Some(json) = json {
        let behaviour = tcp.behaviour.to_string();
        let result = Final { schema_version: 1, listened_on: &listened_on, behaviour, elapsed_s, counters };
        json.write_json(&result).context("cannot write the counters as JSON")?;
    }
    Ok(Exit::Passed)
}

impl Tcp {
    fn config(&self) -> Config {
        Config {
            listen: self.listen.clone(),
            behaviour: self.behaviour,
            backlog: self.backlog,
            workers: self.workers,
            descriptors: None,
            cpu: self.cpu,
        }
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "expected an address and a port, such as 127.0.0.1:9000, 0.0.0.0:9000 or [::1]:9000".to_owned()
    })
}

/// Says where it listens, at once, one address a line: whoever started it may be waiting for that.
fn announce(addresses: &[SocketAddr], on_stderr: bool) -> anyhow::Result<()> {
    let lines: String = addresses.iter().map(|address| format!("listening on {address}\n")).collect();
    let written = if on_stderr {
        io::stderr().write_all(lines.as_bytes())
    } else {
        io::stdout().write_all(lines.as_bytes()).and_then(|()| io::stdout().flush())
    };
    written.context("cannot say where it listens")
}

/// Returns when it is time to stop. A terminal sees the counters each second.
fn wait(running: &Running, interrupt: &Interrupt, duration: Option<Duration>, clock: Clock) {
    let started = clock.now();
    let terminal = io::stderr().is_terminal();
    let mut next_line = started + Duration::from_secs(1);
    loop {
        let now = clock.now();
        let left = duration.map_or(TICK, |duration| duration.saturating_sub(now - started));
        if interrupt.asked() || left.is_zero() {
            break;
        }
        if terminal && now >= next_line {
            next_line += Duration::from_secs(1);
            // Back to the beginning of the line, and clear what it held.
            let _ = write!(io::stderr(), "\r\x1b[K{}", progress(&running.counters()));
        }
        std::thread::sleep(left.min(TICK));
    }
    if terminal {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
}

fn progress(counters: &Counters) -> String {
    let Counters { open, accepted, closed, workers, accept_errors, .. } = counters;
    let mut line = format!("{open} open, {accepted} accepted, {closed} closed, {workers} workers");
    if *accept_errors > 0 {
        line += &format!(", {accept_errors} accept errors");
    }
    if counters.full_workers > 0 && counters.full_workers == *workers {
        line += ", all full";
    }
    line
}

fn summary(counters: &Counters, elapsed_s: f64) -> String {
    let Counters { accepted, closed_at_stop, closed_by_peer, closed_by_us, reset, failed, .. } = counters;
    let Counters { bytes_in, bytes_out, accept_errors, workers, full_workers, .. } = counters;
    let mut text = format!(
        "{accepted} connections accepted in {elapsed_s:.1} s: {closed_by_peer} closed by the peer, \
         {closed_by_us} by us, {reset} reset by the peer, {failed} failed, {closed_at_stop} open at the end\n\
         {bytes_in} bytes received, {bytes_out} sent; {accept_errors} accept errors"
    );
    if *full_workers > 0 && full_workers == workers {
        text += &format!(
            "\nall {workers} workers were full at the end and accepted no more: leave out --workers, \
             or raise `ulimit -n`"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_ending_is_in_the_summary() {
        let counters = Counters {
            accepted: 21,
            closed_by_peer: 1,
            closed_by_us: 2,
            reset: 3,
            failed: 4,
            closed_at_stop: 11,
            bytes_in: 12,
            bytes_out: 13,
            accept_errors: 14,
            workers: 2,
            full_workers: 2,
            ..Counters::default()
        };
        assert_eq!(
            summary(&counters, 1.25),
            "21 connections accepted in 1.2 s: 1 closed by the peer, 2 by us, 3 reset by the peer, 4 failed, \
             11 open at the end\n12 bytes received, 13 sent; 14 accept errors\nall 2 workers were full at the \
             end and accepted no more: leave out --workers, or raise `ulimit -n`"
        );
        assert!(progress(&counters).ends_with("2 workers, 14 accept errors, all full"));
    }

    #[test]
    fn an_address_without_a_port_is_told_what_is_missing() {
        assert_eq!(parse_address(" [::1]:80 ").unwrap().to_string(), "[::1]:80");
        assert!(parse_address("localhost").unwrap_err().contains("such as 127.0.0.1:9000"));
    }
}
