//! Timeout: nobody answers.

use crate::diagnose::FindingId;
use crate::lab::experiment::{Experiment, Group::Timeout};
use crate::lab::holder::{Holder, Way};
use crate::lab::setting::{Cable, Setting};
use crate::lab::wire::Wire;
use crate::linux::firewall::Verdict;
use crate::protocol::{Behaviour, Kind};
use crate::server::Config;
use std::time::Duration;

pub(super) fn experiments() -> Vec<Experiment> {
    vec![
        drop_rule(),
        one_source_dropped(),
        no_such_host(),
        private_address_elsewhere(),
        syn_lost(),
        routed_private_network(),
        accept_queue_full(),
        server_silent(),
        syn_queue_full(),
        mtu_hole(),
        long_round_trip(),
        own_snat_ports(),
    ]
}

fn far_server(setting: Setting) -> Setting {
    setting.second_host().serves(Kind::Tcp, Behaviour::Sink, "10.77.0.2:9000")
}

fn drop_rule() -> Experiment {
    Experiment::new(
        Timeout,
        "drop-rule",
        "The server's firewall drops what comes for its port.",
        "tcp://10.77.0.2:9000 --rate 20/s --duration 1s --connect-timeout 1500ms",
    )
    .stands_for("The server firewall is blocking the connection.")
    .setting(|s| far_server(s).rule(9000, None, Verdict::Drop))
    .intends(FindingId::DroppedOnTheWay)
    .cure(
        "open-the-port",
        "open the port: in the firewall, the security group, the control panel",
        |e| {
            e.setting.rules.clear();
        },
    )
}

fn one_source_dropped() -> Experiment {
    Experiment::new(
        Timeout,
        "one-source-dropped",
        "A rule like a security group's lets one of two client addresses in, and drops the other.",
        "tcp://10.77.0.2:9000 --rate 20/s --duration 1s --connect-timeout 1500ms --source 10.77.0.1,10.77.0.11",
    )
    .stands_for("If using a cloud server, the security group may also block the connection establishment.")
    .setting(|s| {
        let setting = far_server(s).rule(9000, Some([10, 77, 0, 11].into()), Verdict::Drop);
        let client = vec![[10, 77, 0, 1].into(), [10, 77, 0, 11].into()];
        Setting { cable: Some(Cable { client, server: vec![[10, 77, 0, 2].into()], wire: None }), ..setting }
    })
    .intends(FindingId::SomeSourcesTimeOut)
    .cure("let-it-in", "allow that source address in the security group too", |e| e.setting.rules.clear())
}

fn no_such_host() -> Experiment {
    Experiment::new(
        Timeout,
        "no-such-host",
        "No host in the client's own network has that address.",
        "tcp://10.77.0.99:9000 --rate 20/s --duration 1s --connect-timeout 2s",
    )
    .stands_for("The server does not exist or is not running.")
    .setting(far_server)
    .intends(FindingId::NoSuchHost)
    .cure("right-address", "connect to the server's own address", |e| e.retarget("tcp://10.77.0.2:9000"))
}

fn private_address_elsewhere() -> Experiment {
    Experiment::new(
        Timeout,
        "private-address-elsewhere",
        "The server's address is a private one of another network; the gateway has no way there.",
        "tcp://192.168.7.2:9000 --rate 20/s --duration 1s --connect-timeout 1500ms",
    )
    .stands_for(
        "The client is accessing an internal IP of the server, and the client and server are not in the same local \
         area network.",
    )
    .setting(far_server)
    .intends(FindingId::PrivateAddressOutOfReach)
    .cure("reachable-address", "connect to the server's public address, or by the VPN into its network", |e| {
        e.retarget("tcp://10.77.0.2:9000");
    })
}

fn syn_lost() -> Experiment {
    Experiment::new(
        Timeout,
        "syn-lost",
        "The host is up, and every second connection loses its first SYN on the way: it is late by a second.",
        "tcp://10.77.0.2:9000 --rate 40/s --duration 1500ms --connect-timeout 3s",
    )
    .stands_for("Slow connect, no error: SYN retransmitted.")
    .setting(|s| {
        far_server(s).sysctl("net.ipv4.tcp_ecn", 1).rule(9000, None, Verdict::DropEverySecondFirstSyn)
    })
    .intends(FindingId::SynLostOnTheWay)
    .cure("mend-the-way", "mend the link, or the queue, that loses packets", |e| e.setting.rules.clear())
}

fn routed_private_network() -> Experiment {
    Experiment::new(
        Timeout,
        "routed-private-network",
        "The server is in a private network behind the gateway, to which the default route leads; every second \
         connection loses its first SYN there.",
        "tcp://10.78.0.2:9000 --rate 40/s --duration 1500ms --connect-timeout 3s",
    )
    .stands_for("A private address that is reached by a router: not every one of them is out of reach.")
    .setting(|s| {
        let mut setting = s
            .second_host()
            .serves(Kind::Tcp, Behaviour::Sink, "10.78.0.2:9000")
            .sysctl("net.ipv4.tcp_ecn", 1)
            .rule(9000, None, Verdict::DropEverySecondFirstSyn);
        if let Some(cable) = &mut setting.cable {
            cable.server.push([10, 78, 0, 2].into());
        }
        setting
    })
    .intends(FindingId::SynLostOnTheWay)
    .cure("mend-the-way", "mend the link, or the queue, that loses packets", |e| e.setting.rules.clear())
}

fn accept_queue_full() -> Experiment {
    let serving =
        |behaviour| Config { backlog: 16, ..Config::new(vec![([127, 0, 0, 1], 9000).into()], behaviour) };
    Experiment::new(
        Timeout,
        "accept-queue-full",
        "The server listens with a backlog of 16, and does not come to accept().",
        "tcp://127.0.0.1:9000 --rate 40/s --duration 1500ms --lifetime until-end --connect-timeout 1500ms",
    )
    .stands_for("Accept queue full: depends on load; ListenOverflows.")
    .setting(|mut s| {
        s.servers.push(crate::lab::setting::Server::Ours(serving(Behaviour::FullBacklog)));
        s
    })
    .intends(FindingId::AcceptQueueFull)
    .cure(
        "accept",
        "let the server accept; or listen(backlog) and net.core.somaxconn above the burst",
        |e| {
            for server in &mut e.setting.servers {
                if let crate::lab::setting::Server::Ours(config) = server {
                    config.behaviour = Behaviour::Sink;
                }
            }
        },
    )
}

fn server_silent() -> Experiment {
    Experiment::new(
        Timeout,
        "server-silent",
        "The server is up and takes connections; it is stuck, and never answers.",
        "ws://127.0.0.1:9000/chat --rate 20/s --duration 1s --handshake-timeout 1s",
    )
    .stands_for("Connected, then silence: the handshake phase times out, not connect.")
    .setting(|s| s.serves(Kind::Ws, Behaviour::Silent, "127.0.0.1:9000"))
    .intends(FindingId::SilentAfterConnect)
    .cure("mend-it", "restart the server, and look in its log for what it waited for", |e| {
        e.setting.servers.clear();
        e.setting.serve(Kind::Ws, Behaviour::Echo, "127.0.0.1:9000");
    })
}

fn syn_queue_full() -> Experiment {
    let half_open = Holder {
        way: Way::Handshakes,
        source: [127, 0, 0, 66].into(),
        destination: ([127, 0, 0, 1], 9000).into(),
        count: 40,
    };
    Experiment::new(
        Timeout,
        "syn-queue-full",
        "SYN cookies are off, and handshakes that are never completed fill the listener's queue.",
        "tcp://127.0.0.1:9000 --rate 30/s --duration 1s --connect-timeout 1500ms --source 127.0.0.2",
    )
    .stands_for("SYN queue full: a flood of SYNs, or a backlog that is too short, without SYN cookies.")
    .setting(|s| Setting {
        holder: Some(half_open),
        ..s.sysctl("net.ipv4.tcp_syncookies", 0)
            .sysctl("net.ipv4.tcp_max_syn_backlog", 8)
            .serves(Kind::Tcp, Behaviour::Sink, "127.0.0.1:9000")
            .rule(9000, Some([127, 0, 0, 66].into()), Verdict::DropAllButSyn)
    })
    .intends(FindingId::SynQueueFull)
    .cure("cookies", "sysctl -w net.ipv4.tcp_syncookies=1", |e| {
        e.setting.set_sysctl("net.ipv4.tcp_syncookies", 1);
    })
}

fn mtu_hole() -> Experiment {
    Experiment::new(
        Timeout,
        "mtu-hole",
        "Packets above 1,300 bytes are lost on the way, and nobody says so: small messages pass, large ones do not.",
        "ws://10.77.0.2:9000/chat --rate 10/s --duration 1s --lifetime 4s --send {random:6KiB} --count 1 --expect any \
         --reply-timeout 2s",
    )
    .stands_for("A path whose MTU is smaller than the interface's, while ICMP is filtered.")
    .setting(|s| {
        s.second_host()
            .wired(Wire { longest: Some(1300), ..Wire::default() })
            .serves(Kind::Ws, Behaviour::Echo, "10.77.0.2:9000")
    })
    .intends(FindingId::MtuHole)
    .cure("probing", "sysctl -w net.ipv4.tcp_mtu_probing=2: TCP begins with small segments", |e| {
        e.setting.set_sysctl("net.ipv4.tcp_mtu_probing", 2);
    })
}

fn long_round_trip() -> Experiment {
    Experiment::new(
        Timeout,
        "long-round-trip",
        "The server is 1.3 s away: every SYN is sent twice, and nothing is lost.",
        "tcp://10.77.0.2:9000 --rate 20/s --duration 1s --connect-timeout 6s",
    )
    .stands_for("Connected later than 1 s: a lost SYN, or a long round trip.")
    .setting(|s| far_server(s).wired(Wire { delay: Duration::from_millis(650), longest: None }))
    .intends(FindingId::LongRoundTrip)
    .cure("nearer", "a server that is nearer; or connections that are kept open and used again", |e| {
        let near = Wire { delay: Duration::from_millis(20), longest: None };
        e.setting = e.setting.clone().wired(near);
    })
}

fn own_snat_ports() -> Experiment {
    Experiment::new(
        Timeout,
        "own-snat-ports",
        "A rule of the client's own host gives its connections one of 60 source ports; the others are dropped.",
        "tcp://10.77.0.2:9000 --rate 60/s --duration 2s --lifetime 4s --connect-timeout 900ms",
    )
    .stands_for("NAT or SNAT out of ports: the tuple is not full, and some time out.")
    .setting(|s| Setting { masquerade: Some((20_000, 20_059)), ..far_server(s) })
    .intends(FindingId::SnatPortsExhausted)
    .cure("more-ports", "masquerade without a range of ports, or to a wider one", |e| {
        e.setting.masquerade = Some((20_000, 29_999));
    })
}
