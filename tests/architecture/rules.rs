//! The rules of the house, each a function from one file's code to its violations.

use crate::tokens::{Token, tokens, without_tests};

/// Imports go down only, from one level to a lower one; modules of one level do not know each other.
pub(crate) const LEVELS: &[&[&str]] = &[
    &["cli"],
    &["lab"],
    &["doctor", "find", "watch"],
    &["run"],
    &["engine", "host", "report"],
    &["result", "server"],
    &["plan", "observe", "diagnose", "capacity"],
    &["linux", "protocol"],
    &["model"],
];

/// The longest file, in lines without its test modules.
pub(crate) const LONGEST: usize = 450;

/// Files that may be longer, each with the reason. A file that no longer needs it is taken off.
pub(crate) const MAY_BE_LONGER: &[(&str, &str)] = &[];

/// A source file: its path below `src/`, with `/`, and its code without comments, strings and tests.
pub(crate) struct File {
    path: String,
    code: Vec<Token>,
    /// Lines, without those of test modules.
    lines: usize,
    /// Files, as paths below `src/` without `.rs`, that hold nothing but tests of this one.
    pub(crate) test_files: Vec<String>,
}

impl File {
    pub(crate) fn new(path: &str, source: &str) -> File {
        let (code, test_lines, names) = without_tests(&tokens(source));
        let stem = path.strip_suffix(".rs").unwrap_or(path);
        let folder = match stem.rsplit_once('/') {
            _ if matches!(stem, "lib" | "main") => String::new(),
            Some((folder, "mod")) => format!("{folder}/"),
            _ => format!("{stem}/"),
        };
        let test_files = names.iter().map(|name| format!("{folder}{name}")).collect();
        File { path: path.to_owned(), code, lines: source.lines().count() - test_lines, test_files }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The top-level module this file belongs to; none for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<&str> {
        let first = self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        (!matches!(first, "lib" | "main")).then_some(first)
    }

    /// Number of modules above the file's own code: 1 for `engine/mod.rs`, 2 for `engine/pacer.rs`.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    fn at(&self, token: &Token, says: &str) -> String {
        format!("src/{}:{}: {says}", self.path, token.line)
    }

    /// Everything that is wrong with the file.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut found = self.imports();
        found.extend(self.linux_only());
        found.extend(self.clock());
        found.extend(self.printing());
        found.extend(self.length());
        found
    }

    fn imports(&self) -> Vec<String> {
        let Some(module) = self.module() else { return Vec::new() };
        let Some(level) = level_of(module) else {
            return vec![format!("src/{}: `{module}` has no place in the order of imports", self.path)];
        };
        let allowed = |to: &str| to == module || level_of(to).is_some_and(|to| to > level);
        self.imported()
            .into_iter()
            .filter(|(_, to)| !allowed(to))
            .map(|(token, to)| match level_of(&to) {
                Some(other) if other == level => {
                    self.at(token, &format!("`{module}` imports `{to}`, which is of the same level"))
                }
                Some(_) => self.at(token, &format!("`{module}` imports `{to}`, which is above it")),
                None => self.at(token, &format!("`{module}` imports `{to}` from the crate's root")),
            })
            .collect()
    }

    /// Names that follow the crate's root in every path: the top-level modules that are named, and where.
    fn imported(&self) -> Vec<(&Token, String)> {
        let (mut found, mut inline, mut braces) = (Vec::new(), Vec::new(), 0_usize);
        for (at, token) in self.code.iter().enumerate() {
            match token.text.as_str() {
                "{" => {
                    braces += 1;
                    if at >= 2 && self.code[at - 2].is("mod") {
                        inline.push(braces);
                    }
                }
                "}" => {
                    if inline.last() == Some(&braces) {
                        inline.pop();
                    }
                    braces = braces.saturating_sub(1);
                }
                "crate" => found.extend(self.named_after(at)),
                "super" if at < 2 || !self.code[at - 2].is("super") => {
                    let depth = self.depth() + inline.len();
                    let mut last = at;
                    let mut steps = 1;
                    while self.next_is(last, "::") && self.next_is(last + 1, "super") {
                        (last, steps) = (last + 2, steps + 1);
                    }
                    if steps >= depth {
                        found.extend(self.named_after(last));
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn next_is(&self, at: usize, text: &str) -> bool {
        self.code.get(at + 1).is_some_and(|t| t.is(text))
    }

    /// The names directly below the path that ends at `root`: one, or those of a group in braces.
    fn named_after(&self, root: usize) -> Vec<(&Token, String)> {
        if !self.next_is(root, "::") {
            return Vec::new();
        }
        let Some(first) = self.code.get(root + 2) else { return Vec::new() };
        if !first.is("{") {
            return vec![(first, first.text.clone())];
        }
        let (mut found, mut depth) = (Vec::new(), 0);
        for pair in self.code[root + 2..].windows(2) {
            match pair[0].text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (pair[0].is("{") || pair[0].is(",")) && !pair[1].is("}") {
                found.push((&pair[1], pair[1].text.clone()));
            }
        }
        found
    }

    fn linux_only(&self) -> Vec<String> {
        if self.module() == Some("linux") {
            return Vec::new();
        }
        let banned = ["unsafe", "libc"];
        let words = self.code.iter().filter(|t| banned.contains(&t.text.as_str()));
        words.map(|t| self.at(t, &format!("`{}` belongs in src/linux/", t.text))).collect()
    }

    fn clock(&self) -> Vec<String> {
        if self.path == "linux/clock.rs" {
            return Vec::new();
        }
        let words = self.code.iter().filter(|t| t.is("Instant") || t.is("SystemTime"));
        words.map(|t| self.at(t, &format!("`{}` belongs in src/linux/clock.rs", t.text))).collect()
    }

    fn printing(&self) -> Vec<String> {
        if matches!(self.module(), Some("cli" | "report")) {
            return Vec::new();
        }
        let prints = |at: usize, token: &Token| match token.text.as_str() {
            "print" | "println" | "eprint" | "eprintln" | "dbg" => self.next_is(at, "!"),
            // `.stdout(…)` sets up a child process, `fn stdout(…)` is a name.
            "stdout" | "stderr" => {
                self.next_is(at, "(")
                    && (at == 0 || !(self.code[at - 1].is(".") || self.code[at - 1].is("fn")))
            }
            _ => false,
        };
        let words = self.code.iter().enumerate().filter(|&(at, token)| prints(at, token));
        words.map(|(_, t)| self.at(t, &format!("`{}` belongs in src/cli/ or src/report/", t.text))).collect()
    }

    fn length(&self) -> Vec<String> {
        let listed = MAY_BE_LONGER.iter().any(|(path, _)| *path == self.path);
        match (self.lines > LONGEST, listed) {
            (true, false) => vec![format!("src/{}: {} lines, {LONGEST} at most", self.path, self.lines)],
            (false, true) => vec![format!("src/{}: no longer needs to be in MAY_BE_LONGER", self.path)],
            _ => Vec::new(),
        }
    }
}

fn level_of(module: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&module))
}
