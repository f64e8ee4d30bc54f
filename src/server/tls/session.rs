//! One connection's TLS on a server. No I/O.

use crate::protocol::tls::{self, Opened};
use rustls::{Error, ServerConfig, ServerConnection};
use std::sync::Arc;

/// A TLS session of a target.
#[derive(Debug)]
pub(crate) struct Session(ServerConnection);

impl Session {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Result<Session, Error> {
        ServerConnection::new(config.clone()).map(Session)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Adds to `plain` what was said in `cipher`. What TLS itself has to answer comes with the next
    /// [`Session::seal`], of nothing too, and after an error too: the alert.
    pub(crate) fn open(&mut self, cipher: &[u8], plain: &mut Vec<u8>) -> Result<Opened, Error> {
        tls::open(&mut self.0, cipher, plain)
    }

    /// Adds to `cipher` what is to be sent so that the peer hears `plain`.
    pub(crate) fn seal(&mut self, plain: &[u8], cipher: &mut Vec<u8>) {
        tls::seal(&mut self.0, plain, cipher);
    }

    /// Adds to `cipher` that we send no more (`close_notify`); the second time nothing.
    pub(crate) fn close(&mut self, cipher: &mut Vec<u8>) {
        self.0.send_close_notify();
        self.seal(&[], cipher);
    }
}
