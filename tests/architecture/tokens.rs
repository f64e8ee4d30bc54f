//! Just enough of Rust's lexical grammar to tell code from comments, strings and test modules.

/// A word or a sign of the code, and the line it stands on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

/// The tokens of a source without comments; a string or character literal becomes the token `""`.
/// Words are whole identifiers or numbers, `::` is one token, every other sign is a token of its own.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < text.len() {
        let end = end_of_piece(&text, at);
        let piece: String = text[at..end].iter().collect();
        if let Some(text) = as_token(&piece) {
            found.push(Token { text, line });
        }
        line += piece.matches('\n').count();
        at = end;
    }
    found
}

fn as_token(piece: &str) -> Option<String> {
    let first = piece.chars().next()?;
    if first.is_whitespace() || piece.starts_with("//") || piece.starts_with("/*") {
        return None;
    }
    let is_word = first.is_alphanumeric() || first == '_' || piece.starts_with("r#");
    let is_literal =
        piece.len() > 1 && (piece.ends_with(['"', '\'']) || (piece.ends_with('#') && first != '#'));
    Some(match piece {
        _ if is_literal => "\"\"".to_owned(),
        _ if is_word => piece.trim_start_matches("r#").to_owned(),
        _ => piece.to_owned(),
    })
}

/// Where the comment, literal, word or sign that begins at `at` ends.
fn end_of_piece(text: &[char], at: usize) -> usize {
    let next = |n: usize| text.get(at + n).copied().unwrap_or('\0');
    match (next(0), next(1)) {
        ('/', '/') => position(text, at, |c| c == '\n'),
        ('/', '*') => end_of_block_comment(text, at),
        ('"', _) => end_of_quoted(text, at, '"'),
        (':', ':') => at + 2,
        ('\'', c) if c == '\\' || next(2) == '\'' => end_of_quoted(text, at, '\''),
        ('\'', _) => at + 1, // a lifetime; its name is the next word
        (c, _) if c.is_alphanumeric() || c == '_' => {
            let end = position(text, at, |c| !(c.is_alphanumeric() || c == '_'));
            let word: String = text[at..end].iter().collect();
            end_of_prefixed(text, &word, end)
        }
        _ => at + 1,
    }
}

/// A word may turn out to be the prefix of a literal (`b"…"`, `r#"…"#`) or of a raw identifier (`r#in`).
fn end_of_prefixed(text: &[char], word: &str, end: usize) -> usize {
    let sign = text.get(end).copied();
    let raw = matches!(word, "r" | "br" | "cr");
    if matches!(word, "b" | "c") && sign == Some('"') {
        return end_of_quoted(text, end, '"');
    }
    if word == "b" && sign == Some('\'') {
        return end_of_quoted(text, end, '\'');
    }
    if !raw || !matches!(sign, Some('"' | '#')) {
        return end;
    }
    let quote = position(text, end, |c| c != '#');
    if text.get(quote) != Some(&'"') {
        return position(text, quote, |c| !(c.is_alphanumeric() || c == '_'));
    }
    let hashes = quote - end;
    let mut at = quote + 1;
    while at < text.len() {
        let closed = text[at] == '"' && text[at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes;
        if closed {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

fn end_of_quoted(text: &[char], open: usize, quote: char) -> usize {
    let mut at = open + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

fn end_of_block_comment(text: &[char], open: usize) -> usize {
    let (mut depth, mut at) = (1, open + 2);
    while at < text.len() && depth > 0 {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at.min(text.len())
}

fn position(text: &[char], from: usize, end: impl Fn(char) -> bool) -> usize {
    text[from..].iter().position(|&c| end(c)).map_or(text.len(), |n| from + n)
}

/// The tokens without the items under `#[cfg(test)]`, and the number of lines that those items take.
/// The names of test modules in files of their own (`#[cfg(test)] mod name;`) come third.
pub(crate) fn without_tests(all: &[Token]) -> (Vec<Token>, usize, Vec<String>) {
    let (mut kept, mut lines, mut files, mut at) = (Vec::new(), 0, Vec::new(), 0);
    while at < all.len() {
        if !is_cfg_test(all, at) {
            kept.push(all[at].clone());
            at += 1;
            continue;
        }
        let mut item = at;
        while all.get(item).is_some_and(|t| t.is("#")) {
            item = matching(all, item + 1);
        }
        let end = end_of_item(all, item);
        let words: Vec<&str> = all[item..end].iter().map(|t| t.text.as_str()).collect();
        if let ["mod", name, ";"] | ["pub", "(", "crate" | "super", ")", "mod", name, ";"] = words[..] {
            files.push(name.to_owned());
        }
        lines += all[end - 1].line - all[at].line + 1;
        at = end;
    }
    (kept, lines, files)
}

fn is_cfg_test(all: &[Token], at: usize) -> bool {
    let starts = ["#", "[", "cfg", "("]
        .iter()
        .enumerate()
        .all(|(n, sign)| all.get(at + n).is_some_and(|t| t.is(sign)));
    if !starts {
        return false;
    }
    let inside = &all[at..matching(all, at + 1)];
    inside.iter().any(|t| t.is("test")) && !inside.iter().any(|t| t.is("not") || t.is("any"))
}

/// One past the bracket that closes the one at `open`.
fn matching(all: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (n, token) in all.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return n + 1;
        }
    }
    all.len()
}

/// One past the `;` or the body that ends the item which begins at `from`.
fn end_of_item(all: &[Token], from: usize) -> usize {
    let mut at = from;
    while at < all.len() {
        match all[at].text.as_str() {
            ";" => return at + 1,
            "{" if !all[from].is("use") => return matching(all, at),
            "(" | "[" | "{" => at = matching(all, at),
            _ => at += 1,
        }
    }
    all.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let source = r###"
            // unsafe
            /* unsafe /* unsafe */ unsafe */
            let a = "unsafe \" unsafe"; let b = r#"unsafe " unsafe"#; let c = b'"'; let d = '\''; let e = b"\"unsafe";
            fn f<'a>(x: &'a str) -> char { '"' } "###;
        let texts = texts(source);
        assert!(!texts.contains(&"unsafe".to_owned()), "{texts:?}");
        assert_eq!(texts.iter().filter(|t| *t == "\"\"").count(), 6, "{texts:?}");
        assert_eq!(texts.last().unwrap(), "}");
    }

    #[test]
    fn words_paths_and_raw_names() {
        assert_eq!(
            texts("use crate::a::{b, r#in};"),
            ["use", "crate", "::", "a", "::", "{", "b", ",", "in", "}", ";"]
        );
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let found = tokens("a\n/* x\n y */ b \"s\n\" c");
        assert_eq!(found.iter().map(|t| t.line).collect::<Vec<_>>(), [1, 3, 3, 4]);
    }

    #[test]
    fn test_items_are_left_out() {
        let source = "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n fn b() { [1] }\n}\n#[cfg(all(test, unix))] pub(crate) mod more;\n#[cfg(test)] use x::{y};\n#[cfg(not(test))] fn c() {}\n";
        let (kept, lines, files) = without_tests(&tokens(source));
        let words: Vec<&str> = kept.iter().map(|t| t.text.as_str()).collect();
        assert!(words.contains(&"a") && words.contains(&"c"), "{words:?}");
        assert!(!words.contains(&"b") && !words.contains(&"more") && !words.contains(&"y"), "{words:?}");
        assert_eq!((lines, files), (7, vec!["more".to_owned()]));
    }
}
