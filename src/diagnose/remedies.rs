//! Remedies that several findings share: what mends the user's program first, then the host, then the flags of this
//! program.

use super::claim::Claim;
use super::{Blocked, Facts};

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

/// The remedies for who ran out of source ports: the program, then the host, then the flags of this program. None
/// that is in use already.
pub(super) fn ports_ran_out(facts: &Facts, cause: Blocked, claim: Claim) -> Claim {
    let mut claim = claim.remedy(POOL);
    if cause == Blocked::TimeWait {
        claim = claim
            .remedy("let the server close first (Connection: close from its side): it then keeps TIME_WAIT, and has no such limit");
        if facts.host.tcp_tw_reuse != Some(1) {
            claim = claim.remedy(
                "sysctl -w net.ipv4.tcp_tw_reuse=1    # ports come back after 1 s (needs tcp_timestamps)",
            );
        }
    }
    let range = facts.host.ports();
    if u32::from(range.high) - u32::from(range.low) + 1 < 60_000 {
        claim = claim
            .remedy("sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"    # 64,512 ports a tuple; reserve those of listeners");
    }
    if cause == Blocked::TimeWait {
        claim = claim.remedy("close by RST (SO_LINGER 0): --close rst");
    }
    claim = claim.remedy("more source addresses, each with its own ports: --source 127.0.0.2-127.0.0.9");
    if facts.explicit_ports {
        return claim;
    }
    claim.remedy("choose the ports yourself: --ports explicit    # 64,512 a source address, TIME_WAIT taken again at once")
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
        let all = ports_ran_out(&facts, Blocked::TimeWait, claim()).remedies;
        assert!(all[0].contains("use them again") && all.last().unwrap().contains("--ports explicit"));
        facts.host.tcp_tw_reuse = Some(1);
        facts.explicit_ports = true;
        let all = ports_ran_out(&facts, Blocked::TimeWait, claim()).remedies;
        assert!(
            all.iter().all(|one| !one.contains("tcp_tw_reuse") && !one.contains("--ports explicit")),
            "{all:?}"
        );
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
