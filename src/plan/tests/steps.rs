//! Steps of conversations: what a file means, and its mistakes at their places.

use super::super::steps::{Act, Condition, Payload, TakeFrom, names};
use super::{load, load_with};
use crate::model::Lifetime;
use crate::plan::{Overrides, Plan};
use std::time::Duration;

const WHOLE: &str = r#"
steps = [
  { http = "POST /login?as={conn}", body = '{"name":"u{conn:06}"}', expect = "200", take = { token = "json:/token", sid = "cookie:sid" }, name = "login" },
  { open = "/socket?token={token}", headers = { Cookie = "sid={sid}" }, subprotocols = ["chat.v2"] },
  { wait = { starts_with = "0" }, name = "engine-open", take = { ping = "json:/pingInterval" } },
  { on = "2", send = "3" },
  { send = "40" },
  { wait = { starts_with = "40" }, within = "3s" },
  { repeat = "until-end", steps = [
      { send = '42["say",{"id":{seq},"text":"{random:20}"}]', expect = { json = "/1/id", equals = "{seq}", after = "42" }, name = "say" },
      { think = "exponential(5s)" },
  ] },
  { send = { hex = "c0 00" } },
  { close = 4000 },
]
[target]
url = "ws://127.0.0.1:9443/socket?token={token}"
"#;

#[test]
fn a_whole_conversation() {
    let plan = load(WHOLE).unwrap();
    let steps = &plan.session.steps;
    let names = names(steps);
    assert_eq!(
        names,
        [
            "login",
            "open_2",
            "engine-open",
            "on_4",
            "send_5",
            "wait_6",
            "repeat_7",
            "say",
            "think_9",
            "send_10",
            "close_11"
        ]
    );
    let Act::Http(login) = &steps[0].act else { panic!("{:?}", steps[0]) };
    assert_eq!((login.method.as_str(), login.path.as_str()), ("POST", "/login?as={conn}"));
    assert!(login.statuses.contain(200) && !login.statuses.contain(204));
    assert_eq!(steps[0].take[1].from, TakeFrom::Cookie("sid".into()));
    assert_eq!(steps[5].within, Some(Duration::from_secs(3)));
    let Act::Repeat { times: None, steps: repeated } = &steps[6].act else { panic!("{:?}", steps[6]) };
    let Act::Send(say) = &repeated[0].act else { panic!("{:?}", repeated[0]) };
    let expected = say.expect.as_ref().unwrap();
    assert_eq!(expected.after.as_ref().unwrap().as_str(), "42");
    assert!(
        matches!(&expected.all[..], [Condition::Json { pointer, equals: Some(_) }] if pointer == "/1/id")
    );
    assert_eq!(repeated[1].act, Act::Think(Lifetime::Exponential(Duration::from_secs(5))));
    assert!(matches!(&steps[7].act, Act::Send(send) if send.payload == Payload::Hex("c0 00".into())));
    assert_eq!(steps[8].act, Act::Close { code: Some(4000) });
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn reports_tell_no_texts_of_steps() {
    let plan = load(WHOLE).unwrap();
    let shown = serde_json::to_string(&plan.redacted()).unwrap();
    for secret in ["u{conn", "sid={sid}", "random:20", "as={conn}", "c0 00"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(shown.contains("/login") && shown.contains("until") | shown.contains("repeat"), "{shown}");
    assert!(plan.secret_texts().iter().any(|text| text.contains("u{conn:06}")));
}

/// Words of a mistake, and the text under its caret.
fn mistake(text: &str) -> (String, String) {
    let errors = load(text).expect_err(text);
    let shown = errors.to_string();
    let place = match errors.mistakes()[0].place() {
        crate::plan::Place::File(range) => text[range.clone()].to_owned(),
        other => format!("{other:?}"),
    };
    (shown, place)
}

fn of(steps: &str) -> String {
    format!("steps = [{steps}]\n[target]\nurl = \"ws://h:1/\"\n")
}

#[test]
fn framing_is_of_streams_and_of_steps() {
    let of = |steps: &str, url: &str, how: &str| {
        load(&format!("{steps}[target]\nurl = \"{url}\"\n[messages]\nframing = \"{how}\"\n"))
            .map_err(|e| e.to_string())
    };
    let waits = "steps = [{ send = \"x\", expect = \"y\" }]\n";
    assert!(of(waits, "tcp://h:1", "length4").is_ok());
    assert!(of(waits, "ws://h:1/", "line").unwrap_err().contains("has no framing of its own"));
    assert!(of("", "tcp://h:1", "line").unwrap_err().contains("without steps"));
    assert!(of(waits, "tcp://h:1", "length3").unwrap_err().contains("did you mean"));
    let reacts = "steps = [{ on = \"x\" }, { wait = { json = \"/a\" } }]\n";
    let told = of(reacts, "tcp://h:1", "none").unwrap_err();
    assert!(told.contains("no messages to react to") && told.contains("no message has an end"), "{told}");
}

#[test]
fn each_mistake_has_its_place() {
    for (steps, says, under) in [
        (r#"{ send = "{nmae}" }"#, "{nmae} is not a placeholder here", "{nmae}"),
        (r#"{ send = "{con}" }"#, "did you mean `{conn}`?", "{con}"),
        (
            r#"{ send = "{token}" }, { wait = "x", take = { token = "regex:.+" } }"#,
            "not a placeholder",
            "{token}",
        ),
        (r#"{ wait = "x", take = { token = "regex:.+" } }, { send = "{tokn}" }"#, "`{token}`?", "{tokn}"),
        (r#"{ open = "/a?b={x}" }"#, "not a placeholder", "{x}"),
        (r#"{ open = true, headers = { A = "{x}" } }"#, "not a placeholder", "{x}"),
        (r#"{ open = true, subprotocols = ["{x}"] }"#, "not a placeholder", "{x}"),
        (r#"{ http = "POST /a", body = "{x}" }"#, "not a placeholder", "{x}"),
        (r#"{ send = "a", expect = { contains = "{x}" } }"#, "not a placeholder", "{x}"),
        (r#"{ send = "a", expect = { contains = "{uuid}" } }"#, "can't be expected again", "\"{uuid}\""),
        (r#"{ sned = "a" }"#, "did you mean `send`?", "sned"),
        (r#"{ name = "a" }"#, "this step does nothing", r#"{ name = "a" }"#),
        (r#"{ send = "a", wait = "b" }"#, "does one thing: `send` or `wait`", "\"b\""),
        (r#"{ think = "1s", expect = "a" }"#, "a step `think` has no `expect`", "\"a\""),
        (r#"{ think = "1" }"#, "not a duration", "\"1\""),
        (r#"{ repeat = 0, steps = [{ send = "a" }] }"#, "never done", "0"),
        (r#"{ repeat = 2 }"#, "nothing is repeated", "2"),
        (r#"{ repeat = "until-end", steps = [{ send = "a" }] }"#, "without a pause", "\"until-end\""),
        (r#"{ http = "login" }"#, "'login' is not a path", "login"),
        (r#"{ http = "get /a" }"#, "not a method", "get"),
        (r#"{ http = "GET /a", expect = "2000" }"#, "not a status", "2000"),
        (r#"{ wait = { regex = "(" } }"#, "not a regular expression", "\"(\""),
        (r#"{ wait = { json = "a" } }"#, "not a JSON pointer", "\"a\""),
        (r#"{ wait = { } }"#, "asks for nothing", "{ }"),
        (r#"{ wait = { any = true, equals = "a" } }"#, "leaves nothing", r#"{ any = true, equals = "a" }"#),
        (r#"{ wait = { echo = true } }"#, "nothing is sent here", "{ echo = true }"),
        (r#"{ wait = { equal = "a" } }"#, "did you mean `equals`?", "equal"),
        (r#"{ send = { hex = "0" } }"#, "pairs of hexadecimal digits", "0"),
        (r#"{ send = { base64 = "?" } }"#, "not base64", "\"?\""),
        (r#"{ send = { hex = "00", base64 = "" } }"#, "given in one way", r#"{ hex = "00", base64 = "" }"#),
        (r#"{ wait = "a", take = { x = "jsn:/a" } }"#, "did you mean `json`?", "jsn"),
        (r#"{ wait = "a", take = { x = "cookie:a" } }"#, "a message has no cookies", "cookie"),
        (r#"{ wait = "a", take = { seq = "json:/a" } }"#, "can't be the name", "seq"),
        (r#"{ wait = "a", name = "a b" }"#, "not the name of a step", "\"a b\""),
        (r#"{ wait = "a", name = "x" }, { wait = "b", name = "x" }"#, "is called 'x' already", "\"x\""),
        (r#"{ open = true, reuse = true }"#, "no connection of a request to upgrade", "true"),
        (r#"{ send = "a" }, { open = true }"#, "no WebSocket is open here", "\"a\""),
        (r#"{ close = 1005 }"#, "not a code to close with", "1005"),
    ] {
        let text = of(steps);
        let (shown, place) = mistake(&text);
        assert!(shown.contains(says), "{steps}: {shown}");
        assert_eq!(place, under, "{steps}: {shown}");
    }
}

#[test]
fn steps_fit_what_is_spoken_and_stand_alone() {
    let with = |steps: &str, url: &str, more: &str| {
        load(&format!("steps = [{steps}]\n[target]\nurl = \"{url}\"\n{more}"))
            .map_err(|errors| errors.to_string())
    };
    let says = |steps: &str, url: &str, more: &str| with(steps, url, more).expect_err(steps);
    assert!(says("{ http = \"GET /\" }", "tcp://h:1", "").contains("a tcp connection has no requests"));
    assert!(says("{ open = true }", "http://h:1", "").contains("has no WebSocket to open"));
    assert!(says("{ send = \"a\" }", "http://h:1", "").contains("a http connection has no messages"));
    let both = says("{ send = \"a\" }", "ws://h:1", "[messages]\nevery = \"1s\"\nsend = \"x\"");
    assert!(both.contains("`messages.every` has no use") && both.contains("`messages.send`"), "{both}");
    assert!(with("{ send = \"a\" }", "ws://h:1", "[messages]\ntimeout = \"1s\"\nclose_code = 4000").is_ok());
    assert!(with("{ http = \"GET /\" }, { think = \"1s\" }", "http://h:1", "").is_ok());
    assert!(with("{ send = \"a\\n\", expect = \"echo\" }", "tcp://h:1", "").is_ok());
}

#[test]
fn no_placeholder_of_a_target_goes_out_as_it_stands() {
    for (target, under) in [
        ("url = \"ws://h:1/a?b={token}\"", "{token}"),
        ("url = \"ws://h:1/\"\nheaders = { A = \"x\", B = \"y {toKen}\" }", "{toKen}"),
        ("url = \"ws://h:1/\"\nsubprotocols = [\"a\", \"b{c}\"]", "{c}"),
        ("url = \"ws://h:1/\"\norigin = \"http://{host}\"", "{host}"),
        ("url = \"ws://h:1/\"\nauth = \"bearer({tok})\"", "{tok}"),
    ] {
        let text = format!("[target]\n{target}\n");
        let (shown, place) = mistake(&text);
        assert!(shown.contains("is not a placeholder here"), "{target}: {shown}");
        assert_eq!(place, under, "{shown}");
    }
    let fine = "[target]\nurl = \"ws://h:1/a?c={conn:06}&u={uuid}\"\nheaders = { A = \"{now_us} {a} \" }\n";
    assert!(load(&fine.replace("{a} ", "")).is_ok() && load(fine).is_err());
    assert!(load("[target]\nurl = \"ws://h:1/\"\nauth = \"basic(u{conn}:p)\"").is_err());
    for (flag, value) in [("--header", "A: {x}"), ("--origin", "{x}"), ("--auth", "bearer({x})")] {
        let flags = Overrides::default().with(flag, value);
        let shown = load_with("[target]\nurl = \"ws://h:1/\"", &flags).expect_err(flag).to_string();
        assert!(shown.contains("{x} is not a placeholder here"), "{shown}");
    }
    let flags = Overrides::default().with("--header", "Cookie: {sid}");
    let steps = "steps = [{ http = \"GET /\", take = { sid = \"cookie:sid\" } }, { open = true }]\n[target]\nurl = \"ws://h:1/\"";
    assert!(load_with(steps, &flags).is_ok());
}
