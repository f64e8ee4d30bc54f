//! The end of a command line that can't be read: the parser's own words, which quote what was given but for what is
//! secret in it, and what to write where the parser does not say.

use super::exit::Exit;
use super::output::say;
use crate::plan::nearest;
use crate::plan::secrets::{hidden, in_flag};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// Ends the program with what is wrong with its arguments.
pub(super) fn refuse(error: &Error, program: &Command) -> ! {
    // `--header <NAME: VALUE>`: the flag is its first word.
    let flag = context(error, ContextKind::InvalidArg).split_whitespace().next().unwrap_or_default();
    let secrets = in_flag(flag, context(error, ContextKind::InvalidValue));
    let says = match error.kind() {
        ErrorKind::UnknownArgument => negative(flag),
        ErrorKind::InvalidSubcommand => unknown_command(error, program),
        _ => None,
    };
    match says {
        Some(says) => say(&says),
        None if secrets.is_empty() => error.exit(),
        None => say(hidden(&error.render().to_string(), &secrets).trim_end()),
    }
    std::process::exit(Exit::Usage as i32);
}

fn context(error: &Error, kind: ContextKind) -> &str {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text,
        _ => "",
    }
}

/// A number below zero is read as a flag, and the parser advises what does not help.
fn negative(flag: &str) -> Option<String> {
    let is_number = flag.strip_prefix('-')?.starts_with(|c: char| c.is_ascii_digit());
    is_number.then(|| {
        format!(
            "error: '{flag}' begins with '-' and is read as a flag; no flag takes a negative value. A text that begins \
             with '-' is written with '=', such as --send={flag}"
        )
    })
}

/// The commands that there are, where the parser knows none that is near.
fn unknown_command(error: &Error, program: &Command) -> Option<String> {
    let given = context(error, ContextKind::InvalidSubcommand);
    let mut of = program;
    for word in std::env::args().skip(1).take_while(|word| word != given) {
        of = of.find_subcommand(&word).unwrap_or(of);
    }
    let names: Vec<&str> =
        of.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name).collect();
    let meant = nearest(given, names.iter().copied()).map(|name| format!("; did you mean '{name}'?"));
    let meant = meant.unwrap_or_else(|| format!("; there are {}", names.join(", ")));
    let path =
        if of.get_name() == program.get_name() { String::new() } else { format!(" of {}", of.get_name()) };
    Some(format!("error: '{given}' is not a command{path}{meant}"))
}
