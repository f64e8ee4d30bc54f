//! The flags of a scenario's fields, for every command that takes a scenario: made from the table of fields.

use crate::plan::Overrides;
use crate::plan::fields::{Row, Takes, rows};
use clap::{Arg, ArgAction, ArgMatches, Command, Error};

/// Flags of a scenario's fields, as text.
#[derive(Debug, Clone, Default)]
pub(super) struct ScenarioFlags(pub(super) Overrides);

impl clap::Args for ScenarioFlags {
    fn augment_args(command: Command) -> Command {
        command.args(rows().iter().filter_map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        ScenarioFlags::augment_args(command)
    }
}

impl clap::FromArgMatches for ScenarioFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ScenarioFlags, Error> {
        let mut flags = ScenarioFlags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for row in rows() {
            let Some(flag) = row.flag else { continue };
            if row.takes == Takes::Nothing {
                if matches.get_flag(id(flag)) {
                    self.0.set(flag, "");
                }
                continue;
            }
            for text in matches.get_many::<String>(id(flag)).into_iter().flatten() {
                self.0.set(flag, text);
            }
        }
        Ok(())
    }
}

/// The flag without its dashes: what the parser calls it.
fn id(flag: &'static str) -> &'static str {
    flag.trim_start_matches('-')
}

/// The argument of a field that has a flag.
fn argument(row: &Row) -> Option<Arg> {
    let flag = id(row.flag?);
    let argument = Arg::new(flag).long(flag).help(row.help()).help_heading(row.heading);
    let argument = row.short.into_iter().fold(argument, Arg::short);
    Some(match row.takes {
        Takes::Nothing => argument.action(ArgAction::SetTrue),
        Takes::Value => argument.value_name(row.value_name).action(ArgAction::Set),
        Takes::Values => argument.value_name(row.value_name).action(ArgAction::Append),
    })
}
