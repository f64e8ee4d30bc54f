//! The system calls of one connection attempt, and nothing else.
//!
//! connect() on loopback has completed the handshake by the time it returns EINPROGRESS: the answer is
//! asked for first (`getpeername`), and only a socket still in SYN_SENT has to wait for readiness.

use crate::model::{Errno, Lease, Stage};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `IP_BIND_ADDRESS_NO_PORT` of `linux/in.h`: bind() notes the address and leaves the port to connect().
const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
/// `IP_LOCAL_PORT_RANGE` of `linux/in.h` (Linux 6.3): high port in the upper half, low in the lower.
const IP_LOCAL_PORT_RANGE: i32 = 51;

/// Who chooses the source port: which options are set before bind() and connect().
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// The kernel at connect(): `IP_BIND_ADDRESS_NO_PORT`, then bind() where there is a source address.
    AtConnect,
    /// The kernel at connect(), within this range: `IP_LOCAL_PORT_RANGE` besides.
    AtConnectWithin {
        /// First port.
        low: u16,
        /// Last port, included.
        high: u16,
    },
    /// The kernel at bind(): bind(address, 0) without any option.
    AtBind,
    /// The lease names it: `SO_REUSEADDR`, then bind(address, port).
    Leased,
}

/// A TCP socket on its way. Closing it is dropping it.
#[derive(Debug)]
pub struct Connection(Socket);

/// Progress of connect().
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The handshake is complete.
    Established,
    /// SYN_SENT: writable, or in error, when there is an answer.
    Pending,
}

/// A system call that failed, and the stage of the attempt that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallError {
    /// Bind for everything before connect().
    pub stage: Stage,
    /// The kernel's error.
    pub errno: Errno,
}

/// An ICMP message that the kernel kept for a socket with `IP_RECVERR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// The error number that the kernel made of it.
    pub errno: Errno,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// Who sent it (`SO_EE_OFFENDER`), where the kernel tells.
    pub offender: Option<std::net::IpAddr>,
}

impl Connection {
    /// socket(), options, bind(): everything before connect().
    ///
    /// # Errors
    /// Of stage bind: EMFILE, ENFILE, ENOBUFS, ENOMEM (socket); EADDRNOTAVAIL (address not local),
    /// EADDRINUSE (port taken, or none left for [`PortChoice::AtBind`]), EACCES (bind).
    pub fn bind(lease: &Lease, choice: PortChoice) -> Result<Connection, CallError> {
        let failed = |error: io::Error| CallError { stage: Stage::Bind, errno: errno_of(&error) };
        let domain = Domain::for_address(lease.destination);
        let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None).map_err(failed)?;
        match choice {
            PortChoice::Leased => socket.set_reuse_address(true).map_err(failed)?,
            PortChoice::AtConnectWithin { low, high } => {
                let range = u32::from(high) << 16 | u32::from(low);
                set_ip_option(&socket, IP_LOCAL_PORT_RANGE, range).map_err(failed)?;
                set_ip_option(&socket, IP_BIND_ADDRESS_NO_PORT, 1).map_err(failed)?;
            }
            PortChoice::AtConnect if lease.source.is_some() => {
                set_ip_option(&socket, IP_BIND_ADDRESS_NO_PORT, 1).map_err(failed)?;
            }
            PortChoice::AtConnect | PortChoice::AtBind => {}
        }
        let bind_to = match choice {
            PortChoice::AtBind | PortChoice::Leased => {
                Some(lease.source.unwrap_or_else(|| unspecified(lease.destination)))
            }
            PortChoice::AtConnect | PortChoice::AtConnectWithin { .. } => lease.source,
        };
        if let Some(address) = bind_to {
            let mut local = SocketAddr::new(address, lease.port.unwrap_or(0));
            // A link-local source is of the same link as its destination.
            if let (SocketAddr::V6(local), SocketAddr::V6(to)) = (&mut local, lease.destination)
                && local.ip().is_unicast_link_local()
            {
                local.set_scope_id(to.scope_id());
            }
            socket.bind(&SockAddr::from(local)).map_err(failed)?;
        }
        Ok(Connection(socket))
    }

    /// connect(), without waiting.
    ///
    /// # Errors
    /// Of stage connect: what connect() returned; else what the handshake had already come to, as
    /// [`Connection::progress`] tells it.
    pub fn connect(&self, destination: SocketAddr) -> Result<Progress, CallError> {
        match self.0.connect(&SockAddr::from(destination)) {
            Ok(()) => Ok(Progress::Established),
            Err(error) if Errno::of(&error) == Some(Errno::EINPROGRESS) => self.progress(),
            Err(error) => Err(CallError { stage: Stage::Connect, errno: errno_of(&error) }),
        }
    }

    /// Outcome of the handshake so far.
    ///
    /// # Errors
    /// The socket's pending error (`SO_ERROR`): of stage connect, or of stage session where it shows that the
    /// handshake was complete. A RST means ECONNREFUSED only in SYN_SENT; after it, it means ECONNRESET, or
    /// EPIPE behind a FIN (`tcp_reset()`, net/ipv4/tcp_input.c).
    pub fn progress(&self) -> Result<Progress, CallError> {
        // ENOTCONN in SYN_SENT and after a failure, an address in every later state. Cheaper than TCP_INFO.
        if rustix::net::getpeername(&self.0).is_ok() {
            return Ok(Progress::Established);
        }
        match self.0.take_error() {
            Ok(None) => Ok(Progress::Pending),
            Ok(Some(error)) | Err(error) => {
                let errno = errno_of(&error);
                let was_connected = matches!(errno, Errno::ECONNRESET | Errno::EPIPE);
                let stage = if was_connected { Stage::Session } else { Stage::Connect };
                Err(CallError { stage, errno })
            }
        }
    }

    /// Asks the kernel to keep ICMP errors, so that a refusal by a firewall can be told from a RST.
    ///
    /// Off again once connected: with it, a passing ICMP error ends an established connection.
    pub fn keep_icmp_errors(&self, destination: SocketAddr, keep: bool) -> io::Result<()> {
        match destination {
            SocketAddr::V4(_) => set_option(&self.0, libc::IPPROTO_IP, libc::IP_RECVERR, u32::from(keep)),
            SocketAddr::V6(_) => set_option(&self.0, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, u32::from(keep)),
        }
    }

    /// The newest ICMP error kept for this socket, if there is one.
    pub fn icmp_error(&self) -> Option<IcmpError> {
        let mut newest = None;
        while let Some((error, offender)) = next_extended_error(self.0.as_fd()) {
            let icmp = matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
            if icmp {
                newest = Some(IcmpError {
                    errno: Errno(error.ee_errno.cast_signed()),
                    icmp_type: error.ee_type,
                    icmp_code: error.ee_code,
                    offender,
                });
            }
        }
        newest
    }

    /// The source address and port that the connection really has.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()?.as_socket()
    }

    /// Makes the coming close() send RST instead of FIN: `SO_LINGER` with a time of 0.
    pub fn reset_on_close(&self) -> io::Result<()> {
        self.0.set_linger(Some(std::time::Duration::ZERO))
    }

    /// Sends small pieces at once, rather than together with what may follow (`TCP_NODELAY`).
    pub fn send_at_once(&self) -> io::Result<()> {
        self.0.set_tcp_nodelay(true)
    }

    /// Writes what the kernel takes now, without waiting and without SIGPIPE.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.0, bytes, rustix::net::SendFlags::NOSIGNAL)?)
    }

    /// Reads what has arrived, without waiting.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, buffer)?)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> OwnedFd {
        connection.0.into()
    }
}

/// The error number of a failed call. Calls on sockets have no other errors; EIO stands for "none given".
fn errno_of(error: &io::Error) -> Errno {
    Errno::of(error).unwrap_or(Errno::EIO)
}

fn unspecified(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn set_ip_option(socket: &Socket, name: i32, value: u32) -> io::Result<()> {
    // Level IPPROTO_IP serves IPv6 sockets too: ipv6_setsockopt() hands it on to ip_setsockopt().
    set_option(socket, libc::IPPROTO_IP, name, value)
}

fn set_option(socket: &Socket, level: i32, name: i32, value: u32) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of a live u32, which the kernel only reads.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes one message from the socket's error queue.
fn next_extended_error(fd: BorrowedFd<'_>) -> Option<(libc::sock_extended_err, Option<std::net::IpAddr>)> {
    // The control message holds a sock_extended_err and the offender's address; 128 bytes hold either.
    let mut control = [MaybeUninit::<u64>::uninit(); 16];
    // SAFETY: an all-zero msghdr is a valid one that points to nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: `message` points to `control`, which lives through the call, and has no other buffers.
    let received =
        unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if received < 0 {
        return None;
    }
    // SAFETY: recvmsg succeeded, so that msg_control and msg_controllen describe initialised headers;
    // the CMSG functions stay inside them, and the data is read unaligned after its length was checked.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            let level = (*header).cmsg_level;
            let kind = (*header).cmsg_type;
            let is_error = (level == libc::IPPROTO_IP && kind == libc::IP_RECVERR)
                || (level == libc::IPPROTO_IPV6 && kind == libc::IPV6_RECVERR);
            let needed = libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as u32) as usize;
            if is_error && (*header).cmsg_len as usize >= needed {
                let data = libc::CMSG_DATA(header);
                let error = data.cast::<libc::sock_extended_err>().read_unaligned();
                let length = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let behind = std::slice::from_raw_parts(data, length);
                return Some((error, offender(&behind[size_of::<libc::sock_extended_err>()..])));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    None
}

/// The address in the `sockaddr` that follows an extended error; none where it is of no family.
fn offender(sockaddr: &[u8]) -> Option<std::net::IpAddr> {
    let family = i32::from(u16::from_ne_bytes(sockaddr.get(..2)?.try_into().ok()?));
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = sockaddr.get(4..8)?.try_into().ok()?;
            Some(std::net::IpAddr::from(octets))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = sockaddr.get(8..24)?.try_into().ok()?;
            Some(std::net::IpAddr::from(octets).to_canonical())
        }
        _ => None,
    }
}

/// True if this kernel knows `IP_LOCAL_PORT_RANGE` (Linux 6.3).
pub fn has_port_range_option() -> bool {
    Socket::new(Domain::IPV4, Type::STREAM, None)
        .is_ok_and(|socket| set_ip_option(&socket, IP_LOCAL_PORT_RANGE, 0).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn lease(source: Option<&str>, port: Option<u16>, destination: SocketAddr) -> Lease {
        Lease { source: source.map(|s| s.parse().unwrap()), port, destination }
    }

    #[test]
    fn a_loopback_connection_is_established_at_once_from_the_leased_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let destination = listener.local_addr().unwrap();
        for choice in [PortChoice::AtConnect, PortChoice::AtBind, PortChoice::Leased] {
            let lease = lease(Some("127.0.0.9"), None, destination);
            let connection = Connection::bind(&lease, choice).unwrap();
            assert_eq!(connection.connect(destination), Ok(Progress::Established), "{choice:?}");
            assert_eq!(connection.local_address().unwrap().ip(), "127.0.0.9".parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn a_one_port_range_is_obeyed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let destination = listener.local_addr().unwrap();
        let choice = PortChoice::AtConnectWithin { low: 45_321, high: 45_321 };
        let connection = Connection::bind(&lease(Some("127.0.0.11"), None, destination), choice).unwrap();
        assert_eq!(connection.connect(destination), Ok(Progress::Established));
        assert_eq!(connection.local_address().unwrap().port(), 45_321);
    }

    #[test]
    fn errors_keep_their_stage() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let free = lease(None, None, closed);
        let refused = Connection::bind(&free, PortChoice::AtConnect).unwrap().connect(closed);
        assert_eq!(refused, Err(CallError { stage: Stage::Connect, errno: Errno::ECONNREFUSED }));

        let foreign = lease(Some("192.0.2.1"), None, closed);
        let not_local = Connection::bind(&foreign, PortChoice::AtConnect).unwrap_err();
        assert_eq!(not_local, CallError { stage: Stage::Bind, errno: Errno::EADDRNOTAVAIL });

        let listener = TcpListener::bind("127.0.0.12:0").unwrap();
        let taken = lease(Some("127.0.0.12"), Some(listener.local_addr().unwrap().port()), closed);
        let in_use = Connection::bind(&taken, PortChoice::Leased).unwrap_err();
        assert_eq!(in_use, CallError { stage: Stage::Bind, errno: Errno::EADDRINUSE });
    }
}
