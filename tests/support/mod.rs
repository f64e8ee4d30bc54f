//! Things that the tests on real sockets share: network namespaces, real servers, and connstorm itself.
//!
//! A tool that is missing fails the test, and the message names Debian's package: nothing is skipped.

// Each test binary compiles this module for itself, and uses a part of it.
#![allow(dead_code)]

pub(crate) mod client_certificate;
pub(crate) mod conversations;
pub(crate) mod doctor;
pub(crate) mod namespace;
pub(crate) mod nginx;
pub(crate) mod nobody;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod storm;
pub(crate) mod targets;
pub(crate) mod websockets;

use std::io::ErrorKind;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The command of a program that dies with the thread that starts it, so that no test that is killed
/// leaves one behind. (`unshare -r` would undo it: it belongs after that.)
pub(crate) fn bound_to_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Ends a process when the test does.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Message for whoever lacks a program.
pub(crate) fn missing(program: &str, package: &str, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("{program} is missing: install Debian's package {package}"),
        _ => format!("{program} can't be started: {error}"),
    }
}

/// Asks until the answer is the wanted one, for ten seconds; gives the last answer.
pub(crate) fn eventually<T: PartialEq>(wanted: T, mut ask: impl FnMut() -> T) -> T {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = ask();
        if answer == wanted || Instant::now() > limit {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server that was started for a test, and ends with it.
pub(crate) struct Server {
    name: &'static str,
    process: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a server in a folder of its own, with as many descriptors as the hard limit allows.
    fn start(name: &'static str, package: &str, folder: TempDir, arguments: &[String]) -> Server {
        let found = Command::new(name).arg("--version").output();
        let found = found.or_else(|_| Command::new(format!("/usr/sbin/{name}")).arg("-v").output());
        if let Err(error) = found {
            panic!("{}", missing(name, package, &error));
        }
        let log = std::fs::File::create(folder.path().join("output.log")).unwrap();
        let process = bound_to_us("sh")
            .args(["-c", "PATH=$PATH:/usr/sbin; ulimit -n $(ulimit -H -n); exec \"$0\" \"$@\"", name])
            .args(arguments)
            .current_dir(folder.path())
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing("setpriv", "util-linux", &error)));
        Server { name, process, folder }
    }

    /// Tries the first question until it is answered, for ten seconds.
    fn until_it_answers<T>(&mut self, mut ask: impl FnMut() -> std::io::Result<T>) -> T {
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            match ask() {
                Ok(answer) => return answer,
                Err(error) => {
                    let ended = self.process.try_wait().unwrap();
                    if ended.is_some() || Instant::now() > limit {
                        panic!("{} does not answer ({error}; {ended:?}):\n{}", self.name, self.output());
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and a server that has ended by itself is one.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
