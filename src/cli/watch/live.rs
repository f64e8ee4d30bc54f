//! The live view of a watch on a terminal: a table that is drawn anew, and keys that sort it, search it, and leave.

use crate::cli::output::style_for;
use crate::linux::terminal::{self, KeyMode};
use crate::report::watch::{self, Columns, View};
use crate::result::{OnsetReport, WatchLook};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// The other screen of a terminal, without a cursor; and back (xterm's private modes).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first column of the first row; the rest of a line; the rest of the screen.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
/// Size of a terminal that does not know its own.
const USUAL: (u16, u16) = (80, 24);
/// Onsets that are kept to be shown.
const ONSETS: usize = 20;
/// Longest text that is searched for.
const FILTER: usize = 64;

/// The view, until it is dropped: then the terminal is as it was.
pub(super) struct Live {
    keys: KeyMode,
    view: View,
    look: WatchLook,
    watches: String,
}

/// Wish that a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To go on.
    Nothing,
    /// To leave.
    Leave,
}

impl Live {
    /// A view on this terminal; `None` where there is none to draw on and to read keys from.
    pub(super) fn begin(watches: &str) -> Option<Live> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return None;
        }
        let keys = KeyMode::begin().ok()?;
        write(ENTER);
        Some(Live { keys, view: View::default(), look: WatchLook::default(), watches: watches.to_owned() })
    }

    /// Notes what began.
    pub(super) fn onset(&mut self, onset: &OnsetReport) {
        if self.view.onsets.len() >= ONSETS {
            self.view.onsets.remove(0);
        }
        self.view.onsets.push(onset.clone());
    }

    /// Draws a look.
    pub(super) fn look(&mut self, look: WatchLook) {
        self.look = look;
        self.draw();
    }

    /// Waits for a key, and does what it asks for.
    pub(super) fn wait(&mut self, wait: Duration) -> Asked {
        let keys = match self.keys.keys(wait) {
            Ok(keys) => keys,
            // The terminal is gone, and a signal says so.
            Err(_) => {
                std::thread::sleep(wait);
                return Asked::Nothing;
            }
        };
        if keys.is_empty() {
            return Asked::Nothing;
        }
        let asked = press(&mut self.view, &keys);
        self.draw();
        asked
    }

    fn draw(&self) {
        let (columns, rows) = terminal::size(io::stdout()).unwrap_or(USUAL);
        let wide = Columns::within(columns);
        let lines = watch::screen(&self.look, &self.watches, &self.view, wide, style_for(&io::stdout()));
        let mut text = HOME.to_owned();
        let shown: Vec<String> = lines
            .iter()
            .take(rows.into())
            .map(|line| format!("{}{CLEAR_LINE}", fitting(line, columns.into())))
            .collect();
        text += &shown.join("\r\n");
        text += CLEAR_BELOW;
        write(&text);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        write(LEAVE);
    }
}

/// Effect of keys: `q` leaves where nothing is searched for, Tab changes the order, Escape clears, Backspace takes a letter
/// away, and all else is searched for. An arrow or a function key is several bytes behind an Escape, and does nothing.
fn press(view: &mut View, keys: &[u8]) -> Asked {
    let text = String::from_utf8_lossy(keys);
    let mut keys = text.chars().peekable();
    while let Some(key) = keys.next() {
        match key {
            'q' if view.filter.is_empty() => return Asked::Leave,
            '\t' => view.sort = view.sort.next(),
            // CSI and SS3 sequences (ECMA-48): up to their last character, which is in '@' to '~'.
            '\x1b' if matches!(keys.peek(), Some('[' | 'O')) => {
                keys.next();
                _ = keys.find(|key| ('@'..='~').contains(key));
            }
            '\x1b' => view.filter.clear(),
            '\x7f' | '\x08' => _ = view.filter.pop(),
            key if !key.is_control() && view.filter.len() < FILTER => view.filter.push(key),
            _ => {}
        }
    }
    Asked::Nothing
}

/// The part of a line that fits into so many columns; escape sequences take none.
fn fitting(line: &str, columns: usize) -> String {
    let (mut text, mut used, mut in_escape, mut coloured) = (String::new(), 0, false, false);
    for c in line.chars() {
        if c == '\x1b' {
            (in_escape, coloured) = (true, true);
        } else if in_escape {
            in_escape = !c.is_ascii_alphabetic();
        } else if used == columns {
            break;
        } else {
            used += 1;
        }
        text.push(c);
    }
    // A colour that was cut off is ended.
    if coloured { text + "\x1b[0m" } else { text }
}

/// If the terminal is gone there is nobody to show anything to.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::watch::Sort;

    #[test]
    fn keys_search_sort_and_leave() {
        let mut view = View::default();
        assert_eq!(press(&mut view, b"ngx"), Asked::Nothing);
        assert_eq!(press(&mut view, b"\x7fq"), Asked::Nothing);
        assert_eq!(view.filter, "ngq", "q is searched for once something is");
        assert_eq!(press(&mut view, b"\x1b[A"), Asked::Nothing);
        assert_eq!(view.filter, "ngq", "an arrow is no letter");
        press(&mut view, b"\x1b[1;5A\x1b\x1bOPx\x1b[");
        assert_eq!(view.filter, "x", "keys that come at once are each what they are");
        press(&mut view, b"\x1b");
        press(&mut view, b"\t");
        assert_eq!((view.filter.as_str(), view.sort), ("", Sort::TimeLeft));
        press(&mut view, "é\u{1}".as_bytes());
        assert_eq!(view.filter, "é");
        press(&mut view, b"\x08");
        assert_eq!(press(&mut view, b"q"), Asked::Leave);
        assert_eq!(press(&mut view, &[0xff, 0xfe]), Asked::Nothing, "any bytes");
    }

    #[test]
    fn a_line_is_cut_at_the_edge_and_its_colour_ended() {
        assert_eq!(fitting("12345", 3), "123");
        assert_eq!(fitting("\x1b[1m12345\x1b[0m", 3), "\x1b[1m123\x1b[0m");
        assert_eq!(fitting("", 3), "");
    }
}
