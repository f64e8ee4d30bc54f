//! True if a message is of a kind, and what is taken of it. A message that is not costs no memory.

use crate::engine::session::search::find_from;
use crate::plan::steps::{Condition, Match, Take, TakeFrom};
use crate::protocol::http1::ReplyHead;
use crate::protocol::json_scan::{self, Pointer};
use crate::protocol::{Template, Values};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use regex::bytes::Regex;
use std::borrow::Cow;

/// A kind of messages, made ready.
#[derive(Debug)]
pub(super) struct Matcher {
    after: Option<Template>,
    all: Vec<Test>,
    /// Form of the matcher, for messages.
    pub(super) says: String,
}

#[derive(Debug)]
enum Test {
    Echo,
    Equals(Template),
    StartsWith(Template),
    Contains(Template),
    Regex(Regex),
    Json(Pointer, Option<Template>),
    Prefix(Vec<u8>),
}

/// Message, with what else it is held against.
pub(super) struct Against<'a> {
    /// Values of placeholders.
    pub(super) values: Values<'a>,
    /// The message that was sent, where an echo is waited for.
    pub(super) sent: &'a [u8],
    /// A buffer of no one's.
    pub(super) scratch: &'a mut Vec<u8>,
}

impl Matcher {
    /// The matcher of a kind whose names have these indices.
    pub(super) fn new(kind: &Match, index_of: &dyn Fn(&str) -> u16) -> Matcher {
        let all = kind.all.iter().map(|condition| match condition {
            Condition::Echo => Test::Echo,
            Condition::Equals(text) => Test::Equals(text.bound(index_of)),
            Condition::StartsWith(text) => Test::StartsWith(text.bound(index_of)),
            Condition::Contains(text) => Test::Contains(text.bound(index_of)),
            // The plan has read it before; one that can't be read is found in nothing.
            Condition::Regex(text) => Regex::new(text).map_or(Test::Prefix(Vec::new()), Test::Regex),
            Condition::Json { pointer, equals } => {
                let pointer = Pointer::parse(pointer).unwrap_or_else(Pointer::whole);
                Test::Json(pointer, equals.as_ref().map(|text| text.bound(index_of)))
            }
            Condition::Hex(digits) => {
                let bytes = Template::hex(digits, &|_| false).ok();
                Test::Prefix(bytes.as_ref().and_then(Template::fixed).unwrap_or_default().to_vec())
            }
        });
        let after = kind.after.as_ref().map(|text| text.bound(index_of));
        Matcher { after, all: all.collect(), says: kind.to_string() }
    }

    /// True if the message that was sent has to be kept.
    pub(super) fn wants_echo(&self) -> bool {
        self.all.iter().any(|test| matches!(test, Test::Echo))
    }

    /// Length of the beginning of a stream in which such a message lies: up to the last byte that a condition asks for;
    /// `None`: it has not come.
    pub(super) fn end_in(&self, stream: &[u8], against: &mut Against<'_>) -> Option<usize> {
        let before = match &self.after {
            None => 0,
            Some(after) => {
                let text = against.text(after);
                stream.starts_with(text).then_some(text.len())?
            }
        };
        let rest = stream.get(before..)?;
        let begins = |text: &[u8]| rest.starts_with(text).then_some(text.len());
        let mut end = if self.all.is_empty() { rest.len() } else { 0 };
        for test in &self.all {
            end = end.max(match test {
                Test::Echo => begins(against.sent)?,
                Test::Equals(text) | Test::StartsWith(text) => begins(against.text(text))?,
                Test::Prefix(bytes) => begins(bytes)?,
                Test::Contains(text) => {
                    let text = against.text(text);
                    find_from(rest, text, 0)? + text.len()
                }
                Test::Regex(regex) => regex.find(rest)?.end(),
                // The plan has none in a stream without frames.
                Test::Json(..) => return None,
            });
        }
        Some(before + end)
    }

    /// True if a message is of this kind.
    pub(super) fn fits(&self, message: &[u8], against: &mut Against<'_>) -> bool {
        let message = match &self.after {
            None => message,
            Some(after) => match message.strip_prefix(against.text(after)) {
                Some(rest) => rest,
                None => return false,
            },
        };
        self.all.iter().all(|test| match test {
            Test::Echo => message == against.sent,
            Test::Equals(text) => message == against.text(text),
            Test::StartsWith(text) => message.starts_with(against.text(text)),
            Test::Contains(text) => find_from(message, against.text(text), 0).is_some(),
            Test::Regex(regex) => regex.is_match(message),
            Test::Json(pointer, equals) => match pointer.find(json_text(pointer, message)) {
                None => false,
                Some(raw) => equals.as_ref().is_none_or(|text| json_scan::says(raw, against.text(text))),
            },
            Test::Prefix(bytes) => message.starts_with(bytes),
        })
    }
}

/// The JSON of a message that may have something before it. The empty pointer is the message itself.
fn json_text<'m>(pointer: &Pointer, message: &'m [u8]) -> &'m [u8] {
    if pointer.is_whole() { message } else { json_scan::document(message) }
}

impl Against<'_> {
    /// The text of a template, in memory that is used again.
    fn text<'t>(&'t mut self, template: &'t Template) -> &'t [u8] {
        if let Some(fixed) = template.fixed() {
            return fixed;
        }
        self.scratch.clear();
        // Nothing in it is random: the plan takes no such template here.
        template.fill(&self.values, &mut SmallRng::seed_from_u64(0), self.scratch);
        self.scratch
    }
}

/// A value that is taken of an answer, made ready.
#[derive(Debug)]
pub(super) struct Taking {
    /// Index of its name.
    pub(super) index: u16,
    /// Name.
    pub(super) name: String,
    from: From,
}

#[derive(Debug)]
enum From {
    Json(Pointer),
    Regex(Option<Regex>),
    Header(String),
    Cookie(String),
}

impl Taking {
    pub(super) fn new(take: &Take, index_of: &dyn Fn(&str) -> u16) -> Taking {
        let from = match &take.from {
            TakeFrom::Json(pointer) => From::Json(Pointer::parse(pointer).unwrap_or_else(Pointer::whole)),
            TakeFrom::Regex(text) => From::Regex(Regex::new(text).ok()),
            TakeFrom::Header(name) => From::Header(name.clone()),
            TakeFrom::Cookie(name) => From::Cookie(name.clone()),
        };
        Taking { index: index_of(&take.name), name: take.name.clone(), from }
    }

    /// True if it is taken of the head of a reply.
    pub(super) fn is_of_head(&self) -> bool {
        matches!(self.from, From::Header(_) | From::Cookie(_))
    }

    /// The value in a head and a body, or a message; `None` where it is not there.
    pub(super) fn of<'m>(&self, head: &'m [u8], body: &'m [u8]) -> Option<Cow<'m, [u8]>> {
        match &self.from {
            From::Json(pointer) => pointer.find(json_text(pointer, body)).map(json_scan::text),
            From::Regex(regex) => {
                let captures = regex.as_ref()?.captures(body)?;
                let found = captures.get(1).or_else(|| captures.get(0))?;
                Some(Cow::Borrowed(found.as_bytes()))
            }
            From::Header(name) => {
                let head = ReplyHead::parse(head).ok().flatten()?;
                head.headers.values(name).next().map(|value| Cow::Owned(value.to_vec()))
            }
            From::Cookie(name) => {
                let head = ReplyHead::parse(head).ok().flatten()?;
                head.headers.values("set-cookie").find_map(|cookie| cookie_value(cookie, name.as_bytes()))
            }
        }
    }
}

/// The value of a cookie of this name (RFC 6265, section 4.1.1).
fn cookie_value(cookie: &[u8], name: &[u8]) -> Option<Cow<'static, [u8]>> {
    let pair = cookie.split(|byte| *byte == b';').next()?;
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let is_it = pair[..at].trim_ascii() == name;
    is_it.then(|| Cow::Owned(pair[at + 1..].trim_ascii().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Alphabet, Fields, Named, Place};

    struct One;
    impl Named for One {
        fn value(&self, _: u16) -> &[u8] {
            b"secret"
        }
    }

    fn fits(kind: Match, message: &str) -> bool {
        let fields = Fields { seq: 7, conn: 3, now_us: 0 };
        let values = Values { fields, named: &One, alphabet: Alphabet::Letters, place: Place::Message };
        let mut scratch = Vec::new();
        let mut against = Against { values, sent: b"ping 7", scratch: &mut scratch };
        Matcher::new(&kind, &|_| 0).fits(message.as_bytes(), &mut against)
    }

    fn text(text: &str) -> Template {
        Template::naming(text, &|_| true).unwrap()
    }

    fn kind(all: Vec<Condition>) -> Match {
        Match { after: None, all }
    }

    #[test]
    fn conditions_hold_or_not() {
        assert!(fits(kind(vec![]), "anything"));
        assert!(fits(kind(vec![Condition::Echo]), "ping 7") && !fits(kind(vec![Condition::Echo]), "ping 8"));
        assert!(fits(kind(vec![Condition::Equals(text("m{seq}"))]), "m7"));
        assert!(!fits(kind(vec![Condition::Equals(text("m{seq}"))]), "m70"));
        assert!(fits(kind(vec![Condition::StartsWith(text("m{seq}"))]), "m70"));
        assert!(fits(kind(vec![Condition::Contains(text("{token}"))]), "a secret b"));
        assert!(fits(kind(vec![Condition::Regex("^[0-9]+$".into())]), "123"));
        assert!(!fits(kind(vec![Condition::Regex("^[0-9]+$".into())]), "12a"));
        let json = |equals: &str| Condition::Json { pointer: "/1/id".into(), equals: Some(text(equals)) };
        assert!(fits(kind(vec![json("{seq}")]), r#"42["say",{"id":7}]"#));
        assert!(fits(Match { after: Some(text("42")), all: vec![json("{seq}")] }, r#"42["say",{"id":"7"}]"#));
        assert!(!fits(Match { after: Some(text("43")), all: vec![json("{seq}")] }, r#"42["say",{"id":7}]"#));
        assert!(!fits(kind(vec![json("8")]), r#"42["say",{"id":7}]"#));
        assert!(fits(kind(vec![Condition::Json { pointer: "/a".into(), equals: None }]), r#"{"a":null}"#));
        assert!(fits(kind(vec![Condition::Hex("20 02".into())]), "\u{20}\u{2}\0\0"));
        assert!(!fits(kind(vec![Condition::StartsWith(text("4")), Condition::Contains(text("x"))]), "4y"));
    }

    #[test]
    fn values_are_taken_where_they_stand() {
        let head =
            b"HTTP/1.1 200 OK\r\nX-Id:  17 \r\nSet-Cookie: a=b\r\nSet-Cookie: sid=s%3A1; Path=/\r\n\r\n";
        let body = br#"0{"sid":"ab\"c","n":5}"#;
        let take = |from| {
            let taking = Taking::new(&Take { name: "x".into(), from }, &|_| 0);
            taking.of(head, body).map(|value| String::from_utf8(value.into_owned()).unwrap())
        };
        assert_eq!(take(TakeFrom::Json("/sid".into())).as_deref(), Some("ab\"c"));
        assert_eq!(take(TakeFrom::Json("/n".into())).as_deref(), Some("5"));
        assert_eq!(take(TakeFrom::Json("/m".into())), None);
        assert_eq!(take(TakeFrom::Header("x-id".into())).as_deref(), Some("17"));
        assert_eq!(take(TakeFrom::Cookie("sid".into())).as_deref(), Some("s%3A1"));
        assert_eq!(take(TakeFrom::Cookie("none".into())), None);
        assert_eq!(take(TakeFrom::Regex("\"n\":([0-9])".into())).as_deref(), Some("5"));
        assert_eq!(take(TakeFrom::Regex("si.".into())).as_deref(), Some("sid"));
    }
}
