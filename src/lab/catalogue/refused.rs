//! Refused: somebody answers, and says no.

use crate::diagnose::FindingId;
use crate::lab::experiment::{Experiment, Group::Refused};
use crate::lab::setting::{Server, Setting, Socket};
use crate::linux::firewall::Verdict;
use crate::protocol::{Behaviour, Kind};
use std::time::Duration;

pub(super) fn experiments() -> Vec<Experiment> {
    vec![
        nothing_listens(),
        wrong_port(),
        wrong_address(),
        dns_elsewhere(),
        proxy_in_the_way(),
        localhost_only(),
        reject_rule(),
        listener_restarts(),
        self_connect(),
    ]
}

fn sink(setting: Setting, listen: &str) -> Setting {
    setting.serves(Kind::Tcp, Behaviour::Sink, listen)
}

fn nothing_listens() -> Experiment {
    Experiment::new(
        Refused,
        "nothing-listens",
        "The host is there, and no server runs on it.",
        "tcp://127.0.0.1:9000 --rate 50/s --duration 1s",
    )
    .stands_for("The server is not running or the port is not being listened to.")
    .intends(FindingId::NothingListens)
    .cure("start-it", "start the server: connstorm serve tcp --listen 127.0.0.1:9000", |e| {
        e.setting = sink(e.setting.clone(), "127.0.0.1:9000");
    })
}

fn wrong_port() -> Experiment {
    Experiment::new(
        Refused,
        "wrong-port",
        "The server listens on port 9000, and the client connects to 9001.",
        "tcp://127.0.0.1:9001 --rate 50/s --duration 1s",
    )
    .stands_for("The client is connecting to the wrong port.")
    .setting(|s| sink(s, "127.0.0.1:9000"))
    .intends(FindingId::WrongPort)
    .cure("right-port", "connect to the port that the server listens on (ss -ltn)", |e| {
        e.retarget("tcp://127.0.0.1:9000");
    })
}

fn wrong_address() -> Experiment {
    Experiment::new(
        Refused,
        "wrong-address",
        "Another host answers at that address; the server is on the one beside it.",
        "tcp://10.77.0.3:9000 --rate 50/s --duration 1s",
    )
    .stands_for("The client is using the wrong domain name or IP address to connect.")
    .setting(|s| two_hosts(s.second_host()))
    .intends(FindingId::NothingListens)
    .cure("right-address", "connect to the server's own address", |e| e.retarget("tcp://10.77.0.2:9000"))
}

fn dns_elsewhere() -> Experiment {
    Experiment::new(
        Refused,
        "dns-elsewhere",
        "An old line of /etc/hosts leads the server's name to the host beside it; DNS has the right address.",
        "tcp://chat.example:9000 --rate 50/s --duration 1s",
    )
    .stands_for("The domain name may be pointing to the wrong server IP.")
    .setting(|s| Setting {
        hosts: vec![([10, 77, 0, 3].into(), "chat.example")],
        dns: Some([10, 77, 0, 2].into()),
        ..two_hosts(s.second_host())
    })
    .intends(FindingId::NameLeadsElsewhere)
    .cure("delete-the-line", "sed -i /chat.example/d /etc/hosts", |e| e.setting.hosts.clear())
}

fn proxy_in_the_way() -> Experiment {
    Experiment::new(
        Refused,
        "proxy-in-the-way",
        "The server works; http_proxy names proxy software that runs no more, and the client goes there.",
        "tcp://127.0.0.1:3128 --rate 50/s --duration 1s",
    )
    .stands_for("The use of network proxy software.")
    .setting(|s| Setting {
        environment: vec![("http_proxy", "http://127.0.0.1:3128")],
        ..sink(s, "127.0.0.1:9000")
    })
    .intends(FindingId::ProxyInTheWay)
    .cure("unset-it", "unset http_proxy, and connect to the server itself", |e| {
        e.setting.environment.clear();
        e.retarget("tcp://127.0.0.1:9000");
    })
}

/// The server's host, and one beside it on which nothing listens.
fn two_hosts(mut setting: Setting) -> Setting {
    if let Some(cable) = &mut setting.cable {
        cable.server.push([10, 77, 0, 3].into());
    }
    sink(setting, "10.77.0.2:9000")
}

fn localhost_only() -> Experiment {
    Experiment::new(
        Refused,
        "localhost-only",
        "The server listens on 127.0.0.1, and the client comes by the host's address in its network.",
        "tcp://10.77.0.1:9000 --rate 50/s --duration 1s",
    )
    .stands_for(
        "If the server is listening on 127.0.0.1, the client can only connect via 127.0.0.1. It is recommended to \
         set the listening address to 0.0.0.0.",
    )
    .setting(|s| sink(Setting { addresses: vec![[10, 77, 0, 1].into()], ..s }, "127.0.0.1:9000"))
    .intends(FindingId::ListensOnAnotherAddress)
    .cure("listen-on-all", "let the server listen on 0.0.0.0:9000", |e| {
        e.setting.servers.clear();
        e.setting = sink(e.setting.clone(), "0.0.0.0:9000");
    })
}

fn reject_rule() -> Experiment {
    Experiment::new(
        Refused,
        "reject-rule",
        "The server listens, and its firewall answers in its place: port unreachable.",
        "tcp://10.77.0.2:9000 --rate 50/s --duration 1s",
    )
    .stands_for("REJECT by firewall; Service without endpoints.")
    .setting(|s| sink(s.second_host(), "10.77.0.2:9000").rule(9000, None, Verdict::RejectByIcmp))
    .intends(FindingId::RefusedByFirewall)
    .cure("no-rule", "on the server: nft delete rule …, or allow the port before it", |e| {
        e.setting.rules.clear();
    })
}

fn listener_restarts() -> Experiment {
    let server = |socket| Server::Restarting {
        listen: ([127, 0, 0, 1], 9000).into(),
        away: (Duration::from_millis(1100), Duration::from_millis(700)),
        socket,
    };
    Experiment::new(
        Refused,
        "listener-restarts",
        "The server restarts in the middle of the run, and is away for 0.7 s.",
        "tcp://127.0.0.1:9000 --rate 100/s --duration 2500ms --close rst",
    )
    .stands_for("Listener restarting: refusals in one contiguous interval, all sources.")
    .setting(|s| Setting { servers: vec![server(Socket::Closed)], ..s })
    .intends(FindingId::ListenerAway)
    .cure("keep-the-socket", "keep the listening socket over restarts: systemd socket activation", |e| {
        for server in &mut e.setting.servers {
            if let Server::Restarting { socket, .. } = server {
                *socket = Socket::Kept;
            }
        }
    })
}

fn self_connect() -> Experiment {
    Experiment::new(
        Refused,
        "self-connect",
        "Nothing listens, and the server's port is one that this host gives to outgoing connections: sockets connect to \
         themselves.",
        "tcp://127.0.0.1:40000 --rate 50/s --duration 1s --ports 40000-40000",
    )
    .stands_for("A socket can connect to itself: it looks like a connection, and nothing listens.")
    .setting(|s| s.sysctl("net.ipv4.ip_local_port_range", "40000 41023"))
    .intends(FindingId::SelfConnect)
    .cure("reserve-it", "start the server, and sysctl -w net.ipv4.ip_local_reserved_ports=40000", |e| {
        e.setting.set_sysctl("net.ipv4.ip_local_reserved_ports", "40000");
        e.flags("--ports kernel");
        e.setting = sink(e.setting.clone(), "127.0.0.1:40000");
    })
}
