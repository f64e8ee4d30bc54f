//! A small HTTP server for figures of what goes on: `/metrics`, pages, and events as they come.
//!
//! A thread of its own answers many clients side by side. Whoever comes is taken from the accept queue at once, so that
//! no crowd of scrapers fills it, which would look as if the target's were full; beyond [`CLIENTS`] the one that has
//! waited longest is let go. A client that is silent or slow is let go within [`PATIENCE`], and delays nobody: what there
//! is to say is swapped as a whole, and a reader of events that falls behind gets the newest. The thread has the lowest
//! priority, and whoever has something to say never waits for it.

use super::output::say;
use crate::linux::priority;
use anyhow::Context;
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// Longest time that a client has for its request, and for taking one answer or one event.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks whether there is something new to say, or all has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Time after which a reader of events is told that all is well, so that a dead one is found.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Clients that are answered side by side, and those of them that read events.
const CLIENTS: usize = 64;
const READERS: usize = 24;
/// Length of the accept queue; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Longest request that is read.
const REQUEST: usize = 8192;
/// Headers of a request that are read.
const HEADERS: usize = 64;

/// A request, as far as anybody here looks at it.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The method.
    pub(super) method: &'a str,
    /// The path, without the query.
    pub(super) path: &'a str,
    headers: &'a [httparse::Header<'a>],
}

impl Request<'_> {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    }
}

/// Answer to a request.
pub(super) enum Answer {
    /// A text.
    Text {
        /// Status line's code and words.
        status: &'static str,
        /// Content type.
        kind: &'static str,
        /// Content.
        body: Arc<str>,
    },
    /// Events, one for each change of a feed, until it ends.
    Events(Arc<Feed>),
}

impl Answer {
    /// A short text in plain words.
    pub(super) fn plain(status: &'static str, words: &str) -> Answer {
        Answer::Text { status, kind: "text/plain; charset=utf-8", body: words.into() }
    }
}

/// Answers requests.
pub(super) trait Site: Send + Sync + 'static {
    /// The answer to one.
    fn answer(&self, request: &Request<'_>) -> Answer;
}

/// The newest of something that changes. Whoever sets it waits for nobody.
#[derive(Debug)]
pub(super) struct Feed {
    text: Mutex<Arc<str>>,
    version: AtomicU64,
    ended: AtomicBool,
    readers: AtomicU64,
}

impl Feed {
    /// A feed that begins with this.
    pub(super) fn new(text: &str) -> Feed {
        Feed {
            text: Mutex::new(text.into()),
            version: AtomicU64::new(1),
            ended: AtomicBool::new(false),
            readers: AtomicU64::new(0),
        }
    }

    /// Sets it.
    pub(super) fn set(&self, text: impl Into<Arc<str>>) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
        self.version.fetch_add(1, Relaxed);
    }

    /// The newest.
    pub(super) fn get(&self) -> Arc<str> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that nothing comes any more, and waits until those who read it have the newest, as long as this at most.
    pub(super) fn end(&self, patience: Duration) {
        self.ended.store(true, Relaxed);
        let mut waited = Duration::ZERO;
        while self.readers() > 0 && waited < patience {
            thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
    }

    /// Clients that read it as events.
    pub(super) fn readers(&self) -> u64 {
        self.readers.load(Relaxed)
    }
}

/// The server, until it is dropped.
pub(super) struct Server {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Listens for [`Server::start`]. The socket stays in the network namespace of the thread that opened it.
///
/// # Errors
/// When the address can't be listened on.
pub(super) fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .with_context(|| format!("cannot listen on {address} for --listen; is the port taken?"))?;
    // A queue that stays as short as std made it is shorter than it could be, and no worse.
    let _ = rustix::net::listen(&listener, BACKLOG);
    Ok(listener)
}

impl Server {
    /// Starts to answer.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(listener: TcpListener, site: Arc<dyn Site>) -> anyhow::Result<Server> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context("cannot wait for clients of --listen")?;
        let ended = Arc::new(AtomicBool::new(false));
        let theirs = ended.clone();
        let serve = move || {
            // A lower priority is refused to nobody; where it is, clients are only served less politely.
            let _ = priority::lowest();
            runtime.block_on(serve(listener, site, theirs));
        };
        let thread = thread::Builder::new().name("metrics".into()).spawn(serve);
        Ok(Server { ended, thread: Some(thread.context("cannot start the thread of --listen")?) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It answers nobody any more; a panic in it would have been a defect, and ends nothing else.
            let _ = thread.join();
        }
    }
}

/// Says where the figures are.
pub(super) fn announce(listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        say(&format!("metrics: http://{address}/metrics"));
    }
}

async fn serve(listener: TcpListener, site: Arc<dyn Site>, ended: Arc<AtomicBool>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut clients = VecDeque::<AbortHandle>::new();
    while !ended.load(Relaxed) {
        match tokio::time::timeout(LOOK_EVERY, listener.accept()).await {
            Ok(Ok((stream, _))) => {
                clients.retain(|client| !client.is_finished());
                if clients.len() >= CLIENTS
                    && let Some(oldest) = clients.pop_front()
                {
                    oldest.abort();
                }
                // A client that goes away or is too slow is no trouble of ours.
                let answered = answer(stream, site.clone());
                clients.push_back(tokio::spawn(async { drop(answered.await) }).abort_handle());
            }
            // Out of descriptors, say: it will pass, and is not asked for without end meanwhile.
            Ok(Err(_)) => tokio::time::sleep(LOOK_EVERY).await,
            Err(_) => {}
        }
    }
}

async fn answer(mut stream: TcpStream, site: Arc<dyn Site>) -> std::io::Result<()> {
    let Ok(read) = tokio::time::timeout(PATIENCE, read_request(&mut stream)).await else { return Ok(()) };
    let Some(request) = read? else { return Ok(()) };
    let answer = {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&request) {
            Ok(httparse::Status::Complete(_)) => {
                let (path, _) = parsed.path.map_or(("", None), |path| match path.split_once('?') {
                    Some((path, query)) => (path, Some(query)),
                    None => (path, None),
                });
                let method = parsed.method.unwrap_or_default();
                site.answer(&Request { method, path, headers: parsed.headers })
            }
            _ => Answer::plain("400 Bad Request", "this is no request of HTTP/1.1\n"),
        }
    };
    match answer {
        Answer::Text { status, kind, body } => {
            let length = body.len();
            let head = head(status, kind, &format!("Content-Length: {length}\r\n"));
            tokio::time::timeout(PATIENCE, async {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await?;
                stream.shutdown().await
            })
            .await?
        }
        Answer::Events(feed) => {
            if feed.readers.fetch_add(1, Relaxed) >= READERS as u64 {
                feed.readers.fetch_sub(1, Relaxed);
                return Ok(());
            }
            let _reading = Reading(feed.clone());
            events(stream, &feed).await
        }
    }
}

/// One reader of a feed, until it is dropped, by whatever way.
struct Reading(Arc<Feed>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Relaxed);
    }
}

/// The whole head of a request; `None` where the client goes away, or sends too much.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await?;
        if read == 0 || request.len() + read > REQUEST {
            return Ok(None);
        }
        request.extend_from_slice(&part[..read]);
    }
    Ok(Some(request))
}

/// A page may run its own script and ask where it came from, and nothing else.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; frame-ancestors 'none'\r\n";

fn head(status: &str, kind: &str, more: &str) -> String {
    let policy = if kind.starts_with("text/html") { POLICY } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}{policy}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
         Connection: close\r\n\r\n"
    )
}

/// Server-sent events (HTML Living Standard, 9.2): the newest text as one event, whenever there is a newer one.
async fn events(mut stream: TcpStream, feed: &Feed) -> std::io::Result<()> {
    let head = head("200 OK", "text/event-stream", "");
    tokio::time::timeout(PATIENCE, stream.write_all(head.as_bytes())).await??;
    let (mut said, mut quiet) = (0, Duration::ZERO);
    loop {
        let ended = feed.ended.load(Relaxed);
        let version = feed.version.load(Relaxed);
        if version != said {
            said = version;
            let text = feed.get();
            let event: String = text.lines().map(|line| format!("data: {line}\n")).collect();
            tokio::time::timeout(PATIENCE, stream.write_all(format!("{event}\n").as_bytes())).await??;
            quiet = Duration::ZERO;
        } else if quiet >= KEEP_ALIVE {
            tokio::time::timeout(PATIENCE, stream.write_all(b": still there\n\n")).await??;
            quiet = Duration::ZERO;
        }
        if ended && feed.version.load(Relaxed) == said {
            tokio::time::timeout(PATIENCE, stream.write_all(b"event: end\ndata: \n\n")).await??;
            return stream.shutdown().await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        quiet += LOOK_EVERY;
    }
}
