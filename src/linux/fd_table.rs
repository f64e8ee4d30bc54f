//! Private descriptor tables: `RLIMIT_NOFILE` bounds a file *table*, and a thread can have its own.
//!
//! `close_range(2)` with `CLOSE_RANGE_UNSHARE` (Linux 5.9) gives the calling thread a copy of the table
//! and closes a range in the copy. Measured on Linux 6.18: four threads opened 4 × 19,995 sockets under
//! a hard limit of 20,000. A descriptor number then means nothing in another thread; a thread spawned
//! from here shares the table of the thread that spawned it. So a private table belongs to a thread that was
//! started with it ([`spawn`]), and no function takes the table of a thread that runs already away.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread::{Builder, JoinHandle};

/// A value that enters a thread with a private table, and every descriptor that the value owns.
///
/// The descriptors keep their numbers in the thread's table. A descriptor that the value owns and does not
/// name is closed there: its number may come to mean another file.
pub trait Crosses: Send + 'static {
    /// All descriptors that the value owns.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;
}

/// A value that owns no descriptor.
#[derive(Debug)]
pub struct NoDescriptors<C>(pub C);

impl<C: Send + 'static> Crosses for NoDescriptors<C> {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
}

/// Starts a thread whose descriptor table is its own before anything else happens on the thread. The table
/// holds standard input, output and error and the descriptors of `context`.
///
/// `body` is a function without captures: what enters the thread enters by `context`, so no value can bring
/// a descriptor along unseen. `body` is told why, if the table could not be made: ENOSYS before Linux 5.9,
/// ENOMEM when the table can't be copied. The thread then has its parent's table.
///
/// When `body` has ended, what is left in the table is closed before the thread can be joined. (The kernel
/// drops a thread's table only after it has let go whoever joins the thread.)
///
/// # Errors
/// When the thread can't be started.
pub fn spawn<C: Crosses, T: Send + 'static>(
    thread: Builder,
    context: C,
    body: fn(io::Result<()>, C) -> T,
) -> io::Result<JoinHandle<T>> {
    thread.spawn(move || {
        let made = close_all_but(&context.descriptors());
        let is_private = made.is_ok();
        let told = body(made, context);
        if is_private {
            // It can't fail: the table is private already.
            let _ = close_all_but(&[]);
        }
        told
    })
}

/// Gives the calling thread its own descriptor table, which keeps 0, 1, 2 and `keep`; all others are closed
/// in it, and in it only.
fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> =
        keep.iter().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok()).filter(|&fd| fd > 2).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut first = 3;
    for fd in kept {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

/// Unshares the table (once; again it does nothing) and closes `first..=last` in it.
fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the call takes three integers and no memory.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_UNSHARE) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The soft and the hard limit on descriptors in a table (`RLIMIT_NOFILE`); `None` is no limit.
pub fn limits() -> (Option<u64>, Option<u64>) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    (limit.current, limit.maximum)
}

/// Raises the soft limit to the hard one, which needs no privilege, and returns it.
///
/// # Errors
/// What `setrlimit` returns.
pub fn raise_soft_limit() -> io::Result<u64> {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::{AsFd, RawFd};
    use std::path::Path;

    /// A file that goes along, and the number of one that does not.
    struct Luggage {
        kept: File,
        left_behind: RawFd,
    }

    impl Crosses for Luggage {
        fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
            vec![self.kept.as_fd()]
        }
    }

    #[test]
    fn a_private_table_keeps_what_it_is_told_to_and_leaves_others_alone() {
        let dropped = tempfile::tempfile().unwrap();
        let luggage = Luggage { kept: tempfile::tempfile().unwrap(), left_behind: dropped.as_raw_fd() };
        let in_table = |table, luggage: Luggage| {
            let is_there = |fd: RawFd| Path::new(&format!("/proc/thread-self/fd/{fd}")).exists();
            (&luggage.kept).write_all(b"still open there").unwrap();
            (io::Result::is_ok(&table), is_there(luggage.kept.as_raw_fd()), is_there(luggage.left_behind))
        };
        let thread = spawn(Builder::new(), luggage, in_table).unwrap();
        assert_eq!(thread.join().unwrap(), (true, true, false));
        (&dropped).write_all(b"still open here").unwrap();
    }

    #[test]
    fn what_the_body_leaves_open_is_closed_when_the_thread_is_joined() {
        let leak = |_: io::Result<()>, _| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            std::mem::forget(listener);
            address
        };
        let address = spawn(Builder::new(), NoDescriptors(()), leak).unwrap().join().unwrap();
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn tables_add_up_beyond_the_limit() {
        let (soft, _) = limits();
        let soft = usize::try_from(soft.unwrap_or(1024)).unwrap().min(1024);
        let open = |table: io::Result<()>, NoDescriptors(wanted): NoDescriptors<usize>| {
            table.unwrap();
            (0..wanted).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect::<Vec<_>>().len()
        };
        let threads: Vec<_> =
            (0..3).map(|_| spawn(Builder::new(), NoDescriptors(soft / 2), open).unwrap()).collect();
        let opened: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(opened, 3 * (soft / 2));
    }
}
