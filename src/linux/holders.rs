//! Processes that hold sockets, on a small scale: a walk through `/proc/PID/fd`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Holder {
    /// Number of the process, in the process namespace of this program.
    pub pid: u32,
    /// Name of the process, `/proc/PID/comm`: 15 bytes at most.
    pub name: String,
}

/// Outcome of a walk, and what it did not get to see.
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
pub fn find(inodes: &HashSet<u32>, budget: u32) -> Holders {
    find_while(inodes, budget, &|| true)
}

/// As [`find`], as long as `keep_on` says so; it is asked now and then. This process is looked at first, then
/// the youngest: programs that are tested are mostly younger than the system's own.
pub fn find_while(inodes: &HashSet<u32>, budget: u32, keep_on: &dyn Fn() -> bool) -> Holders {
    if inodes.is_empty() {
        return Holders::default();
    }
    let mut walk = Walk { inodes, budget, keep_on, found: Holders::default() };
    let tables: Vec<(u32, PathBuf)> = processes()
        .into_iter()
        .flat_map(|pid| tables(pid).into_iter().map(move |table| (pid, table)))
        .collect();
    // Listeners have low numbers: the first descriptors of every process go before the rest of any.
    let deep: Vec<bool> = tables.iter().map(|(pid, table)| walk.look_into(table, *pid, 0..FIRST)).collect();
    for ((pid, table), _) in tables.iter().zip(&deep).filter(|(_, deep)| **deep) {
        if walk.is_over() {
            break;
        }
        walk.look_into(table, *pid, FIRST..usize::MAX);
    }
    walk.found
}

/// Descriptors of a table that are looked at before the rest of other tables.
const FIRST: usize = 64;

/// Processes, in the order in which they are looked at.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let own = std::process::id();
    pids.sort_unstable_by_key(|&pid| (pid != own, std::cmp::Reverse(pid)));
    pids
}

struct Walk<'a> {
    inodes: &'a HashSet<u32>,
    budget: u32,
    keep_on: &'a dyn Fn() -> bool,
    found: Holders,
}

impl Walk<'_> {
    fn is_over(&self) -> bool {
        self.found.truncated || self.found.by_inode.len() == self.inodes.len()
    }

    /// Looks at these descriptors of a table; whether there are more behind them.
    fn look_into(&mut self, table: &Path, pid: u32, part: std::ops::Range<usize>) -> bool {
        if self.is_over() {
            return false;
        }
        let descriptors = match fs::read_dir(table) {
            Ok(descriptors) => descriptors,
            Err(error) => {
                self.found.hidden += u32::from(error.kind() == std::io::ErrorKind::PermissionDenied);
                return false;
            }
        };
        for (at, descriptor) in descriptors.flatten().enumerate().skip(part.start) {
            if at >= part.end {
                return true;
            }
            if self.budget == 0 || (at % 1024 == 0 && !(self.keep_on)()) {
                self.found.truncated = true;
                return false;
            }
            self.budget -= 1;
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let Some(inode) = target.to_str().and_then(socket_inode) else { continue };
            if self.inodes.contains(&inode) {
                self.found.by_inode.entry(inode).or_insert_with(|| Holder { pid, name: name(pid) });
                if self.is_over() {
                    return false;
                }
            }
        }
        false
    }
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
    /// True if not one descriptor more fits in.
    pub fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.open >= limit)
    }
}

/// The table that holds the socket with this inode, where this user may see it, and `budget` descriptors
/// are enough to find it.
pub fn table_of(inode: u32, budget: u32) -> Option<Table> {
    let inodes = HashSet::from([inode]);
    let mut walk = Walk { inodes: &inodes, budget, keep_on: &|| true, found: Holders::default() };
    let mut deep = Vec::new();
    for (pid, table) in processes().into_iter().flat_map(|pid| tables(pid).into_iter().map(move |t| (pid, t)))
    {
        if walk.look_into(&table, pid, 0..FIRST) {
            deep.push((pid, table));
        } else if walk.is_over() {
            return described(&table, walk.found.by_inode.remove(&inode)?);
        }
    }
    for (pid, table) in deep {
        walk.look_into(&table, pid, FIRST..usize::MAX);
        if walk.is_over() {
            return described(&table, walk.found.by_inode.remove(&inode)?);
        }
    }
    None
}

fn described(table: &Path, holder: Holder) -> Option<Table> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", holder.pid)).ok()?;
    Some(Table { open: open_in(table)?, limit: soft_limit(&limits)?, holder })
}

/// Descriptors in a table: the size of its directory since Linux 6.2, at no cost; counted before that.
fn open_in(table: &Path) -> Option<u64> {
    match fs::metadata(table).ok()?.len() {
        0 => Some(fs::read_dir(table).ok()?.count() as u64),
        open => Some(open),
    }
}

/// The fullest descriptor table of a process, where this user may see it.
pub fn table_of_process(pid: u32) -> Option<Table> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let open = tables(pid).iter().filter_map(|table| open_in(table)).max()?;
    Some(Table { holder: Holder { pid, name: name(pid) }, open, limit: soft_limit(&limits)? })
}

/// Inodes of the sockets that a process holds, of `budget` descriptors at most. `None` where this user may not look.
pub fn sockets_of(pid: u32, budget: u32) -> Option<HashSet<u32>> {
    let mut inodes = HashSet::new();
    let mut left = budget;
    let mut seen = false;
    for table in tables(pid) {
        let Ok(descriptors) = fs::read_dir(&table) else { continue };
        seen = true;
        for descriptor in descriptors.flatten() {
            if left == 0 {
                return Some(inodes);
            }
            left -= 1;
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            inodes.extend(target.to_str().and_then(socket_inode));
        }
    }
    seen.then_some(inodes)
}

/// A process by its id. `None` where there is none.
pub fn process(pid: u32) -> Option<Holder> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Holder { pid, name: name.trim_end().to_owned() })
}

/// Every process, the youngest first, and this one before all.
pub fn all_processes() -> Vec<u32> {
    processes()
}

/// A process and all that came from it and still has its parents.
pub fn family(pid: u32) -> Vec<u32> {
    let parents: HashMap<u32, u32> =
        processes().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(child, _)| *child));
        at += 1;
    }
    family
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Number of the network namespace that a process is in, where this user may see it.
pub fn network_of(pid: u32) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(fs::metadata(format!("/proc/{pid}/ns/net")).ok()?.ino())
}

/// True if a process is stopped by a signal or a debugger. `None` where there is no such process.
pub fn is_stopped(pid: u32) -> Option<bool> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
    Some(matches!(state, 'T' | 't'))
}

/// The soft limit on open files in the text of `/proc/PID/limits`; inside, `None` is no limit.
fn soft_limit(limits: &str) -> Option<Option<u64>> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

/// The `fd` directory of every descriptor table of a process: a worker thread may have one of its own, which
/// `/proc/PID/fd` does not show. Threads that share the first one's are left out.
fn tables(pid: u32) -> Vec<PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let ids = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|&thread| thread == pid || !share_a_table(pid, thread))
        .map(|thread| PathBuf::from(format!("/proc/{pid}/task/{thread}/fd")))
        .collect()
}

/// True if two threads have one descriptor table. `false` where the kernel does not tell (kcmp(2) is an option
/// of its configuration): it is then looked at more than once.
fn share_a_table(one: u32, other: u32) -> bool {
    const KCMP_FILES: libc::c_int = 2;
    // SAFETY: the call takes five integers and no memory.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) == 0 }
}

/// The inode in `socket:[12345]`.
fn socket_inode(target: &str) -> Option<u32> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// This process, as a holder.
pub fn this_process() -> Holder {
    static OWN: std::sync::OnceLock<Holder> = std::sync::OnceLock::new();
    OWN.get_or_init(|| Holder { pid: std::process::id(), name: name(std::process::id()) }).clone()
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
    fn threads_that_share_a_table_are_looked_at_once() {
        let (done, until_done) = std::sync::mpsc::channel::<()>();
        let waiting: std::sync::Arc<std::sync::Mutex<_>> = std::sync::Arc::new(until_done.into());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let waiting = waiting.clone();
                std::thread::spawn(move || waiting.lock().unwrap().recv())
            })
            .collect();
        let tables = tables(std::process::id());
        drop(done);
        threads.into_iter().for_each(|thread| drop(thread.join()));
        assert!(tables.len() < 4, "{tables:?}");
    }

    #[test]
    fn a_stopped_process_is_told_from_one_that_sleeps() {
        assert_eq!(is_stopped(std::process::id()), Some(false));
        assert_eq!(is_stopped(u32::MAX), None);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        while is_stopped(child.id()) != Some(true) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
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
