//! Which process holds a socket, on a small scale: a walk through `/proc/PID/fd`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Holder {
    /// Its id, in the process namespace of this program.
    pub pid: u32,
    /// Its name, `/proc/PID/comm`: 15 bytes at most.
    pub name: String,
}

/// What a walk found, and what it did not get to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// The first process found for each inode.
    pub by_inode: HashMap<u32, Holder>,
    /// Processes whose descriptors this user may not look at: any of them may hold what was not found.
    pub hidden: u32,
    /// The budget was spent before the end.
    pub truncated: bool,
}

/// Looks for the processes that hold the sockets with these inodes, and looks at `budget` descriptors at
/// most (about 1.5 µs of CPU each). A socket that was handed on has several holders; the first is told.
///
/// Processes that come, go or refuse to be looked at are no error; refusals are counted.
pub fn find(inodes: &HashSet<u32>, mut budget: u32) -> Holders {
    let mut found = Holders::default();
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        if found.by_inode.len() == inodes.len() {
            break;
        }
        // A worker thread may have a descriptor table of its own, which /proc/PID/fd does not show.
        for table in tables(pid) {
            match fs::read_dir(&table) {
                Ok(descriptors) => look_into(descriptors, pid, inodes, &mut budget, &mut found),
                Err(error) => {
                    found.hidden += u32::from(error.kind() == std::io::ErrorKind::PermissionDenied);
                    break;
                }
            }
            if found.truncated {
                return found;
            }
        }
    }
    found
}

/// The descriptor table that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Table {
    /// The process it belongs to.
    pub holder: Holder,
    /// Descriptors in it.
    pub open: u64,
    /// Descriptors that it may hold (`RLIMIT_NOFILE`, soft); `None` is no limit.
    pub limit: Option<u64>,
}

impl Table {
    /// Whether not one descriptor more fits in.
    pub fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.open >= limit)
    }
}

/// The table that holds the socket with this inode, where this user may see it, and `budget` descriptors
/// are enough to find it.
pub fn table_of(inode: u32, mut budget: u32) -> Option<Table> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    // Servers that are looked at are mostly younger than the system's own.
    pids.sort_unstable_by_key(|pid| std::cmp::Reverse(*pid));
    let inodes = HashSet::from([inode]);
    for pid in pids {
        for table in tables(pid) {
            let Ok(descriptors) = fs::read_dir(&table) else { break };
            let mut found = Holders::default();
            look_into(descriptors, pid, &inodes, &mut budget, &mut found);
            if let Some(holder) = found.by_inode.remove(&inode) {
                let open = fs::read_dir(&table).ok()?.count() as u64;
                let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
                return Some(Table { holder, open, limit: soft_limit(&limits)? });
            }
            if found.truncated {
                return None;
            }
        }
    }
    None
}

/// The soft limit on open files in the text of `/proc/PID/limits`; inside, `None` is no limit.
fn soft_limit(limits: &str) -> Option<Option<u64>> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

/// The `fd` directory of every thread of a process.
fn tables(pid: u32) -> Vec<PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    threads.filter_map(|entry| Some(entry.ok()?.path().join("fd"))).collect()
}

fn look_into(
    descriptors: fs::ReadDir,
    pid: u32,
    inodes: &HashSet<u32>,
    budget: &mut u32,
    found: &mut Holders,
) {
    for descriptor in descriptors.flatten() {
        let Some(left) = budget.checked_sub(1) else {
            found.truncated = true;
            return;
        };
        *budget = left;
        let Ok(target) = fs::read_link(descriptor.path()) else { continue };
        let Some(inode) = target.to_str().and_then(socket_inode) else { continue };
        if inodes.contains(&inode) {
            found.by_inode.entry(inode).or_insert_with(|| Holder { pid, name: name(pid) });
        }
    }
}

/// The inode in `socket:[12345]`.
fn socket_inode(target: &str) -> Option<u32> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::fd_table::{self, NoDescriptors};
    use crate::linux::netns;
    use crate::linux::sock_diag::SockDiag;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_traced_to_its_process() {
        netns::for_test(|| {
            let _listener = TcpListener::bind("127.0.0.1:9001").unwrap();
            let listeners = SockDiag::open().unwrap().listeners().unwrap();
            let inode = listeners[0].inode;
            let holders = find(&HashSet::from([inode]), 1_000_000);
            assert_eq!(holders.by_inode[&inode].pid, std::process::id());
            let name = fs::read_to_string("/proc/self/comm").unwrap();
            assert_eq!(holders.by_inode[&inode].name, name.trim_end());
            assert!(!holders.truncated);
            let table = table_of(inode, 1_000_000).unwrap();
            assert_eq!(table.holder.pid, std::process::id());
            assert_eq!(table.limit, crate::linux::fd_table::limits().0);
            assert!(table.open >= 4 && !table.is_full(), "{table:?}");
        });
    }

    #[test]
    fn limits_are_read_or_not_known() {
        let text = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024   4096  files\n";
        assert_eq!(soft_limit(text), Some(Some(1024)));
        assert_eq!(soft_limit("Max open files   unlimited unlimited files"), Some(None));
        assert_eq!(soft_limit("Max open files   many"), None);
        assert_eq!(soft_limit(""), None);
    }

    #[test]
    fn a_private_table_is_looked_into_as_well() {
        netns::for_test(|| {
            let (told, wait) = std::sync::mpsc::channel();
            let (done, until_done) = std::sync::mpsc::channel::<()>();
            type Ends = (std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>);
            let listen = |table: std::io::Result<()>, ends: NoDescriptors<Ends>| {
                table.unwrap();
                let (told, until_done) = ends.0;
                let _listener = TcpListener::bind("127.0.0.1:9001").unwrap();
                told.send(()).unwrap();
                let _ = until_done.recv();
            };
            let ends = NoDescriptors((told, until_done));
            let thread = fd_table::spawn(std::thread::Builder::new(), ends, listen).unwrap();
            wait.recv().unwrap();
            let inode = SockDiag::open().unwrap().listeners().unwrap()[0].inode;
            assert_eq!(find(&HashSet::from([inode]), 1_000_000).by_inode[&inode].pid, std::process::id());
            drop(done);
            thread.join().unwrap();
        });
    }

    #[test]
    fn the_budget_is_kept() {
        let holders = find(&HashSet::from([u32::MAX]), 1);
        assert!(holders.truncated);
        assert!(holders.by_inode.is_empty());
        assert_eq!(socket_inode("socket:[77]"), Some(77));
        assert_eq!(socket_inode("pipe:[77]"), None);
        assert_eq!(socket_inode("socket:[99999999999]"), None);
    }
}
