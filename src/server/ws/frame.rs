//! Frames and messages of RFC 6455, as a server reads and writes them. No I/O.
//!
//! Invariant: a decoder holds at most one message that is not complete, of at most [`LONGEST_MESSAGE`]
//! bytes, and never more than the peer has sent. Between messages it holds nothing.

use crate::protocol::websocket::{
    self, LONGEST_CONTROL, LONGEST_MESSAGE, Message, Opcode, Violation, checked, mask,
};
use std::borrow::Cow;

/// Bytes of the mask.
const MASK: usize = 4;

/// The beginning of a frame.
struct Header {
    is_final: bool,
    /// `None`: a continuation.
    opcode: Option<Opcode>,
    length: u64,
    mask: [u8; MASK],
    /// Bytes that the header itself takes.
    size: usize,
}

/// `None` where the header is not complete.
fn header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
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
    if second & 0x80 == 0 {
        return Err(Violation::NotMasked);
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
    let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
    Ok(Some(Header { is_final, opcode, length, mask: *mask, size: bytes.len() - rest.len() }))
}

/// Takes a client's bytes apart into messages.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The message that is not complete.
    message: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    opcode: Opcode,
    payload: Vec<u8>,
    /// Whether the frame that is being read is the last of the message.
    is_final: bool,
    /// Bytes of that frame that are still to come.
    left: usize,
    /// Its mask, turned so that the first byte is for the next one.
    mask: [u8; MASK],
}

impl Decoder {
    /// Whether it holds nothing.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.message.is_none()
    }

    /// Reads up to the end of the first message in `bytes`; returns how many bytes that took, and the
    /// message. Without a message the rest is too short a beginning, and is to come again with what follows:
    /// less than 131 bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Message<'static>>), Violation> {
        let mut used = 0;
        loop {
            if self.message.as_ref().is_some_and(|message| message.left > 0) {
                used += self.take_payload(&bytes[used..]);
                if self.message.as_ref().is_some_and(|message| message.left > 0) {
                    return Ok((used, None));
                }
            }
            if let Some(message) = self.message.take_if(|message| message.is_final && message.left == 0) {
                return Ok((used, Some(checked(message.opcode, Cow::Owned(message.payload))?)));
            }
            let Some(header) = header(&bytes[used..])? else { return Ok((used, None)) };
            if let Some(opcode) = header.opcode.filter(|opcode| opcode.is_control()) {
                let begin = used + header.size;
                // At most 125 bytes, or header() would have refused it.
                let end = begin + header.length as usize;
                let Some(payload) = bytes.get(begin..end) else { return Ok((used, None)) };
                let mut payload = payload.to_vec();
                mask(&mut payload, header.mask);
                return Ok((end, Some(checked(opcode, Cow::Owned(payload))?)));
            }
            self.begin(&header)?;
            used += header.size;
        }
    }

    /// Begins a data frame.
    fn begin(&mut self, header: &Header) -> Result<(), Violation> {
        let held = self.message.as_ref().map_or(0, |message| message.payload.len());
        let left = usize::try_from(header.length).ok().filter(|length| *length <= LONGEST_MESSAGE - held);
        let left = left.ok_or(Violation::TooLong)?;
        match (&mut self.message, header.opcode) {
            (Some(message), None) => {
                (message.is_final, message.left, message.mask) = (header.is_final, left, header.mask);
            }
            (none @ None, Some(opcode)) => {
                let (is_final, mask) = (header.is_final, header.mask);
                *none = Some(Partial { opcode, payload: Vec::new(), is_final, left, mask });
            }
            _ => return Err(Violation::OutOfOrder),
        }
        Ok(())
    }

    fn take_payload(&mut self, bytes: &[u8]) -> usize {
        let Some(message) = &mut self.message else { return 0 };
        let taken = bytes.len().min(message.left);
        let begin = message.payload.len();
        message.payload.extend_from_slice(&bytes[..taken]);
        mask(&mut message.payload[begin..], message.mask);
        message.mask.rotate_left(taken % MASK);
        message.left -= taken;
        taken
    }
}

/// Writes a server's frame: whole, without a mask.
pub(crate) fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    websocket::write(out, opcode, payload, None);
}

/// Writes a server's close frame. The reasons are our own, and fit.
pub(crate) fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    write(out, Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()].concat());
}
