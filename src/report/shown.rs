//! Texts made harmless: the one place where text of peers, files and hosts is escaped.
//!
//! A peer's reply, the name of a file, a field of a saved result may hold anything: escape sequences that clear
//! a terminal, ends of lines that forge one, marks that turn the direction of writing, characters that no XML may
//! hold. A [`Shown`] value is one in which no string holds any of these. Every format is given a [`Shown`] result
//! and can't get at another, so that a new one can't forget it; what remains is what a format quotes by
//! itself (`<` in HTML, `|` in Markdown, `"` in CSV). JSON keeps every character, escaped as JSON does.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Deref;

/// A value in which every string, the keys of maps included, can be written to a terminal and into XML.
#[derive(Debug)]
pub struct Shown<'a, T: Clone>(Cow<'a, T>);

impl<'a, T: Clone + Serialize + DeserializeOwned> Shown<'a, T> {
    /// The value made harmless; the same value where it is so already.
    ///
    /// # Errors
    /// When the value can't be written as JSON and read again, which every result can.
    pub fn of(value: &'a T) -> Result<Shown<'a, T>, serde_json::Error> {
        let tree = serde_json::to_value(value)?;
        if is_harmless(&tree) {
            return Ok(Shown(Cow::Borrowed(value)));
        }
        serde_json::from_value(cleaned(tree)).map(|value| Shown(Cow::Owned(value)))
    }
}

impl<T: Clone> Deref for Shown<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

fn is_harmless(value: &Value) -> bool {
    let harmless = |text: &str| !text.chars().any(is_harmful);
    match value {
        Value::String(text) => harmless(text),
        Value::Array(items) => items.iter().all(is_harmless),
        Value::Object(fields) => fields.iter().all(|(name, field)| harmless(name) && is_harmless(field)),
        _ => true,
    }
}

fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(cleaned).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, field)| (clean(&name), cleaned(field))).collect())
        }
        other => other,
    }
}

/// The text in one line, with what is harmful in it written as `\x1b` or `\u{202e}`; ends of lines and tabs
/// become a blank.
pub fn clean(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\t' => safe.push(' '),
            c if is_harmful(c) => escape(&mut safe, c),
            c => safe.push(c),
        }
    }
    safe
}

/// Text of several lines of ours, such as an error, with everything harmful but the ends of lines escaped.
pub fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

fn escape(into: &mut String, c: char) {
    // Writing to a String can't fail.
    let _ = match u32::from(c) {
        code @ ..0x80 => write!(into, "\\x{code:02x}"),
        code => write!(into, "\\u{{{code:x}}}"),
    };
}

/// JSON text in which what is harmful is written as `\u009b`: the same data, and no harm to a terminal.
/// Control characters below U+0020 are so already.
pub fn json_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_harmful(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String can't fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// True if a character does something to whoever shows it, or is none: C0 and C1 controls, separators of
/// lines, marks of the direction of writing, tags, and noncharacters, which XML may not hold.
fn is_harmful(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        || matches!(code,
            0x061c | 0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069 | 0xfeff
            | 0xfdd0..=0xfdef | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
        || code & 0xfffe == 0xfffe
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::output::{Csv, Format, Hlog, Html, Json, Junit, Markdown, OpenMetrics};
    use crate::report::{Style, explain, summary};
    use crate::result::{RunResult, sample};
    use proptest::prelude::*;

    /// Everything that has done harm somewhere, one after the other.
    const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nall passed\0\u{9b}31m\u{202e}x\u{2066}\u{ffff}\u{fffe}\u{85}\
                        \u{2028}</script><script>alert(1)</script>\"'`|*[a](b)& ]]> =1+1";

    /// A result in which every string that a peer, a file or a host has a say in is this one.
    fn everywhere(text: &str) -> RunResult {
        let mut result = sample::exhausted();
        text.clone_into(&mut result.plan.name);
        text.clone_into(&mut result.host.hostname);
        result.reasons = vec![text.to_owned()];
        result.aborted = Some(text.to_owned());
        text.clone_into(&mut result.began);
        text.clone_into(&mut result.connstorm_version);
        result.skipped.insert(text.to_owned(), 0);
        result.latency_us.insert(text.to_owned(), result.latency_us["connect"].clone());
        result.windows[0].failures.insert(text.to_owned(), 0);
        for finding in &mut result.findings {
            text.clone_into(&mut finding.says);
            finding.side = crate::model::Side::Target;
            finding.evidence = std::mem::take(&mut finding.evidence).with(text, text);
            finding.remedies.push(text.to_owned());
        }
        for judged in &mut result.thresholds {
            text.clone_into(&mut judged.expression);
            text.clone_into(&mut judged.says);
            text.clone_into(&mut judged.shown);
        }
        for onset in &mut result.onsets {
            onset.host = Some(text.to_owned());
        }
        for sample in result.failures.iter_mut().flat_map(|kind| &mut kind.samples) {
            let some = || Some(text.to_owned());
            sample.reply = Some(crate::model::Reply {
                status: some(),
                says: some(),
                protocol: some(),
                body: some(),
                bytes: some(),
                ..crate::model::Reply::default()
            });
        }
        result
    }

    fn harmful(text: &str) -> Vec<char> {
        text.chars().filter(|c| *c != '\n' && is_harmful(*c)).collect()
    }

    #[test]
    fn no_format_lets_through_what_a_peer_says() {
        let result = everywhere(EVIL);
        let formats: [(&str, &dyn Format); 7] = [
            ("json", &Json),
            ("html", &Html),
            ("junit", &Junit),
            ("markdown", &Markdown),
            ("hlog", &Hlog),
            ("openmetrics", &OpenMetrics),
            ("csv", &Csv),
        ];
        for (name, format) in formats {
            let text = format.render(&result).unwrap();
            assert_eq!(harmful(&text), [], "{name}");
        }
        for text in [summary::render(&result, Style::Plain), explain::render(&result, Style::Plain)] {
            assert_eq!(harmful(&text), []);
            assert!(
                !text.lines().any(|line| line.trim_start().starts_with("all passed")),
                "a forged line: {text}"
            );
        }
    }

    #[test]
    fn json_keeps_every_character() {
        let result = everywhere(EVIL);
        assert_eq!(RunResult::from_json(&Json.render(&result).unwrap()).unwrap(), result);
    }

    #[test]
    fn html_and_junit_hold_no_markup_of_a_peer() {
        let result = everywhere(EVIL);
        let page = Html.render(&result).unwrap();
        assert!(!page.contains("<script>alert"), "HTML");
        let xml = Junit.render(&result).unwrap();
        let mut open = Vec::new();
        for part in xml.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap();
            assert!(!text.contains("]]>"), "{text}");
            let entities = text.split('&').skip(1).chain(tag.split('&').skip(1));
            for entity in entities {
                let name = entity.split(';').next().unwrap();
                assert!(
                    ["lt", "gt", "amp", "quot", "apos"].contains(&name) || name.starts_with('#'),
                    "{name}"
                );
            }
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.starts_with('?') || tag.ends_with('/') => {}
                None => open.push(tag.split_whitespace().next().unwrap()),
            }
        }
        assert!(open.is_empty() && !xml.contains("<script"), "{open:?}");
    }

    #[test]
    fn a_csv_reader_finds_the_same_cells_in_every_line_and_no_formula() {
        for head in ["=1+1", "+1", "-1", "@x", "a,b", "a\"b", "\t=1", "\r=1"] {
            let mut result = sample::exhausted();
            result.windows[0].failures.insert(head.to_owned(), 3);
            let lines = read_csv(&Csv.render(&result).unwrap());
            assert!(lines.iter().all(|cells| cells.len() == lines[0].len()), "{head}");
            assert!(
                lines.iter().flatten().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])),
                "{head}"
            );
        }
    }

    /// A reader of RFC 4180.
    fn read_csv(text: &str) -> Vec<Vec<String>> {
        let (mut lines, mut cells, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '"' if quoted && characters.peek() == Some(&'"') => cell.extend(characters.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(std::mem::take(&mut cell)),
                '\n' if !quoted => {
                    cells.push(std::mem::take(&mut cell));
                    lines.push(std::mem::take(&mut cells));
                }
                c => cell.push(c),
            }
        }
        assert!(!quoted && cell.is_empty() && cells.is_empty(), "it ends with a line");
        lines
    }

    #[test]
    fn every_line_of_openmetrics_is_of_its_grammar() {
        let text = OpenMetrics.render(&everywhere(EVIL)).unwrap();
        assert!(text.ends_with("# EOF\n"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.find(['{', ' ']).unwrap();
            assert!(line[..name].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
            let mut rest = &line[name..];
            if let Some(labels) = rest.strip_prefix('{') {
                let (mut quoted, mut end, mut escaped) = (false, None, false);
                for (at, c) in labels.char_indices() {
                    match c {
                        _ if escaped => {
                            assert!(matches!(c, 'n' | '"' | '\\'), "{line}");
                            escaped = false;
                        }
                        '\\' if quoted => escaped = true,
                        '"' => quoted = !quoted,
                        '}' if !quoted => {
                            end = Some(at);
                            break;
                        }
                        _ => {}
                    }
                }
                rest = &labels[end.unwrap_or_else(|| panic!("{line}")) + 1..];
            }
            assert!(rest.trim().parse::<f64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn markdown_has_as_many_cells_a_row_as_its_header() {
        let text = Markdown.render(&everywhere(EVIL)).unwrap();
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        // What stands between fences is shown as it is.
        let outside: String = text.split("```").step_by(2).collect();
        assert!(!outside.contains("<script") && !outside.contains("[a](b)"), "{outside}");
        let mut columns = None;
        for line in text.lines() {
            match columns {
                _ if !line.starts_with('|') => columns = None,
                None => columns = Some(cells(line)),
                Some(columns) => assert_eq!(cells(line), columns, "{line}"),
            }
        }
    }

    proptest! {
        #[test]
        fn cleaning_leaves_nothing_harmful_and_is_done_once(text in any::<String>()) {
            let once = clean(&text);
            prop_assert_eq!(harmful(&once), vec![]);
            prop_assert!(!once.contains('\n'));
            prop_assert_eq!(&clean(&once), &once);
        }
    }
}
