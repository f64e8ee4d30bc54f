//! Advice that was good once: lines in the files of sysctl that do nothing today, or harm.

use super::{Area, Check, Severity};
use crate::linux::sysctl::HostSettings;
use serde::{Deserialize, Serialize};

/// A setting in a file of sysctl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlLine {
    /// The file.
    pub file: String,
    /// The line in it, from 1.
    pub line: u32,
    /// The setting, with dots: `net.ipv4.tcp_tw_recycle`.
    pub name: String,
    /// Value of the setting.
    pub value: String,
}

/// The settings in the text of a file, as sysctl.conf(5) has them: comments begin with `#` or `;`, a name may
/// be written with slashes, and a `-` before it says that it may fail.
pub fn parse_sysctl_file(file: &str, text: &str) -> Vec<SysctlLine> {
    let lines = text.lines().zip(1..).filter_map(|(line, number)| {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (name, value) = line.trim_start_matches('-').split_once('=')?;
        // With a slash before any dot the name is a path, in which dots stand for themselves.
        let name = name.trim();
        let is_path = name.find('/').is_some_and(|slash| name.find('.').is_none_or(|dot| slash < dot));
        let name = if is_path { name.replace('/', ".") } else { name.to_owned() };
        Some(SysctlLine { file: file.to_owned(), line: number, name, value: value.trim().to_owned() })
    });
    lines.collect()
}

/// Below it a cap on TIME_WAIT can bite before one tuple is full.
const ALL_PORTS: u64 = 64_512;

pub(super) fn checks(settings: &HostSettings, lines: &[SysctlLine]) -> Vec<Check> {
    lines.iter().filter_map(|line| outdated(line, settings)).collect()
}

fn outdated(line: &SysctlLine, settings: &HostSettings) -> Option<Check> {
    let number = line.value.parse::<u64>().ok();
    let (worth, why) = match line.name.as_str() {
        "net.ipv4.tcp_tw_recycle" => (
            Severity::Warning,
            "outdated: gone since Linux 4.12. Where it still worked it dropped the connections of clients behind a \
             NAT; tcp_tw_reuse=1 on the client is what helps"
                .to_owned(),
        ),
        "net.ipv4.tcp_max_tw_buckets" if number? < ALL_PORTS => (
            Severity::Warning,
            "outdated: a low cap destroys TIME_WAIT sockets early, against the care of RFC 1337, and hides ports \
             running out"
                .to_owned(),
        ),
        "net.ipv4.tcp_fin_timeout" if number? != 60 => (
            Severity::Note,
            "does not shorten TIME_WAIT, which lasts 60 s whatever this says: it is the time in FIN_WAIT_2".to_owned(),
        ),
        "net.ipv4.tcp_timestamps" if number? == 0 => {
            (Severity::Warning, "takes away tcp_tw_reuse, which needs timestamps".to_owned())
        }
        "net.ipv4.tcp_tw_reuse" if number? == 1 && settings.tcp_timestamps == Some(0) => {
            (Severity::Warning, "without effect while tcp_timestamps is off".to_owned())
        }
        _ => return None,
    };
    let name = format!("{}:{}", line.file, line.line);
    let value = format!("{} = {}", line.name, line.value);
    let check = Check::new(Area::Advice, &name, value, worth, why);
    Some(check.change(format!("sed -i '{}s/^/#/' {}    # then: sysctl --system", line.line, line.file)))
}
