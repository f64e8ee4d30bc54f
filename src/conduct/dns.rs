//! What DNS answers for a name, where the hosts file has hidden that: one question to the first name server
//! of `/etc/resolv.conf`, over UDP (RFC 1035). A hint for the diagnosis, so that what fails says nothing.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_millis(500);
/// What a name server sends by UDP at most, without EDNS.
const ANSWER_BYTES: usize = 512;
const HEADER_BYTES: usize = 12;
/// Numbers of questions and types (RFC 1035, 3.2.2; RFC 3596, 2.1).
const NUMBER: u16 = 0x4353;
const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;

/// The addresses that the first name server has for a name, of the families that `like` has; none where it
/// does not answer.
pub(super) fn addresses(name: &str, like: &[IpAddr]) -> Vec<IpAddr> {
    let configuration = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let Some(server) = name_server(&configuration) else { return Vec::new() };
    let families = [(A, like.iter().any(IpAddr::is_ipv4)), (AAAA, like.iter().any(IpAddr::is_ipv6))];
    let wanted = families.into_iter().filter_map(|(kind, wanted)| wanted.then_some(kind));
    wanted.flat_map(|kind| ask(server, name, kind).unwrap_or_default()).collect()
}

/// The first name server (resolv.conf(5)).
fn name_server(configuration: &str) -> Option<IpAddr> {
    let mut words = configuration.lines().map(str::split_whitespace);
    words.find_map(|mut words| (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?)
}

fn ask(server: IpAddr, name: &str, kind: u16) -> Option<Vec<IpAddr>> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Connected: only this server's answer is received.
    socket.connect(SocketAddr::new(server, 53)).ok()?;
    socket.set_read_timeout(Some(TIMEOUT)).ok()?;
    socket.send(&question(name, kind)?).ok()?;
    let mut answer = [0; ANSWER_BYTES];
    let length = socket.recv(&mut answer).ok()?;
    answers(&answer[..length], kind)
}

/// `None` for what is no name.
fn question(name: &str, kind: u16) -> Option<Vec<u8>> {
    let recursion_desired = 0x0100u16;
    let mut message = Vec::with_capacity(HEADER_BYTES + name.len() + 6);
    for word in [NUMBER, recursion_desired, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(IN.to_be_bytes());
    Some(message)
}

/// The addresses of a kind in an answer to our question; `None` for what is none.
fn answers(message: &[u8], kind: u16) -> Option<Vec<IpAddr>> {
    let word = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let is_answer = word(2)? & 0x8000 != 0;
    if word(0)? != NUMBER || !is_answer {
        return None;
    }
    let (questions, records) = (word(4)?, word(6)?);
    let mut at = HEADER_BYTES;
    for _ in 0..questions {
        at = after_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..records {
        // After the name: type, class, time to live, length, and so many bytes.
        at = after_name(message, at)?;
        let length = usize::from(word(at + 8)?);
        let data = message.get(at + 10..at + 10 + length)?;
        if word(at)? == kind && word(at + 2)? == IN {
            found.extend(<[u8; 4]>::try_from(data).map(IpAddr::from));
            found.extend(<[u8; 16]>::try_from(data).map(IpAddr::from));
        }
        at += 10 + length;
    }
    Some(found)
}

/// Where a name ends: at an empty label, or behind a reference to an earlier one (RFC 1035, 4.1.4).
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            reference if reference >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer to the question: an alias first, then an address.
    fn answer() -> Vec<u8> {
        let mut message = question("chat.example", A).unwrap();
        message[2] |= 0x80;
        message[7] = 2;
        message.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01x\xc0\x11");
        message.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x4d\x00\x02");
        message
    }

    #[test]
    fn an_answer_is_read_behind_an_alias() {
        assert_eq!(answers(&answer(), A), Some(vec![[10, 77, 0, 2].into()]));
        assert_eq!(answers(&answer(), AAAA), Some(vec![]));
        let mut anothers = answer();
        anothers[0] ^= 1;
        assert_eq!(answers(&anothers, A), None);
        assert_eq!(answers(&question("chat.example", A).unwrap(), A), None, "a question is no answer");
    }

    #[test]
    fn the_first_name_server_is_asked_and_no_name_that_is_none() {
        let configuration = "# nameserver 192.0.2.1\nsearch example\nnameserver 192.0.2.2\nnameserver ::1\n";
        assert_eq!(name_server(configuration), Some([192, 0, 2, 2].into()));
        assert_eq!(name_server("options edns0\nnameserver\n"), None);
        assert_eq!(question("a..b", A), None);
        assert_eq!(question(&"a".repeat(64), A), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), cut in 0usize..60) {
            let _ = answers(&bytes, A);
            let mut bytes = answer();
            bytes.truncate(cut);
            let _ = answers(&bytes, A);
        }
    }
}
