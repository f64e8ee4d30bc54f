//! `connstorm doctor`: looks at this host, and says what each setting is worth.

use super::exit::Exit;
use super::output::{Output, style_for};
use crate::conduct::examine;
use crate::conduct::saved_host::SavedHost;
use crate::report::examination;
use clap::Args;
use std::io;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  # What limits the connections of this host?
  connstorm doctor

  # Keep its settings, to plan a load for it elsewhere
  connstorm doctor --save host.json
  connstorm plan --rate 2000/s --host host.json";

/// Examines this host: limits, source ports, queues, and what their values are worth
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
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
    let save = args.save.as_deref().map(Output::open).transpose()?;
    let json = args.json.as_deref().map(Output::open).transpose()?;
    let quiet = [&save, &json].into_iter().flatten().any(Output::is_stdout);
    let examination = examine::host();
    if let Some(save) = save {
        save.write_json(&SavedHost::new(examination.host.clone()))?;
    }
    if let Some(json) = json {
        json.write_json(&examination)?;
    }
    if !quiet {
        let (mut text, style) = (String::new(), style_for(&io::stdout()));
        examination::render_host(&mut text, &examination, style);
        examination::render_findings(&mut text, &examination, style);
        Output::Stdout.write(&text)?;
    }
    Ok(Exit::Passed)
}
