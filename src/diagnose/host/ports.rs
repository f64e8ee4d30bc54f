//! Source ports, and what TIME_WAIT does to them.

use super::{Area, Check, Severity};
use crate::linux::sysctl::HostSettings;
use crate::model::{PortPolicy, TIME_WAIT};

/// Seconds in TIME_WAIT, for the texts.
const TIME_WAIT_S: u64 = TIME_WAIT.as_secs();
/// The ports from 1024 up. A cap on TIME_WAIT below it can bite before one single tuple is full.
const ALL_PORTS: u64 = 64_512;

pub(super) fn checks(settings: &HostSettings) -> Vec<Check> {
    let checks = [
        range(settings),
        reserved(settings),
        reuse(settings),
        timestamps(settings),
        buckets(settings),
        fin_timeout(settings),
    ];
    checks.into_iter().flatten().collect()
}

fn check(name: &str, value: impl ToString, worth: Severity, why: impl Into<String>) -> Check {
    Check::new(Area::Ports, name, value, worth, why)
}

fn range(settings: &HostSettings) -> Option<Check> {
    let name = "net.ipv4.ip_local_port_range";
    let Some((low, high)) = settings.ip_local_port_range else {
        return Some(Check::unseen(Area::Ports, name, "the ports that connect() chooses from"));
    };
    let ports = settings.port_settings();
    let usable = ports.usable(PortPolicy::Kernel);
    let why = format!(
        "{usable} ports for each source address and destination. connect() slows down at {}, and \
         fails with \"Cannot assign requested address\" after {usable}: {} short connections a second, closed by this \
         side, are too many without tcp_tw_reuse",
        ports.tried_first(PortPolicy::Kernel).unwrap_or(usable),
        (f64::from(usable) / ports.longest_time_wait()) as u64 + 1
    );
    let value = format!("{low} {high}");
    Some(if usable >= 50_000 {
        check(name, value, Severity::Ok, why)
    } else {
        let worth = if usable < 10_000 { Severity::Warning } else { Severity::Note };
        let why = format!("{why}. Leave listeners' ports out by ip_local_reserved_ports when widening it");
        check(name, value, worth, why).change("sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"")
    })
}

fn reserved(settings: &HostSettings) -> Option<Check> {
    let name = "net.ipv4.ip_local_reserved_ports";
    settings.ip_local_port_range?;
    let inside = settings.port_settings().reserved_in_use(PortPolicy::Kernel);
    if settings.ip_local_reserved_ports.is_empty() {
        return Some(check(name, "none", Severity::Ok, "no port is left out of the range"));
    }
    let worth = if inside == 0 { Severity::Ok } else { Severity::Note };
    let why = format!("{inside} ports of the range are left out of connect()'s choice");
    Some(check(name, &settings.ip_local_reserved_ports, worth, why))
}

fn reuse(settings: &HostSettings) -> Option<Check> {
    let name = "net.ipv4.tcp_tw_reuse";
    let Some(reuse) = settings.tcp_tw_reuse else {
        return Some(Check::unseen(Area::Ports, name, "whether connect() takes ports in TIME_WAIT again"));
    };
    let delay = settings.tcp_tw_reuse_delay_ms;
    let value = match delay {
        Some(delay) => format!("{reuse} (tcp_tw_reuse_delay {delay} ms)"),
        None => reuse.to_string(),
    };
    let after = delay.unwrap_or(1000);
    if reuse != 0 && settings.tcp_timestamps == Some(0) {
        let why = "without effect: it needs tcp_timestamps, which is off";
        return Some(
            check(name, value, Severity::Warning, why).change("sysctl -w net.ipv4.tcp_timestamps=1"),
        );
    }
    let mend = "sysctl -w net.ipv4.tcp_tw_reuse=1";
    Some(match reuse {
        1 => check(name, value, Severity::Ok, format!("connect() takes a port in TIME_WAIT again after {after} ms")),
        2 => check(
            name,
            value,
            Severity::Note,
            format!(
                "on loopback only: there a port in TIME_WAIT is taken again after {after} ms, to other hosts after \
                 {TIME_WAIT_S} s. 1 is the real answer for short outgoing connections"
            ),
        )
        .change(mend),
        _ => check(
            name,
            value,
            Severity::Note,
            format!(
                "a port in TIME_WAIT stays taken for {TIME_WAIT_S} s. 1 is the real answer for short outgoing connections"
            ),
        )
        .change(mend),
    })
}

fn timestamps(settings: &HostSettings) -> Option<Check> {
    let (name, value) = ("net.ipv4.tcp_timestamps", settings.tcp_timestamps?);
    Some(if value == 0 {
        let why = "off: neither tcp_tw_reuse nor explicit source ports can take a port in TIME_WAIT again";
        check(name, value, Severity::Warning, why).change("sysctl -w net.ipv4.tcp_timestamps=1")
    } else {
        check(name, value, Severity::Ok, "on, as taking ports in TIME_WAIT again needs it")
    })
}

fn buckets(settings: &HostSettings) -> Option<Check> {
    let (name, value) = ("net.ipv4.tcp_max_tw_buckets", settings.tcp_max_tw_buckets?);
    Some(if value < ALL_PORTS {
        let why = "above it TIME_WAIT sockets are destroyed at once (TCPTimeWaitOverflow): that hides ports running \
                   out, and lets a late segment of an old connection into a new one (RFC 1337). Guides that lower \
                   it are outdated";
        check(name, value, Severity::Warning, why).change("sysctl -w net.ipv4.tcp_max_tw_buckets=262144")
    } else {
        check(
            name,
            value,
            Severity::Ok,
            "TIME_WAIT sockets of the whole namespace before they are destroyed at once",
        )
    })
}

fn fin_timeout(settings: &HostSettings) -> Option<Check> {
    let (name, value) = ("net.ipv4.tcp_fin_timeout", settings.tcp_fin_timeout?);
    let why = format!(
        "the time in FIN_WAIT_2, for connections whose peer does not close. It does not shorten TIME_WAIT, as is often \
         said: that lasts {TIME_WAIT_S} s, fixed in the kernel"
    );
    Some(check(name, format!("{value} s"), if value == 60 { Severity::Ok } else { Severity::Note }, why))
}
