//! Remedies that several findings share: what mends the user's program first, then the host, then the flags of this
//! program.

use super::claim::Claim;
use super::{Blocked, Facts};
use crate::model::{Close, PortPolicy, is_loopback_tuple};
use std::time::Duration;

/// Lines that set `IP_BIND_ADDRESS_NO_PORT` (24) before bind(), or its like, by language and proxy.
const NO_PORT: [&str; 6] = [
    "Go: Dialer.Control = func(_, _ string, c syscall.RawConn) error { return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, 24, 1) }) }    # or leave Dialer.LocalAddr out",
    "Python: s.setsockopt(socket.IPPROTO_IP, 24, 1)    # IP_BIND_ADDRESS_NO_PORT, before s.bind((address, 0))",
    "Java (Netty, epoll): bootstrap.option(EpollChannelOption.IP_BIND_ADDRESS_NO_PORT, true); Node: leave localAddress out of net.connect(), it has no such option",
    "nginx: proxy_bind ADDRESS;    # sets it by itself since 1.11.4; without proxy_bind the kernel chooses",
    "HAProxy: source ADDRESS    # sets it by itself where the kernel has it; or source ADDRESS:LO-HI",
    "Envoy: upstream_bind_config with socket_options: [{ level: 0, name: 24, int_value: 1, state: STATE_PREBIND }]",
];

/// Fewer connections for the same work.
const POOL: &str = "keep connections open and use them again: Go: one http.Client, with MaxIdleConnsPerHost raised; Java: one HttpClient; Node: new http.Agent({ keepAlive: true }); Python: one requests.Session; nginx: keepalive 64; with proxy_http_version 1.1 in the upstream; HAProxy: http-reuse always; Envoy pools by itself";

/// The remedies for who binds without it, the program first.
pub(super) fn bind_without_port(claim: Claim) -> Claim {
    let claim = claim.remedy("set IP_BIND_ADDRESS_NO_PORT before bind(address, 0) in the program that binds");
    NO_PORT.into_iter().fold(claim, Claim::remedy)
}

/// The remedies for who ran out of source ports: the program, then the host, then the flags of this program.
pub(super) fn ports_ran_out(facts: &Facts, cause: Blocked, claim: Claim) -> Claim {
    let mut claim = claim.remedy(POOL);
    if cause == Blocked::TimeWait {
        if facts.client.close != Some(Close::Peer) {
            claim = claim.remedy("let the server close first (Connection: close from its side): it then keeps TIME_WAIT, and has no such limit");
        }
        claim = claim
            .remedy("in the program: close by RST (SO_LINGER with 0 s), where nothing unsent can be lost");
        // Without timestamps the kernel reuses nothing.
        if facts.host.tcp_timestamps == Some(0) {
            claim = claim.remedy("sysctl -w net.ipv4.tcp_timestamps=1    # tcp_tw_reuse needs it");
        }
        if !reuses(facts) {
            claim = claim.remedy(
                "sysctl -w net.ipv4.tcp_tw_reuse=1    # ports come back after 1 s (needs tcp_timestamps)",
            );
        }
    }
    let range = facts.host.ports();
    if u32::from(range.high) - u32::from(range.low) + 1 < 60_000 && facts.uses_the_range() {
        claim = claim
            .remedy("sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"    # 64,512 ports a tuple; reserve those of listeners");
    }
    if cause == Blocked::TimeWait {
        claim = claim.remedy("connstorm itself: --close rst");
    }
    let claim = more_sources(facts, claim);
    claim.remedy("choose the ports yourself: --ports explicit    # 64,512 a source address, TIME_WAIT taken again at once")
}

/// True if the kernel gives ports in TIME_WAIT away again after a second, on the way of the failing tuple.
fn reuses(facts: &Facts) -> bool {
    let to = facts.destinations.first().map(|to| to.ip());
    let from = facts.source_weights.first().map(|(from, _)| *from).or(to);
    let loopback = from.zip(to).is_some_and(|(from, to)| is_loopback_tuple(from, to));
    facts.host.tcp_tw_reuse == Some(1) || facts.host.tcp_tw_reuse == Some(2) && loopback
}

/// Sources that one command names, at most.
const MOST_SOURCES: u64 = 200;

/// More source addresses, in the form that the destination allows: all of 127.0.0.0/8 is this host's without being
/// listed; of `::1` there is one; to another host only addresses of an interface lead.
pub(super) fn more_sources(facts: &Facts, claim: Claim) -> Claim {
    let to = facts.destinations.first().copied();
    let is_local = to.is_none_or(|to| facts.is_local(to.ip()) || to.ip().is_loopback());
    let place = to.and_then(|to| facts.place(to.ip()));
    let interface = place.and_then(|place| place.route.as_ref()?.interface.clone());
    match to {
        Some(to) if to.is_ipv6() && is_local => claim.remedy(
            "more source addresses, each with its own ports: ip -6 addr add fd00:c057::2/128 dev lo    # then --source fd00:c057::2",
        ),
        _ if is_local => {
            let wanted = (facts.sources * 2).clamp(8, MOST_SOURCES);
            if facts.sources >= MOST_SOURCES {
                return claim;
            }
            claim.remedy(format!(
                "more source addresses, each with its own ports: --source 127.0.0.2-127.0.0.{}",
                wanted + 1
            ))
        }
        _ => {
            let device = interface.unwrap_or_else(|| "INTERFACE".to_owned());
            let prefix = if to.is_some_and(|to| to.is_ipv6()) { 64 } else { 24 };
            claim.remedy(format!(
                "more source addresses, each with its own ports: ip addr add ADDRESS/{prefix} dev {device}    # a free one of that network; then --source with all of them"
            ))
        }
    }
}

/// Removes what is in use already, by the settings of this host and the flags of the run.
pub(super) fn without_those_in_use(facts: &Facts, mut claim: Claim) -> Claim {
    claim.remedies.retain(|remedy| !is_in_use(facts, remedy));
    claim
}

/// True if a remedy asks for nothing but what is there.
fn is_in_use(facts: &Facts, remedy: &str) -> bool {
    if let Some((_, rest)) = remedy.split_once("sysctl -w ") {
        return sysctl_is_set(facts, rest);
    }
    let command = remedy.split("    #").next().unwrap_or_default();
    let wants = |flag: &str| {
        command.trim_end() == flag
            || command.ends_with(&format!(": {flag}"))
            || [" ", ",", ":"].iter().any(|after| command.starts_with(&format!("{flag}{after}")))
    };
    let client = &facts.client;
    let closes = [("--close rst", Close::Rst), ("--close fin", Close::Fin), ("--close peer", Close::Peer)];
    let ports_in_use = match client.ports {
        Some(PortPolicy::Explicit { .. }) => wants("--ports explicit"),
        Some(PortPolicy::Kernel) => wants("--ports kernel"),
        _ => facts.explicit_ports && wants("--ports explicit"),
    };
    // A server that closes first leaves nothing to close by RST.
    let no_close_of_ours = client.close == Some(Close::Peer) && wants("--close rst");
    ports_in_use
        || no_close_of_ours
        || closes.iter().any(|(flag, close)| client.close == Some(*close) && wants(flag))
        || client.flags.iter().any(|flag| wants(flag))
        || client.connect_timeout.is_some_and(|timeout| timeout >= LONG_TIMEOUT)
            && wants("--connect-timeout 10s")
}

/// Timeout that is proposed where one was too short.
const LONG_TIMEOUT: Duration = Duration::from_secs(10);

/// True if this host has the value of a `NAME=VALUE`, or more of what is a limit.
fn sysctl_is_set(facts: &Facts, setting: &str) -> bool {
    let Some((name, rest)) = setting.split_once('=') else { return false };
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => rest.split([' ', ';', ',']).next().unwrap_or_default(),
    };
    let host = &facts.host;
    let number = value.parse::<u64>().ok();
    let is = |now: Option<u32>| now.map(u64::from).zip(number).is_some_and(|(now, wanted)| now == wanted);
    let has = |now: Option<u64>| now.zip(number).is_some_and(|(now, wanted)| now >= wanted);
    match name {
        "net.ipv4.tcp_tw_reuse" => is(host.tcp_tw_reuse),
        "net.ipv4.tcp_timestamps" => host.tcp_timestamps.is_some_and(|now| now > 0),
        "net.ipv4.tcp_syncookies" => host.tcp_syncookies.is_some_and(|now| now > 0),
        "net.ipv4.tcp_abort_on_overflow" => host.tcp_abort_on_overflow == Some(false) && number == Some(0),
        "net.ipv4.tcp_max_syn_backlog" => has(host.tcp_max_syn_backlog),
        "net.ipv4.tcp_max_tw_buckets" => has(host.tcp_max_tw_buckets),
        "net.core.somaxconn" => has(host.somaxconn),
        "fs.file-max" => has(host.file_max),
        "net.netfilter.nf_conntrack_max" => has(host.conntrack.as_ref().map(|conntrack| conntrack.max)),
        "net.ipv4.ip_local_port_range" => {
            let range = host.ports();
            value == format!("{} {}", range.low, range.high)
        }
        "net.ipv6.conf.all.disable_ipv6" => host.disable_ipv6 == Some(false) && number == Some(0),
        _ => false,
    }
}

impl Facts {
    /// True if the run's ports are those of this host's range.
    fn uses_the_range(&self) -> bool {
        !self.explicit_ports && !matches!(self.client.ports, Some(PortPolicy::Range { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::FindingId;
    use crate::model::Side;

    #[test]
    fn the_program_goes_first_and_what_is_in_use_is_not_given() {
        let claim = || Claim::new(FindingId::PortsExhaustedByTimeWait, Side::Generator, "");
        let mut facts = Facts::default();
        let of = |facts: &Facts| {
            without_those_in_use(facts, ports_ran_out(facts, Blocked::TimeWait, claim())).remedies
        };
        let all = of(&facts);
        assert!(all[0].contains("use them again") && all.last().unwrap().contains("--ports explicit"));
        facts.host.tcp_tw_reuse = Some(1);
        facts.explicit_ports = true;
        facts.client.close = Some(Close::Rst);
        let all = of(&facts);
        for gone in ["tcp_tw_reuse", "--ports explicit", "--close rst", "ip_local_port_range"] {
            assert!(all.iter().all(|one| !one.contains(gone)), "{gone}: {all:?}");
        }
    }

    #[test]
    fn more_sources_are_of_a_kind_that_leads_to_the_destination() {
        let of = |facts: &Facts| {
            let claim = Claim::new(FindingId::PortsExhausted, Side::Generator, "");
            more_sources(facts, claim).remedies.remove(0)
        };
        let to = |address: &str, local| Facts {
            destinations: vec![address.parse().unwrap()],
            target_is_local: Some(local),
            ..Facts::default()
        };
        assert!(of(&to("127.0.0.1:80", true)).ends_with("--source 127.0.0.2-127.0.0.9"));
        let many = Facts { sources: 20, ..to("127.0.0.1:80", true) };
        assert!(of(&many).ends_with("--source 127.0.0.2-127.0.0.41"), "more than it has");
        assert!(of(&to("[::1]:80", true)).contains("ip -6 addr add"));
        let remote = of(&to("192.0.2.7:80", false));
        assert!(remote.contains("ip addr add") && !remote.contains("127.0.0"), "{remote}");
        assert!(of(&to("[2001:db8::7]:80", false)).contains("/64 dev"));
    }

    #[test]
    fn a_setting_that_this_host_has_is_no_remedy() {
        let mut facts = Facts::default();
        let host = &mut facts.host;
        (host.tcp_tw_reuse, host.tcp_timestamps, host.tcp_syncookies) = (Some(1), Some(1), Some(1));
        (host.somaxconn, host.tcp_max_syn_backlog, host.tcp_max_tw_buckets) =
            (Some(4096), Some(65_536), Some(262_144));
        (host.file_max, host.tcp_abort_on_overflow, host.disable_ipv6) =
            (Some(u64::MAX), Some(false), Some(false));
        host.ip_local_port_range = Some((1024, 65_535));
        host.conntrack = Some(crate::linux::sysctl::ConntrackSettings { max: 1 << 20, ..Default::default() });
        for setting in [
            "sysctl -w net.ipv4.tcp_tw_reuse=1    # why",
            "sysctl -w net.ipv4.tcp_timestamps=1",
            "sysctl -w net.ipv4.tcp_syncookies=1",
            "a longer queue: listen(backlog) in the server and sysctl -w net.core.somaxconn=4096    # now 4096",
            "sysctl -w net.ipv4.tcp_max_syn_backlog=65536    # with a backlog of listen() as large",
            "sysctl -w net.ipv4.tcp_max_tw_buckets=262144",
            "sysctl -w fs.file-max=2097152",
            "sysctl -w net.ipv4.tcp_abort_on_overflow=0    # wait rather than reset",
            "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"    # 64,512 ports",
            "sysctl -w net.netfilter.nf_conntrack_max=262144",
            "sysctl -w net.ipv6.conf.all.disable_ipv6=0    # in a container",
        ] {
            assert!(is_in_use(&facts, setting), "{setting}");
            assert!(!is_in_use(&Facts::default(), setting) || setting.contains("disable"), "{setting}");
        }
        assert!(!is_in_use(&facts, "sysctl -w net.ipv4.tcp_mtu_probing=1"), "not known");
    }

    #[test]
    fn a_flag_that_the_run_has_is_no_remedy() {
        let client = super::super::ClientFacts {
            close: Some(Close::Peer),
            ports: Some(PortPolicy::Kernel),
            connect_timeout: Some(Duration::from_secs(10)),
            flags: vec!["--insecure", "--server-name"],
        };
        let facts = Facts { client, ..Facts::default() };
        for remedy in [
            "--insecure for a test server of your own",
            "--server-name NAME: the name that the certificate is for",
            "connstorm itself: --close rst",
            "--close peer, if the server is meant to be the one that closes",
            "--connect-timeout 10s",
            "connstorm itself: --ports kernel",
        ] {
            assert!(is_in_use(&facts, remedy), "{remedy}");
            assert!(!is_in_use(&Facts::default(), remedy), "{remedy}");
        }
        assert!(!is_in_use(&facts, "--ca FILE: the certificate of who signed it, as PEM"));
    }

    #[test]
    fn each_language_and_proxy_has_its_line() {
        let claim = Claim::new(FindingId::PortsExhaustedByNaiveBind, Side::Generator, "");
        let all =
            ports_ran_out(&Facts::default(), Blocked::Live, bind_without_port(claim)).remedies.join("\n");
        for name in ["Go", "Java", "Node", "Python", "nginx", "HAProxy", "Envoy"] {
            assert!(all.matches(name).count() >= 2, "{name}");
        }
    }
}
