//! Everything that parses a peer's bytes, each as a function of bytes that must not panic, must not keep more than
//! it may, and must not depend on how the bytes are split. The first byte says where the rest is split; the fuzzer
//! and the tests share this file.

use connstorm::protocol::http1::{
    Body, HeadBuffer, LONGEST_HEAD, LONGEST_REQUEST_HEAD, ReplyHead, RequestHead,
};
use connstorm::protocol::websocket::{Decoder, LONGEST_MESSAGE, Opcode, Sender, Violation};
use connstorm::protocol::{Alphabet, Fields, Template, sniff};

/// The rest of the bytes in pieces of as many bytes as the first says.
fn pieces(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((1, data), |(first, rest)| (usize::from(*first).max(1), rest))
}

/// Bytes of a body that are kept.
const KEPT: usize = 64;

/// A message, head and body, read in pieces: what was kept of the body and what follows it. `head` takes a head
/// off, with the body that it announces.
fn message(
    data: &[u8],
    size: usize,
    longest: usize,
    head: impl Fn(&[u8]) -> Result<Option<(usize, Body)>, ()>,
) -> Option<(bool, Vec<u8>, u64)> {
    let (mut input, mut body) = (HeadBuffer::default(), None::<Body>);
    for piece in data.chunks(size) {
        let is_due = input.push(piece, longest);
        if body.is_none() {
            if !is_due {
                assert!(input.bytes().len() <= longest, "a head without an end is kept");
                assert!(!matches!(head(input.bytes()), Ok(Some(_))), "a whole head was not looked at");
                continue;
            }
            match head(input.bytes()) {
                Err(()) => return None,
                Ok(None) => assert!(input.bytes().len() <= longest, "a head without an end is kept"),
                Ok(Some((size, announced))) => {
                    input.consume(size);
                    body = Some(announced);
                }
            }
        }
        if let Some(body) = &mut body {
            let Ok(used) = body.feed(input.bytes()) else { return None };
            input.consume(used);
            assert!(body.kept.len() <= KEPT, "more of a body is kept than was asked for");
        }
    }
    body.map(|body| (body.is_complete(), body.kept, body.length))
}

/// A reply as a client reads it.
pub(crate) fn http_reply(data: &[u8]) {
    let (size, data) = pieces(data);
    let head = |bytes: &[u8]| {
        let Some(head) = ReplyHead::parse(bytes).map_err(drop)? else { return Ok(None) };
        assert!(head.size <= bytes.len());
        let _ = (head.telling(), head.keeps_alive(), head.headers.lists("connection", "upgrade"));
        let framing = head.framing(false).ok_or(())?;
        Ok(Some((head.size, Body::new(framing, KEPT))))
    };
    let in_pieces = message(data, size, LONGEST_HEAD, head);
    if data.len() <= LONGEST_HEAD {
        assert_eq!(in_pieces, message(data, data.len().max(1), LONGEST_HEAD, head), "split by {size}");
    }
}

/// A request as a server reads it.
pub(crate) fn http_request(data: &[u8]) {
    let (size, data) = pieces(data);
    let head = |bytes: &[u8]| {
        let Some(head) = RequestHead::parse(bytes).map_err(drop)? else { return Ok(None) };
        assert!(head.size <= bytes.len());
        let _ = (head.keeps_alive(), head.headers.lists("upgrade", "websocket"), head.method);
        let framing = head.framing().map_err(drop)?;
        Ok(Some((head.size, Body::new(framing, KEPT))))
    };
    let in_pieces = message(data, size, LONGEST_REQUEST_HEAD, head);
    if data.len() <= LONGEST_REQUEST_HEAD {
        assert_eq!(
            in_pieces,
            message(data, data.len().max(1), LONGEST_REQUEST_HEAD, head),
            "split by {size}"
        );
    }
}

type Messages = Vec<(Opcode, Vec<u8>)>;

fn frames(data: &[u8], size: usize, sender: Sender) -> (Messages, Option<Violation>) {
    let (mut decoder, mut messages, mut came) = (Decoder::default(), Vec::new(), 0);
    for mut piece in data.chunks(size) {
        came += piece.len();
        loop {
            match decoder.feed(piece, sender) {
                Err(violation) => return (messages, Some(violation)),
                Ok((used, None)) => {
                    assert_eq!(used, piece.len(), "bytes are left without a message");
                    break;
                }
                Ok((used, Some(message))) => {
                    assert!(message.payload.len() <= came.min(LONGEST_MESSAGE));
                    let _ = message.close_frame();
                    messages.push((message.opcode, message.payload.to_vec()));
                    piece = &piece[used..];
                }
            }
        }
        assert!(decoder.held() <= 2 * came + 1024, "more is held than came");
    }
    (messages, None)
}

/// Frames of a server, as a client reads them.
pub(crate) fn websocket(data: &[u8]) {
    let (size, data) = pieces(data);
    let whole = frames(data, data.len().max(1), Sender::Server);
    assert_eq!(frames(data, size, Sender::Server), whole, "split by {size}");
}

/// Frames of a client, as a server reads them.
pub(crate) fn client_frames(data: &[u8]) {
    let (size, data) = pieces(data);
    let whole = frames(data, data.len().max(1), Sender::Client);
    assert_eq!(frames(data, size, Sender::Client), whole, "split by {size}");
}

/// The first bytes of any protocol.
pub(crate) fn first_bytes(data: &[u8]) {
    let _ = sniff(data);
}

/// A message read back by a template, and the bytes as a template themselves: what it renders, it reads.
pub(crate) fn template(data: &[u8]) {
    struct Letters;
    impl rand::RngCore for Letters {
        fn next_u32(&mut self) -> u32 {
            7
        }
        fn next_u64(&mut self) -> u64 {
            7
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }
    let text = String::from_utf8_lossy(data);
    let fields = Fields { seq: 7, conn: 3, now_us: 1_700_000_000_000_000 };
    for text in ["{conn}/{seq}/{now_us}", "{\"seq\":{seq},\"pad\":\"{random:8B}\"}", &text] {
        // A size that takes long to fill is not what is tried here.
        let is_large = text.contains("{random:") && (text.contains("MiB") || text.len() > 4096);
        let Some(template) = Template::parse(text).ok().filter(|_| !is_large) else { continue };
        let _ = template.read(data);
        let mut out = Vec::new();
        template.render(fields, Alphabet::Letters, &mut Letters, &mut out);
        let has_placeholders = Template::literals(text).concat() != text;
        if !has_placeholders {
            assert_eq!(out, text.as_bytes(), "a text without placeholders goes out as it is written");
        }
        // Placeholders side by side can't be told apart again.
        let is_ambiguous =
            text.contains("}{") || !has_placeholders || text.bytes().any(|b| b.is_ascii_digit());
        if !is_ambiguous {
            assert!(template.read(&out).is_some(), "{text}: {}", out.escape_ascii());
        }
    }
}
