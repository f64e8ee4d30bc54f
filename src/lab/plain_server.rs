//! A server as most are: one process, one descriptor table, one listener; and when a limit is met, it waits.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// From one try of accept() to the next, while there is no descriptor for it.
const PAUSE: Duration = Duration::from_millis(20);

/// Listens, says so by `ready`, and keeps every connection up to `at_most`, until the process is killed.
///
/// # Errors
/// What bind() and listen() return.
pub fn serve(listen: SocketAddr, at_most: usize, ready: impl FnOnce()) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    ready();
    let mut kept: Vec<TcpStream> = Vec::new();
    loop {
        match listener.accept() {
            Ok((stream, _)) if kept.len() < at_most => kept.push(stream),
            // Above its limit it closes at once.
            Ok(_) => {}
            // EMFILE: the connection stays in the queue, and its client waits.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
