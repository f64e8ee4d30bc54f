//! Rules that both ends of a WebSocket share: opcodes, whole messages, and how the rules are broken.

use std::borrow::Cow;
use thiserror::Error;

/// The longest message that is taken, in bytes.
pub const LONGEST_MESSAGE: usize = 16 << 20;
/// The longest payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const LONGEST_CONTROL: usize = 125;

/// Kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
    /// The last message of its side.
    Close,
    /// To be answered by a pong with the same payload.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    /// True if its frames are control frames (RFC 6455, section 5.5).
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'b> {
    /// Kind of the message.
    pub opcode: Opcode,
    /// Payload; of a text it is known to be UTF-8.
    pub payload: Cow<'b, [u8]>,
}

/// Violation of the protocol by the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// RSV1 to RSV3.
    #[error("a reserved bit is set, and no extension was agreed on")]
    ReservedBit,
    /// 3–7, 11–15.
    #[error("an opcode that RFC 6455 reserves")]
    ReservedOpcode,
    /// Only clients mask.
    #[error("a server's frame with a mask")]
    Masked,
    /// Clients mask (RFC 6455, section 5.1).
    #[error("a client's frame without a mask")]
    NotMasked,
    /// RFC 6455, section 5.5.
    #[error("a control frame in fragments, or longer than 125 bytes")]
    BadControl,
    /// RFC 6455, section 5.4.
    #[error("a continuation of nothing, or a new message in the midst of another")]
    OutOfOrder,
    /// [`LONGEST_MESSAGE`].
    #[error("a message longer than 16 MiB")]
    TooLong,
    /// RFC 6455, section 8.1.
    #[error("a text that is not UTF-8")]
    NotUtf8,
    /// RFC 6455, section 7.4.
    #[error("a close frame whose code or reason is not one")]
    BadClose,
}

impl Violation {
    /// The code to close with (RFC 6455, section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Violation::TooLong => 1009,
            Violation::NotUtf8 => 1007,
            _ => 1002,
        }
    }
}

/// A message that keeps the rules of its kind.
///
/// # Errors
/// [`Violation::NotUtf8`] and [`Violation::BadClose`].
pub fn checked(opcode: Opcode, payload: Cow<'_, [u8]>) -> Result<Message<'_>, Violation> {
    match opcode {
        Opcode::Text if std::str::from_utf8(&payload).is_err() => Err(Violation::NotUtf8),
        Opcode::Close if !is_close(&payload) => Err(Violation::BadClose),
        _ => Ok(Message { opcode, payload }),
    }
}

/// Code and reason of a close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// `None`: there is none in it.
    pub code: Option<u16>,
    /// The peer's words; at most 123 bytes.
    pub reason: String,
}

impl Message<'_> {
    /// Content of a close frame.
    pub fn close_frame(&self) -> CloseFrame {
        match self.payload.split_first_chunk() {
            None => CloseFrame { code: None, reason: String::new() },
            Some((code, reason)) => {
                CloseFrame { code: Some(u16::from_be_bytes(*code)), reason: cleaned(reason) }
            }
        }
    }
}

/// A reason for a person: control characters are blanks.
fn cleaned(reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(reason);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Nothing, or a code that may go over the wire and a reason in UTF-8.
fn is_close(payload: &[u8]) -> bool {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            let code = u16::from_be_bytes(*code);
            matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) && std::str::from_utf8(reason).is_ok()
        }
        None => payload.is_empty(),
    }
}

/// Masks a payload, or takes the mask off it (RFC 6455, section 5.3).
pub fn mask(bytes: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    rest.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}
