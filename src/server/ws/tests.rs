//! What a server makes of a client's frames, and of bytes that are none.

use super::frame::{Decoder, write};
use crate::protocol::websocket::{LONGEST_MESSAGE, Message, Opcode, Violation};
use proptest::collection::vec;
use proptest::prelude::*;

/// A client's frame: masked.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ ..126 => frame.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Feeds as a connection does: the rest comes again with the next piece.
fn decode(pieces: &[&[u8]]) -> Result<(Vec<Message<'static>>, usize), Violation> {
    let (mut decoder, mut input, mut messages) = (Decoder::default(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let (used, message) = decoder.feed(&input)?;
            input.drain(..used);
            let Some(message) = message else { break };
            messages.push(message);
        }
        assert!(input.len() < 131, "{} bytes were left", input.len());
    }
    Ok((messages, input.len()))
}

fn message(opcode: Opcode, payload: &[u8]) -> Message<'static> {
    Message { opcode, payload: payload.to_vec().into() }
}

#[test]
fn the_example_of_the_rfc_is_hello() {
    let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode(&[&bytes]), Ok((vec![message(Opcode::Text, b"Hello")], 0)));
    assert_eq!(masked(0x81, b"Hello"), bytes);
    let mut out = Vec::new();
    write(&mut out, Opcode::Text, b"Hello");
    assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
}

#[test]
fn fragments_split_anywhere_with_a_ping_between_make_one_message() {
    let bytes = [masked(0x01, "grü".as_bytes()), masked(0x89, b"!"), masked(0x00, b""), masked(0x80, b"n")];
    let bytes = bytes.concat();
    let expected = vec![message(Opcode::Ping, b"!"), message(Opcode::Text, "grün".as_bytes())];
    for at in 0..=bytes.len() {
        assert_eq!(decode(&[&bytes[..at], &bytes[at..]]), Ok((expected.clone(), 0)), "at {at}");
    }
}

#[test]
fn what_breaks_the_protocol_is_named() {
    let hello = |first| masked(first, b"hello");
    let long = {
        let mut frame = vec![0x82, 0xff];
        frame.extend((LONGEST_MESSAGE as u64 + 1).to_be_bytes());
        frame.extend([0; 4]);
        frame
    };
    let huge = [&[0x82, 0xff][..], &[0xff; 12]].concat();
    for (bytes, violation) in [
        (vec![0x81, 0x01, b'x'], Violation::NotMasked),
        (hello(0xc1), Violation::ReservedBit),
        (hello(0x83), Violation::ReservedOpcode),
        (hello(0x8b), Violation::ReservedOpcode),
        (hello(0x80), Violation::OutOfOrder),
        ([hello(0x01), hello(0x81)].concat(), Violation::OutOfOrder),
        (hello(0x09), Violation::BadControl),
        (masked(0x89, &[b'x'; 126]), Violation::BadControl),
        (masked(0x81, b"\xff"), Violation::NotUtf8),
        (masked(0x88, b"\x03"), Violation::BadClose),
        (masked(0x88, &1005u16.to_be_bytes()), Violation::BadClose),
        (masked(0x88, b"\x03\xe8\xff"), Violation::BadClose),
        (long, Violation::TooLong),
        (huge, Violation::TooLong),
    ] {
        assert_eq!(decode(&[&bytes]), Err(violation), "{bytes:?}");
        // The reason has to fit into a close frame.
        assert!(violation.to_string().len() <= 123);
    }
}

#[test]
fn fragments_can_not_add_up_to_more_than_the_longest_message() {
    let mut decoder = Decoder::default();
    let half = vec![0; LONGEST_MESSAGE / 2];
    for first in [0x02, 0x00] {
        let frame = masked(first, &half);
        assert_eq!(decoder.feed(&frame), Ok((frame.len(), None)));
    }
    assert_eq!(decoder.feed(&masked(0x00, b"x")), Err(Violation::TooLong));
}

proptest! {
    #[test]
    fn messages_of_any_length_come_out_as_they_went_in(
        payload in prop_oneof![vec(any::<u8>(), 0..300), vec(any::<u8>(), 65_500..65_600)],
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = masked(0x82, &payload);
        let (first, rest) = bytes.split_at(at.index(bytes.len()));
        prop_assert_eq!(decode(&[first, rest]), Ok((vec![message(Opcode::Binary, &payload)], 0)));
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_came(pieces in vec(vec(any::<u8>(), 0..60), 0..10)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let came: usize = pieces.iter().map(|piece| piece.len()).sum();
        if let Ok((messages, left)) = decode(&pieces) {
            let held: usize = messages.iter().map(|message| message.payload.len()).sum();
            prop_assert!(held + left <= came);
        }
    }
}
