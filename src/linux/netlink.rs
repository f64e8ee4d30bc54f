//! Questions to the kernel over netlink: one request, and messages until the kernel says done.
//!
//! By hand, and not with `netlink-socket2`, for two reasons: a dump that changed underneath
//! (`NLM_F_DUMP_INTR`) has to be seen, and messages have to be read 32 KiB at a time, the most the
//! kernel puts together (net/netlink/af_netlink.c, `netlink_recvmsg`).

use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

/// More than the kernel ever puts into one datagram of a dump.
const BUFFER_BYTES: usize = 64 * 1024;
const HEADER_BYTES: usize = 16;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_MULTI: u16 = 0x02;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The end is told even where there is no answer: an error, or 0.
pub(super) const NLM_F_ACK: u16 = 0x04;
/// `NLM_F_ROOT | NLM_F_MATCH`: all there are.
pub(super) const NLM_F_DUMP: u16 = 0x300;
/// `NLM_F_CREATE | NLM_F_EXCL`: make it, and fail where it is there already.
pub(super) const NLM_F_MAKE: u16 = 0x600;
/// `NLM_F_CREATE | NLM_F_APPEND`: make it, behind those that are there.
pub(super) const NLM_F_APPEND: u16 = 0xc00;

/// A netlink socket and its buffer, for one question after another. It belongs to the network
/// namespace that the thread was in when it was opened.
#[derive(Debug)]
pub(super) struct Netlink {
    protocol: Option<Protocol>,
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
    /// An answer was not read to its end; what is left of it would be taken for the next one's.
    stale: bool,
}

/// End of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The subject of a dump changed during the dump, by the kernel's own word (`NLM_F_DUMP_INTR`).
    pub(super) interrupted: bool,
    /// The reader had enough before the end.
    pub(super) stopped: bool,
}

impl Netlink {
    /// `None` is `NETLINK_ROUTE`, whose number is zero.
    pub(super) fn open(protocol: Option<Protocol>) -> io::Result<Netlink> {
        Ok(Netlink { protocol, socket: socket(protocol)?, buffer: Vec::new(), sequence: 0, stale: false })
    }

    /// Sends a request and hands the kind and the body of every message of the answer to `each`,
    /// until that breaks off.
    pub(super) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<Answer> {
        if self.stale {
            // Closing the old socket also ends the dump inside the kernel.
            self.socket = socket(self.protocol)?;
        }
        self.stale = true;
        self.sequence = self.sequence.wrapping_add(1);
        let request = message(kind, flags | NLM_F_REQUEST, self.sequence, body)?;
        rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, &request, SendFlags::empty()))?;
        let mut answer = Answer::default();
        self.buffer.resize(BUFFER_BYTES, 0);
        loop {
            let datagram = receive(&self.socket, &mut self.buffer)?;
            match read_datagram(datagram, self.sequence, &mut answer, &mut each)? {
                Next::Datagram => {}
                Next::Finished => break,
                Next::Stopped => {
                    answer.stopped = true;
                    return Ok(answer);
                }
            }
        }
        self.stale = false;
        Ok(answer)
    }

    /// Asks for a change, and waits until it is made.
    pub(super) fn change(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.ask(kind, flags | NLM_F_ACK, body, |_, _| ControlFlow::Continue(()))?;
        Ok(())
    }

    /// Asks for several changes in one datagram: kind, flags and body of each. Those between a message that
    /// opens a transaction and one that closes it are made together or not at all; the two are not
    /// acknowledged, and are told by `is_frame`.
    ///
    /// All have been answered when this returns; the error is the first of them.
    pub(super) fn change_all(
        &mut self,
        changes: &[(u16, u16, Vec<u8>)],
        is_frame: impl Fn(u16) -> bool,
    ) -> io::Result<()> {
        let (mut request, mut waiting) = (Vec::new(), Vec::new());
        for (kind, flags, body) in changes {
            self.sequence = self.sequence.wrapping_add(1);
            let ack = if is_frame(*kind) { 0 } else { NLM_F_ACK };
            request.extend(message(*kind, flags | ack | NLM_F_REQUEST, self.sequence, body)?);
            request.resize(request.len().next_multiple_of(4), 0);
            if ack != 0 {
                waiting.push(self.sequence);
            }
        }
        rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, &request, SendFlags::empty()))?;
        self.buffer.resize(BUFFER_BYTES, 0);
        let mut first = Ok(());
        while !waiting.is_empty() {
            let mut datagram = receive(&self.socket, &mut self.buffer)?;
            while !datagram.is_empty() {
                let (header, body, rest) = split(datagram).ok_or_else(|| broken("a message is cut short"))?;
                datagram = rest;
                let code = if header.kind == NLMSG_ERROR { i32_at(body, 0).unwrap_or(0) } else { 0 };
                if code < 0 && first.is_ok() {
                    first = Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
                if code < 0 && !waiting.contains(&header.sequence) {
                    // The transaction itself was refused; nothing else will be answered.
                    return first;
                }
                waiting.retain(|sequence| *sequence != header.sequence);
            }
        }
        first
    }
}

fn socket(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let kind = SocketType::RAW;
    Ok(rustix::net::socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, protocol)?)
}

fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let (_, length) =
        rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut *buffer, RecvFlags::TRUNC))?;
    buffer.get(..length).ok_or_else(|| broken("a datagram is larger than any the kernel should send"))
}

/// A whole message, header included.
fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(HEADER_BYTES + body.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the netlink request is too long"))?;
    let mut request = Vec::with_capacity(HEADER_BYTES + body.len());
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&flags.to_ne_bytes());
    request.extend_from_slice(&sequence.to_ne_bytes());
    request.extend_from_slice(&0u32.to_ne_bytes());
    request.extend_from_slice(body);
    Ok(request)
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Datagram,
    Finished,
    Stopped,
}

/// Takes a datagram apart. Messages that answer an earlier question are passed over.
fn read_datagram(
    mut datagram: &[u8],
    sequence: u32,
    answer: &mut Answer,
    each: &mut impl FnMut(u16, &[u8]) -> ControlFlow<()>,
) -> io::Result<Next> {
    let mut finished = false;
    while !datagram.is_empty() {
        let (header, body, rest) = split(datagram).ok_or_else(|| broken("a message is cut short"))?;
        datagram = rest;
        if header.sequence != sequence {
            continue;
        }
        answer.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
        match header.kind {
            NLMSG_ERROR | NLMSG_DONE => {
                // Both begin with a negative errno, or 0. Before Linux 2.6.33 a DONE could be empty.
                match i32_at(body, 0) {
                    Some(code) if code < 0 => {
                        return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                    }
                    _ => finished = true,
                }
            }
            kind => {
                if each(kind, body).is_break() {
                    return Ok(Next::Stopped);
                }
                finished |= header.flags & NLM_F_MULTI == 0;
            }
        }
    }
    Ok(if finished { Next::Finished } else { Next::Datagram })
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// The first message: its header, its body, and what comes after it.
fn split(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let body = bytes.get(HEADER_BYTES..length)?;
    let header = Header { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)? };
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((header, body, rest))
}

/// An attribute, as it goes into a request: length, kind, value, padding.
pub(super) fn push_attribute(request: &mut Vec<u8>, kind: u16, value: &[u8]) -> io::Result<()> {
    let length = u16::try_from(value.len() + 4).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "more conditions than a request can hold")
    })?;
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(value);
    request.resize(request.len().next_multiple_of(4), 0);
    Ok(())
}

/// An attribute that holds attributes, which `fill` adds.
pub(super) fn push_nested(
    request: &mut Vec<u8>,
    kind: u16,
    fill: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    const NLA_F_NESTED: u16 = 1 << 15;
    let mut inner = Vec::new();
    fill(&mut inner)?;
    push_attribute(request, kind | NLA_F_NESTED, &inner)
}

/// The attributes of a message, as (kind, value), up to the first that is malformed.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        // The two highest bits are flags of the kind (nested, byte order).
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    u32_at(bytes, at).map(u32::cast_signed)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("netlink: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(datagram: &[u8], kinds: &mut Vec<u16>) -> io::Result<(Next, Answer)> {
        let mut answer = Answer::default();
        let next = read_datagram(datagram, 7, &mut answer, &mut |kind, _| {
            kinds.push(kind);
            ControlFlow::Continue(())
        })?;
        Ok((next, answer))
    }

    #[test]
    fn messages_of_an_earlier_question_are_passed_over() {
        let mut kinds = Vec::new();
        let mut datagram = message(20, NLM_F_MULTI, 6, &[1; 5]).unwrap();
        datagram.resize(24, 0);
        datagram.extend(message(21, NLM_F_MULTI, 7, &[2; 8]).unwrap());
        assert_eq!(read(&datagram, &mut kinds).unwrap().0, Next::Datagram);
        assert_eq!(kinds, [21]);
    }

    #[test]
    fn the_end_and_its_flags_and_errors_are_seen() {
        let mut kinds = Vec::new();
        let done = message(NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, 7, &[0; 4]).unwrap();
        let (next, answer) = read(&done, &mut kinds).unwrap();
        assert_eq!(next, Next::Finished);
        assert!(answer.interrupted);
        let error = message(NLMSG_ERROR, 0, 7, &(-13i32).to_ne_bytes()).unwrap();
        assert_eq!(read(&error, &mut kinds).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let least = message(NLMSG_ERROR, 0, 7, &i32::MIN.to_ne_bytes()).unwrap();
        assert!(read(&least, &mut kinds).is_err());
        let cut = &message(20, 0, 7, &[0; 8]).unwrap()[..20];
        assert_eq!(read(cut, &mut kinds).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, &mut Vec::new());
            prop_assert!(attributes(&bytes).count() <= 50);
        }
    }
}
