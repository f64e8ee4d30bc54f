//! Figures of a run under way, written to databases of metrics: `--push-prometheus`, `--push-otlp`.
//!
//! The run's own thread only hands a result over. A thread of the lowest priority for each database makes requests of them
//! and sends them, in order; what is not taken is kept and sent again. A database that is away, slow or silent costs the
//! run nothing but the memory of what waits, which is bounded.

use crate::cli::output::say;
use crate::linux::clock::Clock;
use crate::linux::priority;
use crate::report::push::{Progress, Protocol, Requests, run_id};
use crate::result::RunResult;
use crate::run::Watched;
use anyhow::Context;
use clap::Args;
use rustls_native_certs::load_native_certs;
use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// Bytes of requests that wait for a database, at most; beyond it the oldest are given up.
const WAITING: usize = 16 << 20;
/// Time that one request may take.
const ONE_REQUEST: Duration = Duration::from_secs(10);
/// Wait before the second attempt; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Time that is given to what waits when the run has ended.
const END: Duration = Duration::from_secs(5);
/// Wait between two attempts in that time.
const END_WAIT: Duration = Duration::from_millis(250);

/// Flags for databases that the figures are written to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Metrics elsewhere")]
pub(in crate::cli) struct PushFlags {
    /// Write the figures of each second to Prometheus, by remote write, such as http://127.0.0.1:9090/api/v1/write
    #[arg(long, value_name = "URL")]
    push_prometheus: Option<Address>,
    /// Write them to an OpenTelemetry receiver, by OTLP over HTTP, such as http://127.0.0.1:4318/v1/metrics
    #[arg(long, value_name = "URL")]
    push_otlp: Option<Address>,
    /// Label of every series, such as branch=main; job, instance and run are there [default: none; several are possible]
    #[arg(long, value_name = "NAME=VALUE")]
    push_label: Vec<Label>,
    /// Header field of every request, such as 'X-Scope-OrgID: load'; in the variable one a line
    /// [default: none; several are possible]
    #[arg(
        long,
        value_name = "NAME: VALUE",
        env = "CONNSTORM_PUSH_HEADERS",
        value_delimiter = '\n',
        hide_env_values = true
    )]
    push_header: Vec<Header>,
}

/// URL of a database.
#[derive(Debug, Clone)]
struct Address(Uri);

impl Address {
    /// The address without what may be secret: user, query.
    fn told(&self) -> String {
        let (scheme, path) = (self.0.scheme_str().unwrap_or("http"), self.0.path());
        let port = self.0.port_u16().map_or(String::new(), |port| format!(":{port}"));
        format!("{scheme}://{}{port}{path}", self.0.host().unwrap_or_default())
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let uri: Uri = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
        match uri.scheme_str() {
            Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(Address(uri)),
            _ => {
                Err("give an http:// or https:// URL, such as http://127.0.0.1:9090/api/v1/write".to_owned())
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Label(String, String);

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Label, String> {
        let (name, value) = text.split_once('=').ok_or("give NAME=VALUE, such as branch=main")?;
        let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.starts_with("__")
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(
                "a label's name has letters, digits and '_', no digit first and no '__' before it".into()
            );
        }
        Ok(Label(name.to_owned(), value.to_owned()))
    }
}

#[derive(Debug, Clone)]
struct Header(String, String);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Header, String> {
        let (name, value) =
            text.split_once(':').ok_or("give 'NAME: VALUE', such as 'X-Scope-OrgID: load'")?;
        let value = value.trim();
        let name: ureq::http::HeaderName =
            name.trim().parse().map_err(|_| "that is no name of a header field")?;
        let value: ureq::http::HeaderValue =
            value.parse().map_err(|_| "the value has characters that no header may have")?;
        Ok(Header(name.to_string(), value.to_str().map_err(|error| error.to_string())?.to_owned()))
    }
}

/// Databases that a run writes to.
#[derive(Debug, Default)]
pub(super) struct Push(Vec<Database>);

#[derive(Debug)]
struct Database {
    results: Sender<(Arc<RunResult>, Progress)>,
    outcome: Receiver<Outcome>,
    address: Address,
}

/// Fate of the requests.
#[derive(Debug, Default)]
struct Outcome {
    given_up: u64,
    trouble: Option<String>,
}

impl Push {
    /// Makes ready to write; nothing is sent before the first window.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub(super) fn start(flags: &PushFlags) -> anyhow::Result<Push> {
        let asked = [(Protocol::RemoteWrite, &flags.push_prometheus), (Protocol::Otlp, &flags.push_otlp)];
        let asked = asked.into_iter().filter_map(|(protocol, address)| Some((protocol, address.clone()?)));
        asked
            .map(|(protocol, address)| Database::start(protocol, address, flags))
            .collect::<Result<_, _>>()
            .map(Push)
    }

    /// Hands the figures over when a window is complete.
    pub(super) fn look(&self, watched: &Watched<'_>) {
        if self.0.is_empty() {
            return;
        }
        if let Some(window) = watched.last_window() {
            self.hand(&Arc::new(watched.so_far(vec![window])), Progress::Running);
        }
    }

    /// Hands the result over, gives what waits a little time, and tells what was not taken.
    pub(super) fn finish(self, result: &RunResult) {
        if self.0.is_empty() {
            return;
        }
        let last = result.windows.last().cloned();
        let result = RunResult { windows: last.into_iter().collect(), ..result.clone() };
        self.hand(&Arc::new(result), Progress::Ended);
        for Database { results, outcome, address } in self.0 {
            drop(results);
            // A request that is under way at the end has no longer than that either.
            match outcome.recv_timeout(END + END_WAIT) {
                Ok(Outcome { given_up: 0, .. }) => {}
                Ok(Outcome { given_up, trouble }) => say(&format!(
                    "connstorm: {} did not take the figures of {given_up} moments: {}",
                    address.told(),
                    trouble.unwrap_or_else(|| "they were too many".to_owned())
                )),
                Err(_) => {
                    say(&format!("connstorm: {} has not taken the last figures in time", address.told()))
                }
            }
        }
    }

    fn hand(&self, result: &Arc<RunResult>, progress: Progress) {
        for database in &self.0 {
            // It is gone only after a panic; the run is as good without it.
            let _ = database.results.send((result.clone(), progress));
        }
    }
}

impl Database {
    fn start(protocol: Protocol, address: Address, flags: &PushFlags) -> anyhow::Result<Database> {
        let (results, handed) = channel();
        let (told, outcome) = channel();
        let own = flags.push_label.iter().map(|Label(name, value)| (name.clone(), value.clone()));
        let sending = Sending {
            protocol,
            address: address.clone(),
            labels: own.collect(),
            headers: flags.push_header.clone(),
            agent: agent(&address),
            clock: Clock::start(),
            waiting: VecDeque::new(),
            bytes: 0,
            outcome: Outcome::default(),
        };
        let work = move || {
            // A lower priority is refused to nobody; where it is, the figures are only sent less politely.
            let _ = priority::lowest();
            // Nobody waits for it any more where the end took too long.
            let _ = told.send(sending.work(&handed));
        };
        thread::Builder::new()
            .name("push".into())
            .spawn(work)
            .context("cannot start a thread to push metrics")?;
        Ok(Database { results, outcome, address })
    }
}

fn agent(address: &Address) -> Agent {
    let builder = Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None);
    let builder = builder.user_agent(concat!("connstorm/", env!("CARGO_PKG_VERSION")));
    if address.0.scheme_str() != Some("https") {
        return builder.build().new_agent();
    }
    let roots = load_native_certs().certs;
    let roots = roots.iter().map(|root| Certificate::from_der(root).to_owned());
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    builder.tls_config(tls.build()).build().new_agent()
}

/// The side of a database's thread.
struct Sending {
    protocol: Protocol,
    address: Address,
    labels: Vec<(String, String)>,
    headers: Vec<Header>,
    agent: Agent,
    clock: Clock,
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    outcome: Outcome,
}

/// Answer of a database.
enum Answer {
    Taken,
    /// Worth another attempt.
    Later(String),
    /// Not taken, and never to be.
    Refused(String),
}

impl Sending {
    fn work(mut self, handed: &Receiver<(Arc<RunResult>, Progress)>) -> Outcome {
        let mut requests: Option<Requests> = None;
        let (mut wait, mut again_at) = (FIRST_WAIT, Duration::ZERO);
        loop {
            let idle =
                if self.waiting.is_empty() { LONGEST_WAIT } else { again_at.saturating_sub(self.now()) };
            match handed.recv_timeout(idle) {
                Ok(first) => {
                    for (result, progress) in std::iter::once(first).chain(handed.try_iter()) {
                        let requests = requests
                            .get_or_insert_with(|| Requests::new(self.protocol, self.labels(&result)));
                        match requests.body(&result, progress) {
                            Ok(body) => self.keep(body),
                            Err(error) => self.outcome.trouble = Some(error.to_string()),
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while self.now() >= again_at && !self.waiting.is_empty() {
                if self.send_first(ONE_REQUEST) {
                    wait = FIRST_WAIT;
                } else {
                    again_at = self.now() + wait;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        self.last_words()
    }

    /// The run has ended: what waits is tried a little while longer.
    fn last_words(mut self) -> Outcome {
        let until = self.now() + END;
        while !self.waiting.is_empty() && self.now() < until {
            let left = until.saturating_sub(self.now());
            if !self.send_first(left.max(END_WAIT)) {
                thread::sleep(END_WAIT.min(left));
            }
        }
        self.outcome.given_up += self.waiting.len() as u64;
        self.outcome
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Labels of every series: those of the user stand before ours.
    fn labels(&self, result: &RunResult) -> Vec<(String, String)> {
        let run = run_id(result.began_unix_us, std::process::id());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let ours = [("job", "connstorm".to_owned()), ("instance", host), ("run", run)];
        let is_given = |name: &str| self.labels.iter().any(|(given, _)| given == name);
        let ours = ours.into_iter().filter(|(name, _)| !is_given(name));
        ours.map(|(name, value)| (name.to_owned(), value)).chain(self.labels.iter().cloned()).collect()
    }

    fn keep(&mut self, body: Vec<u8>) {
        self.bytes += body.len();
        self.waiting.push_back(body);
        while self.bytes > WAITING {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.len();
            self.outcome.given_up += 1;
        }
    }

    /// Sends the oldest request; true if it is dealt with.
    fn send_first(&mut self, within: Duration) -> bool {
        let Some(body) = self.waiting.front() else { return true };
        let trouble = match self.ask(body, within) {
            Answer::Taken => None,
            Answer::Refused(why) => {
                self.outcome.given_up += 1;
                Some(why)
            }
            Answer::Later(why) => {
                self.note(why, "it is sent again, with what comes meanwhile");
                return false;
            }
        };
        if let Some(body) = self.waiting.pop_front() {
            self.bytes -= body.len();
        }
        if let Some(why) = trouble {
            self.note(why, "those figures are given up");
        }
        true
    }

    /// Tells a trouble, the first time that it comes.
    fn note(&mut self, why: String, what_now: &str) {
        if self.outcome.trouble.as_ref() != Some(&why) {
            say(&format!("connstorm: {} did not take the figures: {why}; {what_now}", self.address.told()));
            self.outcome.trouble = Some(why);
        }
    }

    fn ask(&self, body: &[u8], within: Duration) -> Answer {
        let mut request = self.agent.post(self.address.0.clone());
        for (name, value) in self.protocol.headers() {
            request = request.header(*name, *value);
        }
        for Header(name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut answer = match request.config().timeout_global(Some(within)).build().send(body) {
            Ok(answer) => answer,
            Err(error) => return Answer::Later(error.to_string()),
        };
        let status = answer.status();
        let said = answer.body_mut().with_config().limit(300).read_to_string().unwrap_or_default();
        let why = format!("{status}{}{}", if said.trim().is_empty() { "" } else { ": " }, said.trim());
        // Both protocols: what the server can't do now is asked again, what is wrong with the request is not.
        match status.as_u16() {
            200..=299 => Answer::Taken,
            429 | 500..=599 => Answer::Later(why),
            _ => Answer::Refused(why),
        }
    }
}
