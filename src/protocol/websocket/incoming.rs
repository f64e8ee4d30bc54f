//! A server's bytes, taken apart into messages.

use super::message::{LONGEST_CONTROL, LONGEST_MESSAGE, Message, Opcode, Violation, checked};
use std::borrow::Cow;
use std::io::Cursor;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The pieces of a message whose last piece has not come.
#[derive(Debug, Default)]
pub struct Fragments(Option<Box<(Opcode, Vec<u8>)>>);

/// Takes the first message off `bytes`: how many bytes it took, and the message if it is whole. Where none is
/// and no bytes were taken, the rest is to come again with what follows.
pub fn next<'b>(
    bytes: &'b [u8],
    fragments: &mut Fragments,
) -> Result<Option<(usize, Option<Message<'b>>)>, Violation> {
    let mut cursor = Cursor::new(bytes);
    // Any other error of tungstenite's here is that of a reserved opcode.
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::ReservedOpcode)?;
    // Refused before the frame's payload has come, and before anything is reserved for it.
    let Some((header, length)) = parsed else { return Ok(None) };
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(Violation::ReservedBit);
    }
    if header.mask.is_some() {
        return Err(Violation::Masked);
    }
    let held = fragments.0.as_ref().map_or(0, |held| held.1.len());
    let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_MESSAGE - held);
    let length = length.ok_or(Violation::TooLong)?;
    let is_control = matches!(header.opcode, OpCode::Control(_));
    if is_control && !(header.is_final && length <= LONGEST_CONTROL) {
        return Err(Violation::BadControl);
    }
    let begin = cursor.position() as usize;
    let Some(payload) = bytes.get(begin..begin + length) else { return Ok(None) };
    let message = match header.opcode {
        OpCode::Control(control) => Some((of_control(control)?, Cow::Borrowed(payload))),
        OpCode::Data(data) => of_data(data, header.is_final, payload, fragments)?,
    };
    let message = message.map(|(opcode, payload)| checked(opcode, payload)).transpose()?;
    Ok(Some((begin + length, message)))
}

fn of_control(control: Control) -> Result<Opcode, Violation> {
    match control {
        Control::Close => Ok(Opcode::Close),
        Control::Ping => Ok(Opcode::Ping),
        Control::Pong => Ok(Opcode::Pong),
        Control::Reserved(_) => Err(Violation::ReservedOpcode),
    }
}

/// A message that is whole, and not yet checked.
type Whole<'b> = (Opcode, Cow<'b, [u8]>);

fn of_data<'b>(
    data: Data,
    is_final: bool,
    payload: &'b [u8],
    fragments: &mut Fragments,
) -> Result<Option<Whole<'b>>, Violation> {
    let opcode = match data {
        Data::Text => Some(Opcode::Text),
        Data::Binary => Some(Opcode::Binary),
        Data::Continue => None,
        Data::Reserved(_) => return Err(Violation::ReservedOpcode),
    };
    match (opcode, fragments.0.take()) {
        (Some(opcode), None) if is_final => Ok(Some((opcode, Cow::Borrowed(payload)))),
        (Some(opcode), None) => {
            fragments.0 = Some(Box::new((opcode, payload.to_vec())));
            Ok(None)
        }
        (None, Some(mut held)) => {
            held.1.extend_from_slice(payload);
            if is_final {
                return Ok(Some((held.0, Cow::Owned(held.1))));
            }
            fragments.0 = Some(held);
            Ok(None)
        }
        _ => Err(Violation::OutOfOrder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = (Vec<(Opcode, Vec<u8>)>, Vec<u8>);

    /// Feeds in pieces as a session does, the unused rest before the next piece.
    fn read(pieces: &[&[u8]]) -> Result<Read, Violation> {
        let (mut found, mut input, mut fragments) = (Vec::new(), Vec::new(), Fragments::default());
        for piece in pieces {
            input.extend_from_slice(piece);
            let mut used = 0;
            while let Some((taken, message)) = next(&input[used..], &mut fragments)? {
                used += taken;
                found.extend(message.map(|message| (message.opcode, message.payload.into_owned())));
            }
            input.drain(..used);
        }
        Ok((found, input))
    }

    #[test]
    fn messages_split_anywhere_are_the_same() {
        let bytes = b"\x01\x03one\x89\x02hi\x80\x03two\x82\x7e\x00\x7e".iter().copied();
        let bytes: Vec<u8> = bytes.chain([7; 126]).chain(*b"\x88\x02\x03\xe8\x81").collect();
        let whole = read(&[&bytes]).unwrap();
        let kinds: Vec<Opcode> = whole.0.iter().map(|(opcode, _)| *opcode).collect();
        assert_eq!(kinds, [Opcode::Ping, Opcode::Text, Opcode::Binary, Opcode::Close]);
        assert_eq!((&whole.0[1].1[..], &whole.1[..]), (&b"onetwo"[..], &b"\x81"[..]));
        for at in 0..bytes.len() {
            assert_eq!(read(&[&bytes[..at], &bytes[at..]]).unwrap(), whole, "at {at}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        for (bytes, violation) in [
            (&b"\xc1\x00"[..], Violation::ReservedBit),
            (b"\x83\x00", Violation::ReservedOpcode),
            (b"\x8b\x00", Violation::ReservedOpcode),
            (b"\x81\x80\x00\x00\x00\x00", Violation::Masked),
            (b"\x09\x00", Violation::BadControl),
            (b"\x89\x7e\x00\x7e", Violation::BadControl),
            (b"\x80\x00", Violation::OutOfOrder),
            (b"\x01\x00\x01\x00", Violation::OutOfOrder),
            (b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", Violation::TooLong),
            (b"\x82\x7f\x00\x00\x00\x00\x01\x00\x00\x01", Violation::TooLong),
            (b"\x81\x01\xff", Violation::NotUtf8),
            (b"\x88\x01\x03", Violation::BadClose),
            (b"\x88\x02\x03\xed", Violation::BadClose),
        ] {
            assert_eq!(read(&[bytes]), Err(violation), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_came(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let came: usize = pieces.iter().map(|piece| piece.len()).sum();
            if let Ok((found, rest)) = read(&pieces) {
                let kept: usize = found.iter().map(|(_, payload)| payload.len()).sum();
                prop_assert!(kept + rest.len() <= came);
            }
        }
    }
}
