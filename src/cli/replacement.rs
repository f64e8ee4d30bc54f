//! A file that is replaced as a whole: until the new text is complete, the earlier file stays as it was.
//!
//! The text goes to a new file beside the target, which is then renamed over it: a crash, a full disk or a
//! run that can't begin leaves the earlier file whole. Where the folder does not let us (a single file that was
//! mounted into a container, a folder of somebody else's), the text is written into the file itself.
//!
//! A new file can be read by its owner alone; a file that was there keeps its mode and, as far as we may,
//! its owner.

use super::file_identity::real_name;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Mode of a new file.
const OWN: u32 = 0o600;

/// A file that will be replaced.
#[derive(Debug)]
pub(super) struct Replacement {
    /// The file itself, links followed.
    target: PathBuf,
    /// True if a new file can be made beside it.
    beside: bool,
}

impl Replacement {
    /// Looks whether it can be written, and changes nothing.
    ///
    /// # Errors
    /// When neither a new file can be made in its folder nor the file itself be written.
    pub(super) fn prepare(path: &Path) -> io::Result<Replacement> {
        let target = real_name(path)?;
        let exists = match OpenOptions::new().write(true).open(&target) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // A file that is closed to us stays so, even where its folder would let us replace it.
            Err(error) => return Err(error),
        };
        let folder = target.parent().unwrap_or(Path::new("/"));
        match rustix::fs::accessat(
            rustix::fs::CWD,
            folder,
            rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
            rustix::fs::AtFlags::EACCESS,
        ) {
            Ok(()) => Ok(Replacement { target, beside: true }),
            Err(_) if exists => Ok(Replacement { target, beside: false }),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts the text in the place of what was there.
    ///
    /// # Errors
    /// When it can't be written; what was there before is then whole, if a file could be made beside it.
    pub(super) fn write(&self, text: &[u8]) -> io::Result<()> {
        self.write_until(text, File::sync_all)
    }

    /// The same without waiting for the disk: whole after a crash of this program, not of the machine.
    ///
    /// # Errors
    /// As for [`Replacement::write`].
    pub(super) fn write_soon(&self, text: &[u8]) -> io::Result<()> {
        self.write_until(text, |_| Ok(()))
    }

    fn write_until(&self, text: &[u8], safe: fn(&File) -> io::Result<()>) -> io::Result<()> {
        if !self.beside {
            return self.write_into(text);
        }
        let before = fs::metadata(&self.target).ok();
        let (file, temporary) = self.temporary()?;
        let replaced = fill(&file, text, before.as_ref())
            .and_then(|()| safe(&file))
            .and_then(|()| fs::rename(&temporary, &self.target));
        let Err(error) = replaced else { return Ok(()) };
        // Nothing can be done about one that stays; the error that led here is told.
        let _ = fs::remove_file(&temporary);
        match error.kind() {
            // A file that is a mount point can't be renamed over, nor one in a folder that keeps its files.
            io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied if before.is_some() => {
                self.write_into(text)
            }
            _ => Err(error),
        }
    }

    /// Writes into the file itself.
    fn write_into(&self, text: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).truncate(true).open(&self.target)?;
        file.write_all(text)?;
        file.sync_all()
    }

    /// A new file beside the target, by a name that nobody has.
    fn temporary(&self) -> io::Result<(File, PathBuf)> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        for _ in 0..100 {
            let number = NUMBER.fetch_add(1, Relaxed);
            let name = format!(".connstorm-{}-{number}.part", std::process::id());
            let path = self.target.with_file_name(name);
            match OpenOptions::new().write(true).create_new(true).mode(OWN).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|file| (file, path)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Writes the text, with mode and owner of what was there before.
fn fill(mut file: &File, text: &[u8], before: Option<&Metadata>) -> io::Result<()> {
    file.write_all(text)?;
    if let Some(before) = before {
        let own = file.metadata()?;
        let same = (own.uid(), own.gid()) == (before.uid(), before.gid());
        let kept = same || fchown(file, Some(before.uid()), Some(before.gid())).is_ok();
        // Rights of a group that is now another one are given to nobody.
        let mode = if kept { before.mode() & 0o777 } else { before.mode() & 0o707 };
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_its_owners_and_an_old_one_keeps_its_mode_and_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old, link) =
            (folder.path().join("new"), folder.path().join("old"), folder.path().join("link"));
        Replacement::prepare(&new).unwrap().write(b"a").unwrap();
        assert_eq!((fs::read_to_string(&new).unwrap().as_str(), mode(&new)), ("a", 0o600));
        fs::write(&old, "before").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o640)).unwrap();
        symlink("old", &link).unwrap();
        Replacement::prepare(&link).unwrap().write(b"after").unwrap();
        assert_eq!((fs::read_to_string(&old).unwrap().as_str(), mode(&old)), ("after", 0o640));
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink(), "the link is still one");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn preparing_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("new"), folder.path().join("old"));
        fs::write(&old, "before").unwrap();
        drop((Replacement::prepare(&new).unwrap(), Replacement::prepare(&old).unwrap()));
        assert_eq!(fs::read_to_string(&old).unwrap(), "before");
        assert!(!new.exists());
        assert!(Replacement::prepare(&folder.path().join("no/such")).is_err());
    }
}
