//! Ended: it stood, and the server ended it.

use crate::diagnose::FindingId;
use crate::lab::experiment::{Experiment, Group::Ended};
use crate::lab::setting::{Server, Setting, Socket};
use crate::protocol::{Behaviour, Kind};
use std::time::Duration;

pub(super) fn experiments() -> Vec<Experiment> {
    vec![idle_timeout(), reload(), crash_for_good(), connection_limit()]
}

fn idle_timeout() -> Experiment {
    Experiment::new(
        Ended,
        "idle-timeout",
        "The server, or a proxy before it, closes what has been silent for 0.6 s.",
        "tcp://127.0.0.1:9000 --rate 30/s --duration 2s --lifetime until-end",
    )
    .stands_for("The connection is closed because nothing was sent for the time that the server waits.")
    .setting(|s| s.serves(Kind::Tcp, Behaviour::CloseAfter(Duration::from_millis(600)), "127.0.0.1:9000"))
    .intends(FindingId::IdleTimeout)
    .cure("raise-the-limit", "raise the limit: proxy_read_timeout, timeout client, idle_timeout", |e| {
        e.setting.servers.clear();
        e.setting.serve(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9000");
    })
}

fn restarting(away: (u64, u64), socket: Socket) -> Server {
    let (after, for_how_long) = (Duration::from_millis(away.0), Duration::from_millis(away.1));
    Server::Restarting { listen: ([127, 0, 0, 1], 9000).into(), away: (after, for_how_long), socket }
}

fn reload() -> Experiment {
    Experiment::new(
        Ended,
        "reload",
        "The server reloads in the middle of the run: all its connections end at one moment, and new ones are taken.",
        "tcp://127.0.0.1:9000 --rate 60/s --duration 2500ms --lifetime until-end",
    )
    .stands_for("A reload of the server, or of a proxy before it, ends all connections at once.")
    .setting(|s| Setting { servers: vec![restarting((1100, 0), Socket::Kept)], ..s })
    .intends(FindingId::ServerReloaded)
    .cure("let-them-live", "let old workers live until their connections end", |e| {
        e.setting.servers = vec![restarting((60_000, 0), Socket::Kept)];
    })
}

fn crash_for_good() -> Experiment {
    Experiment::new(
        Ended,
        "crash-for-good",
        "The server dies in the middle of the run, and nothing starts it again.",
        "tcp://127.0.0.1:9000 --rate 60/s --duration 2500ms --close rst",
    )
    .stands_for("The server has crashed.")
    .setting(|s| Setting { servers: vec![restarting((1100, 600_000), Socket::Closed)], ..s })
    .intends(FindingId::ServerGone)
    .cure(
        "keep-it-up",
        "let a supervisor keep the socket and start it again: socket activation, Restart=always",
        |e| {
            e.setting.servers = vec![restarting((1100, 100), Socket::Kept)];
        },
    )
}

fn connection_limit() -> Experiment {
    let server = |at_most| Server::Ordinary { listen: ([127, 0, 0, 1], 9000).into(), nofile: 1024, at_most };
    Experiment::new(
        Ended,
        "connection-limit",
        "The server keeps 31 connections, and closes at once what comes above them.",
        "tcp://127.0.0.1:9000 --rate 40/s --duration 3s --lifetime until-end",
    )
    .stands_for("The server, or a proxy before it, lets in so many connections and no more.")
    .setting(|s| Setting { servers: vec![server(31)], ..s })
    .intends(FindingId::ConnectionLimit)
    .cure("raise-the-limit", "raise the limit: worker_connections, maxconn, MaxRequestWorkers", |e| {
        for server in &mut e.setting.servers {
            if let Server::Ordinary { at_most, .. } = server {
                *at_most = usize::MAX;
            }
        }
    })
}
