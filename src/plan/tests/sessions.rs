//! Session above TCP: the meaning of files and flags, and their mistakes.

use super::super::{Expect, Overrides, Plan, TlsVersion, from_flags};
use super::load;
use crate::protocol::Kind;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn with_flags(target: &str, session: Overrides) -> Result<Plan, String> {
    from_flags(&session.with_target(target)).map_err(|errors| errors.to_string())
}

#[test]
fn a_whole_session() {
    let text = r#"
[target]
url = "wss://user:pw@127.0.0.1:9001/chat?room=1"
headers = { X-Token = "${HOST}", Cookie = "a=b" }
subprotocols = ["chat.v2", "chat.v1"]
origin = "https://example.com"
[tls]
ca = "ca.pem"
cert = "client.pem"
key = "client.key"
insecure = true
server_name = "example.com"
alpn = ["http/1.1"]
version = "1.3"
[connection]
lifetime = "10s"
[messages]
send = '{"seq":{seq}}'
binary = true
every = "1s"
count = 5
expect = "json(/seq == 1)"
timeout = "2s"
ping_every = "3s"
close_code = 4000
[reconnect]
backoff = "50ms"
jitter = 0.1
"#;
    let plan = load(text).unwrap();
    let (request, tls, messages) = (&plan.session.request, &plan.session.tls, &plan.session.messages);
    assert_eq!((plan.kind(), request.path.as_str()), (Kind::Wss, "/chat?room=1"));
    let headers: Vec<_> = request.headers.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
    let expected = [
        ("X-Token", "127.0.0.1"),
        ("Cookie", "a=b"),
        ("Origin", "https://example.com"),
        ("Authorization", "Basic dXNlcjpwdw=="),
    ];
    assert_eq!(headers, expected);
    assert_eq!(request.subprotocols, ["chat.v2", "chat.v1"]);
    assert!(tls.insecure && !tls.resumption && tls.version == Some(TlsVersion::V13));
    assert_eq!(tls.server_name.as_deref(), Some("example.com"));
    assert_eq!(messages.send.as_ref().unwrap().as_str(), "{\"seq\":{seq}}");
    assert_eq!((messages.every, messages.count, messages.close_code), (Some(SECOND), Some(5), 4000));
    assert!(messages.binary && matches!(messages.expect, Some(Expect::Json { .. })));
    let reconnect = plan.session.reconnect.unwrap();
    assert_eq!((reconnect.backoff, reconnect.jitter), (SECOND / 20, 0.1));
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    let shown = serde_json::to_string(&plan.redacted()).unwrap();
    assert!(!shown.contains("dXNlcjpwdw") && !shown.contains("a=b") && shown.contains("X-Token"), "{shown}");
}

#[test]
fn an_own_target_is_spoken_to_by_its_kind() {
    let plan = load("[serve]\nkind = \"ws\"\n[target]\nsubprotocols = [\"a\"]").unwrap();
    assert_eq!((plan.kind(), plan.target.as_ref()), (Kind::Ws, None));
    assert_eq!(plan.session.request.subprotocols, ["a"]);
}

#[test]
fn one_exchange_is_made_where_no_lifetime_leaves_room_for_more() {
    let send = |text: &str| Overrides::default().with("--send", text);
    let plan = with_flags("ws://h:1/", send("x")).unwrap();
    assert_eq!((plan.session.messages.count, plan.name.as_str()), (Some(1), "ws://h:1/"));
    assert_eq!(with_flags("http://h:1/", send("x")).unwrap().session.request.requests, 1);
    assert_eq!(with_flags("ws://u:secret@h:1/", send("x")).unwrap().name, "ws://h:1/");
}

#[test]
fn what_does_not_fit_is_named() {
    for (text, says) in [
        ("[target]\nurl = \"tcp://h:1\"\nsubprotocols = [\"a\"]", "a tcp connection has no subprotocols"),
        ("[target]\nurl = \"tcp://h:1\"\nheaders = { A = \"b\" }", "a tcp connection has no headers"),
        ("[target]\nurl = \"ws://h:1\"\n[tls]\ninsecure = true", "a ws connection has no TLS"),
        ("[target]\nurl = \"ws://h:1\"\n[http]\nrequests = 3", "a ws connection has no requests"),
        ("[target]\nurl = \"http://h:1\"\n[messages]\ncount = 3\nsend = \"a\"", "`requests` is the number"),
        ("[target]\nurl = \"wss://h:1\"\n[tls]\ncert = \"a\"", "the certificate has no key"),
        ("[target]\nurl = \"ws://h:1\"\n[messages]\nevery = \"1s\"", "there is no message to send"),
        ("[target]\nurl = \"ws://h:1\"\n[messages]\nsend = \"a\"\ncount = 2", "when the next message is due"),
        (
            "[target]\nurl = \"tcp://h:1\"\n[messages]\nsend = \"a\"\nexpect = \"json(/a == 1)\"",
            "bytes have no",
        ),
        (
            "[target]\nurl = \"ws://h:1\"\n[messages]\nsend = \"a\"\nevery = \"1s\"\nthink = \"1s\"",
            "one of the two",
        ),
        ("[target]\nurl = \"ws://h:1\"\nheaders = { Upgrade = \"x\" }", "written by connstorm itself"),
        ("[target]\nurl = \"ws://h:1\"\n[messages]\nbinary = \"yes\"", "true or false, without quotes"),
    ] {
        let shown = load(text).expect_err(text).to_string();
        assert!(shown.contains(says), "{text}: {shown}");
    }
    let flags = Overrides::default().with("--expect", "ehco").with("--send", "x");
    let shown = with_flags("ws://h:1/", flags).unwrap_err();
    assert!(shown.contains("--expect 'ehco' is not an expectation") && shown.contains("`echo`"), "{shown}");
    let secret = Overrides::default().with("--auth", "hunter2");
    assert!(with_flags("ws://h:1/", secret).unwrap_err().contains("this is not a way to authenticate"));
}
