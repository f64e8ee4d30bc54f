//! Mistakes in a scenario, shown as a compiler shows them: file, line, the line itself, what was expected.
//!
//! Nothing is printed here: rendering gives a `String`.

use super::secrets::{hidden, in_place};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// Where a mistake stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file, as a range of its bytes.
    File(Range<usize>),
    /// In a flag of the command line.
    Flag {
        /// The flag as it is written, such as `--rate`.
        flag: &'static str,
        /// Text that was given to the flag.
        given: String,
    },
    /// Nowhere in particular: something is missing as a whole.
    Whole,
}

/// One mistake: what is wrong, where, what was expected and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    place: Place,
    says: String,
    expected: Option<String>,
    help: Option<String>,
    also: Option<Box<(Range<usize>, String)>>,
}

impl Mistake {
    pub(super) fn new(place: Place, says: impl Into<String>) -> Mistake {
        Mistake { place, says: says.into(), expected: None, help: None, also: None }
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Mistake {
        self.expected = Some(expected.into());
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Mistake {
        self.help = Some(help.into());
        self
    }

    /// Marks a second place that the mistake has to do with, if it is in the file.
    pub(super) fn also(mut self, place: &Place, label: impl Into<String>) -> Mistake {
        if let Place::File(range) = place {
            self.also = Some(Box::new((range.clone(), label.into())));
        }
        self
    }

    /// The same with secrets replaced in what it says.
    pub(super) fn hiding(mut self, secrets: &[String]) -> Mistake {
        let hide = |text: &mut String| *text = hidden(text, secrets);
        hide(&mut self.says);
        [&mut self.expected, &mut self.help].into_iter().flatten().for_each(hide);
        self
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The mistake in one line, with the flag's name where it stands in a flag.
    pub fn summary(&self) -> String {
        let Place::Flag { flag, given } = &self.place else { return self.says.clone() };
        let secrets = in_place(&self.place);
        let (given, says) = (quote(&hidden(given, &secrets)), hidden(&self.says, &secrets));
        if says.starts_with(&given) { format!("{flag} {says}") } else { format!("{flag} {given}: {says}") }
    }
}

/// True if a rendering carries ANSI colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Plain,
    /// With ANSI escape codes, for a terminal.
    Ansi,
}

/// Mistakes that are shown: each with its line, whatever the length of the file.
const MOST_SHOWN: usize = 20;

/// All mistakes that were found in a scenario and in the flags beside it: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioErrors {
    file: Option<SourceFile>,
    mistakes: Vec<Mistake>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceFile {
    path: String,
    text: String,
}

impl ScenarioErrors {
    /// Mistakes in a file, and in the flags that were to override it.
    pub(super) fn in_file(path: &Path, text: &str, mistakes: Vec<Mistake>) -> ScenarioErrors {
        // The renderer shows other control characters as pictures, C1 as they are. A replacement of the same
        // length keeps every place of a mistake right.
        let text =
            text.chars().map(|c| if ('\u{80}'..='\u{9f}').contains(&c) { '\u{bf}' } else { c }).collect();
        let path = escaped(&path.display().to_string());
        let file = SourceFile { path, text };
        ScenarioErrors { file: Some(file), mistakes: in_order(mistakes) }
    }

    /// Mistakes in flags, without a file.
    pub(super) fn in_flags(mistakes: Vec<Mistake>) -> ScenarioErrors {
        ScenarioErrors { file: None, mistakes: in_order(mistakes) }
    }

    /// The mistakes: those of the file in its order, then those of the flags.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// All mistakes as text for people, without a final newline.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Plain => Renderer::plain(),
            Colour::Ansi => Renderer::styled(),
        };
        let shown = self.mistakes.iter().take(MOST_SHOWN).map(|m| self.render_one(m, &renderer));
        let more = self.mistakes.len().saturating_sub(MOST_SHOWN);
        let more = (more > 0).then(|| format!("and {more} more mistakes; those above come first"));
        shown.chain(more).collect::<Vec<String>>().join("\n\n")
    }

    fn render_one(&self, mistake: &Mistake, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(mistake.summary());
        let mut group = match (&self.file, &mistake.place) {
            (Some(file), Place::File(range)) => title.element(file.snippet(range, mistake)),
            (Some(file), Place::Whole) => title.element(Origin::path(file.path.as_str())),
            _ => Group::with_title(title),
        };
        if let (Some(expected), Place::Flag { .. } | Place::Whole) = (&mistake.expected, &mistake.place) {
            group = group.element(Level::NOTE.message(format!("expected {expected}")));
        }
        if let Some(help) = &mistake.help {
            group = group.element(Level::HELP.message(hidden(help, &in_place(&mistake.place))));
        }
        renderer.render(&[group])
    }
}

impl SourceFile {
    fn snippet<'a>(
        &'a self,
        range: &Range<usize>,
        mistake: &Mistake,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let mut primary = AnnotationKind::Primary.span(self.on_characters(range));
        if let Some(expected) = &mistake.expected {
            primary = primary.label(format!("expected {expected}"));
        }
        let also = mistake.also.as_deref().map(|(range, label)| {
            AnnotationKind::Context.span(self.on_characters(range)).label(label.clone())
        });
        Snippet::source(self.text.as_str()).path(self.path.as_str()).annotation(primary).annotations(also)
    }

    /// The range, within the text and on whole characters: a parser's range may end inside one.
    fn on_characters(&self, range: &Range<usize>) -> Range<usize> {
        let boundary = |at: &usize| self.text.is_char_boundary(*at);
        let start = (0..=range.start.min(self.text.len())).rev().find(boundary).unwrap_or(0);
        let end = (range.end.max(start)..self.text.len()).find(boundary).unwrap_or(self.text.len());
        start..end
    }
}

impl fmt::Display for ScenarioErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Plain))
    }
}

impl std::error::Error for ScenarioErrors {}

fn in_order(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(|mistake| match &mistake.place {
        Place::File(range) => (0, range.start),
        Place::Whole => (1, 0),
        Place::Flag { .. } => (2, 0),
    });
    mistakes
}

/// The text in quotes, on one line and no longer than a line bears.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    let cut: String = text.chars().take(LONGEST).collect();
    let more = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    format!("'{}{more}'", escaped(&cut))
}

/// The text with what can't be printed escaped, quotation marks as they are.
fn escaped(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).collect::<String>().replace("\\'", "'").replace("\\\"", "\"")
}
