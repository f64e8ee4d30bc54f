//! `connstorm lab shell`: the user's own program in a namespace.

use crate::cli::exit::Exit;
use crate::cli::output::{say, style_for};
use crate::lab::shell::{self, ShellSettings};
use crate::report::explain;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  # What does my client do when it has 64 ports, and TIME_WAIT keeps them?
  connstorm lab shell --ports 40000-40063 --tw-reuse 0 -- ./my-client

  # Server and client of mine, in one namespace
  connstorm lab shell --nofile 64 --backlog 4 -- \\
    sh -c './server & sleep 1; ./client'

The program finds an empty network with a loopback interface, and sees itself as root in there.
The exit code is the program's; 128 + N if signal N ended it; 127 if there is no such program.";

/// Runs your own program in a throw-away namespace, and shows on standard error what runs out
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Shell {
    /// Source ports that connect() chooses from (net.ipv4.ip_local_port_range) [kernel's default: 32768-60999]
    #[arg(long, value_name = "LO-HI", value_parser = parse_ports)]
    ports: Option<(u16, u16)>,
    /// Reuse of ports in TIME_WAIT by connect(): 0 no, 1 yes, 2 on loopback only [kernel's default: 2]
    #[arg(long, value_name = "0|1|2", value_parser = clap::value_parser!(u8).range(0..=2))]
    tw_reuse: Option<u8>,
    /// Descriptors that the program may have (ulimit -n) [default: as many as here]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(8..))]
    nofile: Option<u64>,
    /// Limit to which every accept queue is cut (net.core.somaxconn) [kernel's default: 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    backlog: Option<u32>,
    /// Drop all TCP from this IPv4 address, as a security group does; may be given several times [default: none]
    #[arg(long, value_name = "ADDRESS")]
    deny_source: Vec<Ipv4Addr>,
    /// Show nothing
    #[arg(long, short)]
    quiet: bool,
    /// Part of this process in the experiment
    #[arg(long, hide = true)]
    role: Option<Role>,
    /// The program and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    Watch,
    Guard,
}

impl Shell {
    fn settings(&self) -> ShellSettings {
        ShellSettings {
            ports: self.ports,
            tw_reuse: self.tw_reuse,
            nofile: self.nofile,
            backlog: self.backlog,
            deny_sources: self.deny_source.clone(),
        }
    }

    /// The arguments of the process of ours below this one.
    fn arguments(&self, role: &str) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["lab", "shell", "--role", role].map(OsString::from).into();
        let mut flag = |name: &str, value: Option<String>| {
            arguments
                .extend(value.into_iter().flat_map(|value| [name.to_owned(), value]).map(OsString::from));
        };
        flag("--ports", self.ports.map(|(low, high)| format!("{low}-{high}")));
        flag("--tw-reuse", self.tw_reuse.map(|reuse| reuse.to_string()));
        flag("--nofile", self.nofile.map(|most| most.to_string()));
        flag("--backlog", self.backlog.map(|most| most.to_string()));
        for source in &self.deny_source {
            flag("--deny-source", Some(source.to_string()));
        }
        if self.quiet {
            arguments.push("--quiet".into());
        }
        arguments.push("--".into());
        arguments.extend(self.program.iter().cloned());
        arguments
    }
}

/// Runs it; the exit code is the program's.
pub(super) fn run(args: &Shell) -> anyhow::Result<ExitCode> {
    match args.role {
        None => Ok(shell::start(&args.arguments("watch"))?.into()),
        Some(Role::Watch) => watch(args),
        Some(Role::Guard) => {
            let (code, why) = shell::guard(&args.program);
            if let Some(why) = why {
                say(&format!("connstorm: {why}"));
            }
            Ok(code.into())
        }
    }
}

fn watch(args: &Shell) -> anyhow::Result<ExitCode> {
    let style = style_for(&io::stderr());
    let watched = shell::watch(&args.settings(), &args.arguments("guard"), |onset| {
        if !args.quiet {
            // If standard error is gone there is nobody to tell.
            let _ = io::stderr().write_all(format!("connstorm: {}", explain::onset(onset, style)).as_bytes());
        }
    });
    match watched {
        Ok((code, summary)) => {
            if !args.quiet {
                say(&format!("connstorm: {summary}"));
            }
            Ok(code.into())
        }
        Err(error) => {
            say(&format!("connstorm: {error}"));
            Ok(Exit::CouldNotRun.into())
        }
    }
}

fn parse_ports(text: &str) -> Result<(u16, u16), String> {
    let parsed = text.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    match parsed {
        Some((low, high)) if low > 0 && low <= high => Ok((low, high)),
        _ => Err(format!("'{text}' is no range of ports; expected LO-HI, such as 40000-40063")),
    }
}
