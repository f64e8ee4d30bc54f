//! Limits of the host that a connection needs more of.

use crate::diagnose::FindingId;
use crate::lab::experiment::{Experiment, Group::Limits};
use crate::lab::setting::{Server, Setting, Tracking};
use crate::protocol::{Behaviour, Kind};

pub(super) fn experiments() -> Vec<Experiment> {
    vec![emfile_in_target(), emfile_in_client(), conntrack_full(), time_wait_capped()]
}

fn served(setting: Setting) -> Setting {
    setting.serves(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9000")
}

fn emfile_in_target() -> Experiment {
    let server =
        |nofile| Server::Ordinary { listen: ([127, 0, 0, 1], 9000).into(), nofile, at_most: usize::MAX };
    Experiment::new(
        Limits,
        "emfile-in-target",
        "The server may have 64 descriptors: it accepts some 60 connections, and the kernel goes on without it.",
        "tcp://127.0.0.1:9000 --rate 100/s --duration 3s --lifetime until-end --connect-timeout 1500ms",
    )
    .stands_for("Connected, then silence: server out of fds, stopped, stuck.")
    .setting(|s| Setting { servers: vec![server(64)], ..s })
    .intends(FindingId::TargetOutOfDescriptors)
    .cure("raise-it", "LimitNOFILE= of the server's unit, or ulimit -n 4096 before it starts", |e| {
        for server in &mut e.setting.servers {
            if let Server::Ordinary { nofile, .. } = server {
                *nofile = 4096;
            }
        }
    })
}

fn emfile_in_client() -> Experiment {
    Experiment::new(
        Limits,
        "emfile-in-client",
        "A client with one descriptor table wants more sockets than ulimit -n allows it.",
        "tcp://127.0.0.1:9000 --rate 400/s --duration 2s --lifetime until-end --workers 1",
    )
    .stands_for("EMFILE: RLIMIT_NOFILE of this process.")
    .setting(|s| Setting { nofile: Some(256), ..served(s) })
    .intends(FindingId::ProcessFileLimit)
    .cure("raise-it", "ulimit -n 4096", |e| e.setting.nofile = Some(4096))
    .cure(
        "more-tables",
        "leave out --workers: a descriptor table for each of as many threads as it takes",
        |e| {
            e.flags("--workers none --connections 400");
        },
    )
}

fn conntrack_full() -> Experiment {
    Experiment::new(
        Limits,
        "conntrack-full",
        "Connection tracking is full of others: new connections are dropped, which looks like a firewall.",
        "tcp://127.0.0.1:9000 --rate 20/s --duration 1s --connect-timeout 1500ms",
    )
    .stands_for("Conntrack full: nf_conntrack_count ≈ max, drop counters.")
    .setting(|s| Setting { tracking: Tracking::Full { except: None }, ..served(s) })
    .intends(FindingId::ConntrackFull)
    .cure(
        "notrack",
        "leave the port out of it: nft add rule ip raw prerouting tcp dport 9000 notrack",
        |e| {
            e.setting.tracking = Tracking::Full { except: Some(9000) };
        },
    )
}

fn time_wait_capped() -> Experiment {
    Experiment::new(
        Limits,
        "time-wait-capped",
        "A cap of 100 TIME_WAIT sockets destroys the others at once: nothing fails, and exhaustion is hidden.",
        "tcp://127.0.0.1:9000 --rate 400/s --duration 1s --source 127.0.0.2",
    )
    .stands_for("tcp_max_tw_buckets: a low cap destroys TIME_WAIT early, against RFC 1337's care.")
    .setting(|s| served(s).few_ports().sysctl("net.ipv4.tcp_max_tw_buckets", 100))
    .intends(FindingId::TimeWaitCapped)
    .cure("raise-the-cap", "sysctl -w net.ipv4.tcp_max_tw_buckets=262144", |e| {
        e.setting.set_sysctl("net.ipv4.tcp_max_tw_buckets", 262_144);
    })
}
