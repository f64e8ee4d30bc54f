//! Accuracy of a thread's sleeps: the kernel may let each last longer by the timer slack, 50 µs unless asked.

use std::io;
use std::num::NonZeroU64;

/// Lets the calling thread's waits end to the nanosecond that the kernel's timers have (prctl(2),
/// `PR_SET_TIMERSLACK`).
///
/// # Errors
/// What `prctl` returns; no privilege is asked for.
pub fn shortest() -> io::Result<()> {
    Ok(rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN))?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_slack_is_one_nanosecond_on_this_thread() {
        super::shortest().unwrap();
        assert_eq!(rustix::thread::current_timer_slack().unwrap(), 1);
    }
}
