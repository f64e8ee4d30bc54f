//! `connstorm doctor`: looks at this host and at one target, and says what it can prove.

use super::exit::Exit;
use super::output::{Output, say, say_styled, style_for};
use crate::doctor;
use crate::doctor::Timeouts;
use crate::host::snapshot::SavedHost;
use crate::plan::secrets::hide_in;
use crate::plan::{self, Colour, Header, Overrides, Session, Statuses, TargetUrl};
use crate::report::shown::Shown;
use crate::report::{Style, examination};
use clap::Args;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  # What limits the connections of this host?
  connstorm doctor

  # Why can't I connect? One careful connection to each address of the target
  connstorm doctor ws://127.0.0.1:9001/chat
  connstorm doctor shop.example:443 --expect 203.0.113.7
  connstorm doctor wss://localhost:9443/chat --insecure \\
    --header 'Origin: https://shop.example'

  # As a client with a certificate and a token, from one of my addresses
  connstorm doctor wss://localhost:9443/chat --source 127.0.0.2 \\
    --auth 'bearer(TOKEN)' --subprotocol chat.v2

  # Keep its settings, to plan a load for it elsewhere
  connstorm doctor --save host.json
  connstorm plan --rate 2000/s --host host.json

Exit codes:
  0  nothing wrong was found with the target, or none was given
  1  the examination could not be made, or an output not written
  2  wrong usage
  3  a cause of trouble with the target was found";

/// Examines this host and one target: what its settings are worth, and why connections fail
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// The target: HOST:PORT, or a URL of tcp, tls, http, https, ws or wss [default: this host alone]
    #[arg(value_name = "TARGET", value_parser = clap::value_parser!(TargetUrl))]
    target: Option<TargetUrl>,
    /// An address that the target's name should lead to; may be given more than once [default: any]
    #[arg(long, value_name = "ADDRESS", requires = "target")]
    expect: Vec<IpAddr>,
    /// A header of the request, as "Name: value"; may be given more than once [default: none]
    #[arg(long, value_name = "HEADER", requires = "target")]
    header: Vec<Header>,
    /// Authentication of the request: 'basic(USER:PASSWORD)' or 'bearer(TOKEN)' [default: not]
    #[arg(long, value_name = "HOW", requires = "target")]
    auth: Option<String>,
    /// The header Origin [default: none]
    #[arg(long, value_name = "ORIGIN", requires = "target")]
    origin: Option<String>,
    /// A subprotocol to offer; may be given more than once [default: none]
    #[arg(long, value_name = "NAME", requires = "target")]
    subprotocol: Vec<String>,
    /// Our own certificate, as PEM [default: none]
    #[arg(long, value_name = "FILE", requires_all = ["target", "key"])]
    cert: Option<PathBuf>,
    /// Key of the certificate, as PEM [default: none]
    #[arg(long, value_name = "FILE", requires_all = ["target", "cert"])]
    key: Option<PathBuf>,
    /// The source address; what fails from there is tried from the kernel's choice as well
    /// [default: the kernel's choice]
    #[arg(long, value_name = "ADDRESS", requires = "target")]
    source: Option<IpAddr>,
    /// Accept any certificate, to examine what comes after TLS
    #[arg(long, requires = "target")]
    insecure: bool,
    /// Certificates that are trusted, as PEM [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// The name asked for in TLS, and verified [default: the target's host]
    #[arg(long, value_name = "NAME", requires = "target")]
    server_name: Option<String>,
    /// Longest wait for each connection, at most a minute
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = timeouts)]
    timeout: Duration,
    /// Show secrets in outputs: what headers, queries and passwords hold
    #[arg(long, requires = "target")]
    show_secrets: bool,
    /// Write this host's settings to a file, for `plan --host`, or to standard output for -
    #[arg(long, value_name = "FILE|-")]
    save: Option<PathBuf>,
    /// Write everything that was found as JSON to a file, or to standard output for -
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

/// Examines, and tells.
///
/// # Errors
/// When an output can't be written.
pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    // Opened first: what can't be written should fail before the examination, not after it.
    let wanted = [args.save.as_deref(), args.json.as_deref()];
    if wanted.into_iter().flatten().filter(|path| Output::is_named_stdout(path)).count() > 1 {
        say("connstorm: --save and --json can't both go to standard output; give one of them a file");
        return Ok(Exit::Usage);
    }
    let [save, json] = Output::open_all(wanted, &[])?;
    let quiet = [&save, &json].into_iter().flatten().any(Output::is_stdout);
    let examination = match &args.target {
        None => doctor::host(),
        Some(whom) => {
            let timeouts = Timeouts { connect: args.timeout, ..Timeouts::default() };
            let session = match args.session(whom) {
                Ok(session) => session,
                Err(mistakes) => {
                    say_styled(&mistakes);
                    return Ok(Exit::Usage);
                }
            };
            let found = doctor::target(whom, &session, &args.expect, args.source, timeouts)?;
            if args.show_secrets { found } else { hide_in(found, &session.secret_texts()) }
        }
    };
    if let Some(save) = save {
        save.write_json(&SavedHost::new(examination.host.clone()))?;
    }
    if let Some(json) = json {
        json.write_json(&examination)?;
    }
    if !quiet {
        let (mut text, style) = (String::new(), style_for(&io::stdout()));
        let examination = Shown::of(&examination)?;
        match &examination.target {
            Some(target) => examination::render_target(&mut text, target, style),
            None => examination::render_host(&mut text, &examination, style),
        }
        examination::render_findings(&mut text, &examination, style);
        Output::Stdout.write(&text)?;
    }
    Ok(if examination.findings.is_empty() { Exit::Passed } else { Exit::ThresholdsFailed })
}

impl DoctorArgs {
    /// Session with a target; or the mistakes in the flags, ready to print. The flags are those of `run`, read by its
    /// rules.
    fn session(&self, whom: &TargetUrl) -> Result<Session, String> {
        let mut overrides = Overrides::default().with_target(&whom.to_string());
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let insecure = self.insecure.then(String::new);
        for (flag, given) in [
            ("--auth", self.auth.clone()),
            ("--origin", self.origin.clone()),
            ("--ca", file(&self.ca)),
            ("--cert", file(&self.cert)),
            ("--key", file(&self.key)),
            ("--server-name", self.server_name.clone()),
            ("--insecure", insecure),
        ] {
            if let Some(text) = given {
                overrides.set(flag, &text);
            }
        }
        self.subprotocol.iter().for_each(|name| overrides.set("--subprotocol", name));
        let colour = match style_for(&io::stderr()) {
            Style::Plain => Colour::Plain,
            Style::Coloured => Colour::Ansi,
        };
        let mut session = plan::from_flags(&overrides).map_err(|mistakes| mistakes.render(colour))?.session;
        session.request.headers.extend(self.header.iter().chain(&whom.credentials).cloned());
        // A server may well answer 404 or 401 at "/": what is asked is whether it answers. These say that
        // something is wrong with the way to it, or with itself.
        session.request.statuses = Statuses(vec![(200, 399), (401, 406), (408, 425), (427, 428), (430, 499)]);
        Ok(session)
    }
}

/// A time between 100 ms and a minute.
fn timeouts(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write 4s or 500ms"))?;
    let fits = (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&time);
    if fits { Ok(time) } else { Err("it has to be from 100ms to 60s".to_owned()) }
}
