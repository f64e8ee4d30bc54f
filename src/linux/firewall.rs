//! Packet filter rules of the calling thread's network namespace, over nf_tables' own netlink interface.
//!
//! The few rules that connections die by: drop, reject, every second SYN lost, few ports to be translated to; and those
//! that switch connection tracking on, or leave a port out of it. IPv4 only. For a namespace that somebody made to try
//! something in: nothing here ever takes a rule away.

use super::netlink::{NLM_F_APPEND, NLM_F_MAKE, Netlink, push_attribute, push_nested};
use rustix::net::netlink;
use std::io;
use std::net::Ipv4Addr;

/// Rule for TCP segments that arrive here for a port.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rule {
    /// Their destination port; `None`: any.
    pub port: Option<u16>,
    /// Their source address; `None`: any.
    pub source: Option<Ipv4Addr>,
    /// Verdict on them.
    pub verdict: Verdict,
}

/// Verdict on a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The segment is gone.
    Drop,
    /// Every second connection loses its first SYN; all else passes. First SYNs are told by the bits of ECN,
    /// which Linux asks for with `tcp_ecn=1`, and no more when it sends again (RFC 3168, 6.1.1.1).
    DropEverySecondFirstSyn,
    /// The segment is answered with ICMP, port unreachable.
    RejectByIcmp,
    /// The segment is answered with RST.
    RejectByReset,
    /// The segment is gone unless it has SYN: a handshake that comes from there is never completed.
    DropAllButSyn,
}

/// `linux/netfilter/nfnetlink.h` and `nf_tables.h`.
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWTABLE: u16 = NFNL_SUBSYS_NFTABLES << 8;
const NFT_MSG_NEWCHAIN: u16 = NFNL_SUBSYS_NFTABLES << 8 | 3;
const NFT_MSG_NEWRULE: u16 = NFNL_SUBSYS_NFTABLES << 8 | 6;
const NFPROTO_IPV4: u8 = 2;

/// Every table, chain and rule of ours is in this table.
const TABLE: &[u8] = b"connstorm\0";

/// Where a chain is asked.
#[derive(Debug, Clone, Copy)]
struct Hook {
    name: &'static [u8],
    kind: &'static [u8],
    number: u32,
    priority: i32,
}

const INPUT: Hook = Hook { name: b"input\0", kind: b"filter\0", number: 1, priority: 0 };
/// Before connection tracking, which comes at -200.
const RAW_IN: Hook = Hook { name: b"raw-in\0", kind: b"filter\0", number: 0, priority: -300 };
const SOURCES: Hook = Hook { name: b"sources\0", kind: b"nat\0", number: 4, priority: 100 };
const RAW_OUT: Hook = Hook { name: b"raw-out\0", kind: b"filter\0", number: 3, priority: -300 };

/// Adds rules, in this order: the first that fits decides.
///
/// # Errors
/// EPERM without `CAP_NET_ADMIN` in the namespace; EOPNOTSUPP, ENOENT or EPROTONOSUPPORT where the kernel
/// has no nf_tables, or not one of the expressions.
pub fn add(rules: &[Rule]) -> io::Result<()> {
    let rules = rules.iter().map(|rule| Ok((INPUT, arriving(rule)?))).collect::<io::Result<Vec<_>>>()?;
    commit(&[INPUT], &rules)
}

/// Switches connection tracking on, as any rule does that asks for the state of a connection.
///
/// # Errors
/// As for [`add`].
pub fn track_connections() -> io::Result<()> {
    let mut rule = Vec::new();
    expression(&mut rule, "ct", &[(1, REGISTER), (2, 0)])?;
    commit(&[INPUT], &[(INPUT, rule)])
}

/// Leaves the connections of a port out of connection tracking, in both directions.
///
/// # Errors
/// As for [`add`].
pub fn do_not_track(port: u16) -> io::Result<()> {
    let mut rules = Vec::new();
    for hook in [RAW_IN, RAW_OUT] {
        for offset in [SOURCE_PORT, DESTINATION_PORT] {
            let mut rule = tcp()?;
            equal(&mut rule, TRANSPORT, offset, &port.to_be_bytes())?;
            expression(&mut rule, "notrack", &[])?;
            rules.push((hook, rule));
        }
    }
    commit(&[RAW_IN, RAW_OUT], &rules)
}

/// Gives TCP connections that leave this host a source port of these, as a gateway with few ports does.
///
/// # Errors
/// As for [`add`].
pub fn masquerade(low: u16, high: u16) -> io::Result<()> {
    const SECOND_REGISTER: u32 = 2;
    /// `NF_NAT_RANGE_PROTO_SPECIFIED`.
    const PORTS_ARE_GIVEN: u32 = 2;
    let mut rule = tcp()?;
    for (register, port) in [(REGISTER, low), (SECOND_REGISTER, high)] {
        push_nested(&mut rule, ELEMENT, |element| {
            push_attribute(element, NAME, b"immediate\0")?;
            push_nested(element, DATA, |data| {
                push_attribute(data, 1, &register.to_be_bytes())?;
                push_nested(data, 2, |value| push_attribute(value, 1, &port.to_be_bytes()))
            })
        })?;
    }
    expression(&mut rule, "masq", &[(1, PORTS_ARE_GIVEN), (2, REGISTER), (3, SECOND_REGISTER)])?;
    commit(&[SOURCES], &[(SOURCES, rule)])
}

/// The expressions of a rule about segments that arrive.
fn arriving(rule: &Rule) -> io::Result<Vec<u8>> {
    let mut list = tcp()?;
    if let Some(port) = rule.port {
        equal(&mut list, TRANSPORT, DESTINATION_PORT, &port.to_be_bytes())?;
    }
    if let Some(source) = rule.source {
        equal(&mut list, NETWORK, 12, &source.octets())?;
    }
    match rule.verdict {
        Verdict::Drop => drop_it(&mut list)?,
        Verdict::DropEverySecondFirstSyn => {
            // SYN, ECE and CWR without ACK, in the flags of the TCP header.
            payload(&mut list, TRANSPORT, 13, 1)?;
            masked(&mut list, 0xd2)?;
            compare(&mut list, &[0xc2])?;
            const INCREMENTAL: u32 = 0;
            expression(&mut list, "numgen", &[(1, REGISTER), (2, 2), (3, INCREMENTAL)])?;
            compare(&mut list, &0u32.to_ne_bytes())?;
            drop_it(&mut list)?;
        }
        Verdict::RejectByIcmp => {
            const PORT_UNREACHABLE: u8 = 3;
            push_nested(&mut list, ELEMENT, |element| {
                push_attribute(element, NAME, b"reject\0")?;
                push_nested(element, DATA, |data| {
                    push_attribute(data, 1, &0u32.to_be_bytes())?;
                    push_attribute(data, 2, &[PORT_UNREACHABLE])
                })
            })?;
        }
        Verdict::DropAllButSyn => {
            const SYN: u8 = 0x02;
            payload(&mut list, TRANSPORT, 13, 1)?;
            masked(&mut list, SYN)?;
            compare(&mut list, &[0])?;
            drop_it(&mut list)?;
        }
        Verdict::RejectByReset => expression(&mut list, "reject", &[(1, 1)])?,
    }
    Ok(list)
}

// Attributes that many messages share, and the one register that is used.
const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
const REGISTER: u32 = 1;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;

/// Only TCP.
fn tcp() -> io::Result<Vec<u8>> {
    const L4PROTO: u32 = 16;
    let mut list = Vec::new();
    expression(&mut list, "meta", &[(1, REGISTER), (2, L4PROTO)])?;
    compare(&mut list, &[libc::IPPROTO_TCP as u8])?;
    Ok(list)
}

fn equal(list: &mut Vec<u8>, base: u32, offset: u32, value: &[u8]) -> io::Result<()> {
    payload(list, base, offset, value.len() as u32)?;
    compare(list, value)
}

/// Bytes of a header into the register.
fn payload(list: &mut Vec<u8>, base: u32, offset: u32, length: u32) -> io::Result<()> {
    expression(list, "payload", &[(1, REGISTER), (2, base), (3, offset), (4, length)])
}

/// Goes on only where the register holds this.
fn compare(list: &mut Vec<u8>, value: &[u8]) -> io::Result<()> {
    push_nested(list, ELEMENT, |element| {
        push_attribute(element, NAME, b"cmp\0")?;
        push_nested(element, DATA, |data| {
            push_attribute(data, 1, &REGISTER.to_be_bytes())?;
            push_attribute(data, 2, &0u32.to_be_bytes())?;
            push_nested(data, 3, |value_of| push_attribute(value_of, 1, value))
        })
    })
}

/// The register's first byte, and a mask.
fn masked(list: &mut Vec<u8>, mask: u8) -> io::Result<()> {
    push_nested(list, ELEMENT, |element| {
        push_attribute(element, NAME, b"bitwise\0")?;
        push_nested(element, DATA, |data| {
            push_attribute(data, 1, &REGISTER.to_be_bytes())?;
            push_attribute(data, 2, &REGISTER.to_be_bytes())?;
            push_attribute(data, 3, &1u32.to_be_bytes())?;
            push_nested(data, 4, |value| push_attribute(value, 1, &[mask]))?;
            push_nested(data, 5, |value| push_attribute(value, 1, &[0]))
        })
    })
}

fn drop_it(list: &mut Vec<u8>) -> io::Result<()> {
    const VERDICT_REGISTER: u32 = 0;
    const NF_DROP: u32 = 0;
    push_nested(list, ELEMENT, |element| {
        push_attribute(element, NAME, b"immediate\0")?;
        push_nested(element, DATA, |data| {
            push_attribute(data, 1, &VERDICT_REGISTER.to_be_bytes())?;
            push_nested(data, 2, |value| {
                push_nested(value, 2, |verdict| push_attribute(verdict, 1, &NF_DROP.to_be_bytes()))
            })
        })
    })
}

/// An expression all of whose attributes are numbers.
fn expression(list: &mut Vec<u8>, name: &str, attributes: &[(u16, u32)]) -> io::Result<()> {
    push_nested(list, ELEMENT, |element| {
        push_attribute(element, NAME, &[name.as_bytes(), b"\0"].concat())?;
        if attributes.is_empty() {
            return Ok(());
        }
        push_nested(element, DATA, |data| {
            attributes
                .iter()
                .try_for_each(|(kind, number)| push_attribute(data, *kind, &number.to_be_bytes()))
        })
    })
}

/// One transaction: the table and the chains, where they are not there yet, and the rules.
fn commit(chains: &[Hook], rules: &[(Hook, Vec<u8>)]) -> io::Result<()> {
    const NLM_F_CREATE: u16 = NLM_F_MAKE & NLM_F_APPEND;
    let mut changes = vec![(NFNL_MSG_BATCH_BEGIN, 0, header(0, NFNL_SUBSYS_NFTABLES))];
    let mut table = header(NFPROTO_IPV4, 0);
    push_attribute(&mut table, 1, TABLE)?;
    changes.push((NFT_MSG_NEWTABLE, NLM_F_CREATE, table));
    for chain in chains {
        let mut body = header(NFPROTO_IPV4, 0);
        push_attribute(&mut body, 1, TABLE)?;
        push_attribute(&mut body, 3, chain.name)?;
        push_nested(&mut body, 4, |hook| {
            push_attribute(hook, 1, &chain.number.to_be_bytes())?;
            push_attribute(hook, 2, &chain.priority.to_be_bytes())
        })?;
        push_attribute(&mut body, 7, chain.kind)?;
        changes.push((NFT_MSG_NEWCHAIN, NLM_F_CREATE, body));
    }
    for (chain, expressions) in rules {
        let mut body = header(NFPROTO_IPV4, 0);
        push_attribute(&mut body, 1, TABLE)?;
        push_attribute(&mut body, 2, chain.name)?;
        push_nested(&mut body, 4, |list| {
            list.extend_from_slice(expressions);
            Ok(())
        })?;
        changes.push((NFT_MSG_NEWRULE, NLM_F_APPEND, body));
    }
    changes.push((NFNL_MSG_BATCH_END, 0, header(0, NFNL_SUBSYS_NFTABLES)));
    let is_frame = |kind| matches!(kind, NFNL_MSG_BATCH_BEGIN | NFNL_MSG_BATCH_END);
    Netlink::open(Some(netlink::NETFILTER))?.change_all(&changes, is_frame)
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    vec![family, 0, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netns;
    use crate::linux::proc_net::ProcNet;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    fn answer(port: u16) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_millis(300))
    }

    #[test]
    fn each_verdict_befalls_its_port_and_no_other() {
        netns::for_test(|| {
            let _listeners: Vec<_> =
                (81..=85).map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).collect();
            let rule = |port, verdict| Rule { port: Some(port), source: None, verdict };
            add(&[
                rule(81, Verdict::Drop),
                rule(82, Verdict::RejectByIcmp),
                rule(83, Verdict::RejectByReset),
            ])
            .unwrap();
            add(&[
                rule(84, Verdict::DropEverySecondFirstSyn),
                Rule { source: Some([127, 0, 0, 2].into()), ..rule(85, Verdict::Drop) },
            ])
            .unwrap();
            netns::set_sysctl("net.ipv4.tcp_ecn", "1").unwrap();
            assert_eq!(answer(81).unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(answer(82).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            assert_eq!(answer(83).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            let passed = (0..6).filter(|_| answer(84).is_ok()).count();
            assert_eq!(passed, 3);
            assert!(answer(85).is_ok(), "that rule is about another source");
            let counters = ProcNet::open().unwrap().counters().unwrap();
            assert_eq!(counters.icmp_unreachable_in, 1, "one of the two refusals was by ICMP");
        });
    }

    #[test]
    fn tracking_is_switched_on_and_a_port_left_out() {
        netns::for_test(|| {
            let _listeners: Vec<_> =
                (81..=82).map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).collect();
            let tracked = || ProcNet::open().unwrap().conntrack().unwrap().unwrap().count;
            track_connections().unwrap();
            do_not_track(82).unwrap();
            let before = tracked();
            let _first = answer(81).unwrap();
            assert_eq!(tracked(), before + 1);
            let _second = answer(82).unwrap();
            assert_eq!(tracked(), before + 1);
        });
    }
}
