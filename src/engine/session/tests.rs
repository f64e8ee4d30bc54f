//! Sessions without sockets and without clocks: what they say, what they wait for, and that no peer's bytes
//! can harm them.

use super::{Client, Context, Script, Session, Step, StepResult};
use crate::engine::lifetimes::WorkerRng;
use crate::linux::clock::Clock;
use crate::model::{Cause, Stage, Stamp, Tally};
use crate::plan::{Overrides, Plan, from_flags};
use crate::protocol::websocket::{Decoder, Opcode};
use proptest::prelude::*;
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// One session and everything around it; the test owns the time.
pub(super) struct Rehearsal {
    pub(super) script: Script,
    pub(super) session: Option<Session>,
    rng: WorkerRng,
    pub(super) tally: Tally,
    pub(super) out: Vec<u8>,
    pub(super) now: Stamp,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Rehearsal {
    fn new(target: &str, lifetime: &str, session: Overrides) -> Rehearsal {
        Rehearsal::of(&session.with_target(target).with("--lifetime", lifetime))
    }

    pub(super) fn of(overrides: &Overrides) -> Rehearsal {
        Rehearsal::of_plan(&from_flags(overrides).unwrap(), None)
    }

    /// The session of a plan, or one that goes on for a client.
    pub(super) fn of_plan(plan: &Plan, client: Option<Client>) -> Rehearsal {
        let script = Script::of(plan, &Default::default()).unwrap().expect("something is said");
        let rng = WorkerRng::new(1, 0);
        let (tally, out, now) = (Tally::default(), Vec::new(), Stamp::ZERO);
        let mut stage = Rehearsal { script, session: None, rng, tally, out, now };
        let begun = stage.with(|none, context| {
            context.client = client.map(Box::new);
            let (session, stepped) = Session::begin(context);
            *none = Some(session);
            stepped
        });
        assert!(begun.is_ok());
        stage
    }

    fn with(&mut self, act: impl FnOnce(&mut Option<Session>, &mut Context<'_>) -> StepResult) -> StepResult {
        let (mut plain, mut scratch) = (Vec::new(), Vec::new());
        self.out.clear();
        let mut context = Context {
            ended: None,
            script: &self.script,
            now: self.now,
            clock: Clock::start(),
            rng: &mut self.rng,
            tally: &mut self.tally,
            out: &mut self.out,
            plain: &mut plain,
            scratch: &mut scratch,
            client: None,
            trace: None,
            ordinal: 0,
            destination: ([127, 0, 0, 1], 9001).into(),
        };
        act(&mut self.session, &mut context)
    }

    pub(super) fn act(
        &mut self,
        act: impl FnOnce(&mut Session, &mut Context<'_>) -> StepResult,
    ) -> StepResult {
        self.with(|session, context| act(session.as_mut().unwrap(), context))
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> StepResult {
        self.act(|session, context| session.take(bytes, context))
    }

    pub(super) fn at(&mut self, now: Stamp) -> StepResult {
        self.now = now;
        self.act(Session::tick)
    }

    pub(super) fn due(&self) -> Option<Stamp> {
        self.session.as_ref().unwrap().next_due(&self.script)
    }

    /// Answers the handshake that waits to be sent.
    pub(super) fn accept(&mut self, after: &[u8]) -> StepResult {
        let request = String::from_utf8(self.out.clone()).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let reply = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.take(&[reply.as_bytes(), after].concat())
    }

    /// Messages that wait to be sent, unmasked.
    pub(super) fn said(&self) -> Vec<(u8, Vec<u8>)> {
        let (mut found, mut bytes) = (Vec::new(), &self.out[..]);
        while let [first, second, m0, m1, m2, m3, rest @ ..] = bytes {
            let length = usize::from(second & 0x7f);
            let mask = [m0, m1, m2, m3];
            let payload = rest[..length].iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]).collect();
            found.push((first & 0x0f, payload));
            bytes = &rest[length..];
        }
        found
    }
}

fn sending(send: &str, expect: Option<&str>, every: Option<&str>, count: Option<&str>) -> Overrides {
    let others = [("--expect", expect), ("--every", every), ("--count", count)];
    others.into_iter().fold(Overrides::default().with("--send", send), |flags, (flag, given)| match given {
        Some(text) => flags.with(flag, text),
        None => flags,
    })
}

#[test]
fn the_handshake_says_what_the_plan_says() {
    let session = Overrides::default()
        .with("--header", "X-Token: abc")
        .with("--auth", "bearer(t)")
        .with("--origin", "https://a.example")
        .with("--subprotocol", "chat.v2")
        .with("--subprotocol", "chat.v1");
    let stage = Rehearsal::new("ws://h:9001/chat?room=1", "1s", session);
    let request = String::from_utf8(stage.out.clone()).unwrap();
    assert!(request.starts_with("GET /chat?room=1 HTTP/1.1\r\nHost: h:9001\r\n"), "{request}");
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: chat.v2, chat.v1",
        "X-Token: abc",
        "Authorization: Bearer t",
        "Origin: https://a.example",
    ] {
        assert_eq!(request.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {request}");
    }
    assert_eq!(stage.due(), Some(Duration::from_secs(5)), "the handshake has an end");
}

#[test]
fn what_comes_with_the_handshake_is_heard_and_pings_are_answered() {
    let mut stage = Rehearsal::new("ws://h:1/", "1s", Overrides::default());
    assert!(stage.accept(b"\x81\x05early\x89\x02hi\x81\x01").is_ok());
    assert_eq!(stage.said(), [(10, b"hi".to_vec())]);
    let heard = stage.tally.traffic;
    assert_eq!((heard.sessions, heard.received, heard.pushes, heard.peer_pings), (1, 1, 1, 1));
    // The half message is completed later.
    assert!(stage.take(b"x").is_ok());
    assert_eq!(stage.tally.traffic.received, 2);
    assert_eq!(stage.due(), Some(Duration::from_secs(1)), "the lifetime");
}

#[test]
fn echoes_are_measured_and_the_session_says_goodbye() {
    let mut stage = Rehearsal::new("ws://h:1/", "0s", sending("ping {seq}", Some("echo"), None, Some("2")));
    stage.accept(b"").unwrap();
    assert_eq!(stage.said(), [(1, b"ping 1".to_vec())]);
    stage.now = ms(3);
    stage.take(b"\x81\x06ping 1").unwrap();
    // The next message is due at once.
    assert_eq!(stage.due(), Some(ms(3)));
    stage.at(ms(3)).unwrap();
    assert_eq!(stage.said(), [(1, b"ping 2".to_vec())]);
    stage.now = ms(5);
    stage.take(b"\x81\x06ping 2").unwrap();
    assert_eq!(stage.said(), [(8, vec![3, 232])], "code 1000");
    assert_eq!(stage.take(b"\x88\x02\x03\xe8").unwrap(), Step::Done);
    let traffic = stage.tally.traffic;
    assert_eq!((traffic.sent, traffic.matched, traffic.mismatches), (2, 2, 0));
    assert_eq!(stage.tally.latencies.round_trip.count(), 2);
}

#[test]
fn messages_are_due_at_their_times_and_unanswered_ones_fail_the_session() {
    let mut stage = Rehearsal::new("ws://h:1/", "60s", sending("m", Some("echo"), Some("1s"), None));
    stage.accept(b"").unwrap();
    assert_eq!((stage.said().len(), stage.due()), (1, Some(ms(1000))));
    stage.at(ms(3000)).unwrap();
    assert_eq!(stage.said().len(), 3, "what was missed is made up for");
    let trouble = stage.at(ms(5000)).unwrap_err();
    assert_eq!((trouble.failure.stage, trouble.failure.cause), (Stage::Session, Cause::TimedOut));
}

#[test]
fn a_wrong_answer_and_a_broken_rule_are_named() {
    let mut stage = Rehearsal::new("ws://h:1/", "60s", sending("m", Some("echo"), Some("1s"), None));
    stage.accept(b"").unwrap();
    // It may be a push; the answer is waited for in its time.
    assert_eq!(stage.take(b"\x81\x01x").unwrap(), Step::Continue);
    let trouble = stage.at(ms(5000)).unwrap_err();
    assert_eq!(trouble.failure.cause, Cause::UnexpectedReply);
    assert_eq!(trouble.reply.unwrap().says.unwrap(), "expected 'm', found 'x'");
    assert_eq!(stage.tally.traffic.mismatches, 1);
    let mut stage = Rehearsal::new("ws://h:1/", "60s", Overrides::default());
    stage.accept(b"").unwrap();
    let trouble = stage.take(b"\x81\x81\0\0\0\0x").unwrap_err();
    assert_eq!(trouble.failure.cause, Cause::ProtocolViolation);
    assert_eq!(stage.said(), [(8, vec![3, 234])], "code 1002");
}

#[test]
fn a_greeting_and_a_broadcast_between_message_and_answer_are_pushes() {
    let mut stage = Rehearsal::new("ws://h:1/", "60s", sending("m{seq}", Some("echo"), Some("1s"), None));
    stage.accept(b"").unwrap();
    for push in [&b"\x81\x07welcome"[..], b"\x81\x04tick", b"\x81\x02m2"] {
        assert_eq!(stage.take(push).unwrap(), Step::Continue);
    }
    assert_eq!(stage.take(b"\x81\x02m1").unwrap(), Step::Continue);
    let traffic = stage.tally.traffic;
    assert_eq!((traffic.matched, traffic.pushes, traffic.mismatches), (1, 3, 0));
    stage.at(ms(1000)).unwrap();
    for _ in 0..3 {
        stage.take(b"\x81\x04tick").unwrap();
    }
    let trouble = stage.at(ms(6000)).unwrap_err();
    assert_eq!(trouble.failure.cause, Cause::TimedOut, "more came than were sent: they are no answers");
    assert!(
        trouble.reply.unwrap().says.unwrap().contains("3 messages came that are others, the first 'tick'")
    );
}

#[test]
fn answers_in_another_order_are_matched_by_their_key() {
    let expect = "json(/id == {seq})";
    let mut stage =
        Rehearsal::new("ws://h:1/", "60s", sending("{\"id\":{seq}}", Some(expect), Some("1s"), None));
    stage.accept(b"").unwrap();
    stage.at(ms(1000)).unwrap();
    stage.now = ms(1010);
    for answer in [&b"\x81\x08{\"id\":2}"[..], b"\x81\x0a{\"id\":\"1\"}"] {
        stage.take(answer).unwrap();
    }
    let traffic = stage.tally.traffic;
    assert_eq!((traffic.sent, traffic.matched, traffic.pushes), (2, 2, 0));
}

#[test]
fn the_end_of_the_run_waits_for_answers_and_not_for_goodbyes() {
    let mut stage = Rehearsal::new("ws://h:1/", "60s", sending("m", Some("echo"), Some("1s"), None));
    stage.accept(b"").unwrap();
    assert_eq!(stage.act(Session::stop).unwrap(), Step::Continue);
    assert_eq!(stage.take(b"\x81\x01m").unwrap(), Step::Done);
    assert_eq!(stage.said(), [(8, vec![3, 232])]);
    let mut idle = Rehearsal::new("ws://h:1/", "until-end", Overrides::default());
    idle.accept(b"").unwrap();
    assert_eq!(idle.due(), None, "an idle session waits for nothing");
    assert_eq!(idle.act(Session::stop).unwrap(), Step::Done);
}

#[test]
fn http_requests_follow_each_other_on_one_connection() {
    let session =
        Overrides::default().with("--requests", "2").with("--body", "b{seq}").with("--expect", "echo");
    let mut stage = Rehearsal::new("http://h/p", "0s", session);
    let request = String::from_utf8(stage.out.clone()).unwrap();
    assert!(request.starts_with("POST /p HTTP/1.1\r\nHost: h:9001\r\n"), "{request}");
    assert!(request.ends_with("Content-Length: 2\r\n\r\nb1"), "{request}");
    stage.take(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb1").unwrap();
    assert!(stage.out.ends_with(b"\r\n\r\nb2"));
    let done = stage.take(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nb2\r\n0\r\n\r\n");
    assert_eq!(done.unwrap(), Step::Done);
    assert_eq!(stage.tally.latencies.round_trip.count(), 2);
}

#[test]
fn a_refusal_keeps_its_status_headers_and_the_beginning_of_its_body() {
    for target in ["ws://h:1/", "http://h:1/"] {
        let mut stage = Rehearsal::new(target, "0s", Overrides::default());
        let head = b"HTTP/1.1 503 Service Unavailable\r\nServer: x\r\nContent-Length: 1000\r\n\r\n";
        assert!(stage.take(head).is_ok());
        let trouble = stage.take(&b"try later ".repeat(30)).unwrap_err();
        assert_eq!((trouble.failure.cause, trouble.failure.code), (Cause::HttpStatus, Some(503)), "{target}");
        let reply = trouble.reply.unwrap();
        assert_eq!(reply.status.as_deref(), Some("503 Service Unavailable"));
        assert!(reply.body.unwrap().starts_with("try later") && reply.headers.len() == 1);
        // A body that never comes does not hide the status.
        let mut stage = Rehearsal::new(target, "0s", Overrides::default());
        stage.take(head).unwrap();
        assert_eq!(stage.at(Duration::from_secs(5)).unwrap_err().failure.code, Some(503), "{target}");
    }
}

#[test]
fn a_reply_byte_by_byte_is_the_same_reply() {
    for target in ["ws://h:1/", "http://h:1/"] {
        let mut rehearsal = Rehearsal::new(target, "0s", Overrides::default());
        let reply = b"HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 4\r\n\r\ngone";
        let (last, before) = reply.split_last().unwrap();
        for byte in before {
            assert!(rehearsal.take(std::slice::from_ref(byte)).is_ok(), "{target}");
        }
        let trouble = rehearsal.take(&[*last]).unwrap_err();
        assert_eq!((trouble.failure.code, trouble.reply.unwrap().body.as_deref()), (Some(404), Some("gone")));
        let mut rehearsal = Rehearsal::new(target, "0s", Overrides::default());
        let endless = (0..40_000).find_map(|_| rehearsal.take(b"HTTP/1.1 200 OK x").err());
        assert_eq!(endless.unwrap().failure.cause, Cause::ReplyTooLong, "{target}");
    }
}

#[test]
fn bytes_are_matched_however_they_are_split() {
    let mut stage = Rehearsal::new("tcp://h:1", "0s", sending("hello {seq}", Some("echo"), None, Some("2")));
    assert_eq!(stage.out, b"hello 1");
    stage.take(b"hel").unwrap();
    stage.take(b"lo 1").unwrap();
    assert_eq!(stage.out, b"hello 2");
    assert_eq!(stage.take(b"hello 2").unwrap(), Step::Done);
    let mut stage = Rehearsal::new("tcp://h:1", "0s", sending("hello", Some("echo"), None, None));
    assert_eq!(stage.take(b"help").unwrap_err().failure.cause, Cause::UnexpectedReply);
}

#[test]
fn a_parked_session_is_small() {
    assert!(size_of::<Session>() <= 192, "{} bytes", size_of::<Session>());
    assert!(size_of::<Decoder>() == 8 && size_of::<Opcode>() == 1);
}

/// Targets of every kind; some replies begin well.
fn hostile() -> impl Strategy<Value = (&'static str, Vec<Vec<u8>>, bool)> {
    let target = prop_oneof![
        Just("ws://h:1/"),
        Just("wss://localhost:1/"),
        Just("http://h:1/"),
        Just("https://localhost:1/"),
        Just("tcp://h:1"),
        Just("tls://localhost:1"),
    ];
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        "HTTP/1\\.[01] [0-9]{3} [a-z]{0,5}\r\n(Content-Length: [0-9]{1,9}\r\n|Transfer-Encoding: chunked\r\n)?\r\n"
            .prop_map(String::into_bytes),
        "[0-9a-f]{1,8}\r\n".prop_map(String::into_bytes),
        Just(b"\x16\x03\x03\x00\x40".to_vec()),
        Just(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()),
        Just(b"\x81\x7f\x00\x00\x00\x00\x00\xff\xff\xff".to_vec()),
    ];
    (target, proptest::collection::vec(piece, 0..8), any::<bool>())
}

proptest! {
    #[test]
    fn no_peers_bytes_harm_a_session((target, pieces, upgraded) in hostile()) {
        let send = sending("m {random:20B}", Some("echo"), Some("10ms"), None);
        let send = if target.starts_with("http") {
            Overrides::default().with("--requests", "3")
        } else {
            send
        };
        let mut stage = Rehearsal::new(target, "1s", send);
        if upgraded && target.starts_with("ws:") {
            stage.accept(b"").unwrap();
        }
        let mut ended = false;
        for (n, piece) in pieces.iter().enumerate() {
            if !matches!(stage.take(piece), Ok(step) if step != Step::Done) {
                ended = true;
                break;
            }
            prop_assert!(stage.due().is_some(), "it would wait for ever");
            stage.now = ms(n as u64);
        }
        if !ended {
            // Time alone ends it: each call, at most a few thousand, brings the end nearer.
            for _ in 0..5000 {
                let Some(due) = stage.due() else { break };
                stage.now = stage.now.max(due);
                match stage.act(Session::tick) {
                    Ok(Step::Done) | Err(_) => { ended = true; break }
                    Ok(_) => {}
                }
            }
            prop_assert!(ended, "it did not end");
        }
    }
}

/// A worker's stack, as the engine makes it.
const WORKER_STACK: usize = 512 * 1024;

#[test]
fn thousands_of_interim_replies_neither_recurse_nor_end_the_wait() {
    let on_a_workers_stack = std::thread::Builder::new().stack_size(WORKER_STACK).spawn(|| {
        for target in ["ws://h:1/", "http://h:1/"] {
            let mut rehearsal = Rehearsal::new(target, "0s", Overrides::default());
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            // The largest read, and then byte by byte.
            assert_eq!(rehearsal.take(&interim.repeat((64 << 10) / interim.len())).unwrap(), Step::Continue);
            for byte in interim.repeat(100) {
                assert_eq!(rehearsal.take(&[byte]).unwrap(), Step::Continue, "{target}");
            }
            let trouble = rehearsal.take(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").unwrap_err();
            assert_eq!(trouble.failure.code, Some(503), "{target}");
        }
    });
    on_a_workers_stack.unwrap().join().unwrap();
}

#[test]
fn what_began_and_did_not_go_on_is_not_silence() {
    for target in ["ws://h:1/", "http://h:1/"] {
        for (came, says) in [
            (&b"HTTP/1.1 200 OK\r\nServer"[..], Some("stalled after 23 bytes of the reply's head")),
            (b"HTTP/1.1 102 Processing\r\n\r\n", Some("stalled after the interim reply 102")),
            (b"", None),
        ] {
            let mut rehearsal = Rehearsal::new(target, "0s", Overrides::default());
            rehearsal.take(came).unwrap();
            let trouble = rehearsal.at(Duration::from_secs(5)).unwrap_err();
            let cause = if says.is_some() { Cause::Stalled } else { Cause::TimedOut };
            assert_eq!((trouble.failure.stage, trouble.failure.cause), (Stage::Handshake, cause), "{target}");
            let said = trouble.reply.and_then(|reply| reply.says).unwrap_or_default();
            assert!(said.starts_with(says.unwrap_or("")), "{said}");
        }
    }
    let mut rehearsal = Rehearsal::new("http://h:1/", "0s", Overrides::default());
    rehearsal.take(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    let trouble = rehearsal.at(Duration::from_secs(5)).unwrap_err();
    assert_eq!(trouble.reply.unwrap().says.unwrap(), "stalled after 3 bytes of the reply's body");
}

#[test]
fn an_interim_reply_of_any_status_is_passed_over_and_http_1_0_is_judged_by_its_status() {
    let mut rehearsal = Rehearsal::new("ws://h:1/", "0s", Overrides::default());
    let trouble = rehearsal.take(b"HTTP/1.0 404 Not\r\nContent-Length: 0\r\n\r\n").unwrap_err();
    assert_eq!((trouble.failure.cause, trouble.failure.code), (Cause::HttpStatus, Some(404)));
    let mut rehearsal = Rehearsal::new("ws://h:1/", "0s", Overrides::default());
    let trouble = rehearsal.take(b"HTTP/1.0 200 OK\r\n\r\n").unwrap_err();
    assert_eq!(trouble.failure.cause, Cause::Http10);
}

#[test]
fn the_code_of_a_broken_rule_is_that_of_the_rule() {
    for (bytes, code) in [
        (&b"\xc1\x00"[..], 1002_u16),
        (b"\x81\x01\xff", 1007),
        (b"\x82\x7f\x00\x00\x00\x00\x01\x00\x00\x01", 1009),
    ] {
        let mut rehearsal = Rehearsal::new("ws://h:1/", "9s", Overrides::default());
        rehearsal.accept(b"").unwrap();
        assert_eq!(rehearsal.take(bytes).unwrap_err().failure.cause, Cause::ProtocolViolation);
        assert_eq!(rehearsal.said(), [(8, code.to_be_bytes().to_vec())]);
    }
}

/// Frame of a close with a reason.
fn closing(code: u16, reason: &str) -> Vec<u8> {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    [&[0x88, payload.len() as u8], &payload[..]].concat()
}

#[test]
fn a_close_code_is_kept_with_its_words_and_only_a_good_one_is_an_end_as_planned() {
    let run = |close: Option<&str>, frame: &[u8]| {
        let overrides = Overrides::to("ws://h:1/").with("--lifetime", "9s");
        let overrides = match close {
            Some(close) => overrides.with("--close", close),
            None => overrides,
        };
        let mut rehearsal = Rehearsal::of(&overrides);
        rehearsal.accept(b"").unwrap();
        let mut step = rehearsal.take(frame);
        if step.is_ok() {
            step = rehearsal.act(Session::end_of_stream);
        }
        let closes: Vec<(u16, u64)> = rehearsal.tally.closes.iter().map(|c| (c.code, c.count)).collect();
        (step, closes)
    };
    let (step, closes) = run(None, &closing(4401, "token expired"));
    let trouble = step.unwrap_err();
    assert_eq!((trouble.failure.stage, trouble.failure.code), (Stage::Session, Some(4401)));
    assert_eq!(trouble.reply.unwrap().close_reason.as_deref(), Some("token expired"));
    assert_eq!(closes, [(4401, 1)]);
    for code in [1008, 1011, 4401] {
        let trouble = run(Some("peer"), &closing(code, "")).0.unwrap_err();
        assert_eq!((trouble.failure.stage, trouble.failure.code), (Stage::Close, Some(code)));
    }
    for code in [1000, 1001] {
        assert_eq!(run(Some("peer"), &closing(code, "")).0.unwrap(), Step::Done, "{code}");
    }
    // The end of the stream alone.
    let (step, closes) = run(Some("peer"), b"");
    assert_eq!((step.unwrap_err().failure.code, closes), (Some(1006), vec![(1006, 1)]));
}

#[test]
fn answers_that_come_together_are_taken_off_one_by_one() {
    for (expect, answers) in [("contains(ok {seq};)", &b"ok 1;ok 2;ok 3;"[..]), ("any", b"a\nb\nc\n")] {
        for split in [answers.len(), 5, 1] {
            if expect == "any" && split != answers.len() {
                continue;
            }
            let mut rehearsal =
                Rehearsal::new("tcp://h:1", "60s", sending("m", Some(expect), Some("1s"), Some("3")));
            rehearsal.at(ms(2000)).unwrap();
            for piece in answers.chunks(split) {
                rehearsal.take(piece).unwrap();
            }
            let traffic = rehearsal.tally.traffic;
            assert_eq!((traffic.sent, traffic.matched, traffic.mismatches), (3, 3, 0), "{expect} by {split}");
        }
    }
}

#[test]
fn a_post_without_a_body_says_so_and_a_get_does_not() {
    for (method, says) in [("POST", true), ("PUT", true), ("GET", false), ("DELETE", false)] {
        let session = Overrides::default().with("--method", method);
        let rehearsal = Rehearsal::new("http://h/", "0s", session);
        let request = String::from_utf8(rehearsal.out.clone()).unwrap();
        assert_eq!(request.contains("\r\nContent-Length: 0\r\n"), says, "{request}");
    }
}

#[test]
fn a_reply_without_a_body_ends_with_its_head() {
    for (method, status) in [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")] {
        let session = Overrides::default().with("--method", method).with("--requests", "2");
        let mut rehearsal = Rehearsal::new("http://h/", "0s", session);
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        rehearsal.take(reply.as_bytes()).unwrap();
        assert!(rehearsal.out.starts_with(method.as_bytes()), "the second request follows at once");
        assert_eq!(rehearsal.take(reply.as_bytes()).unwrap(), Step::Done, "{method} {status}");
    }
}

#[test]
fn a_subprotocol_that_was_asked_for_has_to_be_selected() {
    let session = Overrides::default().with("--subprotocol", "chat");
    let mut rehearsal = Rehearsal::new("ws://h:1/", "0s", session);
    assert_eq!(rehearsal.accept(b"").unwrap_err().failure.cause, Cause::SubprotocolNotSelected);
}

#[test]
fn a_long_message_costs_what_its_bytes_cost() {
    let mut rehearsal = Rehearsal::new("ws://h:1/", "9s", Overrides::default());
    rehearsal.accept(b"").unwrap();
    let length: u64 = 4 << 20;
    rehearsal.take(&[&b"\x82\x7f"[..], &length.to_be_bytes()].concat()).unwrap();
    let piece = vec![7; 64 << 10];
    for n in 0..length as usize / piece.len() {
        assert!(rehearsal.session.as_ref().unwrap().held_bytes() <= 2 * n * piece.len() + 64 * 1024);
        rehearsal.take(&piece).unwrap();
    }
    assert_eq!(rehearsal.tally.traffic.received, 1);
    assert_eq!(rehearsal.session.as_ref().unwrap().held_bytes(), 0);
}
