//! Frames of one interface, read and written as they are (packet(7)): for a wire that this program makes itself,
//! between namespaces that it made. Needs `CAP_NET_RAW` in the namespace.
//!
//! Each frame has a `struct virtio_net_hdr` before it (`PACKET_VNET_HDR`): the kernel leaves checksums and the cutting of
//! large frames to the hardware, and the header tells what is left to do.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `sizeof(struct virtio_net_hdr)`.
const VNET_HEADER: usize = 10;
const ETHERNET_HEADER: usize = 14;
const PACKET_VNET_HDR: libc::c_int = 15;
/// A frame before it is cut, and its header.
const LONGEST: usize = 65_536 + 64;

/// The frames that arrive at an interface; and those that leave by it.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl PacketSocket {
    /// A socket at an interface of the calling thread's namespace.
    ///
    /// # Errors
    /// EPERM without `CAP_NET_RAW`; ENODEV where there is no such interface.
    pub fn open(interface: &str) -> io::Result<PacketSocket> {
        let every = (libc::ETH_P_ALL as u16).to_be();
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: the call takes three integers and no memory.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(every)) };
        succeeded(fd)?;
        // SAFETY: socket() has just returned this descriptor, and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let on: libc::c_int = 1;
        // SAFETY: the option is an int, whose address and size are given.
        succeeded(unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_PACKET,
                PACKET_VNET_HDR,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        })?;
        // SAFETY: sockaddr_ll is plain data, for which all zeros is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = every;
        address.sll_ifindex = super::links::index(interface)?.cast_signed();
        // SAFETY: the address is a sockaddr_ll, and its size is given.
        succeeded(unsafe {
            libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
        })?;
        Ok(PacketSocket { socket, buffer: vec![0; LONGEST] })
    }

    /// The next frame that has arrived, with the header before it; `None`: there is none now.
    ///
    /// # Errors
    /// What read() returns: ENETDOWN while the interface is down.
    pub fn receive(&mut self) -> io::Result<Option<&[u8]>> {
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.socket, &mut self.buffer)) {
            Ok(length) => Ok(Some(&self.buffer[..length])),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a frame that another socket received.
    ///
    /// # Errors
    /// What write() returns: ENOBUFS where the interface has no room.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.socket, frame))?;
        Ok(())
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

/// Length of the IP packets that a frame is on a wire: that of one piece, where it is still to be cut.
pub fn packet_length(frame: &[u8]) -> usize {
    let whole = frame.len().saturating_sub(VNET_HEADER + ETHERNET_HEADER);
    let piece = frame.get(4..6).map_or(0, |size| usize::from(u16::from_ne_bytes([size[0], size[1]])));
    let ip = frame.get(VNET_HEADER + ETHERNET_HEADER..).unwrap_or_default();
    match (piece, ip.first()) {
        (1.., Some(first)) if first >> 4 == 4 => {
            let ip_header = usize::from(first & 0xf) * 4;
            let tcp_header = ip.get(ip_header + 12).map_or(20, |offset| usize::from(offset >> 4) * 4);
            whole.min(ip_header + tcp_header + piece)
        }
        _ => whole,
    }
}

/// True if a frame asks for a link address, or tells one.
pub fn is_arp(frame: &[u8]) -> bool {
    let ether_type = VNET_HEADER + ETHERNET_HEADER - 2;
    frame.get(ether_type..ether_type + 2) == Some(&(libc::ETH_P_ARP as u16).to_be_bytes()[..])
}

fn succeeded(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_still_to_be_cut_is_as_long_as_one_piece() {
        let mut frame = vec![0u8; VNET_HEADER + ETHERNET_HEADER + 20 + 20 + 3000];
        assert_eq!(packet_length(&frame), 3040);
        frame[4..6].copy_from_slice(&1000u16.to_ne_bytes());
        frame[VNET_HEADER + ETHERNET_HEADER] = 0x45;
        frame[VNET_HEADER + ETHERNET_HEADER + 20 + 12] = 0x50;
        assert_eq!(packet_length(&frame), 1040);
        assert_eq!(packet_length(&frame[..5]), 0);
    }
}
