//! Live figures over HTTP while a run goes on: `GET /metrics` on an address of the user's choice.
//!
//! A thread of its own answers many clients side by side, each within [`PATIENCE`]: one that is silent delays
//! nobody. Whoever comes is taken from the accept queue at once, so that no crowd of scrapers fills it, which
//! would look as if the target's were full; beyond [`CLIENTS`] the one that has waited longest is let go. The
//! run's own thread only swaps the text, once a window.

use crate::cli::output::say;
use crate::report::openmetrics;
use crate::run::Watched;
use anyhow::Context;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// Longest time that a client has, from its connection to the last byte of its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks whether the run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Clients that are answered side by side.
const CLIENTS: usize = 64;
/// Length of the accept queue; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Longest request that is read.
const REQUEST: usize = 8192;

/// The server, until it is dropped.
pub(super) struct Exporter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    text: Mutex<Arc<str>>,
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
        // A queue that stays as short as std made it is shorter than it could be, and no worse.
        let _ = rustix::net::listen(&listener, BACKLOG);
        if let Ok(address) = listener.local_addr() {
            say(&format!("metrics: http://{address}/metrics"));
        }
        // An empty text is a valid one, with its end.
        let shared = Arc::new(Shared { text: Mutex::new("# EOF\n".into()), ended: AtomicBool::new(false) });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context("cannot wait for clients of --listen")?;
        let theirs = shared.clone();
        let serve = move || runtime.block_on(serve(listener, theirs));
        let thread = thread::Builder::new().name("metrics".into()).spawn(serve);
        Ok(Exporter { shared, thread: Some(thread.context("cannot start the thread of --listen")?) })
    }

    /// Renews the figures when a window is complete.
    pub(super) fn look(&mut self, watched: &Watched<'_>) {
        let Some(window) = watched.last_window() else { return };
        if let Ok(text) = openmetrics::render_running(&watched.so_far(vec![window])) {
            *self.shared.text.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
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

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut clients = VecDeque::<AbortHandle>::new();
    while !shared.ended.load(Relaxed) {
        match tokio::time::timeout(LOOK_EVERY, listener.accept()).await {
            Ok(Ok((stream, _))) => {
                clients.retain(|client| !client.is_finished());
                if clients.len() >= CLIENTS
                    && let Some(oldest) = clients.pop_front()
                {
                    oldest.abort();
                }
                // A client that goes away or is too slow is no trouble of ours.
                let answered = tokio::time::timeout(PATIENCE, answer(stream, shared.clone()));
                clients.push_back(tokio::spawn(async { drop(answered.await) }).abort_handle());
            }
            // Out of descriptors, say: it will pass, and is not asked for without end meanwhile.
            Ok(Err(_)) => tokio::time::sleep(LOOK_EVERY).await,
            Err(_) => {}
        }
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await?;
        if read == 0 || request.len() + read > REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&part[..read]);
    }
    let (status, kind, body): (_, _, Arc<str>) = if is_for_metrics(&request) {
        let text = shared.text.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ("200 OK", openmetrics::CONTENT_TYPE, text)
    } else {
        ("404 Not Found", "text/plain; charset=utf-8", "figures are at /metrics\n".into())
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn is_for_metrics(request: &[u8]) -> bool {
    let line = request.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let path = (words.next() == Some(b"GET")).then(|| words.next()).flatten().unwrap_or_default();
    path.split(|&byte| byte == b'?').next() == Some(b"/metrics")
}
