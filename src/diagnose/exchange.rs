//! What a server said first, beside what was due.

use super::first_bytes::Spoken;
use crate::protocol::Kind;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What a connection heard, up to the first bytes that matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Who was asked.
    pub destination: SocketAddr,
    /// What was spoken to it.
    pub expected: Kind,
    /// How far it came.
    pub heard: Heard,
    /// Header lines of an HTTP reply that tell of proxies and of what to do, as they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The beginning of an HTTP reply's body, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How many such connections came to the same.
    pub count: u64,
}

/// How far an exchange came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// What was due: a TLS handshake, a status line, 101.
    AsDue,
    /// Bytes, the first few of them.
    Bytes {
        /// What they are.
        spoken: Spoken,
        /// They came where the TLS handshake was due, and not inside it.
        in_place_of_tls: bool,
        /// The beginning, for a person.
        shown: String,
    },
    /// Nothing, for the time allowed.
    Silence {
        /// Nothing came where the TLS handshake was due.
        in_place_of_tls: bool,
    },
    /// The peer closed without a byte.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// The TLS handshake failed, and why in the library's words.
    TlsFailed(String),
}

impl Exchange {
    /// What one connection heard, without headers and body.
    pub fn new(destination: SocketAddr, expected: Kind, heard: Heard) -> Exchange {
        Exchange { destination, expected, heard, headers: Vec::new(), body: None, count: 1 }
    }
}
