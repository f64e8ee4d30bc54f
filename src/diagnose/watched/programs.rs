//! Remedies for a program that runs out of ports: its own setting where its name tells which one, then what every
//! program can do, then the host.

use super::{TupleSeen, WatchedFacts};
use crate::diagnose::FindingId;
use crate::diagnose::claim::Claim;
use crate::diagnose::remedies::bind_without_port;

/// Beginnings of names (`/proc/PID/comm`) of programs that open a connection for each request unless told otherwise, and
/// what tells them.
const KEEP_ALIVE: &[(&str, &str)] = &[
    ("ab", "ab: add -k (keep-alive); without it ab opens a connection for each request"),
    ("hey", "hey: leave out -disable-keepalive"),
    ("wrk", "wrk: leave out -H 'Connection: close'"),
    ("siege", "siege: connection = keep-alive in ~/.siege/siege.conf"),
    ("k6", "k6: noConnectionReuse: false and noVUConnectionReuse: false in options"),
    (
        "curl",
        "curl: give one curl several URLs, or --config with several; each curl process has a connection of its own",
    ),
    ("wget", "wget: give one wget several URLs; each process has a connection of its own"),
    (
        "haproxy",
        "HAProxy, in the backend: http-reuse always, and neither option httpclose nor option http-server-close; for mode tcp: more server lines or source ADDRESS lines",
    ),
    (
        "nginx",
        "nginx: keepalive 64; in the upstream block, with proxy_http_version 1.1; and proxy_set_header Connection \"\"; in the location",
    ),
    (
        "envoy",
        "Envoy: max_requests_per_connection unset in the cluster, and circuit_breakers.max_connections below the ports",
    ),
    ("apache2", "Apache: ProxyPass with keepalive=On and enablereuse=On, and no SetEnv proxy-nokeepalive"),
    ("httpd", "Apache: ProxyPass with keepalive=On and enablereuse=On, and no SetEnv proxy-nokeepalive"),
    (
        "node",
        "Node: http.globalAgent = new http.Agent({ keepAlive: true, maxSockets: 64 }), or undici's fetch; agent: false opens a connection for each request",
    ),
    (
        "python",
        "Python: one requests.Session() (or httpx.Client(), aiohttp.ClientSession()) for the whole program; requests.get() opens a connection for each call",
    ),
    (
        "gunicorn",
        "Python: one requests.Session() for the whole worker; requests.get() opens a connection for each call",
    ),
    (
        "uwsgi",
        "Python: one requests.Session() for the whole worker; requests.get() opens a connection for each call",
    ),
    (
        "celery",
        "Python: one requests.Session() for the whole worker; requests.get() opens a connection for each call",
    ),
    (
        "php",
        "PHP: one curl handle (curl_init) for all requests, or CURLOPT_SHARE; persistent connections (pconnect) for databases",
    ),
    ("ruby", "Ruby: Net::HTTP.start with a block for all requests, or net-http-persistent"),
    ("java", "Java: one HttpClient for the whole program, and read each response to its end"),
    ("squid", "squid: server_persistent_connections on"),
    ("traefik", "Traefik: serversTransport.maxIdleConnsPerHost raised"),
];

/// Fewer connections for the same work, where the name says nothing.
const POOL: &str = "keep connections open and use them again (a pool, HTTP keep-alive); Go: one http.Client, with MaxIdleConnsPerHost raised and each Body read to its end and closed";

/// A claim with the remedies for what keeps the ports of a tuple: the program's, then the host's. None that is in use.
pub(super) fn remedies(facts: &WatchedFacts, tuple: &TupleSeen, cause: FindingId, claim: Claim) -> Claim {
    use FindingId as Id;
    let claim = match cause {
        Id::PortsExhaustedByNaiveBind | Id::PortsExhaustedByPoisonedBuckets => bind_without_port(claim),
        Id::PortsExhaustedByCloseWait => {
            claim.remedy("close each connection that the peer has closed (read() gives 0 bytes)")
        }
        Id::PortsExhaustedByFinWait2 => claim
            .remedy("let the server close its side when it reads the end; until then: shorter net.ipv4.tcp_fin_timeout")
            .remedy("sysctl -w net.ipv4.tcp_fin_timeout=10"),
        Id::PortsExhaustedByLiveConnections => claim
            .remedy("fewer connections at once: a bound on the pool; or more destinations (addresses or ports of the server)"),
        _ => keep_alive(tuple, claim),
    };
    host(facts, tuple, cause, claim)
}

fn keep_alive(tuple: &TupleSeen, claim: Claim) -> Claim {
    let of = |name: &str| {
        let whole = |begin: &str| name == begin || (begin.len() > 3 && name.starts_with(begin));
        KEEP_ALIVE.iter().find(|(begin, _)| whole(begin) || (*begin == "php" && name.starts_with("php")))
    };
    let mut known: Vec<&str> = tuple.holders.iter().filter_map(|holder| Some(of(&holder.name)?.1)).collect();
    known.dedup();
    match known.is_empty() {
        true => claim.remedy(POOL),
        false => known.into_iter().fold(claim, Claim::remedy),
    }
}

fn host(facts: &WatchedFacts, tuple: &TupleSeen, cause: FindingId, mut claim: Claim) -> Claim {
    let time_wait = cause == FindingId::PortsExhaustedByTimeWait || cause == FindingId::PortsExhausted;
    if time_wait {
        claim = claim.remedy("let the server close first (Connection: close from its side): it then keeps TIME_WAIT, and has no such limit");
        let reuses = tuple.ceiling_per_s.is_some() || facts.host.tcp_tw_reuse == Some(1);
        if !reuses {
            claim = claim.remedy(
                "sysctl -w net.ipv4.tcp_tw_reuse=1    # ports come back after 1 s (needs tcp_timestamps)",
            );
        }
    }
    let range = facts.host.ports();
    if u32::from(range.high) - u32::from(range.low) + 1 < 60_000 {
        claim = claim.remedy(
            "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"    # 64,512 ports a tuple; reserve those of listeners",
        );
    }
    claim
}
