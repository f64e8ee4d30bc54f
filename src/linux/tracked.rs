//! Entries of connection tracking: is there one for a connection, and entries of connections that never were,
//! to fill the table of the calling thread's network namespace.
//!
//! `nf_conntrack_max` can be set in the first namespace only, but every namespace counts for itself: so a
//! table that is full can be had by anybody, in a namespace of their own. An entry takes some 320 bytes of
//! kernel memory, which is free again when the namespace has gone.

use super::netlink::{NLM_F_ACK, NLM_F_MAKE, Netlink, push_attribute, push_nested};
use rustix::net::netlink;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;

const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_NEW: u16 = NFNL_SUBSYS_CTNETLINK << 8;
const IPCTNL_MSG_CT_GET: u16 = NFNL_SUBSYS_CTNETLINK << 8 | 1;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_TIMEOUT: u16 = 7;
/// Seen a reply, assured, confirmed: never dropped early to make room.
const STATUS: u32 = 1 << 1 | 1 << 2 | 1 << 3;

/// Adds so many entries, each of a UDP flow between addresses kept for documentation (RFC 5737), which
/// last ten minutes. Returns how many found room.
///
/// # Errors
/// EPERM without `CAP_NET_ADMIN`; EOPNOTSUPP or EPROTONOSUPPORT where the kernel has no ctnetlink.
pub fn fill(entries: u64) -> io::Result<u64> {
    const AT_ONCE: u64 = 128;
    let mut netlink = Netlink::open(Some(netlink::NETFILTER))?;
    let mut made = 0;
    while made < entries {
        let next = made..entries.min(made + AT_ONCE);
        let changes = next
            .clone()
            .map(|n| Ok((IPCTNL_MSG_CT_NEW, NLM_F_MAKE, entry(n as u32)?)))
            .collect::<io::Result<Vec<_>>>()?;
        match netlink.change_all(&changes, |_| false) {
            Ok(()) => made = next.end,
            // The table is full.
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => return Ok(made),
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

/// `struct nfgenmsg` and the attributes of the entry of this number.
fn entry(number: u32) -> io::Result<Vec<u8>> {
    let mut body = vec![libc::AF_INET as u8, 0, 0, 0];
    // 198.18.0.0/15 is the network of benchmarks (RFC 2544): 2^17 addresses, a few ports each.
    let client = (0xc612_0000 | number & 0x1_ffff, 1024 + (number >> 17) as u16);
    let server = (0xc000_0201u32, 53u16);
    let of = |(address, port): (u32, u16)| (Ipv4Addr::from_bits(address).into(), port);
    tuple(&mut body, CTA_TUPLE_ORIG, libc::IPPROTO_UDP, of(client), of(server))?;
    tuple(&mut body, CTA_TUPLE_REPLY, libc::IPPROTO_UDP, of(server), of(client))?;
    push_attribute(&mut body, CTA_STATUS, &STATUS.to_be_bytes())?;
    push_attribute(&mut body, CTA_TIMEOUT, &600u32.to_be_bytes())?;
    Ok(body)
}

/// A connection: its two ends, of one family.
fn tuple(
    body: &mut Vec<u8>,
    kind: u16,
    protocol: i32,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
) -> io::Result<()> {
    push_nested(body, kind, |tuple| {
        push_nested(tuple, CTA_TUPLE_IP, |addresses| match (from.0, to.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                push_attribute(addresses, 1, &from.octets())?;
                push_attribute(addresses, 2, &to.octets())
            }
            (from, to) => {
                push_attribute(addresses, 3, &as_v6(from))?;
                push_attribute(addresses, 4, &as_v6(to))
            }
        })?;
        push_nested(tuple, CTA_TUPLE_PROTO, |ports| {
            push_attribute(ports, 1, &[protocol as u8])?;
            push_attribute(ports, 2, &from.1.to_be_bytes())?;
            push_attribute(ports, 3, &to.1.to_be_bytes())
        })
    })
}

fn as_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// True if connection tracking has an entry for a TCP connection of this host's.
///
/// # Errors
/// EPERM without `CAP_NET_ADMIN`; EOPNOTSUPP, EPROTONOSUPPORT or EINVAL where the kernel has no ctnetlink.
pub fn has_entry(source: SocketAddr, destination: SocketAddr) -> io::Result<bool> {
    let family = if source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut body = vec![family as u8, 0, 0, 0];
    let (from, to) = ((source.ip(), source.port()), (destination.ip(), destination.port()));
    tuple(&mut body, CTA_TUPLE_ORIG, libc::IPPROTO_TCP, from, to)?;
    // The kernel marks the answer as one of several, and tells its end only where that was asked for.
    let answer = Netlink::open(Some(netlink::NETFILTER))?
        .ask(IPCTNL_MSG_CT_GET, NLM_F_ACK, &body, |_, _| ControlFlow::Continue(()));
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::proc_net::ProcNet;
    use crate::linux::{firewall, netns};

    #[test]
    fn entries_are_counted_in_their_namespace() {
        netns::for_test(|| {
            firewall::track_connections().unwrap();
            assert_eq!(fill(300).unwrap(), 300);
            assert_eq!(ProcNet::open().unwrap().conntrack().unwrap().unwrap().count, 300);
        });
    }

    #[test]
    fn a_tracked_connection_has_an_entry_and_one_left_out_has_none() {
        netns::for_test(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:9001").unwrap();
            let to = listener.local_addr().unwrap();
            let before = std::net::TcpStream::connect(to).unwrap();
            let from = before.local_addr().unwrap();
            firewall::track_connections().unwrap();
            assert!(!has_entry(from, to).unwrap());
            let after = std::net::TcpStream::connect(to).unwrap();
            assert!(has_entry(after.local_addr().unwrap(), to).unwrap());
        });
    }
}
