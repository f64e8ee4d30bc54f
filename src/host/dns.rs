//! A question to a name server, past the hosts file: what DNS itself has for a name (RFC 1035).
//!
//! The system's resolver does not say where its answer comes from. This asks only where the hosts file has
//! the name, and takes no answer for unknown.

use crate::linux::clock::Clock;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(1);
/// Type numbers of address records.
const A: u16 = 1;
const AAAA: u16 = 28;
/// Class of the internet.
const IN: u16 = 1;
/// The most that is read of an answer; without EDNS none is longer.
const ANSWER: usize = 512;

/// The addresses that the first name server to answer has for a name, of both families.
pub(super) fn ask(name: &str) -> Vec<IpAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = name_servers(&text);
    let found = servers.into_iter().take(2).find_map(|server| {
        let v4 = question(name, A, server)?;
        let v6 = question(name, AAAA, server).unwrap_or_default();
        Some([v4, v6].concat())
    });
    found.unwrap_or_default()
}

/// The addresses after `nameserver` (resolv.conf(5)).
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    words.filter_map(|rest| rest.trim().parse::<IpAddr>().ok()).map(|ip| SocketAddr::new(ip, 53)).collect()
}

/// `None` without an answer.
fn question(name: &str, kind: u16, server: SocketAddr) -> Option<Vec<IpAddr>> {
    let unspecified: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((unspecified, 0)).ok()?;
    // Connected, so that answers come from there only.
    socket.connect(server).ok()?;
    let clock = Clock::start();
    let number = (clock.unix_micros(clock.now()) & 0xffff) as u16;
    socket.send(&encode(number, name, kind)?).ok()?;
    let mut answer = [0u8; ANSWER];
    loop {
        let left = WAIT.checked_sub(clock.now()).filter(|left| !left.is_zero())?;
        socket.set_read_timeout(Some(left)).ok()?;
        let length = socket.recv(&mut answer).ok()?;
        if let Some(addresses) = parse(&answer[..length], number) {
            return Some(addresses);
        }
    }
}

/// Header and question; `None` where the name can't be one.
fn encode(number: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let [high, low] = number.to_be_bytes();
    // Recursion desired, one question.
    let mut bytes = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&IN.to_be_bytes());
    Some(bytes)
}

/// The addresses of an answer to the question of this number; `None` where it is another's, or damaged.
fn parse(bytes: &[u8], number: u16) -> Option<Vec<IpAddr>> {
    let u16_at = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let is_answer = bytes.get(2)? & 0x80 != 0;
    if u16_at(0)? != number || !is_answer {
        return None;
    }
    let mut at = 12;
    for _ in 0..u16_at(4)? {
        at = after_name(bytes, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..u16_at(6)? {
        at = after_name(bytes, at)?;
        let (kind, length) = (u16_at(at)?, usize::from(u16_at(at + 8)?));
        let data = bytes.get(at + 10..at + 10 + length)?;
        match kind {
            A => addresses.push(<[u8; 4]>::try_from(data).ok()?.into()),
            AAAA => addresses.push(<[u8; 16]>::try_from(data).ok()?.into()),
            // CNAME and others lead to them.
            _ => {}
        }
        at += 10 + length;
    }
    Some(addresses)
}

/// Where a name ends: at the empty label, or at a pointer.
fn after_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer with a CNAME and an A record.
    fn answer(number: u16) -> Vec<u8> {
        let mut bytes = encode(number, "shop.example", A).unwrap();
        (bytes[2], bytes[3], bytes[7]) = (0x81, 0x80, 2);
        bytes.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'w', 0xc0, 12]);
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7]);
        bytes
    }

    #[test]
    fn addresses_are_read_from_answers_to_our_question_only() {
        assert_eq!(parse(&answer(7), 7), Some(vec!["203.0.113.7".parse().unwrap()]));
        assert_eq!(parse(&answer(7), 8), None);
        assert_eq!(parse(&answer(7)[..40], 7), None);
        assert_eq!(encode(1, "a..b", A), None);
        let servers = name_servers("# x\nnameserver 9.9.9.9\nsearch a\nnameserver ::1\n");
        assert_eq!(servers, ["9.9.9.9:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let number = u16::from_be_bytes([bytes.first().copied().unwrap_or(0), bytes.get(1).copied().unwrap_or(0)]);
            let _ = parse(&bytes, number);
        }
    }
}
