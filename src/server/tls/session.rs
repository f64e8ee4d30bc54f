//! One connection's TLS: ciphertext to plain text and back. No I/O.

use rustls::{Error, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;

/// A TLS session of a target.
#[derive(Debug)]
pub(crate) struct Session(ServerConnection);

/// What came of ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The handshake has ended with it.
    pub(crate) established: bool,
    /// The peer will send no more (`close_notify`).
    pub(crate) closed: bool,
}

impl Session {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Session, Error> {
        ServerConnection::new(config.clone()).map(Session)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Adds to `plain` what was said in `cipher`. What TLS itself has to answer comes with the next
    /// [`Session::seal`], of nothing too, and after an error too: the alert.
    pub(crate) fn open(&mut self, mut cipher: &[u8], plain: &mut Vec<u8>) -> Result<Opened, Error> {
        let was_handshaking = self.0.is_handshaking();
        let mut closed = false;
        while !cipher.is_empty() && !closed {
            // It takes no more than its buffers hold; what it has opened is taken off before the next.
            match self.0.read_tls(&mut cipher) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(Error::General(error.to_string())),
            }
            let state = self.0.process_new_packets()?;
            closed = state.peer_has_closed();
            let begin = plain.len();
            plain.resize(begin + state.plaintext_bytes_to_read(), 0);
            // Exactly as many are there.
            self.0.reader().read_exact(&mut plain[begin..]).map_err(|e| Error::General(e.to_string()))?;
        }
        Ok(Opened { established: was_handshaking && !self.0.is_handshaking(), closed })
    }

    /// Adds to `cipher` what is to be sent so that the peer hears `plain`.
    pub(crate) fn seal(&mut self, mut plain: &[u8], cipher: &mut Vec<u8>) {
        loop {
            // Neither fails: both ends are in memory. The writer takes 64 KiB at a time.
            let taken = self.0.writer().write(plain).unwrap_or(0);
            plain = &plain[taken..];
            while self.0.wants_write() && self.0.write_tls(cipher).is_ok_and(|written| written > 0) {}
            if plain.is_empty() || taken == 0 {
                return;
            }
        }
    }

    /// Adds to `cipher` that we send no more (`close_notify`); the second time nothing.
    pub(crate) fn close(&mut self, cipher: &mut Vec<u8>) {
        self.0.send_close_notify();
        self.seal(&[], cipher);
    }
}
