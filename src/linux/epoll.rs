//! Readiness of many descriptors: a thin, safe wrapper over `epoll(7)`.
//!
//! A set belongs to the thread that made it: with private descriptor tables ([`super::fd_table`]) its
//! number, and those of its members, mean nothing elsewhere. A member leaves the set by itself when the
//! last descriptor of its open file is closed, which is the ordinary way here; [`Epoll::remove`]
//! is for one that stays open.

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// `epoll_pwait2` was tried, and the kernel does not have it.
static PWAIT2_IS_MISSING: AtomicBool = AtomicBool::new(false);

// An event of rustix is one of the kernel's.
const _: () = assert!(size_of::<epoll::Event>() == size_of::<libc::epoll_event>());
const _: () = assert!(align_of::<epoll::Event>() == align_of::<libc::epoll_event>());

/// Events for which a member of a set is watched. Interests are joined with `|`.
///
/// Errors and a connection closed in both directions are reported whether asked for or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(EventFlags);

impl Interest {
    /// Nothing but what is always reported.
    pub const NONE: Interest = Interest(EventFlags::empty());
    /// Bytes, the end of the stream, or a connection to accept.
    pub const READABLE: Interest = Interest(EventFlags::IN);
    /// Room to write, or connect() has ended.
    pub const WRITABLE: Interest = Interest(EventFlags::OUT);
    /// The peer has sent FIN (`EPOLLRDHUP`), even while bytes before it are unread.
    pub const PEER_CLOSED: Interest = Interest(EventFlags::RDHUP);
    /// Report a change once, not as long as it lasts: whoever asks for it reads until EAGAIN.
    pub const EDGE: Interest = Interest(EventFlags::ET);
    /// Of several sets that watch the same file, wake one or a few rather than all (`EPOLLEXCLUSIVE`).
    /// Only in [`Epoll::add`], and not beside [`Interest::PEER_CLOSED`]: the kernel answers EINVAL.
    pub const EXCLUSIVE: Interest = Interest(EventFlags::EXCLUSIVE);
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// Event of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The key that the member was added with.
    pub key: u64,
    flags: EventFlags,
}

impl Event {
    /// There is something to read: bytes, the end of the stream, or a connection to accept.
    pub fn readable(self) -> bool {
        self.flags.contains(EventFlags::IN)
    }

    /// There is room to write, or connect() has ended.
    pub fn writable(self) -> bool {
        self.flags.contains(EventFlags::OUT)
    }

    /// The peer will send no more (`EPOLLRDHUP`), or the connection is closed in both directions (`EPOLLHUP`).
    pub fn hangup(self) -> bool {
        self.flags.intersects(EventFlags::RDHUP | EventFlags::HUP)
    }

    /// An error is pending; `SO_ERROR`, or the next read or write, tells which.
    pub fn error(self) -> bool {
        self.flags.contains(EventFlags::ERR)
    }
}

/// Room for the events of one [`Epoll::wait`], used again for the next.
pub struct Events(Vec<epoll::Event>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Events({} of {})", self.0.len(), self.0.capacity())
    }
}

impl Events {
    /// Room for at most `most` events a wait (at least one); the others come with the next.
    pub fn with_capacity(most: usize) -> Events {
        Events(Vec::with_capacity(most.max(1)))
    }
}

/// A set of descriptors and what each is watched for.
#[derive(Debug)]
pub struct Epoll {
    epoll: OwnedFd,
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> io::Result<Epoll> {
        Ok(Epoll { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Watches `member` and reports it by `key`.
    ///
    /// # Errors
    /// EEXIST when it is in the set, ENOSPC at `fs.epoll.max_user_watches`, ENOMEM, EPERM for a file
    /// that can't be watched.
    pub fn add(&self, member: impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, member, EventData::new_u64(key), interest.0)?)
    }

    /// Changes what a member is watched for, and its key.
    ///
    /// # Errors
    /// ENOENT when it is not in the set, EINVAL when it was added with [`Interest::EXCLUSIVE`].
    pub fn modify(&self, member: impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, member, EventData::new_u64(key), interest.0)?)
    }

    /// Stops watching a member that stays open.
    ///
    /// # Errors
    /// ENOENT when it is not in the set.
    pub fn remove(&self, member: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, member)?)
    }

    /// Waits until a member has something to report, at most for `timeout` (`None`: for ever; zero: not
    /// at all), and iterates over what there is. A signal ends the wait with no event.
    ///
    /// The timeout is exact to the nanosecond and the kernel's timer slack (50 µs, or what [`super::timer_slack`] made it), not rounded to
    /// milliseconds: `epoll_pwait2`, Linux 5.11. Where that call is missing (an older kernel, a container's seccomp
    /// profile, valgrind) a `ppoll` of the set waits as exactly, and costs a second call.
    ///
    /// # Errors
    /// What the system call returns, EINTR excepted.
    pub fn wait<'e>(
        &self,
        events: &'e mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<impl ExactSizeIterator<Item = Event> + use<'e>> {
        // Longer than the kernel can express is for ever.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        events.0.clear();
        if !PWAIT2_IS_MISSING.load(Relaxed) {
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events.0), timeout.as_ref()) {
                Err(Errno::NOSYS) => PWAIT2_IS_MISSING.store(true, Relaxed),
                Ok(_) | Err(Errno::INTR) => return Ok(Self::told(events)),
                Err(error) => return Err(error.into()),
            }
        }
        self.wait_by_poll(events, timeout.as_ref())?;
        Ok(Self::told(events))
    }

    /// Wait of [`Epoll::wait`] without `epoll_pwait2`.
    fn wait_by_poll(&self, events: &mut Events, timeout: Option<&Timespec>) -> io::Result<()> {
        match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], timeout) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let room = events.0.spare_capacity_mut();
        let most = i32::try_from(room.len()).unwrap_or(i32::MAX);
        // SAFETY: `room` has space for `most` events, whose layout is the kernel's (asserted below); the kernel
        // writes as many as it returns.
        let count = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), room.as_mut_ptr().cast::<libc::epoll_event>(), most, 0)
        };
        match usize::try_from(count) {
            // SAFETY: the kernel has written so many events.
            Ok(count) => unsafe { events.0.set_len(count) },
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn told(events: &Events) -> impl ExactSizeIterator<Item = Event> + use<'_> {
        events.0.iter().map(|event| Event { key: event.data.u64(), flags: event.flags })
    }
}

/// So that a set can itself be a member of another, or of a reactor: it is readable while it has events.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn events(set: &Epoll) -> Vec<Event> {
        set.wait(&mut Events::with_capacity(8), AT_ONCE).unwrap().collect()
    }

    #[test]
    fn without_pwait2_the_same_is_told() {
        let (near, mut far) = pair();
        let set = Epoll::new().unwrap();
        set.add(&near, 7, Interest::READABLE).unwrap();
        let mut room = Events::with_capacity(8);
        let none = Timespec::try_from(Duration::from_micros(50)).unwrap();
        let mut told = || {
            room.0.clear();
            set.wait_by_poll(&mut room, Some(&none)).unwrap();
            Epoll::told(&room).map(|event| (event.key, event.readable())).collect::<Vec<_>>()
        };
        assert_eq!(told(), []);
        far.write_all(b"x").unwrap();
        assert_eq!(told(), [(7, true)]);
    }

    #[test]
    fn members_are_reported_by_key_and_as_long_as_it_lasts() {
        let (near, mut far) = pair();
        let set = Epoll::new().unwrap();
        set.add(&near, 7, Interest::READABLE).unwrap();
        assert_eq!(events(&set), []);
        far.write_all(b"x").unwrap();
        for _ in 0..2 {
            let [event] = events(&set)[..] else { panic!("one event") };
            assert_eq!((event.key, event.readable(), event.writable()), (7, true, false));
        }
        set.modify(&near, u64::MAX, Interest::READABLE | Interest::WRITABLE).unwrap();
        let [event] = events(&set)[..] else { panic!("one event") };
        assert_eq!((event.key, event.readable(), event.writable()), (u64::MAX, true, true));
        set.remove(&near).unwrap();
        assert_eq!(events(&set), []);
        assert_eq!(set.remove(&near).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_edge_is_reported_once_and_the_peers_fin_with_it() {
        let (mut near, far) = pair();
        let set = Epoll::new().unwrap();
        set.add(&near, 1, Interest::PEER_CLOSED | Interest::EDGE).unwrap();
        (&far).write_all(b"unread").unwrap();
        assert!(!events(&set).iter().any(|event| event.hangup()));
        far.shutdown(Shutdown::Write).unwrap();
        assert!(events(&set).iter().any(|event| event.hangup() && !event.error()));
        assert_eq!(events(&set), []);
        let mut rest = String::new();
        near.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "unread");
    }

    #[test]
    fn a_reset_is_an_error_even_when_nothing_was_asked_for() {
        let (near, far) = pair();
        let set = Epoll::new().unwrap();
        set.add(&near, 1, Interest::NONE).unwrap();
        rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).unwrap();
        drop(far);
        let [event] = events(&set)[..] else { panic!("one event") };
        assert!(event.error() && event.hangup());
    }

    #[test]
    fn a_set_can_be_a_member_of_another() {
        let (near, mut far) = pair();
        let (inner, outer) = (Epoll::new().unwrap(), Epoll::new().unwrap());
        inner.add(&near, 1, Interest::READABLE).unwrap();
        outer.add(&inner, 2, Interest::READABLE).unwrap();
        assert_eq!(events(&outer), []);
        far.write_all(b"x").unwrap();
        assert_eq!(events(&outer).iter().map(|event| event.key).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn waits_are_not_rounded_to_milliseconds() {
        let set = Epoll::new().unwrap();
        let mut events = Events::with_capacity(1);
        let waits = |events: &mut Events| {
            let started = crate::linux::clock::Clock::start();
            assert_eq!(set.wait(events, Some(Duration::from_micros(20))).unwrap().len(), 0);
            started.now()
        };
        // The best of many, because a busy machine delays any one of them.
        let best = (0..200).map(|_| waits(&mut events)).min().unwrap();
        assert!(best >= Duration::from_micros(20) && best < Duration::from_millis(1), "{best:?}");
    }

    #[test]
    fn exclusive_members_refuse_to_be_modified() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let set = Epoll::new().unwrap();
        set.add(&listener, 1, Interest::READABLE | Interest::EXCLUSIVE).unwrap();
        assert_eq!(set.modify(&listener, 1, Interest::NONE).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
