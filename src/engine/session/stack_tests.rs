//! Sessions on a stack of the size that a worker has, given the largest reads: nothing that a peer sends recurses. An
//! overflow would end the whole process, and no report would be left. A debug build needs more stack than what is shipped.

use super::tests::Rehearsal;
use crate::engine::connections::LONGEST_READ;
use crate::engine::threads::STACK;
use crate::plan::{Overrides, load_file};
use std::path::Path;
use std::thread;

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sessions of every kind that is spoken, ready to hear.
fn sessions() -> Vec<(&'static str, Rehearsal)> {
    let flags = |target: &str, words: &[(&'static str, &str)]| {
        let flags = Overrides::to(target).with("--lifetime", "60s");
        Rehearsal::of(&words.iter().fold(flags, |flags, (flag, value)| flags.with(flag, value)))
    };
    let opened = |mut rehearsal: Rehearsal| {
        rehearsal.accept(b"").unwrap();
        rehearsal
    };
    let say = |expect| [("--send", "m"), ("--expect", expect), ("--every", "1ms")];
    let steps = |steps: &str, target: &str| {
        let text = format!("steps = [{steps}]\n[target]\nurl = \"{target}\"");
        Rehearsal::of_plan(
            &load_file(Path::new("a.toml"), &text, &|_| None, &Overrides::default()).unwrap(),
            None,
        )
    };
    let reacting = r#"{ open = true }, { on = { json = "/a", equals = "1" }, send = "pong" }, { on = "", send = "x" },
        { wait = { json = "/a/a/a/a", equals = "x" }, take = { t = "json:/a/a" }, within = "9s" }"#;
    let lines = r#"{ on = "p", send = "x" }, { repeat = 1000000, steps = [{ send = "x", expect = "q" }] }"#;
    let requests = r#"{ repeat = 1000000, steps = [{ http = "/", take = { t = "json:/a" } }] }"#;
    vec![
        ("request", flags("http://h/", &[])),
        ("requests", flags("http://h/", &[("--requests", "1000000")])),
        ("compared body", flags("http://h/", &[("--requests", "9"), ("--expect", "json(/a/a == 1)")])),
        ("upgrade", flags("ws://h/", &[])),
        ("listener", opened(flags("ws://h/", &[]))),
        ("echo", opened(flags("ws://h/", &say("echo")))),
        ("document", opened(flags("ws://h/", &say("json(/a/a == 1)")))),
        ("stream", flags("tcp://h:1", &say("contains(zz)"))),
        ("answers", flags("tcp://h:1", &say("any"))),
        ("TLS", flags("https://h/", &[])),
        ("steps", opened(steps(reacting, "ws://h/"))),
        ("steps before the handshake", steps(reacting, "ws://h/")),
        ("steps over lines", steps(lines, "tcp://h:1")),
        ("steps of requests", steps(requests, "http://h/")),
    ]
}

/// Gives each kind of session what a peer may send, as much as one read can have, again and again until it has ended.
fn all_hear(name: &'static str, read: Vec<u8>) {
    assert!(!read.is_empty() && read.len() <= LONGEST_READ, "{name}: {} bytes", read.len());
    for (kind, mut session) in sessions() {
        let read = read.clone();
        let thread = thread::Builder::new().stack_size(STACK).name(format!("{name} for {kind}"));
        let heard = thread.spawn(move || {
            (0..4).take_while(|_| session.take(&read).is_ok()).count();
            drop(session);
        });
        heard.unwrap().join().unwrap();
    }
}

/// As many of a piece as one read can have.
fn filled(piece: &[u8]) -> Vec<u8> {
    piece.repeat(LONGEST_READ / piece.len())
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[first, 126], &length[..], payload].concat()
}

#[test]
fn many_replies_in_one_read_do_not_recurse() {
    all_hear("interim replies", filled(b"HTTP/1.1 102 Processing\r\n\r\n"));
    all_hear("early hints", filled(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"));
    all_hear("replies", filled(REPLY));
    all_hear("replies without a body", filled(b"HTTP/1.1 204 No Content\r\n\r\n"));
    all_hear("refusals", filled(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"));
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    all_hear("chunks of a byte", [&chunked[..], &b"1\r\nx\r\n".repeat(10_000)].concat());
    let folded = [&b"HTTP/1.1 200 OK\r\nA: b"[..], &b"\r\n c".repeat(1000), b"\r\n\r\n"].concat();
    all_hear("folded headers", folded);
}

#[test]
fn many_frames_in_one_read_do_not_recurse() {
    for (name, piece) in [
        ("empty messages", &b"\x81\0"[..]),
        ("messages", b"\x81\x01m"),
        ("numbers", b"\x81\x07{\"a\":1}"),
        ("pings", b"\x89\0"),
        ("pongs", b"\x8a\0"),
        ("closes", b"\x88\0"),
        ("fragments", b"\x01\x01a\0\0\x89\0\x80\x01b"),
        ("one long message of fragments", b"\0\0"),
    ] {
        all_hear(name, filled(piece));
    }
}

#[test]
fn nested_documents_and_many_lines_do_not_recurse() {
    const DEEP: usize = 10_000;
    let objects = [br#"{"a":"#.repeat(DEEP), b"1".to_vec(), b"}".repeat(DEEP)].concat();
    let arrays = [b"[".repeat(2 * DEEP), b"]".repeat(2 * DEEP)].concat();
    let within = |open: &[u8]| [br#"{"a":{"a":"#, open].concat();
    for document in [objects, arrays.clone(), within(&arrays), within(&b"[".repeat(2 * DEEP))] {
        all_hear("nested message", frame(0x81, &document));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", document.len());
        all_hear("nested body", [head.as_bytes(), &document].concat());
    }
    for piece in [&b"\n"[..], b"m", b"p\n", b"q\n", b"zz", b"zz\n", b"\\\"", b"\0", b"\xff"] {
        all_hear("lines", filled(piece));
    }
}

#[test]
fn what_the_fuzzers_keep_does_not_recurse() {
    for target in ["http_reply", "websocket", "first_bytes"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            // Their first byte says how the fuzzer splits the rest.
            let [_, piece @ ..] = &bytes[..] else { continue };
            if piece.is_empty() || piece.len() > LONGEST_READ {
                continue;
            }
            all_hear("corpus", piece.to_vec());
            all_hear("corpus, many times", filled(piece));
        }
    }
}
