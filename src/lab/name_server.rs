//! A name server that has one address for every name.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// From one look at the flag that ends it to the next.
const STEP: Duration = Duration::from_millis(50);
/// Header of a DNS message, and the type A (RFC 1035).
const HEADER_BYTES: usize = 12;
const A: u8 = 1;

/// Starts it on port 53 of loopback; it ends by the flag.
///
/// # Errors
/// What bind() returns.
pub(super) fn start(address: Ipv4Addr) -> io::Result<(JoinHandle<()>, Arc<AtomicBool>)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53))?;
    socket.set_read_timeout(Some(STEP))?;
    let end = Arc::<AtomicBool>::default();
    let over = end.clone();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while !over.load(Relaxed) {
            if let Ok((length, client)) = socket.recv_from(&mut buffer)
                && let Some(answer) = answer(&buffer[..length], address)
            {
                // Who does not get an answer asks again.
                let _ = socket.send_to(&answer, client);
            }
        }
    });
    Ok((thread, end))
}

/// The answer to a message with one question: the address for a question of type A, nothing for others.
fn answer(message: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let mut end = HEADER_BYTES;
    while *message.get(end)? != 0 {
        end += 1 + usize::from(message[end]);
    }
    let question = message.get(HEADER_BYTES..end + 5)?;
    let wants_a = question[question.len() - 4..] == [0, A, 0, 1];
    let mut answer = message[..2].to_vec();
    // An authoritative answer without an error; one question, one answer or none.
    answer.extend([0x85, 0x80, 0, 1, 0, u8::from(wants_a), 0, 0, 0, 0]);
    answer.extend(question);
    if wants_a {
        answer.extend([0xc0, HEADER_BYTES as u8, 0, A, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_and_nonsense_is_not() {
        let question =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04chat\x07example\x00\x00\x01\x00\x01";
        let answered = answer(question, [10, 77, 0, 2].into()).unwrap();
        assert_eq!(answered[..2], question[..2]);
        assert!(answered.ends_with(&[0, 4, 10, 77, 0, 2]));
        for cut in 0..question.len() {
            assert_eq!(answer(&question[..cut], [10, 77, 0, 2].into()), None);
        }
    }
}
