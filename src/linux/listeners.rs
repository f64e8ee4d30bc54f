//! Listening sockets with what the kernel counts for each of them alone.
//!
//! `ListenOverflows` and `ListenDrops` belong to every listener of the namespace. A listener's own drops are the
//! last word of `INET_DIAG_SKMEMINFO` (`d` in `ss -ltm`): `sk->sk_drops`, which `tcp_listendrop()` counts up.

use super::netlink::{NLM_F_DUMP, Netlink, attributes, u32_at};
use super::sock_diag::{MESSAGE_BYTES, REQUEST_BYTES, Socket, TCPDIAG_GETSOCK, parse};
use super::tcp_state::StateSet;
use rustix::net::netlink::SOCK_DIAG;
use std::io;
use std::ops::ControlFlow;

const INET_DIAG_SKMEMINFO: u16 = 7;
const INET_DIAG_SKV6ONLY: u16 = 11;
/// Place of `idiag_ext` in `struct inet_diag_req`, and of `idiag_if` in `struct inet_diag_msg`.
const EXTENSIONS_AT: usize = 3;
const INTERFACE_AT: usize = 40;
/// `SK_MEMINFO_DROPS`, the ninth word.
const DROPS_AT: usize = 8 * 4;

/// A listener in detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// The socket; its queues are [`Socket::receive_queue`] waiting of [`Socket::send_queue`].
    pub socket: Socket,
    /// Drops of this listener since it was made. Linux before 4.7 does not tell.
    pub drops: Option<u32>,
    /// `IPV6_V6ONLY`; `None` of an IPv4 socket.
    pub v6_only: Option<bool>,
    /// Index of the interface that it is bound to, where it is (`SO_BINDTODEVICE`).
    pub interface: Option<u32>,
}

/// All listeners of the calling thread's network namespace.
///
/// # Errors
/// As [`super::sock_diag::SockDiag::dump`].
pub fn all() -> io::Result<Vec<Listener>> {
    let mut body = vec![0; REQUEST_BYTES];
    body[EXTENSIONS_AT] = 1 << (INET_DIAG_SKMEMINFO - 1);
    body[52..56].copy_from_slice(&StateSet::LISTEN.mask().to_ne_bytes());
    let mut found = Vec::new();
    Netlink::open(Some(SOCK_DIAG))?.ask(TCPDIAG_GETSOCK, NLM_F_DUMP, &body, |_, body| {
        found.extend(listener(body));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn listener(body: &[u8]) -> Option<Listener> {
    let socket = parse(body)?;
    let (mut drops, mut v6_only) = (None, None);
    for (kind, value) in attributes(body.get(MESSAGE_BYTES..)?) {
        match kind {
            INET_DIAG_SKMEMINFO => drops = u32_at(value, DROPS_AT),
            INET_DIAG_SKV6ONLY => v6_only = value.first().map(|flag| *flag != 0),
            _ => {}
        }
    }
    let of_ipv6 = i32::from(*body.first()?) == libc::AF_INET6;
    let interface = u32_at(body, INTERFACE_AT).filter(|&index| index != 0);
    Some(Listener { socket, drops, v6_only: v6_only.filter(|_| of_ipv6), interface })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netns;
    use proptest::prelude::*;
    use socket2::{Domain, Type};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    fn listen(address: &str, backlog: i32, set: impl FnOnce(&socket2::Socket)) -> socket2::Socket {
        let address: SocketAddr = address.parse().unwrap();
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        set(&socket);
        socket.bind(&address.into()).unwrap();
        socket.listen(backlog).unwrap();
        socket
    }

    fn at(port: u16) -> Listener {
        *all().unwrap().iter().find(|listener| listener.socket.source.port() == port).unwrap()
    }

    #[test]
    fn drops_are_counted_for_the_listener_that_dropped_and_no_other() {
        netns::for_test(|| {
            let _full = listen("127.0.0.1:9001", 0, |_| {});
            let _other = listen("127.0.0.1:9002", 0, |_| {});
            let to: SocketAddr = "127.0.0.1:9001".parse().unwrap();
            let _held: Vec<_> =
                (0..4).map(|_| TcpStream::connect_timeout(&to, Duration::from_millis(300))).collect();
            let full = at(9001);
            assert!(full.drops >= Some(1), "{full:?}");
            assert!(full.socket.receive_queue > full.socket.send_queue, "{full:?}");
            assert_eq!(at(9002).drops, Some(0));
        });
    }

    #[test]
    fn flags_of_a_listener_are_told() {
        netns::for_test(|| {
            let _v6 = listen("[::]:9003", 1, |socket| socket.set_only_v6(true).unwrap());
            let _both = listen("[::]:9004", 1, |socket| socket.set_only_v6(false).unwrap());
            let _v4 = listen("0.0.0.0:9005", 1, |socket| socket.bind_device(Some(b"lo")).unwrap());
            assert_eq!((at(9003).v6_only, at(9004).v6_only), (Some(true), Some(false)));
            assert_eq!((at(9005).v6_only, at(9005).interface), (None, Some(1)));
            assert_eq!(at(9003).interface, None);
        });
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = listener(&bytes);
        }
    }
}
