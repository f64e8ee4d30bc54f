//! A test body in a network namespace of its own: with its own ports, TIME_WAITs, sysctls and counters.
//!
//! The test binary starts itself again under `unshare`, with the name of the test, and runs the body there.
//! Sockets, servers and connstorm then need nothing special. Root makes just a network namespace; anyone
//! else a user namespace as well, in which `net.core` can't be set.

use super::missing;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the process that runs the body: the file it makes when the body has ended well.
const DONE: &str = "CONNSTORM_TEST_NAMESPACE_DONE";

/// A namespace to be, and what is to hold in it.
pub(crate) struct Namespace {
    test: &'static str,
    sysctls: Vec<(&'static str, String)>,
    limit: Duration,
}

impl Namespace {
    /// For the test of this name (its path within its binary).
    pub(crate) fn of(test: &'static str) -> Namespace {
        Namespace { test, sysctls: Vec::new(), limit: Duration::from_secs(150) }
    }

    /// Sets a sysctl in it, such as `("net.ipv4.tcp_tw_reuse", 0)`.
    pub(crate) fn sysctl(mut self, name: &'static str, value: impl ToString) -> Namespace {
        self.sysctls.push((name, value.to_string()));
        self
    }

    /// Kills the body when it runs for longer.
    pub(crate) fn limit(mut self, limit: Duration) -> Namespace {
        self.limit = limit;
        self
    }

    /// Runs the body in it, and fails where the body does.
    pub(crate) fn run(self, body: impl FnOnce()) {
        match std::env::var_os(DONE) {
            Some(done) => {
                self.set_up();
                body();
                std::fs::write(done, "").unwrap();
            }
            None => self.start(),
        }
    }

    fn set_up(&self) {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        let up = up.unwrap_or_else(|error| panic!("{}", missing("ip", "iproute2", &error)));
        assert!(up.success(), "loopback can't be brought up: {up}");
        for (name, value) in &self.sysctls {
            let file = Path::new("/proc/sys").join(name.replace('.', "/"));
            std::fs::write(&file, value).unwrap_or_else(|e| panic!("{name} can't be set to {value}: {e}"));
        }
    }

    fn start(&self) {
        let folder = tempfile::tempdir().unwrap();
        let done = folder.path().join("done");
        let mut log = tempfile::tempfile().unwrap();
        let mut child = Command::new("unshare")
            .arg(kind_of_namespace())
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", self.test, "--nocapture", "--test-threads", "1"])
            .env(DONE, &done)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing("unshare", "util-linux", &error)));
        let limit = Instant::now() + self.limit;
        let ended = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.to_string(),
                None if Instant::now() > limit => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break format!("killed after {:?}", self.limit);
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let mut output = String::new();
        log.rewind().unwrap();
        log.read_to_string(&mut output).unwrap();
        if done.exists() {
            // For whoever asks for it, with --no-capture.
            println!("{output}");
            return;
        }
        if output.contains("running 0 tests") {
            panic!("no test of this binary is named '{}'", self.test);
        }
        panic!("in its namespace the test failed ({ended}):\n{output}");
    }
}

/// Just a network namespace where that is allowed, and one inside a user namespace otherwise.
fn kind_of_namespace() -> &'static str {
    let allowed = |flags: &str| {
        let tried = Command::new("unshare").args([flags, "true"]).stderr(Stdio::null()).status();
        tried.unwrap_or_else(|error| panic!("{}", missing("unshare", "util-linux", &error))).success()
    };
    ["-n", "-rn"].into_iter().find(|flags| allowed(flags)).expect(
        "no network namespace can be made: be root, or allow user namespaces (kernel.unprivileged_userns_clone=1)",
    )
}
