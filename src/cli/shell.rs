//! `connstorm completions` and `connstorm man`: what a package installs beside the program.

use super::exit::Exit;
use super::output::{Output, say};
use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use std::path::PathBuf;

const COMPLETIONS: &str = "\
Examples:
  connstorm completions bash \\
    > ~/.local/share/bash-completion/completions/connstorm
  connstorm completions zsh > \"${fpath[1]}/_connstorm\"
  connstorm completions fish > ~/.config/fish/completions/connstorm.fish";

const MAN: &str = "\
Examples:
  connstorm man | man -l -                       # the page of the program
  connstorm man run | man -l -                   # the page of a command
  connstorm man --all ~/.local/share/man/man1    # every page, into a folder";

/// Prints completions for a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS)]
pub(super) struct CompletionArgs {
    /// Shell to write for
    shell: Shell,
}

/// Prints a manual page, or writes all of them
#[derive(Debug, Args)]
#[command(after_help = MAN)]
pub(super) struct ManArgs {
    /// The command whose page it is [default: the program itself]
    #[arg(value_name = "COMMAND", conflicts_with = "all")]
    command: Option<String>,
    /// Write the pages of the program and of every command into a folder
    #[arg(long, value_name = "FOLDER")]
    all: Option<PathBuf>,
}

/// Prints the completions of a program.
///
/// # Errors
/// When standard output can't be written to.
pub(super) fn completions(args: &CompletionArgs, mut program: Command) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "connstorm", &mut text);
    Output::Stdout.write(&String::from_utf8(text)?)?;
    Ok(Exit::Passed)
}

/// Prints or writes the manual pages of a program.
///
/// # Errors
/// When there is no such command, or a page can't be written.
pub(super) fn man(args: &ManArgs, mut program: Command) -> anyhow::Result<Exit> {
    if let Some(folder) = &args.all {
        clap_mangen::generate_to(program, folder)
            .with_context(|| format!("cannot write manual pages to '{}'", folder.display()))?;
        return Ok(Exit::Passed);
    }
    // Names of pages as `man` knows them: connstorm-run.
    program.build();
    let page = match &args.command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(page) => page.clone(),
            None => {
                say(&format!("connstorm: there is no command '{name}'; `connstorm --help` lists them"));
                return Ok(Exit::Usage);
            }
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    Output::Stdout.write(&String::from_utf8(text)?)?;
    Ok(Exit::Passed)
}
