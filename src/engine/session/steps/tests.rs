//! Conversations without sockets and without clocks.

use super::Client;
use crate::engine::session::tests::Rehearsal;
use crate::engine::session::{Session, Step};
use crate::model::{Cause, Stage};
use crate::plan::{Plan, load_file};
use std::path::Path;
use std::time::Duration;

fn plan(steps: &str, more: &str) -> Plan {
    let text = format!("steps = [{steps}]\n[target]\nurl = \"ws://h:9001/chat\"\n{more}");
    load_file(Path::new("a.toml"), &text, &|_| None, &Default::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn begun(steps: &str, more: &str) -> Rehearsal {
    Rehearsal::of_plan(&plan(steps, more), None)
}

fn frame(text: &str) -> Vec<u8> {
    [&[0x81, text.len() as u8], text.as_bytes()].concat()
}

fn texts(rehearsal: &Rehearsal) -> Vec<String> {
    rehearsal.said().into_iter().map(|(_, text)| String::from_utf8_lossy(&text).into_owned()).collect()
}

fn request(rehearsal: &Rehearsal) -> String {
    String::from_utf8(rehearsal.out.clone()).unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn client(rehearsal: &mut Rehearsal) -> Client {
    rehearsal.session.as_mut().unwrap().leaves_client().expect("the client goes on")
}

const SOCKET_IO: &str = r#"
    { open = true, name = "open" },
    { wait = { starts_with = "0" }, take = { sid = "json:/sid" } },
    { on = "2", send = "3" },
    { send = "40" },
    { wait = { starts_with = "40" }, within = "3s", name = "joined" },
    { repeat = 2, steps = [
        { send = '42["say",{"id":{seq},"sid":"{sid}"}]', expect = { json = "/1/id", equals = "{seq}", after = "43" }, name = "say" },
        { think = "1s" },
    ] },
"#;

#[test]
fn a_conversation_goes_from_step_to_step() {
    let mut io = begun(SOCKET_IO, "");
    io.accept(&frame(r#"0{"sid":"a1","pingInterval":25000}"#)).unwrap();
    // The greeting came with the handshake, and was waited for.
    assert_eq!(texts(&io), ["40"]);
    io.take(&frame("2")).unwrap();
    assert_eq!(texts(&io), ["3"], "a reaction in the midst of a wait");
    io.take(&frame("41 no")).unwrap();
    assert_eq!((texts(&io).len(), io.tally.traffic.pushes), (0, 1), "another message is a push");
    io.now = ms(10);
    io.take(&frame("40{}")).unwrap();
    assert_eq!(texts(&io), [r#"42["say",{"id":2,"sid":"a1"}]"#]);
    // Two answers in one read: that of another is a push, whatever its number.
    io.now = ms(14);
    io.take(&[frame(r#"42["say",{"id":2}]"#), frame(r#"43["say",{"id":2}]"#)].concat()).unwrap();
    assert_eq!(io.due(), Some(ms(1014)), "the pause");
    io.at(ms(1014)).unwrap();
    assert_eq!(texts(&io), [r#"42["say",{"id":3,"sid":"a1"}]"#]);
    io.take(&frame(r#"43["say",{"id":3}]"#)).unwrap();
    io.at(ms(2014)).unwrap();
    assert_eq!(io.said(), [(8, vec![3, 232])], "everything is said");
    assert_eq!(io.take(b"\x88\x02\x03\xe8").unwrap(), Step::Done);
    let steps: Vec<_> = io.tally.steps.iter().map(|step| (step.done, step.latency.count())).collect();
    assert_eq!(steps, [(1, 1), (1, 1), (1, 0), (1, 0), (1, 1), (0, 0), (2, 2)]);
    assert_eq!((io.tally.traffic.sent, io.tally.traffic.matched, io.tally.traffic.pushes), (4, 4, 2));
}

#[test]
fn an_answer_that_does_not_come_fails_in_its_step() {
    let mut io = begun(SOCKET_IO, "");
    io.accept(&frame(r#"0{"sid":"a1"}"#)).unwrap();
    assert_eq!(io.due(), Some(ms(3000)), "its own time");
    let error = io.at(ms(3000)).unwrap_err();
    assert_eq!((error.failure.stage, error.failure.cause), (Stage::Session, Cause::TimedOut));
    assert_eq!(error.reply.unwrap().says.unwrap(), "waited for a message that starts with '40'");
    let session = io.session.as_ref().unwrap();
    assert_eq!(session.step(&io.script), Some(4));
    let mut io = begun(SOCKET_IO, "");
    let error = io.accept(&frame(r#"0{"id":"a1"}"#)).unwrap_err();
    assert_eq!(error.failure.cause, Cause::UnexpectedReply);
    assert!(error.reply.unwrap().says.unwrap().contains("no value for 'sid'"));
}

const LOGIN: &str = r#"
    { http = "POST /login?c={conn}", headers = { X-A = "b" }, body = '{"n":{conn:04}}', expect = "200", name = "login",
      take = { token = "json:/token", sid = "cookie:sid" } },
    { http = "GET /me", headers = { Cookie = "sid={sid}" } },
    { open = "/socket?token={token}", headers = { Cookie = "sid={sid}" } },
    { send = "hello {token}", expect = "echo" },
"#;

const REPLY: &[u8] =
    b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=s1; Path=/\r\nContent-Length: 17\r\n\r\n{\"token\":\"a b/c\"}";

#[test]
fn what_a_login_gives_goes_on_to_the_next_connection() {
    let mut io = begun(LOGIN, "headers = { X-All = \"1\", X-A = \"a\" }");
    let login = request(&io);
    assert!(login.starts_with("POST /login?c=1 HTTP/1.1\r\nHost: h:9001\r\n"), "{login}");
    for line in ["X-All: 1", "X-A: b", "Content-Length: 10", "Accept: */*"] {
        assert_eq!(login.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {login}");
    }
    assert!(login.ends_with("\r\n\r\n{\"n\":0001}") && !login.contains("X-A: a"), "{login}");
    let (head, body) = REPLY.split_at(40);
    io.take(head).unwrap();
    io.take(body).unwrap();
    let second = request(&io);
    assert!(
        second.starts_with("GET /me HTTP/1.1\r\n") && second.contains("\r\nCookie: sid=s1\r\n"),
        "{second}"
    );
    assert_eq!(io.take(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Step::Done, "over another connection");
    let client = client(&mut io);
    assert_eq!(client.number, 1);
    let script_plan = plan(LOGIN, "headers = { X-All = \"1\", X-A = \"a\" }");
    let mut io = Rehearsal::of_plan(&script_plan, Some(client));
    let upgrade = request(&io);
    assert!(upgrade.starts_with("GET /socket?token=a%20b/c HTTP/1.1\r\n"), "{upgrade}");
    assert!(upgrade.contains("\r\nCookie: sid=s1\r\n") && !upgrade.contains("Accept: */*"), "{upgrade}");
    io.accept(b"").unwrap();
    assert_eq!(texts(&io), ["hello a b/c"]);
    io.take(&frame("hello a b/c")).unwrap();
    assert_eq!(io.said(), [(8, vec![3, 232])]);
}

#[test]
fn a_refused_login_is_that_refusal() {
    let mut io = begun(LOGIN, "");
    let error = io.take(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno access").unwrap_err();
    assert_eq!((error.failure.cause, error.failure.code), (Cause::HttpStatus, Some(403)));
    assert_eq!(
        (error.failure.stage, error.reply.unwrap().body.as_deref()),
        (Stage::Handshake, Some("no access"))
    );
    let mut io = begun(LOGIN, "");
    let error = io.take(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap_err();
    assert!(error.reply.unwrap().says.unwrap().contains("no value for 'token'"));
    let mut io = begun(LOGIN, "");
    let error = io.act(Session::end_of_stream).unwrap_err();
    assert_eq!((error.failure.stage, error.failure.cause), (Stage::Handshake, Cause::ClosedEarly));
}

#[test]
fn the_connection_of_a_request_is_upgraded_where_that_is_asked_for() {
    let steps = "{ http = \"GET /a\" }, { open = \"/b\", reuse = true }, { send = \"x\", expect = \"echo\" }";
    let mut io = begun(steps, "");
    io.take(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(request(&io).starts_with("GET /b HTTP/1.1\r\n"));
    io.accept(b"").unwrap();
    assert_eq!(texts(&io), ["x"]);
    // A server that closes after its reply leaves no connection to upgrade.
    let mut io = begun(steps, "");
    assert_eq!(
        io.take(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap(),
        Step::Done
    );
    client(&mut io);
}

#[test]
fn a_server_that_closes_between_requests_ends_no_client() {
    let steps = "{ http = \"GET /a\" }, { think = \"10s\" }, { http = \"GET /b\" }";
    let mut io = begun(steps, "");
    io.take(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(io.act(Session::end_of_stream).unwrap(), Step::Done);
    let client = client(&mut io);
    assert_eq!(client.starts_at, ms(10_000));
    assert!(request(&Rehearsal::of_plan(&plan(steps, ""), Some(client))).starts_with("GET /b"));
}

#[test]
fn what_lasts_to_the_end_is_left_at_the_end_and_the_rest_is_done() {
    let steps = "{ open = true }, { repeat = \"until-end\", steps = [{ send = \"a\", expect = \"echo\" }, { think = \"5s\" }] }, \
                 { send = \"bye\", expect = \"echo\" }";
    let mut io = begun(steps, "");
    io.accept(b"").unwrap();
    assert_eq!(texts(&io), ["a"]);
    let is_under_way = |io: &Rehearsal| io.session.as_ref().unwrap().is_unfinished(&io.script, 0);
    assert!(is_under_way(&io), "an answer is waited for");
    io.take(&frame("a")).unwrap();
    assert!(!is_under_way(&io), "a pause of what lasts to the end");
    io.act(Session::leave).unwrap();
    assert_eq!(texts(&io), ["bye"]);
    assert!(is_under_way(&io));
    io.take(&frame("bye")).unwrap();
    assert_eq!(io.said(), [(8, vec![3, 232])]);
    // In the midst of a wait: the answer is still heard.
    let mut io = begun(steps, "");
    io.accept(b"").unwrap();
    io.act(Session::leave).unwrap();
    assert!(io.said().is_empty());
    io.take(&frame("a")).unwrap();
    assert_eq!(texts(&io), ["bye"]);
}

#[test]
fn a_lifetime_keeps_the_connection_and_its_reactions() {
    let mut io = begun("{ on = \"ping\", send = \"pong\" }", "[connection]\nlifetime = \"60s\"");
    io.accept(b"").unwrap();
    assert_eq!(io.due(), Some(ms(60_000)));
    io.take(&frame("ping")).unwrap();
    assert_eq!(texts(&io), ["pong"]);
    io.take(&frame("news")).unwrap();
    assert!(io.said().is_empty());
    assert_eq!(io.tally.traffic.pushes, 1);
    io.at(ms(60_000)).unwrap();
    assert_eq!(io.said(), [(8, vec![3, 232])]);
}

#[test]
fn a_step_closes_with_its_own_code_and_a_peer_that_closes_is_no_success() {
    const CLOSES: &str = "{ open = true }, { send = \"a\" }, { close = 4001 }, { open = \"/again\" }";
    let mut io = begun(CLOSES, "");
    io.accept(b"").unwrap();
    assert_eq!(io.said(), [(1, b"a".to_vec()), (8, vec![15, 161])]);
    assert_eq!(io.take(b"\x88\x02\x0f\xa1").unwrap(), Step::Done);
    assert!(request(&Rehearsal::of_plan(&plan(CLOSES, ""), Some(client(&mut io)))).starts_with("GET /again"));
    let mut io = begun("{ wait = \"x\" }", "");
    io.accept(b"").unwrap();
    let error = io.take(b"\x88\x06\x03\xf0nope").unwrap_err();
    assert_eq!((error.failure.cause, error.failure.code), (Cause::ClosedEarly, Some(1008)));
    let mut io = begun("{ wait = \"x\" }", "");
    io.accept(b"").unwrap();
    assert_eq!(io.act(Session::end_of_stream).unwrap_err().failure.cause, Cause::ClosedEarly);
}

#[test]
fn lines_of_a_stream_are_messages() {
    let text = "steps = [{ wait = { starts_with = \"220\" } }, { send = \"HELO {conn}\\r\\n\", expect = { regex = \"^250 \" } }]\n\
                [target]\nurl = \"tcp://h:25\"\n";
    let plan = load_file(Path::new("a.toml"), text, &|_| None, &Default::default()).unwrap();
    let mut io = Rehearsal::of_plan(&plan, None);
    io.take(b"22").unwrap();
    assert!(io.out.is_empty());
    io.take(b"0-mail\r\n").unwrap();
    assert_eq!(io.out, b"HELO 1\r\n");
    assert_eq!(io.take(b"250-a\n250 ok\nmore").unwrap(), Step::Done);
    assert_eq!((io.tally.traffic.pushes, io.tally.traffic.matched), (1, 2));
}

#[test]
fn steps_that_wait_for_nothing_let_others_have_their_turn() {
    let mut io = begun("{ repeat = 200, steps = [{ send = \"{seq}\" }] }", "");
    io.accept(b"").unwrap();
    let first = io.said().len();
    assert!(first < 200, "{first}");
    let mut said = first;
    while io.session.as_ref().unwrap().step(&io.script).is_some() && said < 200 {
        assert_eq!(io.due(), Some(ms(0)));
        io.at(ms(0)).unwrap();
        said += io.said().iter().filter(|(opcode, _)| *opcode == 1).count();
    }
    assert_eq!(io.tally.traffic.sent, 200);
}

fn over_tcp(steps: &str, framing: &str) -> Rehearsal {
    let text = format!(
        "steps = [{steps}]\n[target]\nurl = \"tcp://h:1\"\n[messages]\nframing = \"{framing}\"\n[connection]\nlifetime = \"9s\"\n"
    );
    let plan = load_file(Path::new("a.toml"), &text, &|_| None, &Default::default());
    Rehearsal::of_plan(&plan.unwrap_or_else(|error| panic!("{error}")), None)
}

#[test]
fn messages_with_their_length_before_them_come_in_any_pieces() {
    let steps = r#"{ send = "hi" }, { wait = "one" }, { wait = "two", take = { x = "regex:t.o" } }, { send = "{x}" }"#;
    let mut io = over_tcp(steps, "length2");
    assert_eq!(io.out, b"\0\x02hi");
    io.take(b"\0").unwrap();
    io.take(b"\x03on").unwrap();
    io.take(b"e\0\0\0\x03pus\0\x03two").unwrap();
    assert_eq!(io.out, b"\0\x03two");
    let traffic = &io.tally.traffic;
    assert_eq!((traffic.received, traffic.matched, traffic.pushes), (4, 2, 2), "an empty message and a push");
}

#[test]
fn without_frames_one_match_is_taken_off_and_the_rest_stays() {
    let steps = r#"
        { wait = { starts_with = "220 " } }, { wait = { contains = "\n" } }, { think = "1s" },
        { wait = { regex = "[0-9]+;" }, take = { n = "regex:[0-9]+" } }, { send = "got {n}" },
        { wait = "end" }, { send = "bye" },
    "#;
    let mut io = over_tcp(steps, "none");
    io.take(b"22").unwrap();
    io.take(b"0 ready\n1").unwrap();
    assert_eq!(io.tally.traffic.matched, 2);
    io.take(b"7;e").unwrap();
    assert_eq!(io.tally.traffic.matched, 2, "a pause: it stays where it is");
    io.at(ms(1000)).unwrap();
    assert_eq!(io.out, b"got 17");
    io.take(b"nd").unwrap();
    assert_eq!(io.out, b"bye");
}
