//! Queues: of listeners for connections that are half open or complete, and of the network.

use super::{Area, Check, Severity};
use crate::linux::sysctl::HostSettings;

/// Default of Linux since 5.4.
const SOMAXCONN: u64 = 4096;

pub(super) fn checks(settings: &HostSettings) -> Vec<Check> {
    let checks = [
        somaxconn(settings),
        syn_backlog(settings),
        syncookies(settings),
        abort_on_overflow(settings),
        netdev(settings),
    ];
    checks.into_iter().flatten().collect()
}

fn somaxconn(settings: &HostSettings) -> Option<Check> {
    let (name, value) = ("net.core.somaxconn", settings.somaxconn?);
    let why = "bounds the accept queue of every listener: the queue is the smaller of it and of the backlog that \
               the program asks listen() for, so raising it alone changes nothing";
    Some(if value < SOMAXCONN {
        Check::new(Area::Queues, name, value, Severity::Note, why)
            .change("sysctl -w net.core.somaxconn=65535")
    } else {
        Check::new(Area::Queues, name, value, Severity::Ok, why)
    })
}

fn syn_backlog(settings: &HostSettings) -> Option<Check> {
    let (name, value) = ("net.ipv4.tcp_max_syn_backlog", settings.tcp_max_syn_backlog?);
    let why = "half-open connections remembered for a listener, and only where SYN cookies are off; never more than \
               the listener's backlog";
    Some(Check::new(Area::Queues, name, value, Severity::Ok, why))
}

fn syncookies(settings: &HostSettings) -> Option<Check> {
    let (name, value) = ("net.ipv4.tcp_syncookies", settings.tcp_syncookies?);
    Some(if value == 0 {
        let why = "off: SYNs above tcp_max_syn_backlog are dropped, and connections time out in a burst";
        Check::new(Area::Queues, name, value, Severity::Note, why)
            .change("sysctl -w net.ipv4.tcp_syncookies=1")
    } else {
        Check::new(
            Area::Queues,
            name,
            value,
            Severity::Ok,
            "a full queue of half-open connections drops nothing",
        )
    })
}

fn abort_on_overflow(settings: &HostSettings) -> Option<Check> {
    let (name, on) = ("net.ipv4.tcp_abort_on_overflow", settings.tcp_abort_on_overflow?);
    Some(if on {
        let why = "a full accept queue answers with RST: clients see \"Connection reset by peer\" where a SYN sent \
                   again would have found room";
        Check::new(Area::Queues, name, 1, Severity::Warning, why)
            .change("sysctl -w net.ipv4.tcp_abort_on_overflow=0")
    } else {
        let why = "a full accept queue drops the handshake's last segment, and the client tries again";
        Check::new(Area::Queues, name, 0, Severity::Ok, why)
    })
}

fn netdev(settings: &HostSettings) -> Option<Check> {
    let (name, value) = ("net.core.netdev_max_backlog", settings.netdev_max_backlog?);
    let why = "packets waiting for one CPU; matters only where /proc/net/softnet_stat counts drops";
    Some(Check::new(Area::Queues, name, value, Severity::Ok, why))
}
