//! Network namespaces: a private set of addresses, ports, sockets and `net.*` settings.
//!
//! A failure of the kernel's can be reproduced in one without touching the machine. Three ways in, for
//! three situations:
//!
//! - [`enter_new`] moves the calling thread, and what it starts later. It needs `CAP_SYS_ADMIN`, or a
//!   process of one thread, which may make a user namespace first (user_namespaces(7)).
//! - [`isolate`] moves a program that is about to be started; this needs no privilege at all.
//! - [`Namespace`] keeps one alive and lets further threads in.
//!
//! Sockets and open files below `/proc/net` belong to the namespace of the thread that opened them,
//! and stay there wherever that thread goes.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Moves the calling thread into a fresh network namespace, with the loopback interface up and
/// nothing else in it. Threads and processes that it starts afterwards are in there too.
///
/// Without `CAP_SYS_ADMIN` it makes a user namespace first, in which the caller is root.
///
/// # Errors
/// `PermissionDenied` when the caller has neither the privilege nor a process of one thread, or when
/// the host forbids user namespaces; otherwise what `unshare`, `ioctl` or the uid map returned.
pub fn enter_new() -> io::Result<()> {
    enter(&IdMaps::of_caller(), 0).map_err(explained)
}

/// Makes a program start in a fresh network namespace, as [`enter_new`] would, and as root in there.
///
/// What the kernel answers is returned by [`Command::spawn`], not here.
pub fn isolate(command: &mut Command) -> &mut Command {
    let maps = IdMaps::of_caller();
    // SAFETY: the closure runs in the forked child, where only async-signal-safe calls are allowed. `enter`
    // makes system calls on memory that was prepared here, and allocates nothing.
    unsafe { command.pre_exec(move || enter(&maps, 0)) }
}

/// A network namespace that lives at least as long as this handle.
#[derive(Debug)]
pub struct Namespace {
    handle: OwnedFd,
}

impl Namespace {
    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// What opening `/proc/thread-self/ns/net` returns.
    pub fn current() -> io::Result<Namespace> {
        Ok(Namespace { handle: File::open("/proc/thread-self/ns/net")?.into() })
    }

    /// The namespace of a process: a container's, by any process in it.
    ///
    /// # Errors
    /// `NotFound` where there is no such process, `PermissionDenied` where it is another user's.
    pub fn of_process(pid: u32) -> io::Result<Namespace> {
        Ok(Namespace { handle: File::open(format!("/proc/{pid}/ns/net"))?.into() })
    }

    /// Moves the calling thread into it, by way of the user namespace of a process where that is needed: into a
    /// container without root only its owner gets so, and only from a process of one thread.
    ///
    /// # Errors
    /// As [`Namespace::enter`].
    pub fn enter_beside(&self, pid: u32) -> io::Result<()> {
        let direct = self.enter();
        if direct.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
            && let Ok(user) = File::open(format!("/proc/{pid}/ns/user"))
        {
            // SAFETY: the call takes two integers and no memory; the descriptor is open.
            if succeeded(unsafe { libc::setns(user.as_raw_fd(), libc::CLONE_NEWUSER) }).is_ok() {
                return self.enter();
            }
        }
        direct
    }

    /// Moves the calling thread into it.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_SYS_ADMIN` over the namespace.
    pub fn enter(&self) -> io::Result<()> {
        // SAFETY: the call takes two integers and no memory; the descriptor is open.
        succeeded(unsafe { libc::setns(self.handle.as_raw_fd(), libc::CLONE_NEWNET) })
    }

    /// Number that tells the namespace from others: the inode of its handle.
    ///
    /// # Errors
    /// What `fstat` returns.
    pub fn id(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.handle)?.st_ino)
    }
}

impl AsRawFd for Namespace {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.handle.as_raw_fd()
    }
}

/// Sets a kernel parameter by its dotted name, such as `net.ipv4.ip_local_port_range`. Those below
/// `net` are set for the calling thread's namespace only.
///
/// # Errors
/// `NotFound` when this kernel (or a namespace other than the first) has no such parameter,
/// `InvalidInput` when the kernel refuses the value, `PermissionDenied`. Each names the parameter.
pub fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    std::fs::write(sysctl_path(name), value)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot set {name} to '{value}': {error}")))
}

/// Reads a kernel parameter by its dotted name.
///
/// # Errors
/// What reading returns; `NotFound` where this kernel has no such parameter.
pub fn read_sysctl(name: &str) -> io::Result<String> {
    Ok(std::fs::read_to_string(sysctl_path(name))?.trim().to_owned())
}

/// Where `/proc` keeps a parameter. A name that contains a slash is taken to be a path below `/proc/sys`
/// already: interfaces may have dots in their names.
pub(super) fn sysctl_path(name: &str) -> PathBuf {
    let relative = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    PathBuf::from("/proc/sys").join(relative.trim_start_matches('/'))
}

/// The caller's ids, written out for a user namespace in which they are root's. Prepared beforehand,
/// since a forked child must not allocate.
#[derive(Debug)]
pub(super) struct IdMaps {
    uid: String,
    gid: String,
}

impl IdMaps {
    pub(super) fn of_caller() -> IdMaps {
        IdMaps {
            uid: format!("0 {} 1", rustix::process::geteuid().as_raw()),
            gid: format!("0 {} 1", rustix::process::getegid().as_raw()),
        }
    }
}

/// Enters a new network namespace, and those that `more` flags name. Only async-signal-safe calls and no
/// allocation: it also runs between fork and exec.
pub(super) fn enter(maps: &IdMaps, more: libc::c_int) -> io::Result<()> {
    match unshare(libc::CLONE_NEWNET | more) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            unshare(libc::CLONE_NEWUSER)?;
            // A gid may be mapped without privilege only where setgroups() was given up (Linux 3.19).
            write_whole(c"/proc/self/setgroups", b"deny")?;
            write_whole(c"/proc/self/uid_map", maps.uid.as_bytes())?;
            write_whole(c"/proc/self/gid_map", maps.gid.as_bytes())?;
            // After root has its number: files of /proc/net that are root's only, such as the tables of iptables,
            // get their owner when the namespace is made.
            unshare(libc::CLONE_NEWNET | more)?;
        }
        answer => answer?,
    }
    loopback_up()
}

fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes one integer and no memory. These flags leave the descriptor table alone.
    succeeded(unsafe { libc::unshare(flags) })
}

fn write_whole(path: &CStr, text: &[u8]) -> io::Result<()> {
    // SAFETY: the path ends in NUL, and the call keeps no reference to it.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    succeeded(fd)?;
    // SAFETY: open() has just returned this descriptor, and nothing else owns it.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::write(&file, text)?;
    Ok(())
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: the call takes three integers and no memory.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    succeeded(fd)?;
    // SAFETY: socket() has just returned this descriptor, and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: ifreq is plain data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    // SAFETY: SIOCGIFFLAGS reads the name and writes the flags of the ifreq it is given.
    succeeded(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as libc::Ioctl, &raw mut request)
    })?;
    // SAFETY: SIOCGIFFLAGS has filled in this member of the union.
    unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short };
    // SAFETY: SIOCSIFFLAGS reads the name and the flags of the ifreq it is given.
    succeeded(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request)
    })
}

fn succeeded(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// EINVAL is what the kernel answers when a process of several threads wants a user namespace.
fn explained(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EPERM | libc::ENOSPC) => io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "cannot make a network namespace ({error}): it needs CAP_SYS_ADMIN, or user namespaces \
                 (sysctl user.max_user_namespaces) and a process of one thread; try `unshare -Urn`"
            ),
        ),
        _ => error,
    }
}

/// Runs a test in a fresh namespace. As root on a thread of its own; otherwise in a process of its own,
/// which is this test binary again, told to run the one test that is running.
#[cfg(test)]
pub(crate) fn for_test(test: impl FnOnce() + Send + 'static) {
    const INSIDE: &str = "CONNSTORM_TEST_IN_NAMESPACE";
    let alone = std::env::var_os(INSIDE).is_some();
    let run = move || {
        if !alone {
            match enter_new() {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return false,
                answer => answer.unwrap(),
            }
        }
        test();
        true
    };
    let ran = std::thread::spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    if !ran {
        let name = std::thread::current().name().expect("tests run on threads of their name").to_owned();
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args([&name, "--exact", "--nocapture"]).env(INSIDE, "1");
        assert!(isolate(&mut again).status().unwrap().success(), "{name} failed in its namespace");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_new_namespace_has_a_loopback_and_ports_and_settings_of_its_own() {
        for_test(|| {
            let listener = TcpListener::bind("127.0.0.77:4077").unwrap();
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert!(TcpListener::bind("[::1]:4077").is_ok());
            set_sysctl("net.ipv4.ip_local_port_range", "40000 40001").unwrap();
            set_sysctl("net/ipv4/ip_local_reserved_ports", "40000").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(stream.local_addr().unwrap().port(), 40001);
        });
        let range = std::fs::read_to_string(sysctl_path("net.ipv4.ip_local_port_range")).unwrap();
        assert_ne!(range, "40000\t40001\n");
    }

    #[test]
    fn other_threads_are_let_in() {
        for_test(|| {
            let namespace = Namespace::current().unwrap();
            let id = namespace.id().unwrap();
            std::thread::spawn(move || assert_eq!(Namespace::current().unwrap().id().unwrap(), id))
                .join()
                .unwrap();
            enter_new().unwrap();
            assert_ne!(Namespace::current().unwrap().id().unwrap(), id);
            namespace.enter().unwrap();
            assert_eq!(Namespace::current().unwrap().id().unwrap(), id);
        });
    }

    #[test]
    fn a_program_can_be_started_in_one() {
        let mut command = Command::new("cat");
        let output = isolate(command.arg("/proc/net/dev")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let interfaces: Vec<_> =
            text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
        assert!(interfaces.contains(&"lo"), "{text}");
        assert!(!interfaces.iter().any(|name| name.starts_with("eth")), "{text}");
    }

    #[test]
    fn a_refused_setting_is_named() {
        for_test(|| {
            let error = set_sysctl("net.ipv4.ip_local_port_range", "9 1").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("net.ipv4.ip_local_port_range to '9 1'"), "{error}");
            let error = set_sysctl("net.ipv4.no_such_thing", "1").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        });
    }
}
