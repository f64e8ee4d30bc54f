//! Each kind of mistake, as the user sees it.

use super::super::Colour;
use super::load;

fn shown(text: &str) -> String {
    load(text).expect_err(text).render(Colour::Plain)
}

#[test]
fn an_unknown_field() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
[load]
open = [{ ramp = "5/s", over = "10s" }]"#
    ), @r#"
    error: a stage of `open` has no field 'ramp'
     --> storm.toml:4:11
      |
    4 | open = [{ ramp = "5/s", over = "10s" }]
      |           ^^^^ expected `ramp_to`, `over`, `hold` or `at`
      |
      = help: did you mean `ramp_to`?
    "#);
}

#[test]
fn an_unknown_table() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
[conection]
close = "fin"
[mesages]
send = "x""#
    ), @r#"
    error: a scenario has no field 'conection'
     --> storm.toml:3:2
      |
    3 | [conection]
      |  ^^^^^^^^^ expected `name`, `seed`, `workers`, `memory`, `data`, `steps`, `population`, `thresholds`, `abort_when`, `target`, `source`, `load`, `connection`, `tls`, `http`, `messages`, `reconnect` or `serve`
      |
      = help: did you mean `connection`?

    error: a scenario has no field 'mesages'
     --> storm.toml:5:2
      |
    5 | [mesages]
      |  ^^^^^^^ expected `name`, `seed`, `workers`, `memory`, `data`, `steps`, `population`, `thresholds`, `abort_when`, `target`, `source`, `load`, `connection`, `tls`, `http`, `messages`, `reconnect` or `serve`
      |
      = help: did you mean `messages`?
    "#);
}

#[test]
fn a_wrong_type() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = 9001
[connection]
connect_timeout = 3
[source]
addresses = "127.0.0.1""#
    ), @r#"
    error: a number without quotes does not fit here
     --> storm.toml:2:7
      |
    2 | url = 9001
      |       ^^^^ expected a string with a URL, such as "tcp://127.0.0.1:9001"

    error: a number without quotes does not fit here
     --> storm.toml:4:19
      |
    4 | connect_timeout = 3
      |                   ^ expected a duration with its unit, such as "250ms", "10s" or "1m 30s"

    error: a string does not fit here
     --> storm.toml:6:13
      |
    6 | addresses = "127.0.0.1"
      |             ^^^^^^^^^^^ expected a list in brackets, each a string with an address, a range or a CIDR block, such as "127.0.0.2-127.0.0.9"
    "#);
}

#[test]
fn a_bad_unit() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
[load]
open = [{ ramp_to = "5x", over = "10" }]"#
    ), @r#"
    error: '5x' is not a rate
     --> storm.toml:4:21
      |
    4 | open = [{ ramp_to = "5x", over = "10" }]
      |                     ^^^^ expected a rate, such as 5000/s, 300/min or 2k/s

    error: '10' is not a duration with its unit
     --> storm.toml:4:34
      |
    4 | open = [{ ramp_to = "5x", over = "10" }]
      |                                  ^^^^ expected a duration with its unit, such as 250ms, 10s or 1m 30s
    "#);
}

#[test]
fn a_bad_range() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
[source]
ports = "explicit:30000-20000""#
    ), @r#"
    error: the range of ports '30000-20000' has to go upwards
     --> storm.toml:4:19
      |
    4 | ports = "explicit:30000-20000"
      |                   ^^^^^^^^^^^ expected the lower port first, as in 20000-30000
    "#);
}

#[test]
fn no_end() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
[load]
closed = { slots = 200 }"#
    ), @r#"
    error: this load has no end
     --> storm.toml:4:10
      |
    4 | closed = { slots = 200 }
      |          ^^^^^^^^^^^^^^^ expected `duration` here, or `connections` in [load]
      |
      = help: write closed = { slots = 200, duration = "30s" }
    "#);
}

#[test]
fn an_unset_variable_in_a_line_that_is_not_ascii() {
    insta::assert_snapshot!(shown(
        r#"name = "größe ${MISSING}" # ü
[target]
url = "tcp://${HOST}:${PÖRT}" # größer
[connection]
lifetime = "exponential(${MEAN})""#
    ), @r#"
    error: the environment variable MISSING is not set
     --> storm.toml:1:15
      |
    1 | name = "größe ${MISSING}" # ü
      |               ^^^^^^^^^^
      |
      = help: set it, as in `MISSING=… connstorm run …`, or write `$${MISSING}` for the text itself

    error: 'PÖRT' is not the name of a variable
     --> storm.toml:3:22
      |
    3 | url = "tcp://${HOST}:${PÖRT}" # größer
      |                      ^^^^^^^ expected letters, digits and `_`, such as ${TOKEN}
      |
      = help: `$${` stands for the characters `${` themselves

    error: the environment variable MEAN is not set
     --> storm.toml:5:25
      |
    5 | lifetime = "exponential(${MEAN})"
      |                         ^^^^^^^
      |
      = help: set it, as in `MEAN=… connstorm run …`, or write `$${MEAN}` for the text itself
    "#);
}

#[test]
fn a_bad_value_from_a_variable() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://${HOST}:${PORT}"
[connection]
'lifetime' = "uniform(1s, \u0031s${SLOW})" # ü"#
    ), @r#"
    error: '1s(redacted)' is not a duration with its unit
     --> storm.toml:4:27
      |
    4 | 'lifetime' = "uniform(1s, \u0031s${SLOW})" # ü
      |                           ^^^^^^^^^^^^^^ expected a duration with its unit, such as 250ms, 10s or 1m 30s
    "#);
}

#[test]
fn two_loads() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
[load]
open = [{ hold = "5s", at = "1/s" }]
closed = { slots = 1, duration = "1s" }"#
    ), @r#"
    error: the load is given twice, as an open and as a closed loop
     --> storm.toml:5:10
      |
    4 | open = [{ hold = "5s", at = "1/s" }]
      |        ----------------------------- the other load is here
    5 | closed = { slots = 1, duration = "1s" }
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `open` or `closed`, not both
      |
      = help: `open` starts attempts at planned times; `closed` starts one when another has ended
    "#);
}

#[test]
fn a_scheme_that_is_not_spoken() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "wes://127.0.0.1:9001/chat""#
    ), @r#"
    error: 'wes' is not a scheme
     --> storm.toml:2:8
      |
    2 | url = "wes://127.0.0.1:9001/chat"
      |        ^^^ expected `tcp`, `tls`, `http`, `https`, `ws` or `wss`, as in tcp://host:port
      |
      = help: did you mean `ws`?
    "#);
}

#[test]
fn no_toml() {
    insta::assert_snapshot!(shown(
        r#"name = "x
[target
url = "tcp://h:1"
seed = = 1"#
    ), @r#"
    error: this is not TOML: invalid basic string
     --> storm.toml:1:10
      |
    1 | name = "x
      |          ^ expected `"`

    error: this is not TOML: unclosed table
     --> storm.toml:2:8
      |
    2 | [target
      |        ^ expected `]`

    error: this is not TOML: extra `=`
     --> storm.toml:4:8
      |
    4 | seed = = 1
      |        ^ expected nothing
    "#);
}

#[test]
fn a_key_twice() {
    insta::assert_snapshot!(shown(
        r#"seed = 1
seed = 2"#
    ), @r#"
    error: this is not TOML: duplicate key
     --> storm.toml:2:1
      |
    2 | seed = 2
      | ^^^^
    "#);
}

#[test]
fn a_bad_address() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
[source]
addresses = ["127.0.0.2", "127.0.0.300", "::2-::1"]"#
    ), @r#"
    error: '127.0.0.300' is not an address
     --> storm.toml:4:27
      |
    4 | addresses = ["127.0.0.2", "127.0.0.300", "::2-::1"]
      |                           ^^^^^^^^^^^^^ expected an address, a range or a CIDR block, such as 127.0.0.2, 127.0.0.2-127.0.0.9 or fd00::/120

    error: the range '::2-::1' has to go upwards and stay in one family, such as 127.0.0.2-127.0.0.9
     --> storm.toml:4:42
      |
    4 | addresses = ["127.0.0.2", "127.0.0.300", "::2-::1"]
      |                                          ^^^^^^^^^
    "#);
}

#[test]
fn nothing_to_hold() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
[load]
open = [{ hold = "5s" }, { hold = "5s" }]"#
    ), @r#"
    error: there is no rate to hold yet
     --> storm.toml:4:18
      |
    4 | open = [{ hold = "5s" }, { hold = "5s" }]
      |                  ^^^^ expected a stage with `ramp_to` before this one, or `at` beside `hold`
      |
      = help: write { hold = "30s", at = "5000/s" } to begin at a rate
    "#);
}

#[test]
fn no_target() {
    insta::assert_snapshot!(shown(
        r#"name = "x""#
    ), @r#"
    error: there is no target to connect to
    --> storm.toml
     = note: expected [target] with `url`, or [serve] for a target of its own
    "#);
}

#[test]
fn ports_twice() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://h:1"
ports = [1, 2]"#
    ), @r#"
    error: the ports are given twice, here and in `url`
     --> storm.toml:3:9
      |
    2 | url = "tcp://h:1"
      |       ----------- the other ports are here
    3 | ports = [1, 2]
      |         ^^^^^^ expected `ports` here or in the URL, not both
    "#);
}

#[test]
fn the_wrong_family() {
    insta::assert_snapshot!(shown(
        r#"[target]
url = "tcp://[::1]:1"
[source]
addresses = ["127.0.0.2"]"#
    ), @r#"
    error: IPv4 source addresses cannot reach ::1
     --> storm.toml:4:13
      |
    2 | url = "tcp://[::1]:1"
      |       --------------- the target is an IPv6 address
    3 | [source]
    4 | addresses = ["127.0.0.2"]
      |             ^^^^^^^^^^^^^ expected at least one IPv6 address
    "#);
}

#[test]
fn colour_only_if_asked_for() {
    let error = load("seed = true").unwrap_err();
    assert!(!error.render(Colour::Plain).contains('\u{1b}'));
    assert!(error.render(Colour::Ansi).contains('\u{1b}'));
    assert_eq!(error.to_string(), error.render(Colour::Plain));
}

#[test]
fn every_other_mistake_is_said() {
    let with_target = |rest: &str| format!("[target]\nurl = \"tcp://h:1\"\n{rest}");
    for (rest, says) in [
        ("ports = []", "empty"),
        ("[target.url]\nx = 1", "this is not TOML"),
        ("[load]\nopen = []", "makes no connection"),
        ("[load]\nopen = [{ ramp_to = 0, over = \"1s\" }]", "makes no connection"),
        ("[load]\nopen = \"5/s\"", "a list of stages"),
        ("[load]\nopen = [5]", "a table with"),
        ("[load]\nopen = [{}]", "neither ramps nor holds"),
        ("[load]\nopen = [{ ramp_to = 5 }]", "`over` is missing"),
        ("[load]\nopen = [{ ramp_to = 5, over = \"0s\" }]", "longer than zero"),
        ("[load]\nopen = [{ ramp_to = 5, hold = \"1s\" }]", "ramps or holds"),
        ("[load]\nopen = [{ ramp_to = 5, over = \"1s\", at = 3 }]", "belongs to a stage that holds"),
        ("[load]\nopen = [{ hold = \"1s\", at = 3, over = \"1s\" }]", "belongs to a ramp"),
        ("[load]\nclosed = { duration = \"1s\" }", "`slots` is missing"),
        ("[load]\nclosed = 200", "a table with"),
        ("[load]\nmax_open = 0", "at least 1"),
        ("[load]\nconnections = -1", "not a whole number"),
        ("[load]\nconnections = 1.5", "not a whole number"),
        ("[connection]\nclose = \"fni\"", "did you mean `fin`?"),
        ("[connection]\nconnect_timeout = \"0s\"", "longer than zero"),
        ("[connection]\nlifetime = \"expnential(1s)\"", "did you mean `exponential`?"),
        ("[serve]\nkind = \"udp\"", "`tcp`, `tls`, `http`, `https`, `ws` or `wss`"),
        ("[serve]\nbehaviour = \"broadcast\"", "a tcp target can't do 'broadcast'"),
        ("[serve]\nkind = \"ws\"\nbehaviour = \"alert(40)\"", "echo, sink, discard"),
        ("[serve]\nbehaviour = \"ehco\"", "did you mean `echo`?"),
        ("[serve]\nlisten = [\"localhost:1\"]", "not an address with a port"),
        ("[serve]\nlisten = []", "listens nowhere"),
        ("[serve]\nbacklog = 0", "not the length of a queue"),
        ("[thresholds]\n\"a b\" = \"< 1\"", "is not a metric"),
        ("[thresholds]\nok = \"\"", "compared with nothing"),
        ("[thresholds]\n\"conect.p99\" = \"< 1ms\"", "did you mean 'connect.p99'?"),
        ("[thresholds]\nok = 5", "a comparison in quotes"),
    ] {
        let text = with_target(rest);
        let error = load(&text).expect_err(&text);
        let shown = error.to_string();
        assert!(shown.contains(says), "{text}\n{shown}");
        assert_eq!(error.mistakes().len(), 1, "{text}\n{shown}");
    }
    for (text, says) in [
        ("load = 5\n[target]\nurl = \"tcp://h:1\"", "a table with"),
        ("thresholds = 5\n[target]\nurl = \"tcp://h:1\"", "a table such as"),
        ("target = 5", "a table with"),
        ("[tarhet]\nurl = \"tcp://h:1\"", "did you mean `target`?"),
        ("[target]\nulr = \"tcp://h:1\"", "did you mean `url`?"),
        ("[serve]\n[load]\nclosed = { slost = 5 }", "did you mean `slots`?"),
        ("[target]\nports = [1]", "`url` is missing"),
        ("[target]\nurl = \"tcp://h\"", "the target has no port"),
        ("[target]\nurl = \"tcp://h\"\nports = [1, \"1-2\"]", "port 1 is given twice"),
        ("workers = 0\n[serve]", "1 to 4096"),
        ("memory = 5\n[serve]", "such as \"64MiB\""),
        ("memory = \"0B\"\n[serve]", "a size above 0"),
        ("seed = \"x\"\n[serve]", "not a seed"),
        ("name = \"\"\n[serve]", "the name is empty"),
    ] {
        let error = load(text).expect_err(text);
        assert!(error.to_string().contains(says), "{text}\n{error}");
        assert_eq!(error.mistakes().len(), 1, "{text}\n{error}");
    }
}

/// Each of 20,000 mistakes was shown with its line: 5 MB of text, after a minute.
#[test]
fn no_more_mistakes_are_shown_than_anybody_reads() {
    let fields: String = (0..30_000).map(|n| format!("unknown_{n} = 1\n")).collect();
    let mistakes = load(&fields).unwrap_err();
    let shown = mistakes.render(Colour::Plain);
    assert_eq!(shown.matches("error: ").count(), 20);
    let more = mistakes.mistakes().len() - 20;
    assert!(
        more >= 29_980 && shown.ends_with(&format!("and {more} more mistakes; those above come first")),
        "{more}"
    );
}
