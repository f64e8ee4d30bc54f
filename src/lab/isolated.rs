//! Starts this program again, confined, to perform an experiment, and takes its result.

use super::experiment::{Cure, Experiment};
use super::inside::Answer;
use crate::linux::sandbox;
use crate::linux::sandbox::Processes;
use crate::result::RunResult;
use std::io;
use std::process::{Command, Stdio};

/// Variables that would have the diagnosis speak of this user's proxy.
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// Reason for which there is no result.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No namespace can be made.
    #[error(
        "no namespace can be made here ({error}): {by}\nInstead, as root, who needs no user namespace: sudo \
         connstorm lab {wanted}"
    )]
    Forbidden {
        /// The kernel's answer.
        error: io::Error,
        /// The setting that forbids it, and how to change that.
        by: String,
        /// Name of what was wanted.
        wanted: String,
    },
    /// This program could not be started again.
    #[error("cannot start connstorm again inside a namespace: {0}")]
    Start(io::Error),
    /// This host lacks what the experiment needs.
    #[error("'{name}' cannot be had here: {what}")]
    Missing {
        /// The experiment.
        name: String,
        /// Name of what is missing.
        what: String,
    },
    /// The experiment could not run.
    #[error("'{name}' could not run: {why}")]
    Broken {
        /// The experiment.
        name: String,
        /// Reason.
        why: String,
    },
}

/// Runs an experiment in a fresh namespace, as it is or with a cure.
///
/// # Errors
/// See [`LabError`].
pub fn reproduce(experiment: &Experiment, cure: Option<&Cure>) -> Result<RunResult, LabError> {
    let name = experiment.name;
    let mut command = Command::new(std::env::current_exe().map_err(LabError::Start)?);
    command.args(["lab", "--perform", name]);
    if let Some(cure) = cure {
        command.arg(format!("--cure={}", cure.name));
    }
    if let Some(beside) = experiment.setting.beside {
        command.args(["--beside", beside.name()]);
    }
    let cured = cure.map(|cure| experiment.cured(cure));
    let setting = &cured.as_ref().unwrap_or(experiment).setting;
    for name in PROXIES {
        command.env_remove(name);
    }
    command.envs(setting.environment.iter().copied()).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = sandbox::confine(&mut command, Processes::Shared)
        .output()
        .map_err(|error| not_started(error, name))?;
    let broken = |why: String| LabError::Broken { name: name.to_owned(), why };
    match serde_json::from_slice(&output.stdout) {
        Ok(Answer::Ran(result)) => Ok(*result),
        Ok(Answer::Missing(what)) => Err(LabError::Missing { name: name.to_owned(), what }),
        Ok(Answer::Broken(why)) => Err(broken(why)),
        Err(_) => Err(broken(format!(
            "it ended with {} and said: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

/// Reason for which a confined program did not start.
pub(super) fn not_started(error: io::Error, wanted: &str) -> LabError {
    use rustix::io::Errno;
    let refusals = [Errno::PERM, Errno::ACCESS, Errno::NOSPC, Errno::INVAL, Errno::USERS];
    let refused = refusals.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    if !refused {
        return LabError::Start(error);
    }
    let by = sandbox::forbidden_by().unwrap_or_else(|| {
        "the kernel refuses user namespaces, and none of kernel.unprivileged_userns_clone, \
         user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns or a seccomp filter is the reason; \
         a policy of SELinux, or a chroot, may be"
            .to_owned()
    });
    LabError::Forbidden { error, by, wanted: wanted.to_owned() }
}
