//! What is sent, with its placeholders: `{seq}`, `{conn}`, `{now_us}` and `{random:SIZE}`. Pure.
//!
//! Any other brace is a brace, so that JSON goes out as it is written, however it is nested. A placeholder in double
//! braces stands for its own text in single ones: `{{seq}}` is sent as `{seq}`.

use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// The most random bytes in one message.
pub const MOST_RANDOM: u64 = 16 << 20;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Seq,
    Conn,
    NowUs,
    Random(usize),
}

/// What the placeholders stand for, but for random bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields {
    /// `{seq}`: number of the message on its connection, from 1.
    pub seq: u64,
    /// `{conn}`: number of the attempt in the run, from 1.
    pub conn: u64,
    /// `{now_us}`: wall-clock time in microseconds since 1970.
    pub now_us: u64,
}

/// What random bytes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Small letters, so that a text stays one.
    Letters,
    /// Any bytes.
    Bytes,
}

/// A placeholder that is none, and where it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{says}")]
pub struct TemplateError {
    /// What is wrong.
    pub says: String,
    /// The bytes at fault.
    pub part: Range<usize>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Where `{random:…}` has no size that can be sent.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if let Some(quoted) = quoted(rest) {
                literal.extend_from_slice(quoted.as_bytes());
                at += quoted.len() + 2;
                continue;
            }
            match placeholder(rest).map_err(|(says, length)| TemplateError { says, part: at..at + length })? {
                Some((piece, length)) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(piece);
                    at += length;
                }
                None => {
                    let length = rest.chars().next().map_or(1, char::len_utf8);
                    literal.extend_from_slice(&rest.as_bytes()[..length]);
                    at += length;
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Template { text: text.to_owned(), pieces })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether two messages of it can be told apart by number.
    pub fn is_numbered(&self) -> bool {
        self.pieces.contains(&Piece::Seq)
    }

    /// Adds the text to `out`, every placeholder replaced.
    pub fn render(&self, fields: Fields, alphabet: Alphabet, random: &mut dyn RngCore, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Seq => write_number(out, fields.seq),
                Piece::Conn => write_number(out, fields.conn),
                Piece::NowUs => write_number(out, fields.now_us),
                Piece::Random(size) => write_random(out, *size, alphabet, random),
            }
        }
    }

    /// The fields of a message that was made by this template; `None` for any other bytes. Fields that it does
    /// not have are 0.
    pub fn read(&self, mut bytes: &[u8]) -> Option<Fields> {
        let mut fields = Fields::default();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => bytes = bytes.strip_prefix(&literal[..])?,
                Piece::Seq => fields.seq = take_number(&mut bytes)?,
                Piece::Conn => fields.conn = take_number(&mut bytes)?,
                Piece::NowUs => fields.now_us = take_number(&mut bytes)?,
                Piece::Random(size) => bytes = bytes.get(*size..)?,
            }
        }
        bytes.is_empty().then_some(fields)
    }
}

/// The placeholder in double braces that `text` begins with, as it stands in single ones.
fn quoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{').filter(|inner| inner.starts_with('{'))?;
    let (_, length) = placeholder(inner).ok().flatten()?;
    inner[length..].starts_with('}').then(|| &inner[..length])
}

/// The placeholder that `text` begins with, and its length; or what is wrong with it.
fn placeholder(text: &str) -> Result<Option<(Piece, usize)>, (String, usize)> {
    for (written, piece) in [("{seq}", Piece::Seq), ("{conn}", Piece::Conn), ("{now_us}", Piece::NowUs)] {
        if text.starts_with(written) {
            return Ok(Some((piece, written.len())));
        }
    }
    let Some(inner) = text.strip_prefix("{random:") else { return Ok(None) };
    let end = inner.find('}').unwrap_or(inner.len());
    let length = (text.len() - inner.len() + end + 1).min(text.len());
    match size(&inner[..end]) {
        Some(size) if end < inner.len() => Ok(Some((Piece::Random(size), length))),
        _ => Err((
            format!("'{}' is not a size, such as {{random:1KiB}}, of at most 16 MiB", &inner[..end]),
            length,
        )),
    }
}

fn size(text: &str) -> Option<usize> {
    let units = [("KiB", 1024), ("MiB", 1 << 20), ("B", 1), ("", 1)];
    let (number, unit) = units.into_iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes <= MOST_RANDOM)?;
    usize::try_from(bytes).ok()
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    use std::io::Write;
    // Writing to a Vec can't fail.
    let _ = write!(out, "{number}");
}

fn write_random(out: &mut Vec<u8>, size: usize, alphabet: Alphabet, random: &mut dyn RngCore) {
    let begin = out.len();
    out.resize(begin + size, 0);
    random.fill_bytes(&mut out[begin..]);
    if alphabet == Alphabet::Letters {
        out[begin..].iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = bytes.split_at(digits);
    *bytes = rest;
    std::str::from_utf8(number).ok()?.parse().ok()
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Template, TemplateError> {
        Template::parse(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    fn rendered(text: &str, fields: Fields, alphabet: Alphabet) -> Vec<u8> {
        let mut out = Vec::new();
        let mut random = SmallRng::seed_from_u64(1);
        Template::parse(text).unwrap().render(fields, alphabet, &mut random, &mut out);
        out
    }

    const FIELDS: Fields = Fields { seq: 7, conn: 3, now_us: 1_700_000_000_000_000 };

    #[test]
    fn placeholders_are_replaced_and_json_stays_as_it_is() {
        let json = r#"{"n":{seq},"c":{conn},"t":{now_us},"s":"{{seq}}"}"#;
        let expected = r#"{"n":7,"c":3,"t":1700000000000000,"s":"{seq}"}"#;
        assert_eq!(rendered(json, FIELDS, Alphabet::Letters), expected.as_bytes());
        assert_eq!(rendered("", FIELDS, Alphabet::Letters), b"");
        assert_eq!(rendered("{x} }", FIELDS, Alphabet::Letters), b"{x} }");
        for as_written in [
            r#"{"a":{"b":{"c":1}}}"#,
            r#"{{"a":[[{}]]}}"#,
            "}}{{",
            r#"{"t":"{{name}}"}"#,
            "function f() { if (x) { y() }}",
        ] {
            assert_eq!(rendered(as_written, FIELDS, Alphabet::Letters), as_written.as_bytes());
        }
        let nested = r#"{"a":{"b":{"n":{seq}}}}"#;
        assert_eq!(rendered(nested, FIELDS, Alphabet::Letters), br#"{"a":{"b":{"n":7}}}"#);
        assert_eq!(rendered("{{random:4}}{{seq}", FIELDS, Alphabet::Letters), b"{random:4}{7");
    }

    #[test]
    fn random_bytes_have_the_size_asked_for() {
        let text = rendered("{random:1KiB}", FIELDS, Alphabet::Letters);
        assert!(text.len() == 1024 && text.iter().all(u8::is_ascii_lowercase));
        let bytes = rendered("{random:2000}", FIELDS, Alphabet::Bytes);
        assert!(bytes.len() == 2000 && bytes.iter().any(|byte| !byte.is_ascii()));
        for bad in ["{random:}", "{random:x}", "{random:17MiB}", "a{random:1KiB"] {
            let error = Template::parse(bad).unwrap_err();
            assert!(bad[error.part].starts_with("{random:"), "{bad}");
        }
    }

    #[test]
    fn a_message_is_read_back_by_its_template() {
        let template = Template::parse("m {conn}/{seq} {random:4B} at {now_us}!").unwrap();
        let text = rendered(template.as_str(), FIELDS, Alphabet::Letters);
        assert_eq!(template.read(&text), Some(FIELDS));
        assert_eq!(template.read(b"m 1/x"), None);
        assert_eq!(template.read(&text[..text.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_says_where_not(text in "\\PC{0,40}|(\\{(seq|conn|now_us|random:[0-9KiB]{0,5})\\}?|x){0,5}") {
            match Template::parse(&text) {
                Ok(template) => { let _ = template.read(text.as_bytes()); }
                Err(error) => prop_assert!(text.get(error.part).is_some()),
            }
        }

        #[test]
        fn any_bytes_are_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Template::parse("{seq}{conn} x{random:3}").unwrap().read(&bytes);
        }
    }
}
