//! The kernel's knowledge of one connection: `TCP_INFO`.

use super::netlink::u32_at;
use super::tcp_state::TcpState;
use crate::model::AtTimeout;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// `struct tcp_info` (include/uapi/linux/tcp.h) up to `tcpi_total_retrans`. It only ever grew at its end.
const KNOWN_BYTES: usize = 104;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// State.
    pub state: TcpState,
    /// Retransmits of what is on its way now; of the SYN while it is being connected.
    pub retransmits: u8,
    /// Retransmits since the connection was begun. Linux before 2.6.32 does not tell.
    pub total_retransmits: Option<u32>,
    /// Segments sent and not acknowledged; a SYN is one. 0 for a listener.
    pub unacknowledged: u32,
    /// Time until the retransmit timer fires.
    pub retransmit_timeout: Duration,
    /// Smoothed round-trip time; zero while there is no measurement.
    pub round_trip: Duration,
    /// Mean deviation of the round trip.
    pub round_trip_variation: Duration,
    /// For a listener: connections waiting for accept(), and the backlog.
    pub accept_queue: Option<(u32, u32)>,
}

impl TcpInfo {
    /// Asks for a socket, whatever its state.
    ///
    /// # Errors
    /// ENOPROTOOPT or EOPNOTSUPP when it is no TCP socket; `InvalidData` when the answer is too short to
    /// hold a state, or the state is unknown.
    pub fn of(socket: impl AsFd) -> io::Result<TcpInfo> {
        let mut bytes = [0u8; KNOWN_BYTES];
        let mut length = KNOWN_BYTES as libc::socklen_t;
        // SAFETY: the buffer and its length are ours and live throughout; the kernel writes no more than that.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if answer < 0 {
            return Err(io::Error::last_os_error());
        }
        let length = usize::try_from(length).unwrap_or_default().min(KNOWN_BYTES);
        parse(&bytes[..length])
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "TCP_INFO is not understood"))
    }
}

impl From<TcpInfo> for AtTimeout {
    fn from(info: TcpInfo) -> AtTimeout {
        let round_trip_us = u32::try_from(info.round_trip.as_micros()).ok().filter(|&us| us > 0);
        AtTimeout {
            unacknowledged: info.unacknowledged,
            retransmits: info.retransmits.into(),
            total_retransmits: info.total_retransmits,
            round_trip_us,
        }
    }
}

/// Tolerates an answer cut short anywhere behind the state; what is missing is zero.
fn parse(bytes: &[u8]) -> Option<TcpInfo> {
    let state = TcpState::from_number(*bytes.first()?)?;
    let micros = |at| Duration::from_micros(u64::from(u32_at(bytes, at).unwrap_or_default()));
    // A listener's queue stands where other sockets have unacknowledged and selectively acknowledged segments.
    let accept_queue = (state == TcpState::Listen).then(|| Some((u32_at(bytes, 24)?, u32_at(bytes, 28)?)));
    Some(TcpInfo {
        state,
        retransmits: bytes.get(2).copied().unwrap_or_default(),
        total_retransmits: u32_at(bytes, 100),
        unacknowledged: if state == TcpState::Listen { 0 } else { u32_at(bytes, 24).unwrap_or_default() },
        retransmit_timeout: micros(8),
        round_trip: micros(68),
        round_trip_variation: micros(72),
        accept_queue: accept_queue.flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netns;
    use proptest::prelude::*;
    use socket2::{Domain, Socket, Type};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    #[test]
    fn connected_listening_and_unconnected() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let info = TcpInfo::of(&client).unwrap();
        assert_eq!(info.state, TcpState::Established);
        assert_eq!((info.retransmits, info.total_retransmits), (0, Some(0)));
        assert!(info.round_trip > Duration::ZERO);
        assert_eq!(TcpInfo::of(&listener).unwrap().accept_queue, Some((1, 128)));
        let unconnected = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert_eq!(TcpInfo::of(&unconnected).unwrap().state, TcpState::Close);
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(TcpInfo::of(&udp).is_err());
    }

    #[test]
    fn a_syn_without_an_answer_is_retransmitted() {
        netns::for_test(|| {
            // A full accept queue lets the SYN fall.
            let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let address: SocketAddr = "127.0.0.1:9001".parse().unwrap();
            listener.bind(&address.into()).unwrap();
            listener.listen(0).unwrap();
            let connect = || {
                let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let _ = client.connect(&address.into());
                client
            };
            let clients: Vec<_> = (0..3).map(|_| connect()).collect();
            let states: Vec<_> = clients.iter().map(|client| TcpInfo::of(client).unwrap().state).collect();
            assert_eq!(states, [TcpState::Established, TcpState::SynSent, TcpState::SynSent]);
            let waiting = &clients[2];
            while TcpInfo::of(waiting).unwrap().retransmits == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(TcpInfo::of(waiting).unwrap().total_retransmits >= Some(1));
        });
    }

    #[test]
    fn an_answer_cut_short_is_understood_as_far_as_it_goes() {
        let mut bytes = [0u8; KNOWN_BYTES];
        bytes[0] = 1;
        bytes[2] = 3;
        assert_eq!(parse(&bytes[..1]).unwrap().retransmits, 0);
        assert_eq!(parse(&bytes[..3]).unwrap().retransmits, 3);
        assert_eq!(parse(&bytes[..100]).unwrap().total_retransmits, None);
        assert_eq!(parse(&bytes).unwrap().total_retransmits, Some(0));
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[200]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
        }
    }
}
