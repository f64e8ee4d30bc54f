//! Things that happen beside an experiment and are not its cause: another program in the same namespace, which the
//! diagnosis must not take for the reason.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// From one deed of the other program to its next.
const PACE: Duration = Duration::from_millis(20);
/// Time after which another program gives an attempt up.
const PATIENCE: Duration = Duration::from_millis(50);
/// Backlog of a listener of the standard library, and a few more.
const BACKLOG: usize = 132;
/// Connections that another program holds, at most.
const MOST: usize = 400;

macro_rules! distractors {
    ($($id:ident = $name:literal, $about:literal;)*) => {
        /// See the module.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Distractor {
            $(#[doc = $about] $id,)*
        }

        impl Distractor {
            /// Each of them.
            pub const ALL: &'static [Distractor] = &[$(Distractor::$id,)*];

            /// Name on the command line and in the table.
            pub fn name(self) -> &'static str {
                match self { $(Distractor::$id => $name,)* }
            }
        }
    };
}

distractors! {
    OtherListenerOverflows = "other-listener-overflows", "another listener's accept queue overflows";
    OthersAreRefused = "others-are-refused", "another program is refused, again and again";
    OthersReset = "others-reset", "another program ends its connections by RST";
    OthersChurn = "others-churn", "another program leaves TIME_WAIT behind, to another server";
    OthersHoldPorts = "others-hold-ports", "another program holds connections to another server";
    OthersListen = "others-listen", "another program listens on ports of the ephemeral range";
    OthersFinWait2 = "others-fin-wait-2", "another server never closes its side";
    OthersCloseWait = "others-close-wait", "another program never closes its side";
    OtherServerIsSilent = "other-server-is-silent", "another server takes connections and says nothing";
    GeneratorStops = "generator-stops", "the generator is stopped for half a second";
}

impl fmt::Display for Distractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Distractor {
    /// The one of a name.
    pub fn of(name: &str) -> Option<Distractor> {
        Distractor::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// Does it until this process is killed. `ready` is called as soon as it has begun. `generator`: the process that
    /// the experiment's load comes from.
    ///
    /// # Errors
    /// What bind() and listen() return.
    pub fn go_on(self, generator: u32, ready: impl FnOnce()) -> io::Result<()> {
        if self == Distractor::GeneratorStops {
            ready();
            return stop(generator);
        }
        let mut other = Other::new(self)?;
        // What is to be full is full before the experiment begins.
        let steps = if self == Distractor::OtherListenerOverflows { BACKLOG } else { MOST };
        (0..steps).for_each(|_| other.step());
        ready();
        loop {
            other.step();
            std::thread::sleep(PACE);
        }
    }
}

fn stop(generator: u32) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(generator).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("no process has that number"))?;
    std::thread::sleep(Duration::from_millis(500));
    kill_process(pid, Signal::STOP)?;
    std::thread::sleep(Duration::from_millis(500));
    kill_process(pid, Signal::CONT)?;
    Ok(())
}

/// Another program, and the server that it talks to.
struct Other {
    what: Distractor,
    /// Nothing else of the lab uses these addresses and ports.
    server: TcpListener,
    kept: Vec<TcpStream>,
    listeners: Vec<TcpListener>,
}

impl Other {
    fn new(what: Distractor) -> io::Result<Other> {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 7777))?;
        server.set_nonblocking(true)?;
        Ok(Other { what, server, kept: Vec::new(), listeners: Vec::new() })
    }

    fn connect(&self) -> Option<TcpStream> {
        TcpStream::connect_timeout(&self.server.local_addr().ok()?, PATIENCE).ok()
    }

    /// Both ends of a connection.
    fn pair(&self) -> Option<(TcpStream, TcpStream)> {
        let client = self.connect()?;
        Some((client, self.server.accept().ok()?.0))
    }

    fn step(&mut self) {
        let has_room = self.kept.len() < MOST;
        match self.what {
            Distractor::OtherListenerOverflows => self.kept.extend(self.connect().filter(|_| has_room)),
            Distractor::OthersAreRefused => {
                let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 7778));
                drop(TcpStream::connect_timeout(&nobody, PATIENCE));
            }
            Distractor::OthersReset => {
                if let Some((client, server)) = self.pair() {
                    // Unread bytes make a close a reset.
                    let _ = io::Write::write_all(&mut &server, b"unread");
                    drop(client);
                }
            }
            Distractor::OthersChurn => drop(self.pair()),
            Distractor::OthersHoldPorts | Distractor::OtherServerIsSilent if has_room => {
                if let Some((client, server)) = self.pair() {
                    self.kept.extend([client, server]);
                }
            }
            Distractor::OthersListen if self.listeners.len() < 20 => {
                self.listeners.extend(TcpListener::bind((Ipv4Addr::new(127, 0, 0, 9), 0)));
            }
            Distractor::OthersFinWait2 if has_room => {
                if let Some((client, server)) = self.pair() {
                    drop(client);
                    self.kept.push(server);
                }
            }
            Distractor::OthersCloseWait if has_room => {
                if let Some((client, server)) = self.pair() {
                    drop(server);
                    self.kept.push(client);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_ten_and_each_is_found_by_its_name() {
        assert!(Distractor::ALL.len() >= 10);
        for one in Distractor::ALL {
            assert_eq!(Distractor::of(one.name()), Some(*one));
        }
        assert_eq!(Distractor::of("none"), None);
    }
}
