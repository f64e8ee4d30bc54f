//! The grammar of placeholders, and how each is written.

use super::{Alphabet, Fields, MOST_RANDOM, Place};
use rand::RngCore;

/// Characters of a UUID.
pub(super) const UUID: usize = 36;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Vec<u8>),
    Number(Counted, Width),
    Random(usize),
    Uuid,
    Named { name: String, index: u16 },
}

/// Number that a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Seq,
    Conn,
    NowUs,
}

impl Counted {
    pub(super) fn of(self, fields: &Fields) -> u64 {
        match self {
            Counted::Seq => fields.seq,
            Counted::Conn => fields.conn,
            Counted::NowUs => fields.now_us,
        }
    }

    pub(super) fn of_mut(self, fields: &mut Fields) -> &mut u64 {
        match self {
            Counted::Seq => &mut fields.seq,
            Counted::Conn => &mut fields.conn,
            Counted::NowUs => &mut fields.now_us,
        }
    }
}

/// Form of a number: `06` is six digits with zeros in front, `x` hexadecimal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Width {
    digits: u8,
    is_padded_with_zeros: bool,
    is_hexadecimal: bool,
}

impl Width {
    fn parse(text: &str) -> Option<Width> {
        let (digits, is_hexadecimal) = match text.strip_suffix('x') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let is_padded_with_zeros = digits.starts_with('0');
        let digits = if digits.is_empty() && is_hexadecimal { 0 } else { number(digits)? };
        (digits <= 64).then_some(Width { digits, is_padded_with_zeros, is_hexadecimal })
    }

    pub(super) fn write(self, number: u64, out: &mut Vec<u8>) {
        use std::io::Write;
        let digits = usize::from(self.digits);
        // Writing to a Vec can't fail.
        let _ = match (self.is_padded_with_zeros, self.is_hexadecimal) {
            (_, false) if digits == 0 => write!(out, "{number}"),
            (true, false) => write!(out, "{number:0digits$}"),
            (false, false) => write!(out, "{number:digits$}"),
            (true, true) => write!(out, "{number:0digits$x}"),
            (false, true) => write!(out, "{number:digits$x}"),
        };
    }

    /// Takes a number that was written so off the front: as many digits as its width has, or as there are.
    pub(super) fn take(self, bytes: &mut &[u8]) -> Option<u64> {
        let is_digit =
            |byte: &u8| if self.is_hexadecimal { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
        let blanks = bytes.iter().take_while(|byte| **byte == b' ').count();
        let blanks = if self.is_padded_with_zeros { 0 } else { blanks.min(usize::from(self.digits)) };
        let count = bytes[blanks..].iter().take_while(|byte| is_digit(byte)).count();
        let (number, rest) = bytes.split_at(blanks + count);
        *bytes = rest;
        let number = std::str::from_utf8(&number[blanks..]).ok()?;
        u64::from_str_radix(number, if self.is_hexadecimal { 16 } else { 10 }).ok()
    }
}

/// A placeholder that was found.
pub(super) struct Found {
    pub(super) piece: Piece,
    /// Bytes of the text that it takes.
    pub(super) length: usize,
}

/// Fault of a placeholder.
pub(super) struct Fault {
    pub(super) says: String,
    pub(super) unknown: Option<String>,
    pub(super) length: usize,
}

/// A word in braces: its name, what stands after a colon, and its length with the braces.
struct Word<'t> {
    name: &'t str,
    argument: Option<&'t str>,
    length: usize,
}

impl<'t> Word<'t> {
    fn at(text: &'t str) -> Option<Word<'t>> {
        let inner = text.strip_prefix('{')?;
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let end = inner.find(|c: char| !is_letter(c) && c != '.').unwrap_or(inner.len());
        let name = &inner[..end];
        let is_name =
            name.split('.').all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
        let rest = &inner[end..];
        if !is_name {
            return None;
        }
        if rest.starts_with('}') {
            return Some(Word { name, argument: None, length: end + 2 });
        }
        let argument = rest.strip_prefix(':')?;
        let length = argument.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(argument.len());
        let closes = argument[length..].starts_with('}');
        closes.then(|| Word { name, argument: Some(&argument[..length]), length: end + 1 + length + 2 })
    }
}

/// Length of the word in braces that `text` begins with, known or not.
pub(super) fn word_in_braces(text: &str) -> Option<usize> {
    Word::at(text).map(|word| word.length)
}

/// The placeholder in double braces that `text` begins with, as it stands in single ones.
pub(super) fn quoted<'t>(text: &'t str, knows: &dyn Fn(&str) -> bool) -> Option<&'t str> {
    let inner = text.strip_prefix('{').filter(|inner| inner.starts_with('{'))?;
    let found = placeholder(inner, knows).ok().flatten()?;
    inner[found.length..].starts_with('}').then(|| &inner[..found.length])
}

/// Length of a word in double braces that is no placeholder: a template of another's, which goes out as it is.
pub(super) fn not_ours(text: &str, knows: &dyn Fn(&str) -> bool) -> Option<usize> {
    let inner = text.strip_prefix('{').filter(|inner| inner.starts_with('{'))?;
    let word = Word::at(inner)?;
    let is_unknown = placeholder(inner, knows).is_err_and(|fault| fault.unknown.is_some());
    (is_unknown && inner[word.length..].starts_with('}')).then_some(word.length + 2)
}

/// The placeholder that `text` begins with; or what is wrong with it.
pub(super) fn placeholder(text: &str, knows: &dyn Fn(&str) -> bool) -> Result<Option<Found>, Fault> {
    if let Some(inner) = text.strip_prefix("{random:") {
        return random(text, inner).map(Some);
    }
    let Some(Word { name, argument, length }) = Word::at(text) else { return Ok(None) };
    let fault = |says: String| Fault { says, unknown: None, length };
    let counted = match name {
        "seq" => Some(Counted::Seq),
        "conn" => Some(Counted::Conn),
        "now_us" => Some(Counted::NowUs),
        _ => None,
    };
    let piece = match (counted, argument) {
        (Some(counted), None) => Piece::Number(counted, Width::default()),
        (Some(counted), Some(written)) => {
            let width = Width::parse(written);
            Piece::Number(
                counted,
                width.ok_or_else(|| {
                    fault(format!("'{written}' is not a width, such as {{{name}:06}} or {{{name}:08x}}"))
                })?,
            )
        }
        (None, None) if knows(name) => Piece::Named { name: name.to_owned(), index: 0 },
        (None, None) if name == "uuid" => Piece::Uuid,
        (None, None) if name == "lbrace" => Piece::Literal(b"{".to_vec()),
        (None, Some(_)) if knows(name) || matches!(name, "uuid" | "lbrace") => {
            return Err(fault(format!("{{{name}}} has no width and no size")));
        }
        (None, None) if name == "random" => {
            return Err(fault("{random} needs a size, such as {random:20}".into()));
        }
        (None, _) => {
            let says = format!("{{{name}}} is not a placeholder here");
            return Err(Fault { unknown: Some(name.to_owned()), ..fault(says) });
        }
    };
    Ok(Some(Found { piece, length }))
}

/// `{random:SIZE}`, whose size begins with `inner`.
fn random(text: &str, inner: &str) -> Result<Found, Fault> {
    let end = inner.find('}').unwrap_or(inner.len());
    let length = (text.len() - inner.len() + end + 1).min(text.len());
    match size(&inner[..end]) {
        Some(size) if end < inner.len() => Ok(Found { piece: Piece::Random(size), length }),
        _ => {
            let says =
                format!("'{}' is not a size, such as {{random:1KiB}}, of at most 16 MiB", &inner[..end]);
            Err(Fault { says, unknown: None, length })
        }
    }
}

fn size(text: &str) -> Option<usize> {
    let units = [("KiB", 1024), ("MiB", 1 << 20), ("B", 1), ("", 1)];
    let (number, unit) = units.into_iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes <= MOST_RANDOM)?;
    usize::try_from(bytes).ok()
}

/// A number of digits alone: `parse` would take a sign.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(super) fn write_random(out: &mut Vec<u8>, size: usize, alphabet: Alphabet, random: &mut dyn RngCore) {
    let begin = out.len();
    out.resize(begin + size, 0);
    random.fill_bytes(&mut out[begin..]);
    if alphabet == Alphabet::Letters {
        out[begin..].iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
    }
}

/// A random UUID (RFC 9562, version 4).
pub(super) fn write_uuid(out: &mut Vec<u8>, random: &mut dyn RngCore) {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend([byte >> 4, byte & 0x0f].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
}

/// A name's value, as its place wants it.
pub(super) fn write_value(value: &[u8], place: Place, out: &mut Vec<u8>) {
    match place {
        Place::Message => out.extend_from_slice(value),
        Place::Header => {
            out.extend(value.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }))
        }
        Place::Url => {
            for byte in value {
                if byte.is_ascii_alphanumeric() || b"-._~/:@".contains(byte) {
                    out.push(*byte);
                } else {
                    out.push(b'%');
                    out.extend([byte >> 4, byte & 0x0f].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
}
