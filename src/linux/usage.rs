//! Resources that this program itself uses: CPU, memory, descriptors.

use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::time::Duration;

/// CPU time of the calling thread since it was started, user and system together.
pub fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process since it was started, user and system together.
pub fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The effective user of this process.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Physical memory that this process occupies, in bytes (`VmRSS`; sockets are not in it, the kernel
/// holds them).
///
/// # Errors
/// What reading `/proc/self/statm` returns; `InvalidData` when it is not understood.
pub fn resident_bytes() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    resident_pages(&text)
        .and_then(|pages| pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/statm has no second number"))
}

/// The most physical memory that this process ever occupied, in bytes (`VmHWM`).
///
/// # Errors
/// What reading `/proc/self/status` returns; `InvalidData` when it is not understood.
pub fn peak_resident_bytes() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    status_kilobytes(&text, "VmHWM:")
        .and_then(|kilobytes| kilobytes.checked_mul(1024))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status has no VmHWM"))
}

fn status_kilobytes(status: &str, field: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(field))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_whitespace().nth(1)?.parse().ok()
}

/// Open descriptors in the calling thread's table.
///
/// Since Linux 6.2 the size of the directory is their number, at no cost; before that they are counted.
///
/// # Errors
/// What looking at `/proc/thread-self/fd` returns.
pub fn open_descriptors() -> io::Result<u64> {
    let directory = "/proc/thread-self/fd";
    match std::fs::metadata(directory)?.len() {
        // The descriptor through which they are counted is one of them.
        0 => Ok(u64::try_from(std::fs::read_dir(directory)?.count()).unwrap_or(u64::MAX).saturating_sub(1)),
        open => Ok(open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::fd_table;

    #[test]
    fn the_peak_is_read_and_never_below_what_is_resident() {
        assert_eq!(status_kilobytes("Name:\tx\nVmHWM:\t  12 kB\n", "VmHWM:"), Some(12));
        assert_eq!(status_kilobytes("Name:\tx\n", "VmHWM:"), None);
        assert!(peak_resident_bytes().unwrap() > 0);
    }

    #[test]
    fn work_costs_cpu_and_memory() {
        let before = thread_cpu();
        let mut memory = vec![0u8; 32 << 20];
        memory.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8);
        assert!(thread_cpu() > before);
        assert!(process_cpu() >= thread_cpu());
        assert!(resident_bytes().unwrap() > 32 << 20, "{}", memory.len());
        assert_eq!(resident_pages("1 2 3"), Some(2));
        assert_eq!(resident_pages("1"), None);
    }

    #[test]
    fn descriptors_of_a_private_table_are_counted() {
        let five_more = |table: std::io::Result<()>, _| {
            table.unwrap();
            let before = open_descriptors().unwrap();
            let _held: Vec<_> = (0..5).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
            assert_eq!(open_descriptors().unwrap(), before + 5);
        };
        let thread = fd_table::spawn(std::thread::Builder::new(), fd_table::NoDescriptors(()), five_more);
        thread.unwrap().join().unwrap();
    }
}
