//! Everything that parses a peer's bytes, each as a function of bytes that must not panic, and must not keep
//! more than it may. The first byte says where the rest is split; the fuzzer and the tests share this file.

use connstorm::protocol::http1::{Body, LONGEST_HEAD, ReplyHead};
use connstorm::protocol::websocket::{Fragments, LONGEST_MESSAGE, next};
use connstorm::protocol::{Fields, Template, sniff};

/// The rest of the bytes in pieces of as many bytes as the first says.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, rest) =
        data.split_first().map_or((1, data), |(first, rest)| (usize::from(*first).max(1), rest));
    rest.chunks(size)
}

/// A reply, head and body, read as a session reads it.
pub fn http_reply(data: &[u8]) {
    const KEPT: usize = 64;
    let (mut input, mut body) = (Vec::new(), None::<Body>);
    for piece in pieces(data) {
        input.extend_from_slice(piece);
        if body.is_none() {
            match ReplyHead::parse(&input) {
                Err(_) => return,
                Ok(None) => assert!(input.len() <= LONGEST_HEAD, "a head without an end is kept"),
                Ok(Some(head)) => {
                    assert!(head.size <= input.len());
                    let _ = (head.telling(), head.keeps_alive(), head.lists("connection", "upgrade"));
                    let Some(framing) = head.framing(false) else { return };
                    let size = head.size;
                    body = Some(Body::new(framing, KEPT));
                    input.drain(..size);
                }
            }
        }
        if let Some(body) = &mut body {
            let Ok(used) = body.feed(&input) else { return };
            input.drain(..used);
            assert!(body.kept.len() <= KEPT, "more of a body is kept than was asked for");
            if body.is_complete() {
                return;
            }
        }
    }
}

/// Frames of a server.
pub fn websocket(data: &[u8]) {
    let (mut input, mut fragments, mut came) = (Vec::new(), Fragments::default(), 0);
    for piece in pieces(data) {
        input.extend_from_slice(piece);
        came += piece.len();
        let mut used = 0;
        loop {
            match next(&input[used..], &mut fragments) {
                Err(_) => return,
                Ok(None) => break,
                Ok(Some((taken, message))) => {
                    assert!(taken >= 2, "a frame that takes nothing would never end");
                    used += taken;
                    if let Some(message) = message {
                        assert!(message.payload.len() <= came.min(LONGEST_MESSAGE));
                        let _ = message.close_code();
                    }
                }
            }
        }
        input.drain(..used);
    }
}

/// The first bytes of any protocol.
pub fn first_bytes(data: &[u8]) {
    let _ = sniff(data);
}

/// A message read back by its template.
pub fn template(data: &[u8]) {
    for text in ["{conn}/{seq}/{now_us}", "{\"seq\":{seq},\"pad\":\"{random:8B}\"}", "{seq}{conn}"] {
        let template = Template::parse(text).expect("a template");
        let read: Option<Fields> = template.read(data);
        assert!(read.is_none() || data.iter().any(u8::is_ascii_digit));
    }
}
