//! Memory that this process can still have: of the machine, of its cgroup and of those above it, of its address space.
//!
//! Sockets are charged to the cgroup as well, so that what is left of it is not only what this process allocates.

use super::sysctl::meminfo_bytes;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that can be had without the OOM killer, or a failing allocation, coming in; `None` where nothing of it can be
/// read.
pub fn available() -> Option<u64> {
    let of_machine = fs::read_to_string("/proc/meminfo").ok();
    let of_machine = of_machine.and_then(|text| meminfo_bytes(&text, "MemAvailable"));
    [of_machine, of_cgroups(Path::new("/sys/fs/cgroup")), of_address_space()].into_iter().flatten().min()
}

/// Has blocks from 128 KiB on given back to the system as soon as they are freed, and moved by the page table as they grow.
/// glibc keeps ever larger ones otherwise (up to 32 MiB, `M_MMAP_THRESHOLD` in mallopt(3)): the process would take up to
/// twice what it uses. Other C libraries do so by themselves.
pub fn keep_no_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator, under its lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
    }
}

/// Bytes that the tightest of this process's cgroups leaves.
fn of_cgroups(mount: &Path) -> Option<u64> {
    let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
    let (files, folder) = place(&memberships, mount)?;
    // In a container the path may be the host's, of which only the root is to be seen.
    let below = folder.ancestors().take_while(|folder| folder.starts_with(mount));
    below.filter_map(|folder| left(folder, files)).min()
}

/// Names of a cgroup's files: limit, usage, and the part of it that can be reclaimed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    reclaimable: &'static str,
}

const V2: Files = Files { limit: "memory.max", usage: "memory.current", reclaimable: "inactive_file" };
const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

/// Folder of the cgroup that limits memory, as `/proc/self/cgroup` has it.
fn place(memberships: &str, mount: &Path) -> Option<(Files, PathBuf)> {
    let lines = memberships.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?, parts.next()?.trim_start_matches('/')))
    });
    let of_v1 = lines.clone().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    let of_v2 = || lines.clone().find(|(controllers, _)| controllers.is_empty());
    match of_v1 {
        Some((_, path)) => Some((V1, mount.join("memory").join(path))),
        None => of_v2().map(|(_, path)| (V2, mount.join(path))),
    }
}

/// Bytes that one cgroup leaves; `None` where it has no limit.
fn left(folder: &Path, files: Files) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, usage) = (number(files.limit)?, number(files.usage)?);
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let reclaimable = stat.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == files.reclaimable).then(|| value.trim().parse::<u64>().ok())?
    });
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable.unwrap_or(0))))
}

/// Bytes that `ulimit -v` leaves: beyond it an allocation fails, which ends the process.
fn of_address_space() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(pages.saturating_mul(rustix::param::page_size() as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_memory_can_be_had_here() {
        assert!(available().unwrap() > 1 << 20);
    }

    #[test]
    fn the_cgroup_is_found_in_both_versions() {
        let mount = Path::new("/sys/fs/cgroup");
        let found =
            |text| place(text, mount).map(|(files, folder)| (files.limit, folder.display().to_string()));
        assert_eq!(found("0::/a/b\n"), Some(("memory.max", "/sys/fs/cgroup/a/b".into())));
        assert_eq!(found("0::/\n"), Some(("memory.max", "/sys/fs/cgroup/".into())));
        let mixed = "12:cpu,cpuacct:/x\n7:memory:/docker/1\n0::/y\n";
        assert_eq!(found(mixed), Some(("memory.limit_in_bytes", "/sys/fs/cgroup/memory/docker/1".into())));
        assert_eq!(found("3:cpu:/x\n"), None);
    }

    #[test]
    fn the_tightest_limit_counts_and_cached_files_are_no_use_of_it() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let write = |folder: &Path, name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write(&inner, "memory.max", "max\n");
        write(&inner, "memory.current", "5\n");
        assert_eq!(left(&inner, V2), None, "without a limit");
        let outer = root.path().join("a");
        write(&outer, "memory.max", "1000\n");
        write(&outer, "memory.current", "700\n");
        assert_eq!(left(&outer, V2), Some(300));
        write(&outer, "memory.stat", "anon 300\ninactive_file 250\nactive_file 9\n");
        assert_eq!(left(&outer, V2), Some(550));
        write(&outer, "memory.max", "100\n");
        assert_eq!(left(&outer, V2), Some(0), "beyond it");
        assert_eq!(left(root.path(), V2), None);
    }
}
