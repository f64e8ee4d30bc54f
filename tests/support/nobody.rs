//! connstorm as an unprivileged user starts it, whoever runs the tests.

use super::missing;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The user `nobody`, without any group and any capability.
const NOBODY: [&str; 5] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--"];

/// The command `connstorm`, without a privilege. It dies with the thread that starts it, as long as that is
/// not root.
pub(crate) fn connstorm() -> Command {
    unprivileged(binary())
}

/// The command of any program, without a privilege.
pub(crate) fn unprivileged(program: &std::path::Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(NOBODY).arg(program);
    command
}

/// The binary, or a copy of it where `nobody` can't get at it.
pub(crate) fn binary() -> &'static std::path::Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_connstorm"));
        let tried =
            unprivileged(&built).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if tried.unwrap_or_else(|error| panic!("{}", missing("setpriv", "util-linux", &error))).success() {
            return built;
        }
        let folder = std::env::temp_dir().join(format!("connstorm-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        let copy = folder.join("connstorm");
        std::fs::copy(&built, &copy).unwrap();
        std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
        copy
    })
}
