//! The fields of a scenario, one row each: [`rows`] is the table, and the only place where a field is named.
//!
//! From a row come the reader of the file, the flag, the rule of flag over file, `--help` and the manual page,
//! the JSON schema and the reference page. A new field is a row there, the plan's own field, and its use.

mod form;
mod rows;
mod special;
mod tables;

pub(super) use form::Form;
pub use form::Takes;
pub(super) use rows::Settings;
pub(super) use tables::Tables;
pub use tables::{TABLES, TableDoc};

use crate::protocol::{Application, Kind};
pub(super) use form::Written;

/// Targets that a field is meant for.
#[derive(Debug, Clone, Copy)]
pub struct Schemes {
    /// Their names, in words.
    pub names: &'static str,
    fits: fn(Kind) -> bool,
}

impl Schemes {
    const ALL: Schemes = Schemes { names: "every target", fits: |_| true };
    const SPEAKS_HTTP: Schemes = Schemes {
        names: "http, https, ws or wss",
        fits: |kind| !matches!(kind.application(), Application::Stream),
    };
    const HTTP: Schemes =
        Schemes { names: "http or https", fits: |kind| matches!(kind.application(), Application::Http) };
    const WS: Schemes =
        Schemes { names: "ws or wss", fits: |kind| matches!(kind.application(), Application::WebSocket) };
    const NOT_HTTP: Schemes =
        Schemes { names: "ws, tcp or tls", fits: |kind| !matches!(kind.application(), Application::Http) };
    const STREAM: Schemes =
        Schemes { names: "tcp or tls", fits: |kind| matches!(kind.application(), Application::Stream) };
    const TLS: Schemes = Schemes { names: "tls, https or wss", fits: Kind::is_encrypted };

    /// True if such a target is one of them.
    pub fn fit(self, kind: Kind) -> bool {
        (self.fits)(kind)
    }
}

/// A field of a scenario, as help, schema and reference describe it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Table of the file; empty for the scenario's own fields.
    pub table: &'static str,
    /// Name in the table; `None`: a flag alone.
    pub name: Option<&'static str>,
    /// Flag, with its dashes; `None`: the file alone.
    pub flag: Option<&'static str>,
    /// True if it is the argument without a flag.
    pub positional: bool,
    /// Letter of the flag, for those that other load generators have too.
    pub short: Option<char>,
    /// Name of the flag's value in the help.
    pub value_name: &'static str,
    /// Heading of the help under which the flag stands.
    pub heading: &'static str,
    /// Effect of the field, in one sentence without a full stop.
    pub doc: &'static str,
    /// Default.
    pub default: LeftOut,
    /// Targets that it is meant for.
    pub schemes: Schemes,
    /// Things that other targets don't have, for the mistake "a tcp connection has no …".
    pub of_schemes: &'static str,
    /// Values that the flag takes.
    pub takes: Takes,
    /// Form of the value in the file.
    pub expected: &'static str,
    /// JSON schema of what the file may hold.
    pub schema: serde_json::Value,
}

/// Value of a field that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// There is none: what the field asks for is then not done.
    Nothing,
    /// This value, as it would be written.
    Value(String),
    /// Words for a default that depends on other fields or on the host.
    Said(&'static str),
}

impl LeftOut {
    /// The default in words; `None` where there is none.
    pub fn text(&self) -> Option<&str> {
        match self {
            LeftOut::Nothing => None,
            LeftOut::Value(text) => Some(text),
            LeftOut::Said(text) => Some(text),
        }
    }
}

impl Row {
    /// A field of a table of the file.
    fn field(table: &'static str, name: &'static str) -> Row {
        Row {
            table,
            name: Some(name),
            flag: None,
            positional: false,
            short: None,
            value_name: "",
            heading: "",
            doc: "",
            default: LeftOut::Nothing,
            schemes: Schemes::ALL,
            of_schemes: "",
            takes: Takes::Value,
            expected: "",
            schema: serde_json::Value::Null,
        }
    }

    /// A flag that stands for something that the file says otherwise.
    fn flag_alone(table: &'static str) -> Row {
        Row { name: None, ..Row::field(table, "") }
    }

    /// With a flag, under a heading of the help.
    fn flag(self, flag: &'static str, value_name: &'static str, heading: &'static str) -> Row {
        Row { flag: Some(flag), value_name, heading, ..self }
    }

    /// The argument that needs no flag.
    fn positional(self) -> Row {
        Row { positional: true, ..self }
    }

    fn short(self, letter: char) -> Row {
        Row { short: Some(letter), ..self }
    }

    fn doc(self, doc: &'static str) -> Row {
        Row { doc, ..self }
    }

    /// With the plan's own default.
    fn default<T: Written + ?Sized>(self, value: &T) -> Row {
        Row { default: LeftOut::Value(value.written()), ..self }
    }

    fn otherwise(self, text: &'static str) -> Row {
        Row { default: LeftOut::Said(text), ..self }
    }

    /// Meant for these targets alone; others have no `what`.
    fn only(self, schemes: Schemes, what: &'static str) -> Row {
        Row { schemes, of_schemes: what, ..self }
    }

    /// Name by which the command line's value goes among [`super::Overrides`], and in mistakes.
    pub(super) fn key(&self) -> Option<&'static str> {
        if self.positional { Some("target") } else { self.flag }
    }

    /// Help of the flag: what it does, and the default.
    pub fn help(&self) -> String {
        match self.default.text() {
            Some(default) => format!("{} [default: {default}]", self.doc),
            None => self.doc.to_owned(),
        }
    }
}

/// All fields of a scenario, in the order of help and reference.
pub fn rows() -> Vec<Row> {
    Settings::rows()
}
