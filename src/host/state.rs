//! Looks at what there is on this host just now: sockets, addresses, proxies, files of sysctl.
//!
//! Without privilege; what may not be seen is left out and named.

use crate::diagnose::host::{HostState, SysctlLine, parse_sysctl_file};
use crate::diagnose::{Listening, Proxy};
use crate::linux::proc_net::{ProcNet, system_files};
use crate::linux::sock_diag::{Filter, SockDiag};
use crate::linux::sysctl::HostSettings;
use crate::linux::tcp_state::{StateSet, TcpState};
use crate::linux::tuple_usage::TupleUsage;
use crate::linux::{addresses, holders, listeners};
use std::collections::HashSet;
use std::io;
use std::path::Path;

/// Sockets looked at, at most: half a second of CPU.
const MOST_SOCKETS: u64 = 500_000;
/// Descriptors that the search for the programs behind listeners may look at: some 0.1 s of CPU.
const HOLDERS_BUDGET: u32 = 60_000;
/// Tuples kept, the fullest first.
const TUPLES: usize = 20;
/// Where sysctl(8) looks, as sysctl.d(5) lists it, and its own old file.
const SYSCTL_FILES: [&str; 6] = [
    "etc/sysctl.conf",
    "etc/sysctl.d",
    "run/sysctl.d",
    "usr/local/lib/sysctl.d",
    "usr/lib/sysctl.d",
    "lib/sysctl.d",
];
const PROXY_VARIABLES: [&str; 3] = ["http_proxy", "https_proxy", "all_proxy"];

/// State of this host now.
pub fn look(settings: &HostSettings) -> HostState {
    let mut state = HostState { unseen: settings.unseen.clone(), ..HostState::default() };
    let unseen = &mut state.unseen;
    state.files = noted(system_files(), "open files of the machine (file-nr)", unseen);
    if let Some(mut files) = noted(ProcNet::open(), "counters (/proc/net)", unseen) {
        state.sockets = noted(files.sockets(), "totals of sockets (sockstat)", unseen);
        state.conntrack = noted(files.conntrack(), "connection tracking", unseen).flatten();
    }
    state.addresses = noted(addresses::assigned(), "addresses of the interfaces", unseen).unwrap_or_default();
    state.proxies = proxies();
    state.no_proxy = variable("no_proxy").map(|(_, value)| value);
    state.sysctl_lines = sysctl_lines(Path::new("/"), unseen);
    connections(settings, &mut state);
    state.listening = listening(Owners::Sought, &mut state.unseen);
    state
}

fn connections(settings: &HostSettings, state: &mut HostState) {
    let Some(mut diag) = noted(SockDiag::open(), "sockets (sock_diag)", &mut state.unseen) else { return };
    let range = settings.ports();
    let filter = Filter { limit: MOST_SOCKETS, ..Filter::states(StateSet::CONNECTIONS) };
    let (mut usage, mut established) = (TupleUsage::default(), 0);
    let looked = diag.dump(&filter, |socket| {
        established += u64::from(socket.state == TcpState::Established);
        // The other ends of local connections, on listeners' ports, would each be a tuple of its own.
        if (range.low..=range.high).contains(&socket.source.port()) {
            usage.add(socket);
        }
    });
    let Some(stats) = noted(looked, "sockets (sock_diag)", &mut state.unseen) else { return };
    state.truncated = stats.truncated;
    state.established = (!stats.truncated).then_some(established);
    let mut rows = usage.into_rows();
    rows.sort_by_key(|row| std::cmp::Reverse(row.sockets.total()));
    rows.truncate(TUPLES);
    state.tuples = rows;
}

/// Programs behind listeners. To find them, the descriptors of this host are gone through: a quarter of a second of
/// CPU on a host with very many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// They are looked for.
    Sought,
    /// They are left out.
    LeftOut,
}

/// Sockets that listen, with their programs as far as this user may see them.
pub(super) fn listening(owners: Owners, unseen: &mut Vec<String>) -> Vec<Listening> {
    let sockets = noted(listeners::all(), "listeners (sock_diag)", unseen).unwrap_or_default();
    let sought = sockets.iter().filter(|_| owners == Owners::Sought);
    let inodes: HashSet<u32> = sought.map(|at| at.socket.inode).filter(|inode| *inode != 0).collect();
    let found = holders::find(&inodes, HOLDERS_BUDGET);
    let programs = found.by_inode;
    if programs.len() < inodes.len() && (found.hidden > 0 || found.truncated) {
        unseen.push(format!(
            "programs behind {} of {} listeners: other users' descriptors can be seen by root only",
            inodes.len() - programs.len(),
            inodes.len()
        ));
    }
    let mut listening: Vec<Listening> = sockets
        .iter()
        .map(|at| Listening {
            waiting: at.socket.receive_queue,
            holder: programs.get(&at.socket.inode).cloned(),
            v6_only: at.v6_only,
            device: at.interface,
            drops: at.drops,
            ..Listening::at(at.socket.source, at.socket.send_queue)
        })
        .collect();
    listening.sort_by_key(|at| (at.address.port(), at.address.ip()));
    listening.dedup();
    listening
}

/// Proxy variables that are set, small letters before capitals. Some programs obey them; this one does not.
pub(super) fn proxies() -> Vec<Proxy> {
    PROXY_VARIABLES
        .iter()
        .filter_map(|name| variable(name))
        .map(|(name, value)| Proxy::new(&name, &value))
        .collect()
}

/// A variable that may be written in small letters or capitals, if it is not empty.
pub(super) fn variable(name: &str) -> Option<(String, String)> {
    [name.to_owned(), name.to_ascii_uppercase()].into_iter().find_map(|name| {
        let value = std::env::var(&name).ok().filter(|value| !value.trim().is_empty())?;
        Some((name, value))
    })
}

/// The settings in all files of sysctl below a root that are about what is checked here.
fn sysctl_lines(root: &Path, unseen: &mut Vec<String>) -> Vec<SysctlLine> {
    let mut seen = HashSet::new();
    let mut lines = Vec::new();
    for path in SYSCTL_FILES.iter().map(|path| root.join(path)) {
        let mut files = Vec::new();
        match std::fs::read_dir(&path) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => files.push(path),
        }
        files.retain(|file| file.extension().is_some_and(|end| end == "conf"));
        files.sort();
        for file in files {
            // Many files there are links to one another.
            let Ok(real) = file.canonicalize() else { continue };
            if !seen.insert(real) {
                continue;
            }
            match std::fs::read_to_string(&file) {
                Ok(text) => lines.extend(parse_sysctl_file(&file.display().to_string(), &text)),
                Err(error) => unseen.push(format!("{}: {error}", file.display())),
            }
        }
    }
    lines.retain(|line| line.name.starts_with("net.") || line.name.starts_with("fs."));
    lines
}

fn noted<T>(result: io::Result<T>, what: &str, unseen: &mut Vec<String>) -> Option<T> {
    result.map_err(|error| unseen.push(format!("{what}: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_sysctl_is_read_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/sysctl.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(root.path().join("etc/sysctl.conf"), "net.ipv4.tcp_tw_recycle = 1\n").unwrap();
        std::fs::write(folder.join("10-x.conf"), "net.ipv4.tcp_tw_reuse=1\nkernel.printk=3\n").unwrap();
        std::fs::write(folder.join("10-x.conf.bak"), "net.ipv4.tcp_tw_reuse=0\n").unwrap();
        std::os::unix::fs::symlink("../sysctl.conf", folder.join("99-sysctl.conf")).unwrap();
        let mut unseen = Vec::new();
        let lines = sysctl_lines(root.path(), &mut unseen);
        let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["net.ipv4.tcp_tw_recycle", "net.ipv4.tcp_tw_reuse"]);
        assert_eq!(unseen, Vec::<String>::new());
    }
}
