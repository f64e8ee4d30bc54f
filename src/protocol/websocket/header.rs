//! The beginning of a frame (RFC 6455, section 5.2).

use super::message::{LONGEST_CONTROL, Opcode, Violation};

/// Bytes of the mask.
pub(super) const MASK: usize = 4;
/// The longest header in bytes: two, a length of eight, the mask.
pub(super) const LONGEST_HEADER: usize = 2 + 8 + MASK;

/// Whose frames are read: clients mask theirs, servers do not (RFC 6455, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client: every frame has a mask.
    Client,
    /// A server: no frame has one.
    Server,
}

/// The beginning of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) is_final: bool,
    /// `None`: a continuation.
    pub(super) opcode: Option<Opcode>,
    pub(super) length: u64,
    /// Zero in a frame without a mask.
    pub(super) mask: [u8; MASK],
    /// Bytes of the header itself.
    pub(super) size: usize,
}

impl Header {
    /// True if the frame is a control frame.
    pub(super) fn is_control(&self) -> bool {
        self.opcode.is_some_and(Opcode::is_control)
    }

    /// `None` where the header is not complete. A broken rule is named at the first byte that breaks it.
    pub(super) fn parse(bytes: &[u8], sender: Sender) -> Result<Option<Header>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBit);
        }
        let opcode = match first & 0x0f {
            0 => None,
            1 => Some(Opcode::Text),
            2 => Some(Opcode::Binary),
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => return Err(Violation::ReservedOpcode),
        };
        match (sender, second & 0x80 != 0) {
            (Sender::Client, false) => return Err(Violation::NotMasked),
            (Sender::Server, true) => return Err(Violation::Masked),
            _ => {}
        }
        let (length, rest) = match second & 0x7f {
            126 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let is_final = first & 0x80 != 0;
        if opcode.is_some_and(Opcode::is_control) && !(is_final && length <= LONGEST_CONTROL as u64) {
            return Err(Violation::BadControl);
        }
        let (mask, rest) = match sender {
            Sender::Server => ([0; MASK], rest),
            Sender::Client => {
                let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (*mask, rest)
            }
        };
        Ok(Some(Header { is_final, opcode, length, mask, size: bytes.len() - rest.len() }))
    }
}
