//! Traced connections as lines: what was said and heard, each with its time, without what only its owner may know.
//!
//! HTTP is told by its lines, a WebSocket by its frames. Values of headers and queries, bodies and messages are told by
//! their size, unless secrets are to be shown.

use crate::model::{Outcome, TraceEvent, Traced};
use crate::plan::Plan;
use crate::plan::secrets::{REDACTED, hidden, is_secret_header, redacted_query};
use crate::protocol::websocket::{Decoder, Opcode, Sender};
use crate::protocol::{Application, Kind};
use crate::report::shown::clean;
use std::collections::HashMap;

/// Longest text of a message that is shown, in characters.
const SHOWN: usize = 2000;
/// Headers of replies that tell nothing of their owner.
const HARMLESS: [&str; 9] = [
    "date",
    "server",
    "sec-websocket-accept",
    "sec-websocket-key",
    "sec-websocket-version",
    "transfer-encoding",
    "keep-alive",
    "vary",
    "etag",
];

/// The traced connections of a run.
#[derive(Debug)]
pub struct Trace {
    /// Protocol of each population.
    kinds: Vec<Kind>,
    shows_secrets: bool,
    secrets: Vec<String>,
    open: HashMap<u64, Talk>,
}

/// Progress of a connection.
#[derive(Debug, Default)]
struct Talk {
    sent: Side,
    received: Side,
    is_websocket: bool,
}

/// One direction.
#[derive(Debug, Default)]
struct Side {
    /// A head, or a frame, that is not complete.
    held: Vec<u8>,
    decoder: Decoder,
}

impl Trace {
    /// Nothing yet, of a run of this plan.
    pub fn new(plan: &Plan, shows_secrets: bool) -> Trace {
        let kinds = plan.each().into_iter().map(Plan::kind).collect();
        Trace { kinds, shows_secrets, secrets: plan.secret_texts(), open: HashMap::new() }
    }

    /// Lines of an event.
    pub fn lines(&mut self, event: &TraceEvent) -> Vec<String> {
        let population = usize::try_from(event.ordinal).unwrap_or_default() % self.kinds.len().max(1);
        let kind = self.kinds.get(population).copied().unwrap_or_default();
        let told = match &event.what {
            Traced::Started => vec!["* begins".to_owned()],
            Traced::Connected { from, to } => {
                let from = from.map_or(String::new(), |from| format!("{from} to "));
                vec![format!("* connected, {from}{to}")]
            }
            Traced::Sent(bytes) => self.said(event.ordinal, kind, Sender::Client, bytes),
            Traced::Received(bytes) => self.said(event.ordinal, kind, Sender::Server, bytes),
            Traced::Ended(outcome) => {
                self.open.remove(&event.ordinal);
                vec![match outcome {
                    Outcome::Ok => "* ended well".to_owned(),
                    Outcome::Failed(failure) => format!("* failed: {failure}"),
                    Outcome::CutShort => "* cut short by the end of the run".to_owned(),
                }]
            }
        };
        let front = format!("trace {:>3} {:>12.6}", event.ordinal + 1, event.at.as_secs_f64());
        let line = |text: String| format!("{front}  {}", clean(&hidden(&text, &self.secrets)));
        told.into_iter().map(line).collect()
    }

    fn said(&mut self, ordinal: u64, kind: Kind, by: Sender, bytes: &[u8]) -> Vec<String> {
        let shows = self.shows_secrets;
        let talk = self.open.entry(ordinal).or_default();
        let mut told = Vec::new();
        let mut rest = bytes.to_vec();
        if kind.application() != Application::Stream && !talk.is_websocket {
            let side = if by == Sender::Client { &mut talk.sent } else { &mut talk.received };
            side.held.extend_from_slice(&rest);
            rest = Vec::new();
            while let Some(end) = head_end(&side.held) {
                let head: Vec<u8> = side.held.drain(..end).collect();
                let is_upgrade = by == Sender::Server && head.starts_with(b"HTTP/1.1 101");
                told.extend(head_lines(&head, by, shows));
                if is_upgrade {
                    talk.is_websocket = true;
                    break;
                }
            }
            // A body follows upon a head; what is no head is one.
            let is_head = side.held.is_empty() || begins_head(&side.held, by);
            if talk.is_websocket || !is_head {
                rest = std::mem::take(&mut side.held);
            }
        }
        if rest.is_empty() {
            return told;
        }
        let arrow = arrow(by);
        if talk.is_websocket {
            told.extend(talk.frames(&rest, by, shows));
        } else {
            told.push(format!("{arrow} {}", content(&rest, "bytes", shows)));
        }
        told
    }
}

impl Talk {
    fn frames(&mut self, bytes: &[u8], by: Sender, shows: bool) -> Vec<String> {
        let side = if by == Sender::Client { &mut self.sent } else { &mut self.received };
        let mut told = Vec::new();
        let mut rest = bytes;
        loop {
            match side.decoder.feed(rest, by) {
                Ok((used, Some(message))) => {
                    rest = &rest[used..];
                    let what = match message.opcode {
                        Opcode::Text => "text",
                        Opcode::Binary => "binary",
                        Opcode::Close => "close",
                        Opcode::Ping => "ping",
                        Opcode::Pong => "pong",
                    };
                    told.push(format!("{} {}", arrow(by), content(&message.payload, what, shows)));
                }
                Ok((_, None)) => return told,
                Err(violation) => {
                    told.push(format!("{} {violation}", arrow(by)));
                    return told;
                }
            }
        }
    }
}

fn arrow(by: Sender) -> &'static str {
    if by == Sender::Client { ">" } else { "<" }
}

/// Bytes by their size, or as they are.
fn content(bytes: &[u8], what: &str, shows: bool) -> String {
    if bytes.is_empty() {
        return format!("{what}, empty");
    }
    if !shows {
        return format!("{what}, {} bytes {REDACTED}", bytes.len());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if what != "binary" => text.chars().take(SHOWN).collect(),
        _ => bytes.iter().take(SHOWN / 3).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    };
    format!("{what}, {} bytes: {text}", bytes.len())
}

/// Length of a head with the empty line that ends it; `None` where it is not complete or is no head.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let looks_like_one = begins_head(bytes, Sender::Client) || begins_head(bytes, Sender::Server);
    looks_like_one.then(|| bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)).flatten()
}

fn begins_head(bytes: &[u8], by: Sender) -> bool {
    match by {
        Sender::Server => bytes.starts_with(b"HTTP/1.") || b"HTTP/1.".starts_with(bytes),
        Sender::Client => {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            !method.is_empty() && method.iter().all(u8::is_ascii_uppercase)
        }
    }
}

/// Lines of a head.
fn head_lines(head: &[u8], by: Sender, shows: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(head);
    let lines = text.split("\r\n").filter(|line| !line.is_empty());
    let told = lines.enumerate().map(|(at, line)| match line.split_once(':') {
        _ if shows => line.to_owned(),
        _ if at == 0 => line.split(' ').map(redacted_query).collect::<Vec<_>>().join(" "),
        Some((name, _)) if is_secret_header(name) && !is_harmless(name) => format!("{name}: {REDACTED}"),
        _ => line.to_owned(),
    });
    told.map(|line| format!("{} {line}", arrow(by))).collect()
}

fn is_harmless(name: &str) -> bool {
    HARMLESS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};
    use std::time::Duration;

    fn told(trace: &mut Trace, what: Traced) -> Vec<String> {
        let event = TraceEvent { ordinal: 0, at: Duration::from_micros(1500), what };
        trace
            .lines(&event)
            .into_iter()
            .map(|line| line.trim_start_matches("trace   1     0.001500  ").to_owned())
            .collect()
    }

    #[test]
    fn a_conversation_is_told_without_its_secrets() {
        let plan = from_flags(&Overrides::to("ws://h:1/chat?token=abcdef")).unwrap();
        let request = b"GET /chat?token=abcdef HTTP/1.1\r\nHost: h:1\r\nCookie: sid=1\r\n\r\n".to_vec();
        let reply =
            b"HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=b\r\nServer: x\r\n\r\n\x81\x02hi".to_vec();
        let frame = vec![0x81, 0x83, 0, 0, 0, 0, b'a', b'b', b'c'];
        let mut trace = Trace::new(&plan, false);
        assert_eq!(
            told(&mut trace, Traced::Sent(request.clone())),
            ["> GET /chat?token=(redacted) HTTP/1.1", "> Host: h:1", "> Cookie: (redacted)"]
        );
        assert_eq!(
            told(&mut trace, Traced::Received(reply.clone())),
            [
                "< HTTP/1.1 101 Switching Protocols",
                "< Set-Cookie: (redacted)",
                "< Server: x",
                "< text, 2 bytes (redacted)"
            ]
        );
        assert_eq!(told(&mut trace, Traced::Sent(frame[..4].to_vec())), Vec::<String>::new());
        assert_eq!(told(&mut trace, Traced::Sent(frame[4..].to_vec())), ["> text, 3 bytes (redacted)"]);
        assert_eq!(told(&mut trace, Traced::Ended(Outcome::Ok)), ["* ended well"]);
        let mut shown = Trace::new(&plan.with_secrets_shown(), true);
        assert_eq!(told(&mut shown, Traced::Sent(request))[2], "> Cookie: sid=1");
        assert_eq!(told(&mut shown, Traced::Received(reply))[3], "< text, 2 bytes: hi");
    }

    #[test]
    fn bodies_and_streams_are_told_by_their_size() {
        let plan = from_flags(&Overrides::to("http://h:1/")).unwrap();
        let mut trace = Trace::new(&plan, false);
        let post = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_vec();
        assert_eq!(
            told(&mut trace, Traced::Sent(post)),
            ["> POST / HTTP/1.1", "> Content-Length: 3", "> bytes, 3 bytes (redacted)"]
        );
        let plan = from_flags(&Overrides::to("tcp://h:1").with("--send", "x")).unwrap();
        let mut trace = Trace::new(&plan, true);
        assert_eq!(
            told(&mut trace, Traced::Received(b"GET /\r\n\r\n".to_vec())),
            ["< bytes, 9 bytes: GET /  "]
        );
    }
}
