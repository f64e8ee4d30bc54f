//! Text that is sent, with its placeholders: `{seq}`, `{conn}`, `{now_us}`, `{random:SIZE}`, `{uuid}`, and the names that a
//! conversation brings: what it took, columns of data. Pure.
//!
//! A word in braces is a placeholder, with a format or size after a colon; one that is not known is a mistake, and
//! never sent as it stands. Any other brace is a brace, so that JSON goes out as it is written, however it is nested.
//! A placeholder in double braces stands for its own text in single ones: `{{seq}}` is sent as `{seq}`. `{lbrace}` is
//! a brace that opens nothing.

mod piece;

use piece::{Counted, Found, Piece, placeholder};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
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

/// Numbers that placeholders stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields {
    /// `{seq}`: number of the message on its connection, from 1.
    pub seq: u64,
    /// `{conn}`: number of the attempt in the run, from 1.
    pub conn: u64,
    /// `{now_us}`: wall-clock time in microseconds since 1970.
    pub now_us: u64,
}

/// Bytes of which random ones are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Small letters, so that a text stays one.
    Letters,
    /// Any bytes.
    Bytes,
}

/// Values of the names that a conversation brings.
pub trait Named {
    /// Value of the name with this index; empty where it has none yet.
    fn value(&self, index: u16) -> &[u8];
}

/// No names.
#[derive(Debug, Clone, Copy)]
pub struct NoNames;

impl Named for NoNames {
    fn value(&self, _: u16) -> &[u8] {
        &[]
    }
}

/// Where a value goes, and what must not be in it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A message: every byte goes out as it is.
    Message,
    /// A path or query: what has a meaning in a URL is written in percent (RFC 3986, section 2.1); `/`, `:` and `@`
    /// stay.
    Url,
    /// A header: control characters, which would end the line, are blanks.
    Header,
}

/// Everything that a template is filled with, but for random bytes.
#[derive(Clone, Copy)]
pub struct Values<'v> {
    /// Numbers.
    pub fields: Fields,
    /// Names.
    pub named: &'v dyn Named,
    /// Bytes of which random ones are made.
    pub alphabet: Alphabet,
    /// Where names' values go.
    pub place: Place,
}

/// A placeholder that is none, and where it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{says}")]
pub struct TemplateError {
    /// The fault.
    pub says: String,
    /// The name that is not known, where that is what is wrong.
    pub unknown: Option<String>,
    /// The bytes at fault.
    pub part: Range<usize>,
}

impl Template {
    /// Reads a template that has no names but its own.
    ///
    /// # Errors
    /// Where a placeholder is not known, or has a size or a format that it can't have.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        Template::naming(text, &|_| false)
    }

    /// Reads a template that may use the names that `knows` says yes to.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn naming(text: &str, knows: &dyn Fn(&str) -> bool) -> Result<Template, TemplateError> {
        let mut pieces = Pieces::default();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if let Some(quoted) = piece::quoted(rest, knows) {
                pieces.literal(quoted.as_bytes());
                at += quoted.len() + 2;
                continue;
            }
            if let Some(length) = piece::not_ours(rest, knows) {
                pieces.literal(&rest.as_bytes()[..length]);
                at += length;
                continue;
            }
            match placeholder(rest, knows) {
                Ok(Some(Found { piece, length })) => {
                    pieces.push(piece);
                    at += length;
                }
                Ok(None) => {
                    let length = rest.chars().next().map_or(1, char::len_utf8);
                    pieces.literal(&rest.as_bytes()[..length]);
                    at += length;
                }
                Err(fault) => {
                    let part = at..at + fault.length;
                    return Err(TemplateError { says: fault.says, unknown: fault.unknown, part });
                }
            }
        }
        Ok(Template { text: text.to_owned(), pieces: pieces.finish() })
    }

    /// Reads bytes in hexadecimal digits, with blanks where they are wanted, and placeholders between them, whose
    /// values go out as text.
    ///
    /// # Errors
    /// As [`Template::parse`], and where a digit is none or one is missing.
    pub fn hex(text: &str, knows: &dyn Fn(&str) -> bool) -> Result<Template, TemplateError> {
        let template = Template::naming(text, knows)?;
        let mut pieces = Vec::with_capacity(template.pieces.len());
        for piece in template.pieces {
            pieces.push(match piece {
                Piece::Literal(digits) => Piece::Literal(from_hex(&digits).ok_or_else(|| TemplateError {
                    says: "bytes are pairs of hexadecimal digits".to_owned(),
                    unknown: None,
                    part: 0..text.len(),
                })?),
                other => other,
            });
        }
        Ok(Template { text: text.to_owned(), pieces })
    }

    /// The text in such a form that a template of it says just that: braces that would open a placeholder are `{lbrace}`.
    pub fn escaped(text: &str) -> Cow<'_, str> {
        let opens = |at: usize| !matches!(placeholder(&text[at..], &|_| true), Ok(None));
        let braces: Vec<usize> = text.match_indices('{').map(|(at, _)| at).filter(|at| opens(*at)).collect();
        if braces.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut escaped, mut from) = (String::new(), 0);
        for at in braces {
            escaped.push_str(&text[from..at]);
            escaped.push_str("{lbrace}");
            from = at + 1;
        }
        Cow::Owned(escaped + &text[from..])
    }

    /// A text without placeholders, whatever is in it.
    pub fn literal(text: &str) -> Template {
        let mut pieces = Pieces::default();
        pieces.literal(text.as_bytes());
        Template { text: text.to_owned(), pieces: pieces.finish() }
    }

    /// Bytes without placeholders.
    pub fn bytes(bytes: Vec<u8>) -> Template {
        Template { text: String::new(), pieces: vec![Piece::Literal(bytes)] }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Parts of a text that are no word in braces, whether it is a placeholder that is known or not.
    pub fn literals(text: &str) -> Vec<&str> {
        let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
        while at < text.len() {
            let rest = &text[at..];
            match piece::word_in_braces(rest) {
                Some(length) => {
                    parts.push(&text[from..at]);
                    at += length;
                    from = at;
                }
                None => at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
        parts.push(&text[from..]);
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// The names that it uses.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Named { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// True if two renderings for one message are the same: nothing in it is random, or the time.
    pub fn is_repeatable(&self) -> bool {
        !self
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Random(_) | Piece::Uuid | Piece::Number(Counted::NowUs, _)))
    }

    /// All of it, where it has no placeholder.
    pub fn fixed(&self) -> Option<&[u8]> {
        match &self.pieces[..] {
            [] => Some(&[]),
            [Piece::Literal(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// The same, each name with its index.
    #[must_use]
    pub fn bound(&self, index_of: &dyn Fn(&str) -> u16) -> Template {
        let mut bound = self.clone();
        for piece in &mut bound.pieces {
            if let Piece::Named { name, index } = piece {
                *index = index_of(name);
            }
        }
        bound
    }

    /// Adds the text to `out`, every placeholder replaced; names stand for nothing.
    pub fn render(&self, fields: Fields, alphabet: Alphabet, random: &mut dyn RngCore, out: &mut Vec<u8>) {
        let values = Values { fields, named: &NoNames, alphabet, place: Place::Message };
        self.fill(&values, random, out);
    }

    /// Adds the text to `out`, every placeholder replaced.
    pub fn fill(&self, values: &Values<'_>, random: &mut dyn RngCore, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Number(which, width) => width.write(which.of(&values.fields), out),
                Piece::Random(size) => piece::write_random(out, *size, values.alphabet, random),
                Piece::Uuid => piece::write_uuid(out, random),
                Piece::Named { index, .. } => {
                    piece::write_value(values.named.value(*index), values.place, out);
                }
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
                Piece::Number(which, width) => *which.of_mut(&mut fields) = width.take(&mut bytes)?,
                Piece::Random(size) => bytes = bytes.get(*size..)?,
                Piece::Uuid => bytes = bytes.get(piece::UUID..)?,
                Piece::Named { .. } => return None,
            }
        }
        bytes.is_empty().then_some(fields)
    }
}

/// Pieces while they are read: literals that follow each other are one.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    literal: Vec<u8>,
}

impl Pieces {
    fn literal(&mut self, bytes: &[u8]) {
        self.literal.extend_from_slice(bytes);
    }

    fn push(&mut self, piece: Piece) {
        if let Piece::Literal(bytes) = piece {
            return self.literal(&bytes);
        }
        self.settle();
        self.done.push(piece);
    }

    fn settle(&mut self) {
        if !self.literal.is_empty() {
            self.done.push(Piece::Literal(std::mem::take(&mut self.literal)));
        }
    }

    fn finish(mut self) -> Vec<Piece> {
        self.settle();
        self.done
    }
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    /// A plan that was saved was checked when it was read: whatever it names is known.
    fn try_from(text: String) -> Result<Template, TemplateError> {
        Template::naming(&text, &|_| true)
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
        assert_eq!(rendered("{ x} }", FIELDS, Alphabet::Letters), b"{ x} }");
        assert_eq!(rendered("{lbrace}x} }", FIELDS, Alphabet::Letters), b"{x} }");
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
    fn numbers_have_widths_and_bases() {
        for (text, expected) in [
            ("{conn:06}", "000003"),
            ("{seq:04x}", "0007"),
            ("{now_us:x}", "60a24181e4000"),
            ("{seq:3}|", "  7|"),
            ("{conn:02}-{seq:1}", "03-7"),
        ] {
            assert_eq!(String::from_utf8(rendered(text, FIELDS, Alphabet::Letters)).unwrap(), expected);
            let read = Template::parse(text).unwrap().read(expected.as_bytes()).unwrap();
            assert!(read.seq == 7 || read.conn == 3 || read.now_us == FIELDS.now_us, "{text}");
        }
        let uuid = rendered("{uuid}", FIELDS, Alphabet::Letters);
        assert!(uuid.len() == 36 && uuid[14] == b'4' && b"89ab".contains(&uuid[19]), "{uuid:?}");
    }

    #[test]
    fn an_unknown_word_in_braces_is_a_mistake_at_its_place() {
        for (bad, part) in [
            ("a {nmae} b", "{nmae}"),
            ("{\"a\":{\"b\":{usr.name}}}", "{usr.name}"),
            ("{seq:zz}", "{seq:zz}"),
            ("{con:06}", "{con:06}"),
            ("{uuid:4}", "{uuid:4}"),
            ("é{x}", "{x}"),
        ] {
            let error = Template::parse(bad).unwrap_err();
            assert_eq!(&bad[error.part.clone()], part, "{bad}: {error}");
        }
    }

    #[test]
    fn names_are_filled_as_their_place_wants_it() {
        struct Two;
        impl Named for Two {
            fn value(&self, index: u16) -> &[u8] {
                if index == 1 { b"a b&=\r\n/x" } else { b"tok" }
            }
        }
        let knows = |name: &str| matches!(name, "token" | "users.name");
        let template = Template::naming("{token}?{users.name}{{token}}{{other}}", &knows).unwrap();
        assert_eq!(template.names().collect::<Vec<_>>(), ["token", "users.name"]);
        let bound = template.bound(&|name| u16::from(name == "users.name"));
        let filled = |place| {
            let values = Values { fields: FIELDS, named: &Two, alphabet: Alphabet::Letters, place };
            let mut out = Vec::new();
            bound.fill(&values, &mut SmallRng::seed_from_u64(1), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(filled(Place::Message), "tok?a b&=\r\n/x{token}{{other}}");
        assert_eq!(filled(Place::Url), "tok?a%20b%26%3D%0D%0A/x{token}{{other}}");
        assert_eq!(filled(Place::Header), "tok?a b&=  /x{token}{{other}}");
        let template = Template::naming("{token}?{users.name}{{token}}", &knows).unwrap();
        assert_eq!(Template::try_from(String::from(template.clone())).unwrap(), template);
    }

    #[test]
    fn hexadecimal_digits_are_bytes_and_placeholders_are_text() {
        let template = Template::hex("10 0c 00 04 {conn:02} fF", &|_| false).unwrap();
        let mut out = Vec::new();
        template.render(FIELDS, Alphabet::Bytes, &mut SmallRng::seed_from_u64(1), &mut out);
        assert_eq!(out, b"\x10\x0c\x00\x0403\xff");
        assert!(Template::hex("1", &|_| false).is_err() && Template::hex("zz", &|_| false).is_err());
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
        fn an_escaped_text_says_itself(text in "(\\{|\\}|seq|:|random|uuid|lbrace|a|0|\\.){0,12}") {
            let template = Template::parse(&Template::escaped(&text)).unwrap();
            prop_assert_eq!(template.fixed().map(<[u8]>::to_vec), Some(text.clone().into_bytes()));
        }

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
