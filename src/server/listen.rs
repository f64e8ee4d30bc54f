//! Listening sockets, and what can be said when the kernel refuses one.

use super::{Config, StartError};
use crate::model::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Listens on each address; returns the sockets and the addresses they really have, in that order.
pub(super) fn listen_on_all(config: &Config) -> Result<(Vec<OwnedFd>, Vec<SocketAddr>), StartError> {
    if config.listen.is_empty() {
        return Err(StartError::NoAddress);
    }
    let listeners = config.listen.iter().map(|&address| listen_on(address, config.backlog));
    Ok(listeners.collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

fn listen_on(address: SocketAddr, backlog: u32) -> Result<(OwnedFd, SocketAddr), StartError> {
    let at = |call| move |error| refused(address, call, error);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(at("socket"))?;
    // Or a restarted target would be refused its port while connections of the last one are in TIME_WAIT.
    socket.set_reuse_address(true).map_err(at("setsockopt"))?;
    if address.is_ipv6() {
        // Or [::] would take the port of 0.0.0.0 too, and the order of the list would decide who fails.
        socket.set_only_v6(true).map_err(at("setsockopt"))?;
    }
    // Accepted sockets inherit it: an echo must not wait for the peer's delayed acknowledgement.
    socket.set_tcp_nodelay(true).map_err(at("setsockopt"))?;
    socket.bind(&address.into()).map_err(at("bind"))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(at("listen"))?;
    let actual = socket.local_addr().map_err(at("getsockname"))?;
    Ok((socket.into(), actual.as_socket().unwrap_or(address)))
}

fn refused(address: SocketAddr, call: &'static str, error: io::Error) -> StartError {
    match Errno::of(&error) {
        // From listen() when the other one has SO_REUSEADDR and listens only after our bind().
        Some(Errno::EADDRINUSE) => StartError::Taken(address),
        Some(Errno::EADDRNOTAVAIL) => StartError::NotLocal(address),
        Some(Errno::EACCES | Errno::EPERM) if call == "bind" => StartError::NotPermitted(address),
        _ => StartError::Listen { address, call, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Behaviour;

    fn listen(addresses: &[&str]) -> Result<Vec<SocketAddr>, String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let config = Config::new(addresses, Behaviour::Echo);
        listen_on_all(&config).map(|(_, actual)| actual).map_err(|error| error.to_string())
    }

    #[test]
    fn the_kernel_chooses_ports_for_zero() {
        let actual = listen(&["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"]).unwrap();
        assert!(actual.iter().all(|address| address.port() != 0));
        assert_eq!(actual[1].ip().to_string(), "127.0.0.2");
        assert_ne!(actual[0], actual[2]);
    }

    #[test]
    fn a_taken_port_is_said_to_be_taken() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let held = std::net::TcpListener::bind(taken).unwrap();
        let told = listen(&[&taken.to_string()]).unwrap_err();
        assert_eq!(told, format!("{taken} is taken: another socket listens there; choose another port or 0"));
        drop(held);
    }

    #[test]
    fn an_address_of_another_host_is_said_to_be_one() {
        // RFC 5737: an address for documentation is on no host.
        let told = listen(&["192.0.2.1:9000"]).unwrap_err();
        assert!(
            told.starts_with("192.0.2.1 is not an address of this host; `ip addr add 192.0.2.1 "),
            "{told}"
        );
    }

    #[test]
    fn refusals_say_what_to_do() {
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let told = |call, errno| refused(address, call, io::Error::from_raw_os_error(errno)).to_string();
        assert!(told("bind", 13).contains("port 80; choose a port from 1024 up"), "{}", told("bind", 13));
        assert!(
            told("socket", 97).starts_with("cannot listen on 127.0.0.1:80: socket() failed: Address family")
        );
        assert!(listen(&[]).unwrap_err().contains("no address to listen on"));
    }
}
