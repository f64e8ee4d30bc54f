//! `${NAME}` in the strings of a scenario, replaced from the environment; `$${` stands for `${`.
//!
//! The environment is handed in: nothing here reads the process's own.

use super::diagnostics::{Mistake, Place};
use super::text::Text;
use crate::protocol::Template;
use std::borrow::Cow;

/// Looks up a variable of the environment.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The text with every variable replaced, or each mistake in it. What a variable holds is not looked into
/// for further variables.
pub(super) fn expand(text: &Text, environment: &Environment<'_>) -> Result<Text, Vec<Mistake>> {
    let value = text.as_str();
    let mut expanded = Text::empty(text.token());
    let mut mistakes = Vec::new();
    let mut at = 0;
    while let Some(found) = value[at..].find("${").map(|offset| at + offset) {
        if found > at && value.as_bytes()[found - 1] == b'$' {
            expanded.push_part(text, at..found - 1);
            expanded.push_part(text, found..found + 2);
            at = found + 2;
            continue;
        }
        expanded.push_part(text, at..found);
        let end = match value[found..].find('}') {
            Some(offset) => found + offset + 1,
            None => {
                mistakes.push(unclosed(text, found));
                return Err(mistakes);
            }
        };
        let origin = text.origin_of(found..end);
        match replacement(&value[found + 2..end - 1], environment) {
            // What a variable holds goes out as it is, and is no placeholder.
            Ok(replacement) => expanded.push(&Template::escaped(&replacement), &origin),
            Err(problem) => mistakes.push(problem.at(origin)),
        }
        at = end;
    }
    expanded.push_part(text, at..value.len());
    if mistakes.is_empty() { Ok(expanded) } else { Err(mistakes) }
}

/// A text that has no placeholders, as it was before [`expand`] kept what a variable holds from being one.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains("{lbrace}") { Cow::Owned(text.replace("{lbrace}", "{")) } else { Cow::Borrowed(text) }
}

enum Problem<'a> {
    NotAName(&'a str),
    Unset(&'a str),
}

fn replacement<'a>(name: &'a str, environment: &Environment<'_>) -> Result<String, Problem<'a>> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !letters || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Problem::NotAName(name));
    }
    environment(name).ok_or(Problem::Unset(name))
}

impl Problem<'_> {
    fn at(self, origin: std::ops::Range<usize>) -> Mistake {
        let place = Place::File(origin);
        match self {
            Problem::NotAName(name) => {
                Mistake::new(place, format!("'{}' is not the name of a variable", name.escape_debug()))
                    .expected("letters, digits and `_`, such as ${TOKEN}")
                    .help("`$${` stands for the characters `${` themselves")
            }
            Problem::Unset(name) => {
                Mistake::new(place, format!("the environment variable {name} is not set")).help(format!(
                    "set it, as in `{name}=… connstorm run …`, or write `$${{{name}}}` for the text itself"
                ))
            }
        }
    }
}

fn unclosed(text: &Text, found: usize) -> Mistake {
    Mistake::new(Place::File(text.origin_of(found..text.as_str().len())), "`${` is not closed")
        .expected("`}` after the variable's name")
        .help("`$${` stands for the characters `${` themselves")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("höst".to_owned()),
            "NESTED" => Some("${HOST}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn expanded(value: &str) -> Result<String, Vec<Mistake>> {
        let source = format!("'{value}'");
        let text = Text::of_string(&source, 0..source.len(), value);
        expand(&text, &environment).map(|text| text.as_str().to_owned())
    }

    #[test]
    fn variables_are_replaced_once() {
        assert_eq!(expanded("tcp://${HOST}:1").unwrap(), "tcp://höst:1");
        assert_eq!(expanded("${HOST}${EMPTY}${HOST}").unwrap(), "hösthöst");
        assert_eq!(plain(&expanded("${NESTED}").unwrap()), "${HOST}");
        assert_eq!(expanded("$5 $${HOST} é$").unwrap(), "$5 ${HOST} é$");
    }

    #[test]
    fn what_a_variable_holds_is_no_placeholder() {
        let environment = |_: &str| Some("{seq} {\"a\":1} {{conn:06}} {random:9".to_owned());
        let text = Text::of_string("'x${A}{seq}'", 0..12, "x${A}{seq}");
        let expanded = expand(&text, &environment).unwrap();
        let template = Template::parse(expanded.as_str()).unwrap();
        let fields = crate::protocol::Fields { seq: 7, ..Default::default() };
        let mut out = Vec::new();
        let mut random = <rand::rngs::SmallRng as rand::SeedableRng>::seed_from_u64(1);
        template.render(fields, crate::protocol::Alphabet::Letters, &mut random, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "x{seq} {\"a\":1} {{conn:06}} {random:97");
        assert_eq!(plain(expanded.as_str()), "x{seq} {\"a\":1} {{conn:06}} {random:9{seq}");
    }

    #[test]
    fn each_mistake_is_named() {
        assert_eq!(expanded("${A} ${B}").unwrap_err().len(), 2);
        for bad in ["${}", "${a b}", "${1}", "${A", "${HOST:-x}"] {
            assert_eq!(expanded(bad).unwrap_err().len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_replaced_part_comes_from_its_variable() {
        let source = "'a${HOST}b'";
        let text = Text::of_string(source, 0..source.len(), "a${HOST}b");
        let expanded = expand(&text, &environment).unwrap();
        assert_eq!(&source[expanded.origin_of(2..4)], "${HOST}");
        let after = expanded.as_str().find('b').unwrap();
        assert_eq!(&source[expanded.origin_of(after..after + 1)], "b");
    }
}
