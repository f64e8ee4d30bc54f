//! The value at a pointer of a JSON text (RFC 6901), found without building the document and without memory of its
//! own: a message that is not the one waited for costs a look. Pure.
//!
//! What stands before the value is read only as far as it is needed to step over it; what follows is not read.

use std::borrow::Cow;

/// A pointer, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads `/a/0/b~1c`; `None` where it does not begin with `/`. The empty pointer is the whole document.
    pub fn parse(text: &str) -> Option<Pointer> {
        if text.is_empty() {
            return Some(Pointer::whole());
        }
        let tokens = text.strip_prefix('/')?.split('/');
        Some(Pointer(tokens.map(|token| token.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// The pointer to the whole document.
    pub fn whole() -> Pointer {
        Pointer(Vec::new())
    }

    /// True if it is that.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of the value, as they stand in `text`.
    pub fn find<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let mut rest = text.trim_ascii_start();
        for token in &self.0 {
            rest = match rest.split_first()? {
                (b'{', members) => member(members, token.as_bytes())?,
                (b'[', elements) => element(elements, token.parse().ok()?)?,
                _ => return None,
            };
        }
        Some(&rest[..value_length(rest)?])
    }
}

/// The JSON text of a message that has something before it, as `42["say",{}]` has: from the first `{` or `[` on.
pub fn document(message: &[u8]) -> &[u8] {
    let at = message.iter().position(|byte| matches!(byte, b'{' | b'['));
    &message[at.unwrap_or(0)..]
}

/// True if a raw value is this text: a string by what it says, anything else by how it is written.
pub fn says(raw: &[u8], text: &[u8]) -> bool {
    match inside_of_string(raw) {
        Some(inside) => is_unescaped(inside, text),
        None if raw == text => true,
        // The same object may be written in many ways.
        None if matches!(raw.first(), Some(b'{' | b'[')) => {
            let document = |text| serde_json::from_slice::<serde_json::Value>(text).ok();
            document(raw).is_some_and(|raw| document(text) == Some(raw))
        }
        None => false,
    }
}

/// Text of a raw value: a string without its quotes and escapes, anything else as it is written.
pub fn text(raw: &[u8]) -> Cow<'_, [u8]> {
    match inside_of_string(raw) {
        Some(inside) if !inside.contains(&b'\\') => Cow::Borrowed(inside),
        Some(_) => serde_json::from_slice::<String>(raw)
            .map_or(Cow::Borrowed(raw), |text| Cow::Owned(text.into_bytes())),
        None => Cow::Borrowed(raw),
    }
}

fn inside_of_string(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// The text from the value of a member on; `text` follows the opening brace.
fn member<'t>(mut text: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    loop {
        text = text.trim_ascii_start();
        let length = string_length(text)?;
        let key = inside_of_string(&text[..length])?;
        let value = text[length..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        if is_unescaped(key, name) {
            return Some(value);
        }
        text = value[value_length(value)?..].trim_ascii_start().strip_prefix(b",")?;
    }
}

/// The text from an element on; `text` follows the opening bracket.
fn element(mut text: &[u8], number: usize) -> Option<&[u8]> {
    text = text.trim_ascii_start();
    for _ in 0..number {
        text = text[value_length(text)?..].trim_ascii_start().strip_prefix(b",")?.trim_ascii_start();
    }
    Some(text)
}

/// Bytes of the value that `text` begins with.
fn value_length(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => string_length(text),
        b'{' | b'[' => container_length(text),
        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
            Some(text.iter().position(ends).unwrap_or(text.len()))
        }
        _ => None,
    }
}

fn container_length(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while at < text.len() {
        match text[at] {
            b'"' => at += string_length(&text[at..])? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Bytes of the string that `text` begins with, its quotes included.
fn string_length(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// True if the inside of a string says `wanted`, its escapes read.
fn is_unescaped(inside: &[u8], wanted: &[u8]) -> bool {
    let (mut inside, mut wanted) = (inside, wanted);
    while let Some(at) = memchr::memchr(b'\\', inside) {
        let Some(rest) = wanted.strip_prefix(&inside[..at]) else { return false };
        let Some((character, length)) = escaped(&inside[at..]) else { return false };
        let Some(rest) = rest.strip_prefix(character.encode_utf8(&mut [0; 4]).as_bytes()) else {
            return false;
        };
        (inside, wanted) = (&inside[at + length..], rest);
    }
    inside == wanted
}

/// The character that the escape at the beginning of `text` stands for, and the escape's length.
fn escaped(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 4)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let character = match text.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => match unit(2)? {
            high @ 0xd800..=0xdbff => {
                let low = text.get(6..8).filter(|next| *next == b"\\u").and_then(|_| unit(8))?;
                let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                return Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?, 12));
            }
            plain => return Some((char::from_u32(plain)?, 6)),
        },
        other => char::from(*other),
    };
    Some((character, 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn at<'t>(text: &'t str, pointer: &str) -> Option<&'t str> {
        let found = Pointer::parse(pointer).unwrap().find(text.as_bytes());
        found.map(|raw| std::str::from_utf8(raw).unwrap())
    }

    #[test]
    fn values_are_found_where_the_pointer_says() {
        let text = r#" { "a" : [ 1, {"b/c":"x\"]}", "d":null } , "y" ], "\u0065": {"f":[]} , "":2 }"#;
        assert_eq!(at(text, "/a/0"), Some("1"));
        assert_eq!(at(text, "/a/1/b~1c"), Some(r#""x\"]}""#));
        assert_eq!(at(text, "/a/1/d"), Some("null"));
        assert_eq!(at(text, "/a/2"), Some("\"y\""));
        assert_eq!(at(text, "/e/f"), Some("[]"));
        assert_eq!(at(text, "/"), Some("2"));
        assert_eq!(at("42", ""), Some("42"));
        for none in ["/a/3", "/a/x", "/b", "/a/0/0", "/e/f/0"] {
            assert_eq!(at(text, none), None, "{none}");
        }
        assert!(Pointer::parse("a").is_none());
        assert_eq!(document(br#"42["say",{}]"#), br#"["say",{}]"#);
    }

    #[test]
    fn values_are_compared_by_what_they_say() {
        assert!(
            says(b"7", b"7")
                && says(b"\"7\"", b"7")
                && says(br#""a\"\u00e9\ud83d\ude00b""#, "a\"é😀b".as_bytes())
        );
        assert!(says(br#"{"a":1, "b":2}"#, br#"{"b":2,"a":1}"#) && !says(b"[1]", b"[2]"));
        assert!(
            !says(b"71", b"7")
                && !says(br#""a\n""#, b"a")
                && !says(br#""\ud83d""#, b"x")
                && !says(b"true", b"t")
        );
        assert_eq!(&*text(br#""a\nb""#), b"a\nb");
        assert_eq!(&*text(b"12"), b"12");
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_the_document_has(a in "\\PC{0,8}", b in "\\PC{0,8}", n in any::<i64>()) {
            let document = serde_json::json!({ "k": [n, {a.clone(): b}], "z": [[], {}, "x"] });
            for written in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
                let key = a.replace('~', "~0").replace('/', "~1");
                for pointer in ["/k/0".to_owned(), format!("/k/1/{key}"), "/z".into(), "/z/2".into(), "/k/1/0x".into()] {
                    let found = Pointer::parse(&pointer).unwrap().find(written.as_bytes());
                    let found: Option<Value> = found.map(|raw| serde_json::from_slice(raw).unwrap());
                    prop_assert_eq!(found.as_ref(), document.pointer(&pointer));
                }
            }
        }

        #[test]
        fn any_bytes_are_looked_through(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[\\[\\]{}\",:a0\\\\u ]{0,40}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                for pointer in ["", "/0", "/a/0", "/a/a"] {
                    if let Some(raw) = Pointer::parse(pointer).unwrap().find(bytes) {
                        let _ = (says(raw, b"a"), super::text(raw));
                    }
                }
            }
        }
    }
}
