//! Packet filter rules of the calling thread's network namespace, read and counted by what they can do to a
//! connection. For ruling causes out: where no rule drops, none has dropped.
//!
//! nf_tables is asked over netlink, which needs `CAP_NET_ADMIN`; of the older iptables it is only known whether there
//! are tables. Programs of tc, XDP and cgroups are not looked at.

use super::netlink::{NLM_F_DUMP, Netlink, attributes};
use rustix::net::netlink;
use std::io;
use std::ops::ControlFlow;

/// `linux/netfilter/nf_tables.h`.
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_GETCHAIN: u16 = NFNL_SUBSYS_NFTABLES << 8 | 4;
const NFT_MSG_GETRULE: u16 = NFNL_SUBSYS_NFTABLES << 8 | 7;
const NFPROTO_ARP: u8 = 3;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
/// `sizeof(struct nfgenmsg)`.
const HEADER_BYTES: usize = 4;
const NF_DROP: u32 = 0;

/// Rules by what they can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Rules that drop, and chains that drop what no rule lets pass.
    pub drops: u32,
    /// Rules that refuse, by ICMP or RST.
    pub rejects: u32,
    /// Rules that lead connections to another address or port (DNAT, redirect, IPVS).
    pub redirects: u32,
    /// Rules that give connections another source address or port (SNAT, masquerade).
    pub masks: u32,
    /// Rules that leave packets out of connection tracking.
    pub untracked: u32,
    /// Verdicts that can't be read: maps, queues to programs, tables of the older iptables.
    pub unread: u32,
}

impl Ruleset {
    /// True if every packet passes.
    pub fn lets_all_pass(&self) -> bool {
        self.drops == 0 && self.rejects == 0 && self.unread == 0
    }

    /// True if no connection is led elsewhere, nor gets another source.
    pub fn translates_nothing(&self) -> bool {
        self.redirects == 0 && self.masks == 0 && self.unread == 0
    }

    /// True if connection tracking sees every packet, where it is on.
    pub fn tracks_all(&self) -> bool {
        self.untracked == 0 && self.unread == 0
    }

    fn count(&mut self, name: &str, data: &[u8]) {
        match name {
            "immediate" if verdict(data) == Some(NF_DROP) => self.drops += 1,
            "reject" => self.rejects += 1,
            "redir" | "tproxy" => self.redirects += 1,
            "masq" => self.masks += 1,
            "nat" if number(data, 1) == Some(0) => self.masks += 1,
            "nat" => self.redirects += 1,
            "notrack" => self.untracked += 1,
            // A verdict that is looked up in a map: register 0.
            "lookup" if number(data, 3) == Some(0) => self.unread += 1,
            "queue" | "dup" | "fwd" | "synproxy" => self.unread += 1,
            "target" => self.count_target(data),
            _ => {}
        }
    }

    /// A target of iptables over nf_tables, by its name.
    fn count_target(&mut self, data: &[u8]) {
        let name = attributes(data).find(|(kind, _)| *kind == 1).map_or("", |(_, value)| text(value));
        match name {
            "DROP" => self.drops += 1,
            "REJECT" => self.rejects += 1,
            "DNAT" | "REDIRECT" | "TPROXY" | "NETMAP" => self.redirects += 1,
            "SNAT" | "MASQUERADE" => self.masks += 1,
            "CT" | "NOTRACK" => self.untracked += 1,
            "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "TCPMSS" | "CHECKSUM" | "TRACE" => {}
            _ => self.unread += 1,
        }
    }
}

/// Reads them.
///
/// # Errors
/// `PermissionDenied` without `CAP_NET_ADMIN` in the namespace.
pub fn read() -> io::Result<Ruleset> {
    let mut found = Ruleset { unread: legacy_tables(), redirects: virtual_services(), ..Ruleset::default() };
    match nf_tables(&mut found) {
        // This kernel has no nf_tables: there are no rules of it.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EINVAL | libc::ENOENT)
            ) =>
        {
            Ok(found)
        }
        answer => answer.map(|()| found),
    }
}

fn nf_tables(found: &mut Ruleset) -> io::Result<()> {
    let mut netlink = Netlink::open(Some(netlink::NETFILTER))?;
    let all_families = [0u8; HEADER_BYTES];
    netlink.ask(NFT_MSG_GETCHAIN, NLM_F_DUMP, &all_families, |_, body| {
        if let Some(attributes) = of_family(body)
            && number(attributes, NFTA_CHAIN_POLICY) == Some(NF_DROP)
        {
            found.drops += 1;
        }
        ControlFlow::Continue(())
    })?;
    netlink.ask(NFT_MSG_GETRULE, NLM_F_DUMP, &all_families, |_, body| {
        let lists = of_family(body).map(attributes);
        for (_, list) in lists.into_iter().flatten().filter(|(kind, _)| *kind == NFTA_RULE_EXPRESSIONS) {
            for (_, expression) in attributes(list) {
                let part = |wanted| attributes(expression).find(|(kind, _)| *kind == wanted);
                let name = part(1).map_or("", |(_, value)| text(value));
                found.count(name, part(2).map_or(&[], |(_, value)| value));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// The attributes of a message, unless it is about ARP.
fn of_family(body: &[u8]) -> Option<&[u8]> {
    (*body.first()? != NFPROTO_ARP).then(|| body.get(HEADER_BYTES..))?
}

/// Tables of the older iptables, or one where that can't be seen.
fn legacy_tables() -> u32 {
    let tables = |path| match std::fs::read_to_string(path) {
        Ok(names) => u32::try_from(names.lines().count()).unwrap_or(u32::MAX),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(_) => 1,
    };
    tables("/proc/thread-self/net/ip_tables_names") + tables("/proc/thread-self/net/ip6_tables_names")
}

/// Services of IPVS: it leads connections to other hosts.
fn virtual_services() -> u32 {
    let Ok(services) = std::fs::read_to_string("/proc/thread-self/net/ip_vs") else { return 0 };
    services.lines().filter(|line| line.starts_with("TCP") || line.starts_with("FWM")).count() as u32
}

/// The verdict of an `immediate` expression, where it holds one.
fn verdict(data: &[u8]) -> Option<u32> {
    let value = attributes(data).find(|(kind, _)| *kind == 2)?.1;
    let verdict = attributes(value).find(|(kind, _)| *kind == 2)?.1;
    number(verdict, 1)
}

/// A number of four bytes, in the order of the network.
fn number(data: &[u8], wanted: u16) -> Option<u32> {
    let (_, value) = attributes(data).find(|(kind, _)| *kind == wanted)?;
    Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?))
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value.split(|byte| *byte == 0).next().unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::firewall::{self, Rule, Verdict};
    use crate::linux::netns;

    #[test]
    fn rules_are_counted_by_what_they_do() {
        netns::for_test(|| {
            let empty = read().unwrap();
            assert_eq!(empty, Ruleset { unread: empty.unread, ..Ruleset::default() });
            let rule = |port, verdict| Rule { port: Some(port), source: None, verdict };
            firewall::add(&[
                rule(81, Verdict::Drop),
                rule(82, Verdict::RejectByIcmp),
                rule(83, Verdict::RejectByReset),
            ])
            .unwrap();
            firewall::do_not_track(84).unwrap();
            let found = read().unwrap();
            assert_eq!((found.drops, found.rejects, found.redirects, found.masks), (1, 2, 0, 0));
            assert!(found.untracked > 0 && !found.lets_all_pass() && !found.tracks_all());
            assert_eq!(found.translates_nothing(), empty.unread == 0);
        });
    }
}
