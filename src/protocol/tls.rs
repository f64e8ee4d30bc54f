//! The TLS pump of both roles: ciphertext to plain text and back. No I/O.

use rustls::{ConnectionCommon, Error, SideData};
use std::io::{Read, Write};

/// Plain text that came of ciphertext is in the buffer; this came of it beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The handshake has ended with it.
    pub established: bool,
    /// The peer will send no more (`close_notify`).
    pub closed: bool,
}

/// Adds to `plain` what was said in `cipher`. What TLS itself has to answer comes with the next [`seal`], of nothing
/// too, and after an error too: the alert.
///
/// # Errors
/// The peer's alert, or the rule that it breaks.
pub fn open<Side: SideData>(
    connection: &mut ConnectionCommon<Side>,
    mut cipher: &[u8],
    plain: &mut Vec<u8>,
) -> Result<Opened, Error> {
    let was_handshaking = connection.is_handshaking();
    let mut closed = false;
    while !cipher.is_empty() && !closed {
        // It takes no more than its buffers hold; what it has opened is taken off before the next.
        match connection.read_tls(&mut cipher) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(Error::General(error.to_string())),
        }
        let state = connection.process_new_packets()?;
        closed = state.peer_has_closed();
        let begin = plain.len();
        plain.resize(begin + state.plaintext_bytes_to_read(), 0);
        // Exactly as many are there.
        connection.reader().read_exact(&mut plain[begin..]).map_err(|e| Error::General(e.to_string()))?;
    }
    Ok(Opened { established: was_handshaking && !connection.is_handshaking(), closed })
}

/// Adds to `cipher` what is to be sent so that the peer hears `plain`.
pub fn seal<Side: SideData>(connection: &mut ConnectionCommon<Side>, mut plain: &[u8], cipher: &mut Vec<u8>) {
    loop {
        // Neither fails: both ends are in memory. The writer takes 64 KiB at a time.
        let taken = connection.writer().write(plain).unwrap_or(0);
        plain = &plain[taken..];
        while connection.wants_write() && connection.write_tls(cipher).is_ok_and(|written| written > 0) {}
        if plain.is_empty() || taken == 0 {
            return;
        }
    }
}
