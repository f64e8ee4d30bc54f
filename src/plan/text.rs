//! A string of a scenario that knows where each of its bytes stands in the file.
//!
//! A TOML string is not its token: escapes and `${NAME}` make it longer or shorter. A mistake in a part of
//! the value is shown under the bytes of the file that this part came from.

use std::ops::Range;

/// A string value and, for each of its bytes, the bytes of the file that it came from.
#[derive(Debug, Clone)]
pub(super) struct Text {
    value: String,
    origins: Vec<Range<usize>>,
    token: Range<usize>,
}

impl Text {
    /// The `value` that the parser made of the string token at `token` of `source`.
    pub(super) fn of_string(source: &str, token: Range<usize>, value: &str) -> Text {
        let mut text = Text::empty(token.clone());
        let characters = source.get(token.clone()).map(|raw| characters(raw, token.start));
        match characters {
            Some(characters) if characters.iter().map(|(c, _)| *c).eq(value.chars()) => {
                for (character, origin) in characters {
                    text.push(character.encode_utf8(&mut [0; 4]), &origin);
                }
            }
            // Our reading of the token is not the parser's (it folds line ends, say): the whole token
            // is less exact, and still true.
            _ => text.push(value, &token),
        }
        text
    }

    /// A value that is not a string, such as a number, written as `value`.
    pub(super) fn of_literal(token: Range<usize>, value: &str) -> Text {
        let mut text = Text::empty(token.clone());
        text.push(value, &token);
        text
    }

    /// No characters yet.
    pub(super) fn empty(token: Range<usize>) -> Text {
        Text { value: String::new(), origins: Vec::new(), token }
    }

    /// Adds characters that all came from `origin`.
    pub(super) fn push(&mut self, characters: &str, origin: &Range<usize>) {
        self.value.push_str(characters);
        self.origins.extend(std::iter::repeat_n(origin.clone(), characters.len()));
    }

    /// Adds a part of another text, with its origins.
    pub(super) fn push_part(&mut self, other: &Text, part: Range<usize>) {
        self.value.push_str(&other.value[part.clone()]);
        self.origins.extend_from_slice(&other.origins[part]);
    }

    /// The value.
    pub(super) fn as_str(&self) -> &str {
        &self.value
    }

    /// The whole token in the file, quotes included.
    pub(super) fn token(&self) -> Range<usize> {
        self.token.clone()
    }

    /// Where a part of the value stands in the file; the whole token where the part is empty.
    pub(super) fn origin_of(&self, part: Range<usize>) -> Range<usize> {
        match self.origins.get(part).and_then(|o| Some((o.first()?, o.last()?))) {
            Some((first, last)) => first.start..last.end.max(first.end),
            None => self.token(),
        }
    }
}

/// The characters of a string token and where each stands; `at` is where the token begins.
fn characters(raw: &str, at: usize) -> Vec<(char, Range<usize>)> {
    let (quotes, escapes) = match raw.as_bytes() {
        [b'"', b'"', b'"', ..] if raw.len() >= 6 => (3, true),
        [b'\'', b'\'', b'\'', ..] if raw.len() >= 6 => (3, false),
        [b'"', ..] => (1, true),
        _ => (1, false),
    };
    let Some(mut inner) = raw.get(quotes..raw.len().saturating_sub(quotes)) else { return Vec::new() };
    let mut position = at + quotes;
    if quotes == 3 {
        // A line end right after the opening quotes is not part of the string.
        let skipped = inner.strip_prefix("\r\n").or_else(|| inner.strip_prefix('\n')).unwrap_or(inner);
        position += inner.len() - skipped.len();
        inner = skipped;
    }
    let mut found = Vec::new();
    while let Some(first) = inner.chars().next() {
        let (character, length) = match first {
            '\\' if escapes => unescape(inner),
            plain => (Some(plain), plain.len_utf8()),
        };
        if let Some(character) = character {
            found.push((character, position..position + length));
        }
        position += length;
        inner = &inner[length..];
    }
    found
}

/// Character that the escape at the start of `text` stands for, and its length; no character for a line end.
fn unescape(text: &str) -> (Option<char>, usize) {
    let hexadecimal = |digits: usize| {
        let value = text.get(2..2 + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match value.and_then(char::from_u32) {
            Some(character) => (Some(character), 2 + digits),
            None => (Some('\\'), 1),
        }
    };
    match text.as_bytes().get(1) {
        Some(b'b') => (Some('\u{8}'), 2),
        Some(b't') => (Some('\t'), 2),
        Some(b'n') => (Some('\n'), 2),
        Some(b'f') => (Some('\u{c}'), 2),
        Some(b'r') => (Some('\r'), 2),
        Some(b'e') => (Some('\u{1b}'), 2),
        Some(b'"') => (Some('"'), 2),
        Some(b'\\') => (Some('\\'), 2),
        Some(b'x') => hexadecimal(2),
        Some(b'u') => hexadecimal(4),
        Some(b'U') => hexadecimal(8),
        _ => (None, text.len() - text[1..].trim_start_matches([' ', '\t', '\r', '\n']).len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file's bytes under the part of the value that reads `part`.
    fn under(source: &str, value: &str, part: &str) -> String {
        let text = Text::of_string(source, 0..source.len(), value);
        let start = value.find(part).unwrap();
        source[text.origin_of(start..start + part.len())].to_owned()
    }

    #[test]
    fn plain_and_literal_strings() {
        assert_eq!(under(r#""tcp://höst:x""#, "tcp://höst:x", "höst"), "höst");
        assert_eq!(under(r"'a\b'", r"a\b", r"\b"), r"\b");
        assert_eq!(under("'''\na'b'''", "a'b", "'b"), "'b");
    }

    #[test]
    fn escapes_keep_their_place() {
        assert_eq!(under(r#""\u00e9\t\"x""#, "é\t\"x", "é"), r"\u00e9");
        assert_eq!(under(r#""\u00e9\t\"x""#, "é\t\"x", "x"), "x");
        assert_eq!(under("\"\"\"\na \\\n   b\"\"\"", "a b", "b"), "b");
    }

    #[test]
    fn a_token_that_is_read_otherwise_is_marked_as_a_whole() {
        assert_eq!(under(r#""abc""#, "abd", "d"), r#""abc""#);
        assert_eq!(under("\"", "d", "d"), "\"");
    }
}
