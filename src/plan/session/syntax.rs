//! Forms of the values above TCP: the same for the file and for the flags.

use super::super::diagnostics::quote;
use super::super::env::plain;
use super::super::fields::Written;
use super::super::nearest::nearest;
use super::super::syntax::{Fault, Syntax, choose};
use super::super::units::parse_count;
use super::steps::template_fault;
use super::{Expect, Framing, Header, Statuses, TlsVersion};
use crate::protocol::Template;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::path::PathBuf;

/// A token of RFC 9110, section 5.6.2.
pub(in crate::plan) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// True if there are placeholders in a text, known or not.
pub(in crate::plan) fn has_placeholders(text: &str) -> bool {
    Template::naming(text, &|_| true).is_ok_and(|template| template.fixed().is_none())
}

/// True if a header may hold this: no control characters, or it would end the line.
fn is_field_value(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || c == '\t')
}

/// Headers that the protocol itself writes.
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "transfer-encoding",
    "upgrade",
];

/// A header of these two halves.
pub(in crate::plan) fn header(name: &str, value: &str) -> Result<Header, Fault> {
    let (name, value) = (name.trim(), value.trim());
    if !is_token(name) {
        return Err(Fault::new(format!("{} is not the name of a header", quote(name)))
            .expected("letters, digits and `-`, such as X-Token"));
    }
    let lower = name.to_ascii_lowercase();
    if lower == "host" {
        // Virtual hosts are tested by it.
        return Ok(Header { name: name.to_owned(), value: value.to_owned() });
    }
    if OURS.contains(&lower.as_str()) {
        let fault = Fault::new(format!("the header {name} is written by connstorm itself"));
        return Err(match lower.as_str() {
            "sec-websocket-protocol" => fault.help("use `subprotocols`"),
            "sec-websocket-extensions" => {
                fault.help("extensions, permessage-deflate among them, are not offered")
            }
            _ => fault,
        });
    }
    if !is_field_value(value) {
        return Err(Fault::new(format!("the value of {name} has a control character in it"))
            .expected("one line of text"));
    }
    Ok(Header { name: name.to_owned(), value: value.to_owned() })
}

/// `Name: value`.
pub(in crate::plan) const HEADER: Syntax<Header> = Syntax {
    expected: "a header, such as \"X-Token: abc\"",
    bare_number: false,
    pattern: "",
    parse: |text| match text.split_once(':') {
        Some((name, value)) => header(name, value).map_err(|fault| fault.in_part(text, name)),
        None => Err(Fault::new(format!("{} is not a header", quote(text)))
            .expected("a name, a colon and a value, such as X-Token: abc")),
    },
};

/// The value of a header in the file, whose name is the key.
pub(in crate::plan) const TEXT: Syntax<String> =
    Syntax { expected: "a string", bare_number: true, pattern: "", parse: |text| Ok(text.to_owned()) };

pub(in crate::plan) const AUTH: Syntax<Header> = Syntax {
    expected: "\"basic(USER:PASSWORD)\" or \"bearer(TOKEN)\"",
    bare_number: false,
    pattern: r"(basic|bearer)\(.+\)",
    parse: |text| {
        let trimmed = text.trim();
        let inner = |name: &str| trimmed.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if inner("basic").is_some_and(has_placeholders) {
            return Err(Fault::new("placeholders can't be used in basic(USER:PASSWORD)")
                .expected("a text, or `headers` with the header itself"));
        }
        let value = if let Some(pair) = inner("basic").filter(|pair| pair.contains(':')) {
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        } else if let Some(token) = inner("bearer").filter(|token| !token.is_empty()) {
            format!("Bearer {token}")
        } else {
            // The text is a secret, and not shown.
            return Err(Fault::new("this is not a way to authenticate").expected(AUTH.expected));
        };
        header("Authorization", &value)
    },
};

pub(in crate::plan) const SUBPROTOCOL: Syntax<String> = Syntax {
    expected: "the name of a subprotocol, such as \"chat.v2\"",
    bare_number: false,
    pattern: "",
    parse: |text| match text.trim() {
        // One with placeholders is what they make of it; they are looked at elsewhere.
        name if is_token(name) || has_placeholders(name) => Ok(name.to_owned()),
        name => Err(Fault::new(format!("{} is not the name of a subprotocol", quote(name)))
            .expected("letters, digits and `-`, `.`, `_`, such as chat.v2")),
    },
};

pub(in crate::plan) const METHOD: Syntax<String> = Syntax {
    expected: "a method, such as \"GET\" or \"POST\"",
    bare_number: false,
    pattern: "",
    parse: |text| match text.trim() {
        "CONNECT" => Err(Fault::new("CONNECT is not spoken").expected(METHOD.expected)),
        method if is_token(method) && !method.contains(|c: char| c.is_ascii_lowercase()) => {
            Ok(method.to_owned())
        }
        method => Err(Fault::new(format!("{} is not a method", quote(method)))
            .expected("a method in capitals, such as GET or POST")),
    },
};

pub(in crate::plan) const STATUSES: Syntax<Statuses> = Syntax {
    expected: "statuses, such as \"200\", \"2xx\" or \"200-299,404\"",
    bare_number: true,
    pattern: r"[0-9x, -]+",
    parse: |text| {
        let ranges = text.split(',').map(|item| {
            status_range(item.trim()).ok_or_else(|| {
                Fault::new(format!("{} is not a status", quote(item.trim())))
                    .expected("statuses from 100 to 599, such as 200, 2xx or 200-299")
                    .in_part(text, item)
            })
        });
        Ok(Statuses(ranges.collect::<Result<_, _>>()?))
    },
};

impl Written for Statuses {
    fn written(&self) -> String {
        let range =
            |(low, high): &(u16, u16)| if low == high { low.to_string() } else { format!("{low}-{high}") };
        self.0.iter().map(range).collect::<Vec<_>>().join(",")
    }
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|status| digits && (100..600).contains(status))
    };
    if let Some(class) = text.strip_suffix("xx") {
        let low = status(&format!("{class}00"))?;
        return Some((low, low + 99));
    }
    match text.split_once('-') {
        Some((low, high)) => Some((status(low)?, status(high)?)).filter(|(low, high)| low <= high),
        None => status(text).map(|status| (status, status)),
    }
}

pub(in crate::plan) const TEMPLATE: Syntax<Template> = Syntax {
    expected: "a text, with {seq}, {conn}, {now_us} or {random:1KiB} where they are wanted",
    bare_number: true,
    pattern: "",
    parse: |text| Template::parse(text).map_err(|error| template_fault(text, &error, std::iter::empty())),
};

const EXPECTATIONS: &str = "`echo`, `any`, \"contains(TEXT)\" or \"json(/POINTER == VALUE)\", such as \"json(/type == \\\"pong\\\")\"";

pub(in crate::plan) const EXPECT: Syntax<Expect> = Syntax {
    expected: EXPECTATIONS,
    bare_number: false,
    pattern: r"echo|any|(contains|json)\(.+\)",
    parse: expect,
};

fn expect(text: &str) -> Result<Expect, Fault> {
    let trimmed = text.trim();
    match trimmed {
        "echo" => return Ok(Expect::Echo),
        "any" => return Ok(Expect::Any),
        _ => {}
    }
    let inner = |name: &str| trimmed.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(wanted) = inner("contains") {
        if wanted.is_empty() {
            return Err(Fault::new("every message contains nothing").expected("contains(TEXT)"));
        }
        return Ok(Expect::Contains((TEMPLATE.parse)(wanted).map_err(|fault| fault.in_part(text, wanted))?));
    }
    if let Some(wanted) = inner("json") {
        let Some((pointer, value)) = wanted.split_once("==") else {
            return Err(Fault::new("a JSON expectation compares").expected("json(/type == \"pong\")"));
        };
        let (pointer, value) = (pointer.trim(), value.trim());
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(Fault::new(format!("{} is not a JSON pointer", quote(pointer)))
                .expected("a path that begins with `/`, such as /result/0/type (RFC 6901)")
                .in_part(text, pointer));
        }
        // What is no JSON is a string without its quotes.
        let equals = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        if let serde_json::Value::String(text) = &equals {
            (TEMPLATE.parse)(text).map_err(|fault| fault.in_part(text, value))?;
        }
        return Ok(Expect::Json { pointer: pointer.to_owned(), equals });
    }
    let fault = Fault::new(format!("{} is not an expectation", quote(trimmed))).expected(EXPECTATIONS);
    let name = trimmed.split('(').next().unwrap_or_default();
    Err(match nearest(name, ["echo", "any", "contains", "json"]) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    })
}

pub(in crate::plan) const CLOSE_CODE: Syntax<u16> = Syntax {
    expected: "a close code, 1000 or from 3000 to 4999",
    bare_number: true,
    pattern: r"[0-9_.]+k?",
    parse: |text| {
        let code = parse_count(text)?;
        // RFC 6455, section 7.4: what an endpoint may send of its own accord.
        u16::try_from(code)
            .ok()
            .filter(|code| matches!(code, 1000..=1003 | 1007..=1011 | 3000..=4999))
            .ok_or_else(|| {
                Fault::new(format!("{} is not a code to close with", quote(text)))
                    .expected(CLOSE_CODE.expected)
            })
    },
};

pub(in crate::plan) const CLOSE_CODES: Syntax<Vec<u16>> = Syntax {
    expected: "close codes, such as \"1000,1001\"",
    bare_number: true,
    pattern: r"[0-9]{4}(\s*,\s*[0-9]{4})*",
    parse: |text| {
        let codes = text.split(',').map(|item| {
            // 1005 stands for none, 1006 for the end of a connection without a close frame.
            item.trim().parse().ok().filter(|code| (1000..=4999).contains(code)).ok_or_else(|| {
                Fault::new(format!("{} is not a close code", quote(item.trim())))
                    .expected("codes from 1000 to 4999; 1005: none, 1006: no close frame")
                    .in_part(text, item)
            })
        });
        codes.collect()
    },
};

pub(in crate::plan) const FRAMING: Syntax<Framing> = Syntax {
    expected: "`line`, `length1`, `length2`, `length4` or `none`",
    bare_number: false,
    pattern: "line|length[124]|none",
    parse: |text| {
        let choices = [
            ("line", Framing::Line),
            ("length1", Framing::Length1),
            ("length2", Framing::Length2),
            ("length4", Framing::Length4),
            ("none", Framing::None),
        ];
        choose(text, "a framing", &choices)
    },
};

pub(in crate::plan) const TLS_VERSION: Syntax<TlsVersion> = Syntax {
    expected: "\"1.2\" or \"1.3\"",
    bare_number: true,
    pattern: r"1\.[23]",
    parse: |text| choose(text, "a version of TLS", &[("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)]),
};

pub(in crate::plan) const FILE: Syntax<PathBuf> = Syntax {
    expected: "the path of a PEM file",
    bare_number: false,
    pattern: "",
    parse: |text| match text.trim() {
        "" => Err(Fault::new("the path is empty").expected("the path of a PEM file")),
        path => Ok(PathBuf::from(&*plain(path))),
    },
};

pub(in crate::plan) const SERVER_NAME: Syntax<String> = Syntax {
    expected: "the name that the certificate has to be for",
    bare_number: false,
    pattern: "",
    parse: |text| {
        let name = text.trim();
        match rustls::pki_types::ServerName::try_from(name) {
            Ok(_) => Ok(name.to_owned()),
            Err(_) => Err(Fault::new(format!("{} is not a host name or an address", quote(name)))
                .expected("a name, such as example.com")),
        }
    },
};

pub(in crate::plan) const ALPN: Syntax<String> = Syntax {
    expected: "the name of a protocol, such as \"http/1.1\"",
    bare_number: false,
    pattern: "",
    parse: |text| match text.trim() {
        name if (1..=255).contains(&name.len()) => Ok(name.to_owned()),
        name => {
            Err(Fault::new(format!("{} is not the name of a protocol", quote(name))).expected(ALPN.expected))
        }
    },
};

/// A share from 0 to 1, or in percent.
pub(in crate::plan) const JITTER: Syntax<f64> = Syntax {
    expected: "a share from 0 to 1, such as 0.5 or \"50%\"",
    bare_number: true,
    pattern: r"[0-9.]+\s*%?",
    parse: |text| {
        let trimmed = text.trim();
        let share = match trimmed.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
            None => trimmed.parse::<f64>(),
        };
        share
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| Fault::new(format!("{} is not a share", quote(trimmed))).expected(JITTER.expected))
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_taken_apart_and_ours_are_ours() {
        let header = (HEADER.parse)("X-Token:  a:b ").unwrap();
        assert_eq!((header.name.as_str(), header.value.as_str()), ("X-Token", "a:b"));
        for bad in ["X", "a b: c", "Upgrade: h2c", "X: a\rb", ": x"] {
            assert!((HEADER.parse)(bad).is_err(), "{bad}");
        }
        assert!((HEADER.parse)("Host: other.example").is_ok());
    }

    #[test]
    fn ways_to_authenticate() {
        assert_eq!(
            (AUTH.parse)("basic(Aladdin:open sesame)").unwrap().value,
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!((AUTH.parse)("bearer(abc)").unwrap().value, "Bearer abc");
        for bad in ["basic(a)", "bearer()", "digest(a:b)", "secret"] {
            assert!((AUTH.parse)(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn statuses_are_numbers_classes_and_ranges() {
        let statuses = (STATUSES.parse)("200, 3xx,404-405").unwrap();
        assert!([200, 301, 399, 404, 405].iter().all(|status| statuses.contain(*status)));
        assert!(![201, 400, 406].iter().any(|status| statuses.contain(*status)));
        assert_eq!(statuses.written(), "200,300-399,404-405");
        for bad in ["", "20", "600", "9xx", "300-200", "2xx-3xx"] {
            assert!((STATUSES.parse)(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn expectations_are_read_as_they_are_shown() {
        for text in ["echo", "any", "contains(pong {seq})", "json(/a/0 == \"x\")", "json(/n == 3)"] {
            assert_eq!(expect(text).unwrap().to_string(), text);
        }
        assert_eq!(expect("json(/type == pong)").unwrap(), expect("json(/type == \"pong\")").unwrap());
        for bad in ["ehco", "contains()", "json(/a)", "json(a == 1)", ""] {
            assert!(expect(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn codes_and_shares_stay_within_their_bounds() {
        assert_eq!((CLOSE_CODE.parse)("4001"), Ok(4001));
        assert!((CLOSE_CODE.parse)("1005").is_err() && (CLOSE_CODE.parse)("99").is_err());
        assert_eq!((JITTER.parse)("25%"), Ok(0.25));
        assert!((JITTER.parse)("1.5").is_err() && (JITTER.parse)("NaN").is_err());
    }
}
