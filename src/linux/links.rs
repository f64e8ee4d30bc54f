//! Links, addresses and routes of the calling thread's network namespace: changes, over rtnetlink.
//!
//! For a namespace that somebody made to try something in. Each change is made when the function returns.

use super::netlink::{NLM_F_MAKE, Netlink, push_attribute, push_nested};
use super::netns::Namespace;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_SETNEIGHTBL: u16 = 67;

/// `linux/if_link.h`, `linux/veth.h`, `linux/neighbour.h`.
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_RETRANS_TIME: u16 = 5;

/// Makes a cable: a pair of interfaces, one here and one in another namespace.
///
/// # Errors
/// What the kernel returns: EOPNOTSUPP where it has no `veth`, EPERM without `CAP_NET_ADMIN` in either.
pub fn add_cable(here: &str, there: &str, other: &Namespace) -> io::Result<()> {
    let mut body = interface(0, 0);
    push_attribute(&mut body, IFLA_IFNAME, &named(here))?;
    push_nested(&mut body, IFLA_LINKINFO, |info| {
        push_attribute(info, IFLA_INFO_KIND, b"veth")?;
        push_nested(info, IFLA_INFO_DATA, |data| {
            push_nested(data, VETH_INFO_PEER, |peer| {
                peer.extend(interface(0, 0));
                push_attribute(peer, IFLA_IFNAME, &named(there))?;
                push_attribute(peer, IFLA_NET_NS_FD, &other.as_raw_fd().to_ne_bytes())
            })
        })
    })?;
    Netlink::open(None)?.change(RTM_NEWLINK, NLM_F_MAKE, &body)
}

/// Switches an interface on.
///
/// # Errors
/// ENODEV where there is none of that name; EPERM.
pub fn set_up(name: &str) -> io::Result<()> {
    let up = libc::IFF_UP.cast_unsigned();
    Netlink::open(None)?.change(RTM_NEWLINK, 0, &interface(index(name)?, up))
}

/// Gives an interface an address, with the network of so many bits around it.
///
/// # Errors
/// ENODEV where there is no such interface; EEXIST where it has the address; EPERM.
pub fn add_address(name: &str, address: Ipv4Addr, bits: u8) -> io::Result<()> {
    let mut body = vec![libc::AF_INET as u8, bits, 0, libc::RT_SCOPE_UNIVERSE];
    body.extend(index(name)?.to_ne_bytes());
    push_attribute(&mut body, libc::IFA_LOCAL, &address.octets())?;
    push_attribute(&mut body, libc::IFA_ADDRESS, &address.octets())?;
    Netlink::open(None)?.change(RTM_NEWADDR, NLM_F_MAKE, &body)
}

/// Sends everything that has no nearer route to a gateway.
///
/// # Errors
/// ENETUNREACH where the gateway is in no network of ours; EEXIST where there is such a route; EPERM.
pub fn add_default_route(gateway: Ipv4Addr) -> io::Result<()> {
    // struct rtmsg: family, both lengths, tos, table, protocol, scope, type, flags.
    let mut body = vec![libc::AF_INET as u8, 0, 0, 0];
    body.extend([libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST]);
    body.extend(0u32.to_ne_bytes());
    push_attribute(&mut body, libc::RTA_GATEWAY, &gateway.octets())?;
    Netlink::open(None)?.change(RTM_NEWROUTE, NLM_F_MAKE, &body)
}

/// Sets after how many milliseconds an ARP question is asked again; after the third without an answer the
/// host counts as unreachable. (The sysctl of it is hidden in the namespaces of unprivileged users.)
///
/// # Errors
/// ENODEV where there is no such interface; EPERM.
pub fn set_arp_retry(name: &str, milliseconds: u64) -> io::Result<()> {
    let mut body = vec![libc::AF_INET as u8, 0, 0, 0];
    push_attribute(&mut body, NDTA_NAME, b"arp_cache\0")?;
    let index = index(name)?;
    push_nested(&mut body, NDTA_PARMS, |parameters| {
        push_attribute(parameters, NDTPA_IFINDEX, &index.to_ne_bytes())?;
        push_attribute(parameters, NDTPA_RETRANS_TIME, &milliseconds.to_ne_bytes())
    })?;
    Netlink::open(None)?.change(RTM_SETNEIGHTBL, 0, &body)
}

/// `struct ifinfomsg`: these flags are set, all others stay.
fn interface(index: u32, flags: u32) -> Vec<u8> {
    let mut body = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body.extend(flags.to_ne_bytes());
    body
}

pub(super) fn index(name: &str) -> io::Result<u32> {
    let any = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    Ok(rustix::net::netdevice::name_to_index(any, name)?)
}

fn named(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::{addresses, netns};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn two_namespaces_are_joined_by_a_cable() {
        netns::for_test(|| {
            let (to_us, ready) = std::sync::mpsc::channel();
            let (to_them, joined) = std::sync::mpsc::channel::<()>();
            let server = std::thread::spawn(move || {
                netns::enter_new().unwrap();
                to_us.send(Namespace::current().unwrap()).unwrap();
                joined.recv().unwrap();
                add_address("there", [10, 9, 8, 2].into(), 24).unwrap();
                set_up("there").unwrap();
                let listener = TcpListener::bind("10.9.8.2:80").unwrap();
                to_us.send(Namespace::current().unwrap()).unwrap();
                listener.accept().unwrap().1
            });
            let other = ready.recv().unwrap();
            add_cable("here", "there", &other).unwrap();
            add_address("here", [10, 9, 8, 1].into(), 24).unwrap();
            set_up("here").unwrap();
            to_them.send(()).unwrap();
            ready.recv().unwrap();
            let stream = TcpStream::connect("10.9.8.2:80").unwrap();
            assert_eq!(server.join().unwrap(), stream.local_addr().unwrap());

            add_default_route([10, 9, 8, 2].into()).unwrap();
            let route = addresses::route_to([192, 0, 2, 1].into()).unwrap().unwrap();
            assert_eq!(route.gateway, Some([10, 9, 8, 2].into()));
            // Nobody has this address: three questions, 10 ms each, and the host is unreachable.
            set_arp_retry("here", 10).unwrap();
            let error = TcpStream::connect("10.9.8.99:80").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
        });
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        netns::for_test(|| {
            assert!(set_up("nosuch").is_err());
            assert!(add_default_route([192, 0, 2, 1].into()).is_err());
            assert!(add_address("lo", [127, 0, 0, 1].into(), 8).is_err(), "it has that one");
        });
    }
}
