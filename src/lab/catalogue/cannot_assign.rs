//! "Cannot assign requested address": the client has no port left, or never had the address.
//!
//! All with 1,024 ports instead of 28,232, so that two seconds show what otherwise takes a minute.

use crate::diagnose::FindingId;
use crate::lab::experiment::{Experiment, Group::CannotAssign};
use crate::lab::holder::{Holder, Way};
use crate::lab::setting::{Server, Setting};
use crate::protocol::{Behaviour, Kind};

pub(super) fn experiments() -> Vec<Experiment> {
    vec![
        too_many_held(),
        time_wait_churn(),
        reserved_ports(),
        poisoned_buckets(),
        naive_bind(),
        source_not_local(),
        server_side_has_no_limit(),
        ipv6_off(),
        fin_wait_2(),
        close_wait_leak(),
        foreign_holder(),
    ]
}

fn served(setting: Setting) -> Setting {
    setting.few_ports().serves(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9000")
}

fn wider(e: &mut Experiment) {
    e.setting.set_sysctl("net.ipv4.ip_local_port_range", "32768 60999");
}

fn explicit(e: &mut Experiment) {
    e.flags("--ports explicit");
}

fn too_many_held() -> Experiment {
    Experiment::new(
        CannotAssign,
        "too-many-held",
        "One source address holds more connections to one server than it has ports.",
        "tcp://127.0.0.1:9000 --rate 800/s --duration 2s --lifetime until-end --source 127.0.0.2",
    )
    .stands_for("If the number of connections initiated to a specific server exceeds this value…")
    .setting(served)
    .intends(FindingId::PortsExhaustedByLiveConnections)
    .cure("wider-range", "sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"", wider)
    .cure("more-sources", "--source 127.0.0.2-127.0.0.4: each address has all ports for itself", |e| {
        e.flags("--source 127.0.0.2-127.0.0.4");
    })
    .cure("explicit", "--ports explicit: 64,512 ports a source address", explicit)
}

fn time_wait_churn() -> Experiment {
    Experiment::new(
        CannotAssign,
        "time-wait-churn",
        "Short connections, closed by the client, leave a port in TIME_WAIT each, for 60 s.",
        "tcp://127.0.0.1:9000 --rate 400/s --duration 3500ms --source 127.0.0.2 --workers 1",
    )
    .stands_for("Initiating a large number of short-lived connections in a short period of time.")
    .setting(served)
    .intends(FindingId::PortsExhaustedByTimeWait)
    .cure("tw-reuse", "sysctl -w net.ipv4.tcp_tw_reuse=1: a port comes back after a second", |e| {
        e.setting.set_sysctl("net.ipv4.tcp_tw_reuse", 1);
    })
    .cure("rst", "--close rst (SO_LINGER 0): no TIME_WAIT at all", |e| e.flags("--close rst"))
    .cure("server-closes-first", "let the server close first: TIME_WAIT is then the server's", |e| {
        e.setting.servers.clear();
        e.setting.serve(Kind::Tcp, Behaviour::Discard, "127.0.0.1:9000");
        e.flags("--close peer");
    })
    .cure("explicit", "--ports explicit: an own tuple in TIME_WAIT is taken again at once", explicit)
    .cure("wider-range", "sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"", wider)
}

fn reserved_ports() -> Experiment {
    Experiment::new(
        CannotAssign,
        "reserved-ports",
        "924 of the 1,024 ports are kept back by ip_local_reserved_ports.",
        "tcp://127.0.0.1:9000 --rate 400/s --duration 1s --lifetime until-end --source 127.0.0.2",
    )
    .stands_for("Reserved ports: count = range − reserved.")
    .setting(|s| served(s).sysctl("net.ipv4.ip_local_reserved_ports", "40100-41023"))
    .intends(FindingId::PortsExhaustedByReservedPorts)
    .cure("edit-the-list", "sysctl -w net.ipv4.ip_local_reserved_ports=\"\"", |e| {
        e.setting.set_sysctl("net.ipv4.ip_local_reserved_ports", "");
    })
}

fn poisoned_buckets() -> Experiment {
    Experiment::new(
        CannotAssign,
        "poisoned-buckets",
        "Another program bound 300 ports before it connected, to another server; they are lost to this one.",
        "tcp://127.0.0.1:9000 --rate 500/s --duration 2s --lifetime until-end --source 127.0.0.2 --workers 1",
    )
    .stands_for("Poisoned buckets: count well below the range, and another socket bound without NO_PORT.")
    .setting(|s| Setting {
        holder: Some(Holder {
            way: Way::BoundFirst,
            source: [127, 0, 0, 2].into(),
            destination: ([127, 0, 0, 1], 9001).into(),
            count: 300,
        }),
        ..served(s).serves(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9001")
    })
    .intends(FindingId::PortsExhaustedByPoisonedBuckets)
    .cure("no-port", "IP_BIND_ADDRESS_NO_PORT before bind() in the other program (Go: Dialer.Control)", |e| {
        if let Some(holder) = &mut e.setting.holder {
            holder.way = Way::Connections;
        }
    })
    .cure("explicit", "--ports explicit: what is bound on other tuples is no obstacle", explicit)
}

fn naive_bind() -> Experiment {
    Experiment::new(
        CannotAssign,
        "naive-bind",
        "bind(address, 0) before connect() chooses the port before the destination is known: two servers share \
         one range, and running out is EADDRINUSE from bind().",
        "tcp://127.0.0.1:9000-9001 --rate 800/s --duration 2s --lifetime until-end --source 127.0.0.2 \
         --ports naive-bind",
    )
    .stands_for("Naive bind ran out: EADDRINUSE, bind().")
    .setting(|s| s.few_ports().serves(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9000,127.0.0.1:9001"))
    .intends(FindingId::PortsExhaustedByNaiveBind)
    .cure("no-port", "IP_BIND_ADDRESS_NO_PORT before bind() (--ports kernel): each server has a range", |e| {
        e.flags("--ports kernel");
    })
}

fn source_not_local() -> Experiment {
    Experiment::new(
        CannotAssign,
        "source-not-local",
        "The source address is not one of this host: the same words, but ports are not the cause.",
        "tcp://127.0.0.1:9000 --rate 50/s --duration 1s --source 192.0.2.7",
    )
    .stands_for("Address not local: EADDRNOTAVAIL from bind().")
    .setting(|s| s.serves(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9000"))
    .intends(FindingId::SourceAddressNotLocal)
    .cure("add-it", "ip addr add 192.0.2.7/32 dev lo", |e| {
        e.setting.addresses.push([192, 0, 2, 7].into());
    })
}

fn server_side_has_no_limit() -> Experiment {
    Experiment::new(
        CannotAssign,
        "server-side-has-no-limit",
        "One listener holds 2,400 connections, more than twice as many as one client address has ports.",
        "tcp://127.0.0.1:9000 --rate 1200/s --duration 2s --lifetime until-end --source 127.0.0.2-127.0.0.7",
    )
    .stands_for("The limitation on the number of local ports only applies to the client.")
    .setting(served)
}

fn ipv6_off() -> Experiment {
    Experiment::new(
        CannotAssign,
        "ipv6-off",
        "IPv6 is switched off, as in many containers, and the client connects to ::1.",
        "tcp://[::1]:9000 --rate 40/s --duration 1s",
    )
    .stands_for("Cannot assign requested address from the first attempt on: this host has no IPv6.")
    .setting(|s| {
        s.sysctl("net.ipv6.conf.all.disable_ipv6", 1).sysctl("net.ipv6.conf.lo.disable_ipv6", 1).serves(
            Kind::Tcp,
            Behaviour::Sink,
            "127.0.0.1:9000",
        )
    })
    .intends(FindingId::Ipv6Off)
    .cure("use-ipv4", "connect to the IPv4 address: tcp://127.0.0.1:9000", |e| {
        e.retarget("tcp://127.0.0.1:9000");
    })
}

/// Half as many ports again, so that another program soon has them all.
fn very_few_ports(setting: Setting) -> Setting {
    setting.few_ports().sysctl("net.ipv4.ip_local_port_range", "40000 40511")
}

fn fin_wait_2() -> Experiment {
    let keeping =
        Server::Ordinary { listen: ([127, 0, 0, 1], 9000).into(), nofile: 2048, at_most: usize::MAX };
    Experiment::new(
        CannotAssign,
        "fin-wait-2",
        "The client closes each connection, and the server never closes its own side: the ports stay in FIN_WAIT_2.",
        "tcp://127.0.0.1:9000 --rate 250/s --duration 3s --source 127.0.0.2 --workers 1",
    )
    .stands_for("Not only TIME_WAIT holds ports: FIN_WAIT_2, where the peer never closes.")
    .setting(|s| Setting { servers: vec![keeping], ..very_few_ports(s) })
    .intends(FindingId::PortsExhaustedByFinWait2)
    .cure("let-it-close", "let the server close each connection whose client has closed; with --close rst", |e| {
        e.setting.servers.clear();
        e.setting.serve(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9000");
        e.flags("--close rst");
    })
}

fn close_wait_leak() -> Experiment {
    let leak = |count| Holder {
        way: Way::Connections,
        source: [127, 0, 0, 2].into(),
        destination: ([127, 0, 0, 1], 9000).into(),
        count,
    };
    Experiment::new(
        CannotAssign,
        "close-wait-leak",
        "A program of this host never closes the connections that the server has closed: all ports are in CLOSE_WAIT.",
        "tcp://127.0.0.1:9000 --rate 100/s --duration 1s --source 127.0.0.2 --close peer",
    )
    .stands_for("Not only TIME_WAIT holds ports: CLOSE_WAIT, where our program never closes.")
    .setting(|s| Setting {
        holder: Some(leak(512)),
        ..very_few_ports(s).serves(Kind::Tcp, Behaviour::Discard, "127.0.0.1:9000")
    })
    .intends(FindingId::PortsExhaustedByCloseWait)
    .cure("close-them", "let the program close each connection whose peer has closed", |e| {
        e.setting.holder = None;
    })
}

fn foreign_holder() -> Experiment {
    let holder = |source: u8| Holder {
        way: Way::Connections,
        source: [127, 0, 0, source].into(),
        destination: ([127, 0, 0, 1], 9000).into(),
        count: 480,
    };
    Experiment::new(
        CannotAssign,
        "foreign-holder",
        "Another program of this host holds 480 of the 512 ports to the same server.",
        "tcp://127.0.0.1:9000 --rate 100/s --duration 1s --lifetime until-end --source 127.0.0.2",
    )
    .stands_for("Who holds the ports is another program, from the same address to the same server.")
    .setting(|s| Setting {
        holder: Some(holder(2)),
        ..very_few_ports(s).serves(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9000")
    })
    .intends(FindingId::PortsExhaustedByOtherSockets)
    .cure("another-source", "a source address of its own for one of the two programs", |e| {
        e.flags("--source 127.0.0.3");
    })
}
