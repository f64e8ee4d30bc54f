//! Identity of the file that a name means: two names of one file are found before anything is opened.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// File that a name of an output or an input leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// Our standard output, by whatever name: `-`, `/dev/stdout`, the file that the shell redirected it to.
    Stdout,
    /// A descriptor that somebody else opened for us, such as `/dev/fd/3` or `/dev/stderr`.
    Descriptor(PathBuf),
    /// A terminal or a device such as `/dev/null`: what is written to it is not kept, and any number may.
    Device,
    /// A pipe with a name.
    Pipe(u64, u64),
    /// A file that exists: device and inode, so that links are seen through.
    File(u64, u64),
    /// A file that does not exist yet: its folder as it really is, and its name.
    New(PathBuf),
    /// A folder.
    Folder,
}

impl Identity {
    /// File that this name leads to.
    ///
    /// # Errors
    /// When it can't be looked at: a folder on the way is missing or closed to us.
    pub(super) fn of(path: &Path) -> io::Result<Identity> {
        const STDOUT: [&str; 5] =
            ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1"];
        const DESCRIPTORS: [&str; 4] = ["/dev/stderr", "/dev/stdin", "/dev/fd", "/proc"];
        if STDOUT.iter().any(|name| path == Path::new(name)) {
            return Ok(Identity::Stdout);
        }
        if DESCRIPTORS.iter().any(|name| path.starts_with(name)) {
            return Ok(Identity::Descriptor(path.to_owned()));
        }
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return real_name(path).map(Identity::New);
            }
            found => found?,
        };
        let (kind, inode) = (found.file_type(), (found.dev(), found.ino()));
        Ok(match () {
            () if kind.is_dir() => Identity::Folder,
            () if kind.is_char_device() || kind.is_block_device() => Identity::Device,
            () if Some(inode) == stdout() => Identity::Stdout,
            () if kind.is_file() => Identity::File(inode.0, inode.1),
            () => Identity::Pipe(inode.0, inode.1),
        })
    }

    /// True if two names lead to one thing in which what is written by the one is lost by the other.
    pub(super) fn is_one_with(&self, other: &Identity) -> bool {
        self == other && *self != Identity::Device
    }
}

/// Device and inode of what standard output is, unless it is a terminal or the like.
fn stdout() -> Option<(u64, u64)> {
    let found = rustix::fs::fstat(rustix::stdio::stdout()).ok()?;
    let kind = rustix::fs::FileType::from_raw_mode(found.st_mode);
    (kind != rustix::fs::FileType::CharacterDevice).then_some((found.st_dev, found.st_ino))
}

/// The name with its folder as it really is, links of the name itself followed even where they lead to
/// nothing yet.
///
/// # Errors
/// When the folder is not there, or links go in a circle.
pub(super) fn real_name(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = folder.canonicalize()?;
        let Some(name) = path.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
        let named = folder.join(name);
        match fs::read_link(&named) {
            // A link that is relative is so to its own folder.
            Ok(to) => path = folder.join(to),
            Err(_) => return Ok(named),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_to_the_file_that_they_mean() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let of = |name: &str| Identity::of(&at(name)).unwrap();
        fs::write(at("a"), "").unwrap();
        fs::hard_link(at("a"), at("hard")).unwrap();
        symlink("a", at("soft")).unwrap();
        symlink(at("new"), at("to-new")).unwrap();
        symlink("loop", at("loop")).unwrap();
        fs::create_dir(at("sub")).unwrap();
        assert!(of("a").is_one_with(&of("hard")) && of("a").is_one_with(&of("soft")));
        assert!(of("new").is_one_with(&of("to-new")) && of("new").is_one_with(&of("sub/../new")));
        assert!(!of("a").is_one_with(&of("new")) && !of("new").is_one_with(&of("other")));
        assert_eq!(of("sub"), Identity::Folder);
        assert!(Identity::of(&at("loop")).is_err() && Identity::of(&at("no/such")).is_err());
        let null = Identity::of(Path::new("/dev/null")).unwrap();
        assert!(!null.is_one_with(&null), "any number may be thrown away");
        let stdout = |name: &str| Identity::of(Path::new(name)).unwrap();
        assert!(stdout("-").is_one_with(&stdout("/dev/stdout")) && stdout("/dev/fd/1") == Identity::Stdout);
    }
}
