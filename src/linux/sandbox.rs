//! A program in namespaces of its own, which leaves nothing behind: it dies with the thread that started
//! it, and what it mounted and made goes with its namespaces.
//!
//! Nothing here needs a privilege. Where the kernel refuses, [`forbidden_by`] says which setting it is.

use super::netns::{self, IdMaps};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// True if processes get numbers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processes {
    /// They see, and are seen by, all others.
    Shared,
    /// The first process that the program starts is number 1 of a namespace; when it ends, the kernel
    /// kills all that came from it.
    Own,
}

/// Makes a program start in fresh network and mount namespaces (inside a user namespace, without
/// `CAP_SYS_ADMIN`), as root in there, with the loopback up, and makes the kernel kill it when the calling
/// thread ends.
///
/// What the kernel answers is returned by [`Command::spawn`], not here.
pub fn confine(command: &mut Command, processes: Processes) -> &mut Command {
    let maps = IdMaps::of_caller();
    let parent = rustix::process::getpid();
    let more = libc::CLONE_NEWNS | if processes == Processes::Own { libc::CLONE_NEWPID } else { 0 };
    // SAFETY: the closure runs in the forked child, where only async-signal-safe calls are allowed. It makes
    // system calls on memory that was prepared here, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            netns::enter(&maps, more)?;
            mounts_stay_inside()?;
            // After the user namespace: a change of credentials takes the signal off.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // Who ended before that sends none.
            match rustix::process::getppid() {
                Some(now) if now == parent => Ok(()),
                _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            }
        })
    }
}

/// Makes the kernel kill a program when the calling thread ends.
pub fn bind_to_us(command: &mut Command) -> &mut Command {
    // SAFETY: as above; one system call, and nothing allocated.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) }
}

/// Makes a program start with both limits on descriptors set to this.
pub fn limited(command: &mut Command, descriptors: u64) -> &mut Command {
    // SAFETY: as above; one system call, and nothing allocated.
    unsafe { command.pre_exec(move || limit_descriptors(descriptors)) }
}

/// Sets both limits on descriptors, of this process and of what it starts.
///
/// # Errors
/// EPERM when that is above the hard limit.
pub fn limit_descriptors(most: u64) -> io::Result<()> {
    let limit = rustix::process::Rlimit { current: Some(most), maximum: Some(most) };
    Ok(rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?)
}

/// Has a file show another content, in this mount namespace only: nothing is written outside.
///
/// # Errors
/// What mounting returns: `PermissionDenied` where a policy forbids it.
pub fn replace_file(path: &str, content: &str) -> io::Result<()> {
    // A file of a file system in memory is laid over it; the file system itself goes out of sight again.
    const FOLDER: &str = "/tmp";
    rustix::mount::mount("none", FOLDER, "tmpfs", MountFlags::empty(), None::<&CStr>)?;
    let file = format!("{FOLDER}/laid-over");
    let laid =
        std::fs::write(&file, content).and_then(|()| Ok(rustix::mount::mount_bind(file.as_str(), path)?));
    rustix::mount::unmount(FOLDER, UnmountFlags::DETACH)?;
    laid
}

/// Has `/proc` show the processes of the namespace that this process is number 1 of.
///
/// # Errors
/// EPERM in a container that hides parts of `/proc`.
pub fn mount_own_proc() -> io::Result<()> {
    Ok(rustix::mount::mount("proc", "/proc", "proc", MountFlags::empty(), None::<&CStr>)?)
}

/// The setting that keeps this user from making namespaces, as a sentence; `None` where none is found.
pub fn forbidden_by() -> Option<String> {
    let read = |path: &str| Some(std::fs::read_to_string(path).ok()?.trim().to_owned());
    verdict(&Settings {
        unprivileged_userns_clone: read("/proc/sys/kernel/unprivileged_userns_clone"),
        max_user_namespaces: read("/proc/sys/user/max_user_namespaces"),
        max_net_namespaces: read("/proc/sys/user/max_net_namespaces"),
        max_mnt_namespaces: read("/proc/sys/user/max_mnt_namespaces"),
        apparmor: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        seccomp: read("/proc/self/status").and_then(|status| {
            Some(status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?.trim().to_owned())
        }),
        container: ["/.dockerenv", "/run/.containerenv"]
            .iter()
            .any(|path| std::path::Path::new(path).exists()),
    })
}

/// Settings of a host for user namespaces.
#[derive(Debug, Clone, Default)]
struct Settings {
    unprivileged_userns_clone: Option<String>,
    max_user_namespaces: Option<String>,
    max_net_namespaces: Option<String>,
    max_mnt_namespaces: Option<String>,
    apparmor: Option<String>,
    seccomp: Option<String>,
    container: bool,
}

fn verdict(host: &Settings) -> Option<String> {
    let is = |value: &Option<String>, wanted: &str| value.as_deref() == Some(wanted);
    let none_allowed = |name: &str, value: &Option<String>| {
        is(value, "0").then(|| format!("user.{name} is 0; as root: sysctl -w user.{name}=10000"))
    };
    if is(&host.unprivileged_userns_clone, "0") {
        return Some(
            "kernel.unprivileged_userns_clone is 0; as root: sysctl -w kernel.unprivileged_userns_clone=1"
                .into(),
        );
    }
    none_allowed("max_user_namespaces", &host.max_user_namespaces)
        .or_else(|| none_allowed("max_net_namespaces", &host.max_net_namespaces))
        .or_else(|| none_allowed("max_mnt_namespaces", &host.max_mnt_namespaces))
        .or_else(|| {
            is(&host.apparmor, "1").then(|| {
                "kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu since 23.10); as root: sysctl -w \
                 kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with 'userns,' for connstorm"
                    .into()
            })
        })
        .or_else(|| {
            let filtered = is(&host.seccomp, "2");
            let container = if host.container { "this container's" } else { "a" };
            filtered.then(|| {
                format!(
                    "{container} seccomp filter refuses unshare(CLONE_NEWUSER); docker run --security-opt \
                     seccomp=unconfined, or --cap-add SYS_ADMIN --cap-add NET_ADMIN"
                )
            })
        })
}

/// Mounts of ours must not show outside.
fn mounts_stay_inside() -> io::Result<()> {
    let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change(c"/", all)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Settings {
        let some = |text: &str| Some(text.to_owned());
        Settings {
            unprivileged_userns_clone: some("1"),
            max_user_namespaces: some("96365"),
            max_net_namespaces: some("96365"),
            max_mnt_namespaces: some("96365"),
            apparmor: some("0"),
            seccomp: some("0"),
            container: false,
        }
    }

    #[test]
    fn the_setting_that_forbids_is_named() {
        let zero = Some("0".to_owned());
        assert_eq!(verdict(&host()), None);
        assert_eq!(verdict(&Settings::default()), None, "what can't be read forbids nothing");
        for (settings, names) in [
            (
                Settings { unprivileged_userns_clone: zero.clone(), ..host() },
                "kernel.unprivileged_userns_clone is 0",
            ),
            (Settings { max_user_namespaces: zero.clone(), ..host() }, "user.max_user_namespaces is 0"),
            (Settings { max_net_namespaces: zero.clone(), ..host() }, "user.max_net_namespaces is 0"),
            (Settings { max_mnt_namespaces: zero, ..host() }, "user.max_mnt_namespaces is 0"),
            (
                Settings { apparmor: Some("1".into()), ..host() },
                "kernel.apparmor_restrict_unprivileged_userns is 1",
            ),
            (Settings { seccomp: Some("2".into()), ..host() }, "a seccomp filter"),
            (
                Settings { seccomp: Some("2".into()), container: true, ..host() },
                "this container's seccomp filter",
            ),
        ] {
            let says = verdict(&settings).unwrap();
            assert!(says.contains(names), "'{says}' does not name {names}");
        }
    }

    #[test]
    fn a_file_is_replaced_inside_only() {
        let outside = std::fs::read_to_string("/etc/hosts").unwrap();
        let mut again = Command::new(std::env::current_exe().unwrap());
        // Named by its own path: an --exact name that no test has would run nothing, and succeed.
        let inside = format!("{}::inside", module_path!().split_once("::").unwrap().1);
        again.args([&inside, "--exact", "--ignored", "--nocapture"]);
        let ran = confine(&mut again, Processes::Shared).output().unwrap();
        let told = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && told.contains("1 passed"), "{told}");
        assert_eq!(std::fs::read_to_string("/etc/hosts").unwrap(), outside);
        assert!(!std::path::Path::new("/tmp/laid-over").exists());
    }

    /// The other half of the test above: it runs in the sandbox.
    #[test]
    #[ignore = "only in the sandbox that another test makes"]
    fn inside() {
        replace_file("/etc/hosts", "192.0.2.7 here.example\n").unwrap();
        assert_eq!(std::fs::read_to_string("/etc/hosts").unwrap(), "192.0.2.7 here.example\n");
        assert!(!std::path::Path::new("/tmp/laid-over").exists());
        std::net::TcpListener::bind("127.0.0.9:9").unwrap();
    }
}
