//! `connstorm serve`: runs a target until it is interrupted or its time is over.

mod args;
mod help;

pub(super) use args::Serve;

use super::exit::Exit;
use super::interrupt::Interrupt;
use super::output::{Output, say};
use crate::linux::clock::Clock;
use crate::linux::fd_table;
use crate::protocol::{Application, Kind};
use crate::server::{Counters, Running, Target};
use anyhow::Context;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Time between two looks of the main thread at whether it is to end.
const TICK: Duration = Duration::from_millis(50);

/// Content of `--json`.
#[derive(Debug, Serialize)]
struct Final<'a> {
    schema_version: u32,
    listened_on: &'a [SocketAddr],
    kind: Kind,
    behaviour: String,
    elapsed_s: f64,
    counters: Counters,
}

/// Runs it.
pub(super) fn run(serve: Serve) -> anyhow::Result<Exit> {
    let (config, flags, write_ca) = serve.split();
    let interrupt = Interrupt::watch().context("cannot handle signals")?;
    if let Err(error) = fd_table::raise_soft_limit() {
        say(&format!("the soft limit on descriptors stays as it is, more workers will be needed: {error}"));
    }
    // Opened first: what can't be written should fail before the run, not after it.
    let json = flags.json.as_deref().map(Output::open).transpose()?;
    let clock = Clock::start();
    let (kind, behaviour) = (config.kind, config.behaviour.to_string());
    let running = Target::start(config)?;
    if let (Some(path), Some(pem)) = (write_ca, running.certificate()) {
        write_certificate(&path, pem)?;
    }
    // After the certificate: whoever waits for this may read it.
    announce(running.addresses(), json.as_ref().is_some_and(Output::is_stdout))?;

    wait(&running, &interrupt, flags.duration, clock);
    let elapsed_s = clock.now().as_secs_f64();
    let listened_on = running.addresses().to_vec();
    let counters = running.stop();
    say(&summary(kind, &counters, elapsed_s));
    if let Some(json) = json {
        let listened_on = &listened_on;
        let result = Final { schema_version: 1, listened_on, kind, behaviour, elapsed_s, counters };
        json.write_json(&result).context("cannot write the counters as JSON")?;
    }
    Ok(Exit::Passed)
}

fn write_certificate(path: &Path, pem: &str) -> anyhow::Result<()> {
    std::fs::write(path, pem).with_context(|| format!("cannot write the certificate to '{}'", path.display()))
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

fn summary(kind: Kind, counters: &Counters, elapsed_s: f64) -> String {
    let Counters { accepted, closed_at_stop, closed_by_peer, closed_by_us, reset, failed, .. } = counters;
    let Counters { bytes_in, bytes_out, accept_errors, workers, full_workers, .. } = counters;
    let mut text = format!(
        "{accepted} connections accepted in {elapsed_s:.1} s: {closed_by_peer} closed by the peer, \
         {closed_by_us} by us, {reset} reset by the peer, {failed} failed, {closed_at_stop} open at the end\n\
         {bytes_in} bytes received, {bytes_out} sent; {accept_errors} accept errors"
    );
    text += &talked(kind, counters);
    if *full_workers > 0 && full_workers == workers {
        text += &format!(
            "\nall {workers} workers were full at the end and accepted no more: leave out --workers, \
             or raise `ulimit -n`"
        );
    }
    text
}

/// Words about TLS, and about messages.
fn talked(kind: Kind, counters: &Counters) -> String {
    let Counters { tls_handshakes, tls_handshakes_failed, handshakes, rejected, .. } = counters;
    let Counters { messages_in, messages_out, messages_dropped, pings, violations, .. } = counters;
    let mut text = String::new();
    if kind.is_encrypted() {
        text += &format!("\n{tls_handshakes} TLS handshakes, {tls_handshakes_failed} failed");
    }
    match kind.application() {
        Application::Stream => return text,
        Application::Http => text += &format!("\n{messages_in} requests, {messages_out} replies"),
        Application::WebSocket => {
            text += &format!(
                "\n{handshakes} WebSocket handshakes, {rejected} rejected; {messages_in} messages received, \
                 {messages_out} sent, {messages_dropped} dropped; {pings} pings"
            );
        }
    }
    text + &format!("; {violations} violations of the protocol")
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
            summary(Kind::Tcp, &counters, 1.25),
            "21 connections accepted in 1.2 s: 1 closed by the peer, 2 by us, 3 reset by the peer, 4 failed, \
             11 open at the end\n12 bytes received, 13 sent; 14 accept errors\nall 2 workers were full at the \
             end and accepted no more: leave out --workers, or raise `ulimit -n`"
        );
        assert!(progress(&counters).ends_with("2 workers, 14 accept errors, all full"));
    }

    #[test]
    fn messages_are_in_the_summary_of_what_has_some() {
        let counters = Counters {
            tls_handshakes: 9,
            tls_handshakes_failed: 8,
            handshakes: 7,
            rejected: 6,
            messages_in: 5,
            messages_out: 4,
            messages_dropped: 3,
            pings: 2,
            violations: 1,
            ..Counters::default()
        };
        assert_eq!(talked(Kind::Tcp, &counters), "");
        assert_eq!(
            talked(Kind::Wss, &counters),
            "\n9 TLS handshakes, 8 failed\n7 WebSocket handshakes, 6 rejected; 5 messages received, 4 sent, 3 \
             dropped; 2 pings; 1 violations of the protocol"
        );
        assert_eq!(talked(Kind::Http, &counters), "\n5 requests, 4 replies; 1 violations of the protocol");
    }
}
