//! Fills the connection tracking of the calling thread's network namespace with entries of connections
//! that never were.
//!
//! `nf_conntrack_max` can be set in the first namespace only, but every namespace counts for itself: so a
//! table that is full can be had by anybody, in a namespace of their own. An entry takes some 320 bytes of
//! kernel memory, which is free again when the namespace has gone.

use super::netlink::{NLM_F_MAKE, Netlink, push_attribute, push_nested};
use rustix::net::netlink;
use std::io;

const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_NEW: u16 = NFNL_SUBSYS_CTNETLINK << 8;
const CTA_TUPLE_ORIG: u16 = 1;
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
    tuple(&mut body, CTA_TUPLE_ORIG, client, server)?;
    tuple(&mut body, CTA_TUPLE_REPLY, server, client)?;
    push_attribute(&mut body, CTA_STATUS, &STATUS.to_be_bytes())?;
    push_attribute(&mut body, CTA_TIMEOUT, &600u32.to_be_bytes())?;
    Ok(body)
}

fn tuple(body: &mut Vec<u8>, kind: u16, from: (u32, u16), to: (u32, u16)) -> io::Result<()> {
    push_nested(body, kind, |tuple| {
        push_nested(tuple, 1, |addresses| {
            push_attribute(addresses, 1, &from.0.to_be_bytes())?;
            push_attribute(addresses, 2, &to.0.to_be_bytes())
        })?;
        push_nested(tuple, 2, |protocol| {
            push_attribute(protocol, 1, &[libc::IPPROTO_UDP as u8])?;
            push_attribute(protocol, 2, &from.1.to_be_bytes())?;
            push_attribute(protocol, 3, &to.1.to_be_bytes())
        })
    })
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
}
