//! Reading of the peer's frames by either role, and of bytes that are none.

use super::*;
use crate::protocol::websocket::write;
use proptest::collection::vec;
use proptest::prelude::*;

const KEY: [u8; MASK] = [0x37, 0xfa, 0x21, 0x3d];
const BOTH: [Sender; 2] = [Sender::Client, Sender::Server];

/// A frame as `sender` sends it.
fn frame(first: u8, payload: &[u8], sender: Sender) -> Vec<u8> {
    let bit = if sender == Sender::Client { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        short @ ..126 => frame.push(bit | short as u8),
        medium @ 126..65_536 => {
            frame.push(bit | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(bit | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    if sender == Sender::Server {
        frame.extend(payload);
        return frame;
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

type Found = Vec<(Opcode, Vec<u8>)>;

/// Feeds piece by piece; whether something is held at the end.
fn decode(pieces: &[&[u8]], sender: Sender) -> Result<(Found, bool), Violation> {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let (used, message) = decoder.feed(rest, sender)?;
            rest = &rest[used..];
            let Some(message) = message else { break };
            messages.push((message.opcode, message.payload.into_owned()));
        }
        assert!(rest.is_empty(), "{} bytes were left", rest.len());
    }
    Ok((messages, !decoder.is_at_rest()))
}

#[test]
fn the_example_of_the_rfc_is_hello() {
    let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let hello = vec![(Opcode::Text, b"Hello".to_vec())];
    assert_eq!(decode(&[&bytes], Sender::Client), Ok((hello.clone(), false)));
    let mut out = Vec::new();
    write(&mut out, Opcode::Text, b"Hello", None);
    assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(decode(&[&out], Sender::Server), Ok((hello, false)));
}

#[test]
fn fragments_split_anywhere_with_a_ping_between_make_one_message() {
    for sender in BOTH {
        let of = |first, payload: &[u8]| frame(first, payload, sender);
        let bytes = [
            of(0x01, "grü".as_bytes()),
            of(0x89, b"!"),
            of(0x00, b""),
            of(0x80, b"n"),
            of(0x82, &[7; 126]),
            of(0x88, b"\x03\xe8"),
        ];
        let bytes = bytes.concat();
        let expected: Found = vec![
            (Opcode::Ping, b"!".to_vec()),
            (Opcode::Text, "grün".into()),
            (Opcode::Binary, vec![7; 126]),
            (Opcode::Close, b"\x03\xe8".to_vec()),
        ];
        for at in 0..=bytes.len() {
            assert_eq!(decode(&[&bytes[..at], &bytes[at..]], sender), Ok((expected.clone(), false)), "{at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single, sender), Ok((expected, false)));
    }
}

#[test]
fn a_broken_rule_is_named_for_either_role() {
    for sender in BOTH {
        let of = |first, payload: &[u8]| frame(first, payload, sender);
        let announced = |length: u64| {
            let mut frame = of(0x82, &[]);
            frame[1] |= 127;
            frame.splice(2..2, length.to_be_bytes());
            frame
        };
        for (bytes, violation) in [
            (of(0xc1, b"hello"), Violation::ReservedBit),
            (of(0x83, b"hello"), Violation::ReservedOpcode),
            (of(0x8b, b"hello"), Violation::ReservedOpcode),
            (of(0x80, b"hello"), Violation::OutOfOrder),
            ([of(0x01, b"a"), of(0x81, b"b")].concat(), Violation::OutOfOrder),
            (of(0x09, b"hello"), Violation::BadControl),
            (of(0x89, &[b'x'; 126]), Violation::BadControl),
            (of(0x81, b"\xff"), Violation::NotUtf8),
            ([of(0x01, b"\xc3"), of(0x80, b"a")].concat(), Violation::NotUtf8),
            (of(0x88, b"\x03"), Violation::BadClose),
            (of(0x88, &1005u16.to_be_bytes()), Violation::BadClose),
            (of(0x88, b"\x03\xe8\xff"), Violation::BadClose),
            (announced(LONGEST_MESSAGE as u64 + 1), Violation::TooLong),
            (announced(u64::MAX), Violation::TooLong),
        ] {
            assert_eq!(decode(&[&bytes], sender), Err(violation), "{bytes:?}");
            let (head, tail) = bytes.split_at(1);
            assert_eq!(decode(&[head, tail], sender), Err(violation), "split: {bytes:?}");
            // The reason has to fit into a close frame.
            assert!(violation.to_string().len() <= 123);
        }
        assert!(decode(&[&announced(LONGEST_MESSAGE as u64)], sender).is_ok_and(|(_, held)| held));
    }
    assert_eq!(decode(&[&frame(0x81, b"x", Sender::Server)], Sender::Client), Err(Violation::NotMasked));
    assert_eq!(decode(&[&frame(0x81, b"x", Sender::Client)], Sender::Server), Err(Violation::Masked));
}

#[test]
fn fragments_can_not_add_up_to_more_than_the_longest_message() {
    for sender in BOTH {
        let mut decoder = Decoder::default();
        let half = vec![0; LONGEST_MESSAGE / 2];
        for first in [0x02, 0x00] {
            let frame = frame(first, &half, sender);
            assert_eq!(decoder.feed(&frame, sender), Ok((frame.len(), None)));
        }
        assert_eq!(decoder.feed(&frame(0x00, b"x", sender), sender), Err(Violation::TooLong));
    }
}

#[test]
fn no_more_is_reserved_than_has_come_or_was_announced() {
    for sender in BOTH {
        let bytes = frame(0x82, &vec![1; 1 << 20], sender);
        let (mut decoder, mut came) = (Decoder::default(), 0);
        for piece in bytes.chunks(64 << 10) {
            came += piece.len();
            let (used, message) = decoder.feed(piece, sender).unwrap();
            assert_eq!(used, piece.len());
            assert!(decoder.held() <= (2 * came).min(1 << 20) + 512, "{} of {came}", decoder.held());
            if let Some(message) = message {
                assert_eq!(message.payload.len(), 1 << 20);
            }
        }
        assert!(decoder.is_at_rest() && decoder.held() == 0);
    }
}

#[test]
fn a_message_in_the_smallest_pieces_is_moved_a_few_times_only() {
    const PIECES: usize = 100_000;
    // Fragments of a byte; a frame that comes byte by byte.
    let fragments =
        [frame(0x02, b"x", Sender::Server), frame(0x00, b"x", Sender::Server).repeat(PIECES)].concat();
    let whole = frame(0x82, &vec![1; PIECES], Sender::Server);
    for (bytes, step) in [(&fragments, 3), (&whole[..PIECES].to_vec(), 1)] {
        let (mut decoder, mut sizes) = (Decoder::default(), std::collections::BTreeSet::new());
        for piece in bytes.chunks(step) {
            assert_eq!(decoder.feed(piece, Sender::Server), Ok((piece.len(), None)));
            sizes.insert(decoder.held());
        }
        assert!(sizes.len() < 100 && decoder.held() <= 2 * PIECES + 512, "{} sizes", sizes.len());
    }
}

#[test]
fn a_message_that_came_whole_from_a_server_is_not_copied() {
    let bytes = frame(0x82, &[9; 1000], Sender::Server);
    let mut decoder = Decoder::default();
    let (used, message) = decoder.feed(&bytes, Sender::Server).unwrap();
    assert_eq!(used, bytes.len());
    assert!(matches!(message.unwrap().payload, Cow::Borrowed(payload) if payload.len() == 1000));
}

#[test]
fn a_decoder_at_rest_is_a_pointer() {
    assert_eq!(size_of::<Decoder>(), 8);
}

proptest! {
    #[test]
    fn messages_of_any_length_come_out_as_they_went_in(
        payload in prop_oneof![vec(any::<u8>(), 0..300), vec(any::<u8>(), 65_500..65_600)],
        at in any::<prop::sample::Index>(),
    ) {
        for sender in BOTH {
            let bytes = frame(0x82, &payload, sender);
            let (first, rest) = bytes.split_at(at.index(bytes.len()));
            prop_assert_eq!(decode(&[first, rest], sender), Ok((vec![(Opcode::Binary, payload.clone())], false)));
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_came(pieces in vec(vec(any::<u8>(), 0..60), 0..10)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let came: usize = pieces.iter().map(|piece| piece.len()).sum();
        for sender in BOTH {
            if let Ok((messages, _)) = decode(&pieces, sender) {
                let held: usize = messages.iter().map(|(_, payload)| payload.len()).sum();
                prop_assert!(held <= came);
            }
        }
    }
}
