//! A terminal whose keys are read one by one, and its size.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Standard input without line editing and echo, until this is dropped. Ctrl-C and Ctrl-Z stay signals.
#[derive(Debug)]
pub struct KeyMode {
    before: Termios,
}

impl KeyMode {
    /// Begins.
    ///
    /// # Errors
    /// ENOTTY where standard input is no terminal.
    pub fn begin() -> io::Result<KeyMode> {
        let input = rustix::stdio::stdin();
        let before = tcgetattr(input)?;
        let mut keys = before.clone();
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        keys.special_codes[SpecialCodeIndex::VMIN] = 0;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(input, OptionalActions::Now, &keys)?;
        Ok(KeyMode { before })
    }

    /// Bytes of keys that were pressed; waits for the first as long as this.
    ///
    /// # Errors
    /// What polling or reading returns; an interruption by a signal is none.
    pub fn keys(&self, wait: Duration) -> io::Result<Vec<u8>> {
        let input = rustix::stdio::stdin();
        let wait = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let mut ready = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut ready, Some(&wait)) {
            Err(rustix::io::Errno::INTR) | Ok(0) => return Ok(Vec::new()),
            answer => answer?,
        };
        let mut bytes = [0; 64];
        let read = rustix::io::read(input, &mut bytes)?;
        Ok(bytes[..read].to_vec())
    }
}

impl Drop for KeyMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Columns and rows of a terminal that knows them; `None` of anything else.
pub fn size(of: impl AsFd) -> Option<(u16, u16)> {
    let size = tcgetwinsize(of).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}
