//! Priority of a thread.

use std::io;

/// Gives the calling thread the lowest ordinary priority (nice 19), and no other thread of the process:
/// Linux has a nice value a thread (setpriority(2), "C library/kernel differences").
///
/// It can't be taken back without `CAP_SYS_NICE`.
///
/// # Errors
/// What `setpriority` returns; a lower priority is refused to nobody.
pub fn lowest() -> io::Result<()> {
    Ok(rustix::process::setpriority_process(None, 19)?)
}

/// The nice value of the calling thread, from −20 to 19.
///
/// # Errors
/// What `getpriority` returns.
pub fn of_this_thread() -> io::Result<i32> {
    Ok(rustix::process::getpriority_process(None)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_calling_thread_becomes_nice() {
        let before = super::of_this_thread().unwrap();
        let inside = std::thread::spawn(|| {
            super::lowest().unwrap();
            super::of_this_thread().unwrap()
        });
        assert_eq!(inside.join().unwrap(), 19);
        assert_eq!(super::of_this_thread().unwrap(), before);
    }
}
