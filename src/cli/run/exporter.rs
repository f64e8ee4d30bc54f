//! Live figures over HTTP while a run goes on: `GET /metrics` on an address of the user's choice.
//!
//! One thread answers one request after the other, each within a second, so that neither a slow client nor
//! many can hold up the run: the run's own thread only swaps the text, once a window.

use crate::cli::output::say;
use crate::report::openmetrics;
use crate::run::Watched;
use anyhow::Context;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest wait for a client, for each read and write.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody asks, or the run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest request that is read.
const REQUEST: usize = 8192;

/// The server, until it is dropped.
pub(super) struct Exporter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    text: Mutex<String>,
    ended: AtomicBool,
}

impl Exporter {
    /// Listens; the figures are those of a run that has not begun.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub(super) fn start(address: SocketAddr) -> anyhow::Result<Exporter> {
        let listener = TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .with_context(|| format!("cannot listen on {address} for --listen; is the port taken?"))?;
        if let Ok(address) = listener.local_addr() {
            say(&format!("metrics: http://{address}/metrics"));
        }
        let shared = Arc::new(Shared::default());
        // An empty text is a valid one, with its end.
        *shared.text.lock().unwrap_or_else(PoisonError::into_inner) = "# EOF\n".to_owned();
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("metrics".into()).spawn(move || serve(&listener, &theirs));
        Ok(Exporter { shared, thread: Some(thread.context("cannot start the thread of --listen")?) })
    }

    /// Renews the figures when a window is complete.
    pub(super) fn look(&mut self, watched: &Watched<'_>) {
        if watched.window.is_none() {
            return;
        }
        if let Ok(text) = openmetrics::render(&watched.so_far()) {
            *self.shared.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It answers nobody any more; a panic in it would have been a defect, and ends nothing else.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, shared: &Shared) {
    while !shared.ended.load(Relaxed) {
        match listener.accept() {
            // A client that goes away is no trouble of ours.
            Ok((stream, _)) => drop(answer(stream, shared)),
            Err(_) => thread::sleep(LOOK_EVERY),
        }
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part)?;
        if read == 0 || request.len() + read > REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&part[..read]);
    }
    let (status, kind, body) = if is_for_metrics(&request) {
        let text = shared.text.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ("200 OK", openmetrics::CONTENT_TYPE, text)
    } else {
        ("404 Not Found", "text/plain; charset=utf-8", "figures are at /metrics\n".to_owned())
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes())
}

fn is_for_metrics(request: &[u8]) -> bool {
    let line = request.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let path = (words.next() == Some(b"GET")).then(|| words.next()).flatten().unwrap_or_default();
    path.split(|&byte| byte == b'?').next() == Some(b"/metrics")
}
