//! Pauses in a long look at the kernel: a worker on the same core is kept waiting for a fraction of a millisecond
//! at a time, and not for the whole look (which takes 44 ms for 100,000 sockets in TIME_WAIT).

use std::time::Duration;

/// Sockets looked at between two pauses: 0.2 to 0.5 ms of work.
const AT_A_TIME: u32 = 512;
/// Shortest pause; what the timer's slack adds is welcome.
const PAUSE: Duration = Duration::from_millis(1);
/// Pauses in one look, at most: a look is to be over within its window.
const MOST: u32 = 250;

/// See the module.
#[derive(Debug)]
pub(super) struct YieldCpu {
    looked_at: u32,
    pauses_left: u32,
}

impl YieldCpu {
    /// For one look; one that is `urgent` is made without a pause.
    pub(super) fn new(urgent: bool) -> YieldCpu {
        YieldCpu { looked_at: 0, pauses_left: if urgent { 0 } else { MOST } }
    }

    /// One more socket was looked at; pauses when it is time for that.
    pub(super) fn looked(&mut self) {
        if self.is_time() {
            std::thread::sleep(PAUSE);
        }
    }

    fn is_time(&mut self) -> bool {
        self.looked_at += 1;
        if self.looked_at < AT_A_TIME || self.pauses_left == 0 {
            return false;
        }
        self.looked_at = 0;
        self.pauses_left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(urgent: bool, sockets: u32) -> usize {
        let mut yield_cpu = YieldCpu::new(urgent);
        (0..sockets).filter(|_| yield_cpu.is_time()).count()
    }

    #[test]
    fn pauses_come_regularly_and_are_few() {
        assert_eq!(pauses(false, AT_A_TIME - 1), 0);
        assert_eq!(pauses(false, 10 * AT_A_TIME), 10);
        assert_eq!(pauses(false, 10_000 * AT_A_TIME), MOST as usize);
        assert_eq!(pauses(true, 10 * AT_A_TIME), 0);
    }
}
