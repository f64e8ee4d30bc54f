//! Bytes of a peer taken apart into messages, in pieces of any size, for both roles.
//!
//! Invariant: each byte of a message is copied once, however it is split; what is held is at most one message
//! that is not complete, of at most [`LONGEST_MESSAGE`] bytes and never more than the peer has sent, and at
//! most one control frame that is not complete. Between messages nothing is held.

use super::header::{Header, LONGEST_HEADER, MASK, Sender};
use super::message::{LONGEST_CONTROL, LONGEST_MESSAGE, Message, Opcode, Violation, checked, mask};
use std::borrow::Cow;

/// See the module.
#[derive(Debug, Default)]
pub struct Decoder(Option<Box<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// A header, or a control frame, that is not complete.
    beginning: Vec<u8>,
    /// A message that is not complete.
    message: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    opcode: Opcode,
    payload: Vec<u8>,
    /// True if the frame that is being read is the last of the message.
    is_final: bool,
    /// Bytes of that frame that are still to come.
    left: usize,
    /// Mask, turned so that the first byte is for the next one.
    mask: [u8; MASK],
}

/// A message, or nothing as long as none is whole, and the bytes that were taken for it.
pub type Decoded<'b> = Result<(usize, Option<Message<'b>>), Violation>;

impl Decoder {
    /// True if nothing is held.
    pub fn is_at_rest(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of memory that are held for the peer.
    pub fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |held| {
            size_of::<Held>()
                + held.beginning.capacity()
                + held.message.as_ref().map_or(0, |message| message.payload.capacity())
        })
    }

    /// Reads up to the end of the first message in `bytes`. Without a message all of `bytes` are taken.
    ///
    /// # Errors
    /// The rule that the peer breaks; nothing may be fed afterwards.
    pub fn feed<'b>(&mut self, bytes: &'b [u8], sender: Sender) -> Decoded<'b> {
        if self.0.is_none()
            && let Some(whole) = whole_frame(bytes, sender)?
        {
            return Ok(whole);
        }
        if bytes.is_empty() {
            return Ok((0, None));
        }
        let mut held = self.0.take().unwrap_or_default();
        let decoded = held.feed(bytes, sender)?;
        if held.message.is_some() || !held.beginning.is_empty() {
            self.0 = Some(held);
        }
        Ok(decoded)
    }
}

/// A message of one frame that lies in `bytes` as a whole: not copied where it has no mask.
fn whole_frame(bytes: &[u8], sender: Sender) -> Result<Option<(usize, Option<Message<'_>>)>, Violation> {
    let Some(header) = Header::parse(bytes, sender)? else { return Ok(None) };
    let Some(opcode) = header.opcode.filter(|_| header.is_final) else { return Ok(None) };
    let Some(length) = usize::try_from(header.length).ok().filter(|length| *length <= LONGEST_MESSAGE) else {
        return Err(Violation::TooLong);
    };
    let end = header.size + length;
    let Some(payload) = bytes.get(header.size..end) else { return Ok(None) };
    Ok(Some((end, Some(checked(opcode, unmasked(payload, header.mask, sender))?))))
}

fn unmasked(payload: &[u8], key: [u8; MASK], sender: Sender) -> Cow<'_, [u8]> {
    match sender {
        Sender::Server => Cow::Borrowed(payload),
        Sender::Client => {
            let mut plain = payload.to_vec();
            mask(&mut plain, key);
            Cow::Owned(plain)
        }
    }
}

impl Held {
    fn feed<'b>(&mut self, bytes: &'b [u8], sender: Sender) -> Decoded<'b> {
        let mut used = 0;
        loop {
            used += self.take_payload(&bytes[used..]);
            if self.message.as_ref().is_some_and(|message| message.left > 0) {
                return Ok((used, None));
            }
            let whole = self.message.take_if(|message| message.is_final && message.left == 0);
            if let Some(message) = whole {
                return Ok((used, Some(checked(message.opcode, Cow::Owned(message.payload))?)));
            }
            let Some((taken, header)) = self.take_header(&bytes[used..], sender)? else {
                return Ok((bytes.len(), None));
            };
            used += taken;
            if header.is_control() {
                let opcode = header.opcode.unwrap_or(Opcode::Close);
                let mut payload = self.beginning.split_off(header.size);
                self.beginning = Vec::new();
                mask(&mut payload, header.mask);
                return Ok((used, Some(checked(opcode, Cow::Owned(payload))?)));
            }
            self.beginning = Vec::new();
            self.begin(&header)?;
        }
    }

    /// Takes a header, with the payload where it is a control frame's, into `beginning`; `None` where it is not
    /// complete, and all of `bytes` are taken.
    fn take_header(&mut self, bytes: &[u8], sender: Sender) -> Result<Option<(usize, Header)>, Violation> {
        let before = self.beginning.len();
        let most = (LONGEST_HEADER + LONGEST_CONTROL).saturating_sub(before).min(bytes.len());
        self.beginning.extend_from_slice(&bytes[..most]);
        let Some(header) = Header::parse(&self.beginning, sender)? else { return Ok(None) };
        let payload = if header.is_control() { header.length as usize } else { 0 };
        let size = header.size + payload;
        if self.beginning.len() < size {
            return Ok(None);
        }
        self.beginning.truncate(size);
        Ok(Some((size - before, header)))
    }

    /// Begins a data frame.
    fn begin(&mut self, header: &Header) -> Result<(), Violation> {
        let held = self.message.as_ref().map_or(0, |message| message.payload.len());
        // Refused before the frame's payload has come, and before anything is reserved for it.
        let left = usize::try_from(header.length).ok().filter(|length| *length <= LONGEST_MESSAGE - held);
        let left = left.ok_or(Violation::TooLong)?;
        let (is_final, mask) = (header.is_final, header.mask);
        match (&mut self.message, header.opcode) {
            (Some(message), None) => (message.is_final, message.left, message.mask) = (is_final, left, mask),
            (none @ None, Some(opcode)) => {
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
        if message.payload.capacity() - begin < taken {
            // Doubled, and never beyond what is announced: by the last frame, or of a message in fragments, by none.
            let announced = if message.is_final { message.left } else { LONGEST_MESSAGE - begin };
            message.payload.reserve_exact(announced.min(begin.max(taken)));
        }
        message.payload.extend_from_slice(&bytes[..taken]);
        mask(&mut message.payload[begin..], message.mask);
        message.mask.rotate_left(taken % MASK);
        message.left -= taken;
        taken
    }
}

#[cfg(test)]
mod tests;
