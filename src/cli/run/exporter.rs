//! A run under way, over HTTP on an address of the user's choice: `GET /metrics` for Prometheus, `GET /` a page that grows
//! with it, `POST /stop` with the token that was told to whoever started the run.
//!
//! The run's own thread only swaps a text and hands a window over. A thread of the lowest priority makes the page's
//! report, only while somebody reads it, and spends at most a twentieth of its time on that.

use crate::cli::http::{self, Answer, Feed, Request, Server, Site};
use crate::cli::output::say;
use crate::linux::clock::Clock;
use crate::linux::priority;
use crate::plan::Plan;
use crate::plan::secrets::hide_in;
use crate::report::html::{self, Stage};
use crate::report::openmetrics;
use crate::result::{RunResult, WindowSummary};
use crate::run::Watched;
use anyhow::Context;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Time between two looks whether somebody reads the page.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Share of the time that may be spent on the page: one in so many.
const SHARE: u32 = 20;
/// Longest time that readers have to fetch the end.
const END: Duration = Duration::from_secs(5);
/// Windows that the page holds, at most; of a longer run every other one goes.
const WINDOWS: usize = 4096;

/// The server, until it is dropped.
pub(super) struct Exporter {
    text: Arc<Feed>,
    page: Arc<Feed>,
    stop: Arc<AtomicBool>,
    results: Option<Sender<Box<RunResult>>>,
    thread: Option<JoinHandle<()>>,
    secrets: Vec<String>,
    server: Option<Server>,
}

struct Pages {
    text: Arc<Feed>,
    page: Arc<Feed>,
    frame: Arc<str>,
    stop: Arc<AtomicBool>,
    token: String,
}

impl Exporter {
    /// Listens; the figures are those of a run that has not begun.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub(super) fn start(address: SocketAddr, plan: &Plan) -> anyhow::Result<Exporter> {
        let listener = http::listen(address)?;
        http::announce(&listener);
        // An empty text is a valid one, with its end.
        let text = Arc::new(Feed::new("# EOF\n"));
        let page = Arc::new(Feed::new("{}"));
        let stop = Arc::new(AtomicBool::new(false));
        let token = token().context("cannot make a token for the stop button of --listen")?;
        announce(&listener, &token);
        let frame = html::live_frame(&plan.name)?.into();
        let pages = Pages { text: text.clone(), page: page.clone(), frame, stop: stop.clone(), token };
        let server = Server::start(listener, Arc::new(pages))?;
        let (results, handed) = channel();
        let (secrets, theirs) = (plan.secret_texts(), page.clone());
        let hidden = secrets.clone();
        let make = move || {
            // A lower priority is refused to nobody; where it is, the page is only made less politely.
            let _ = priority::lowest();
            make(&handed, &theirs, &hidden);
        };
        let thread = thread::Builder::new().name("page".into()).spawn(make);
        let thread = Some(thread.context("cannot start the thread of --listen")?);
        Ok(Exporter { text, page, stop, results: Some(results), thread, secrets, server: Some(server) })
    }

    /// Renews the figures when a window is complete.
    pub(super) fn look(&mut self, watched: &Watched<'_>) {
        let Some(window) = watched.last_window() else { return };
        let result = watched.so_far(vec![window]);
        if let Ok(text) = openmetrics::render_running(&result) {
            self.text.set(text);
        }
        // It is gone only after a panic; the run is as good without its page.
        if let Some(results) = &self.results {
            let _ = results.send(Box::new(result));
        }
    }

    /// True if somebody has pressed the stop button.
    pub(super) fn is_asked_to_stop(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Shows the result, and goes away when those who look at the page have it.
    pub(super) fn finish(mut self, result: &RunResult) {
        self.end();
        if self.page.readers() == 0 {
            return;
        }
        if let Ok(report) = html::live_report(&hide_in(result.clone(), &self.secrets), Stage::Ended) {
            self.page.set(report);
        }
        self.page.end(END);
    }

    fn end(&mut self) {
        self.results = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it would have been a defect, and ends nothing else.
            let _ = thread.join();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.end();
        self.server = None;
    }
}

/// Makes the page's report as windows come, while somebody reads it.
fn make(handed: &Receiver<Box<RunResult>>, page: &Feed, secrets: &[String]) {
    let mut windows: Vec<WindowSummary> = Vec::new();
    let mut last: Option<Box<RunResult>> = None;
    let (mut is_new, mut next) = (false, Duration::ZERO);
    let clock = Clock::start();
    loop {
        match handed.recv_timeout(LOOK_EVERY) {
            Ok(first) => {
                for mut result in std::iter::once(first).chain(handed.try_iter()) {
                    windows.append(&mut result.windows);
                    last = Some(result);
                }
                is_new = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if windows.len() > WINDOWS {
            let mut keep = false;
            windows.retain(|_| {
                keep = !keep;
                keep
            });
        }
        let begun = clock.now();
        if !is_new || page.readers() == 0 || begun < next {
            continue;
        }
        let Some(last) = &last else { continue };
        let result = RunResult { windows: windows.clone(), ..(**last).clone() };
        if let Ok(report) = html::live_report(&hide_in(result, secrets), Stage::UnderWay) {
            page.set(report);
        }
        is_new = false;
        let now = clock.now();
        next = now + now.saturating_sub(begun) * SHARE;
    }
}

/// A number that nobody guesses.
fn token() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn announce(listener: &TcpListener, token: &str) {
    if let Ok(address) = listener.local_addr() {
        say(&format!("live page: http://{address}/ (with a stop button: http://{address}/#stop={token})"));
    }
}

impl Site for Pages {
    fn answer(&self, request: &Request<'_>) -> Answer {
        let text = |kind, body| Answer::Text { status: "200 OK", kind, body };
        match (request.method, request.path) {
            ("GET", "/") => text("text/html; charset=utf-8", self.frame.clone()),
            ("GET", "/metrics") => text(openmetrics::CONTENT_TYPE, self.text.get()),
            ("GET", "/events") => Answer::Events(self.page.clone()),
            ("POST", "/stop")
                if request.header("x-connstorm-token").is_some_and(|given| self.is_token(given)) =>
            {
                self.stop.store(true, Relaxed);
                Answer::plain("202 Accepted", "The run is asked to end; its report follows.\n")
            }
            ("POST", "/stop") => Answer::plain(
                "403 Forbidden",
                "The token is another: it was told where the run was started.\n",
            ),
            _ => Answer::plain("404 Not Found", "the page is at /, figures are at /metrics\n"),
        }
    }
}

impl Pages {
    /// Compared as a whole, whatever the place of the first difference.
    fn is_token(&self, given: &str) -> bool {
        let (own, given) = (self.token.as_bytes(), given.as_bytes());
        own.len() == given.len() && own.iter().zip(given).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}
