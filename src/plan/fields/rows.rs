//! The table: one row a field.

use super::super::data::{DataTable, DataTables};
use super::super::diagnostics::{Mistake, Place};
use super::super::field::{Field, Placed};
use super::super::population::Populations;
use super::super::session::steps::{Steps, Written as WrittenSteps};
use super::super::session::syntax::{
    ALPN, AUTH, CLOSE_CODE, CLOSE_CODES, EXPECT, FILE, FRAMING, JITTER, METHOD, SERVER_NAME, STATUSES,
    SUBPROTOCOL, TEMPLATE, TEXT, TLS_VERSION,
};
use super::super::session::{Expect, Framing, Header, Messages, Reconnect, Request, Statuses, TlsVersion};
use super::super::stages::WrittenClosed;
use super::super::syntax::{
    BACKLOG, COUNT, DURATION, NAME, POSITIVE_DURATION, POSITIVE_RATE, SEED, SIZE, WORKERS,
};
use super::super::target_url::{TARGET_URL, TargetUrl};
use super::super::threshold::Threshold;
use super::super::units::{Count, Rate};
use super::super::words::{BEHAVIOUR, CLOSE, KIND, LIFETIME, PORT_POLICY};
use super::form::{Each, Form, One, Switch};
use super::special::{Addresses, Closed, Comparisons, Headers, Listen, PortList, SpacingOf, Stages};
use super::{Row, Schemes, Tables};
use crate::model::{AddressSet, Spacing};
use crate::plan::definition::{Close, Connection, Lifetime, Plan, PortPolicy, RateStage, Serve, Source};
use crate::plan::flags::Overrides;
use crate::protocol::{Behaviour, Kind, Template};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Makes `Settings` with a field a row, and what reads, merges and describes it.
macro_rules! rows {
    ($($id:ident: $type:ty, $form:expr, $row:expr;)*) => {
        /// Fields of a scenario as they were written, by a file or by flags, and not yet checked as a whole.
        #[derive(Debug, Clone, Default)]
        pub(in crate::plan) struct Settings { $(pub(in crate::plan) $id: Field<$type>,)* }

        impl Settings {
            /// Fields of a file. Those of a table that is bad are bad.
            pub(in crate::plan) fn from_file(tables: &Tables<'_>) -> Settings {
                Settings { $($id: of_file(&$form, &$row, tables),)* }
            }

            /// Fields that flags give; each mistake goes to `mistakes`.
            pub(in crate::plan) fn from_flags(flags: &Overrides, mistakes: &mut Vec<Mistake>) -> Settings {
                Settings { $($id: of_flags(&$form, &$row, flags, mistakes),)* }
            }

            /// These fields (the flags') over others (the file's).
            pub(in crate::plan) fn over(self, file: Settings) -> Settings {
                Settings { $($id: $form.over(self.$id, file.$id),)* }
            }

            /// Fields that are given, with what they mean and where they stand.
            pub(in crate::plan) fn given(&self) -> Vec<(Row, Place)> {
                let mut given = Vec::new();
                $(if let Some(placed) = self.$id.given() {
                    given.push(($row, placed.place.clone()));
                })*
                given
            }

            /// Rows by name, table and flag alone.
            pub(in crate::plan) fn names() -> Vec<Row> {
                vec![$($row),*]
            }

            /// Rows with everything that they say, their form included.
            pub(super) fn rows() -> Vec<Row> {
                vec![$(described($row, &$form)),*]
            }
        }
    };
}

fn of_file<F: Form>(form: &F, row: &Row, tables: &Tables<'_>) -> Field<F::Value> {
    let Some(name) = row.name else { return Field::Absent };
    match tables.get(row.table) {
        Field::Absent => Field::Absent,
        Field::Bad => Field::Bad,
        Field::Given(Placed { value: table, .. }) => match form.read_file(table, name) {
            Field::Absent if table.has_misspelt(name) => Field::Bad,
            read => read,
        },
    }
}

fn of_flags<F: Form>(form: &F, row: &Row, flags: &Overrides, mistakes: &mut Vec<Mistake>) -> Field<F::Value> {
    let Some(key) = row.key() else { return Field::Absent };
    form.read_flag(key, &flags.given(key), mistakes)
}

fn described(row: Row, form: &impl Form) -> Row {
    Row { takes: form.takes(), expected: form.expected(), schema: form.schema(), ..row }
}

const LOAD: &str = "Load";
const CONNECTIONS: &str = "Connections";
const JUDGEMENT: &str = "Judgement and progress";
const MESSAGES: &str = "Messages (ws, http, tcp)";
const HTTP: &str = "HTTP and WebSocket handshake";
const TLS: &str = "TLS";
const RECONNECTING: &str = "Reconnecting";

rows! {
    // What to run.
    url: TargetUrl, One(&TARGET_URL), Row::field("target", "url").positional()
        .doc("Target: tcp, tls, http, https, ws or wss, such as ws://127.0.0.1:9001/chat; every A and AAAA answer of a name is used");
    rate: Rate, One(&POSITIVE_RATE), Row::flag_alone("load").flag("--rate", "RATE", LOAD).short('r')
        .otherwise("100/s where the scenario has no load")
        .doc("Open loop: attempts become due at this rate, such as 5000/s, whether or not earlier ones have ended");
    concurrency: Count, One(&COUNT), Row::flag_alone("load").flag("--concurrency", "SLOTS", LOAD).short('c')
        .otherwise("an open loop")
        .doc("Closed loop: so many slots, each starting its next attempt when the last has ended");
    ramp: Duration, One(&DURATION), Row::flag_alone("load").flag("--ramp", "TIME", LOAD).default(&Duration::ZERO)
        .doc("Rise from 0 to the rate over this time first");
    duration: Duration, One(&POSITIVE_DURATION), Row::flag_alone("load").flag("--duration", "TIME", LOAD).short('d')
        .otherwise("10s, or as long as --connections needs")
        .doc("How long, after the ramp");
    open: Vec<RateStage>, Stages, Row::field("load", "open")
        .otherwise("100/s for 10s")
        .doc("Open loop: stages, each from the rate at which the one before ended; the flags are --rate, --ramp and --duration");
    closed: WrittenClosed, Closed, Row::field("load", "closed")
        .doc("Closed loop: slots that start their next attempt when the last has ended; the flags are --concurrency and --duration");
    spacing: Spacing, SpacingOf, Row::field("load", "spacing").flag("--spacing", "HOW", LOAD)
        .otherwise("even")
        .doc("How the arrivals of an open loop follow upon each other: even, or poisson (at random); a rate may also be written 'poisson(1000/s)'");
    connections: Count, One(&COUNT), Row::field("load", "connections").flag("--connections", "N", LOAD).short('n')
        .otherwise("no end by number")
        .doc("Stop after so many attempts");
    max_open: Count, One(&COUNT), Row::field("load", "max_open").flag("--max-open", "N", LOAD)
        .otherwise("no limit")
        .doc("Have at most so many open at once; arrivals beyond are skipped, and counted");
    drain: Duration, One(&DURATION), Row::field("load", "drain").flag("--drain", "TIME", LOAD)
        .otherwise("all pauses of one conversation and --reply-timeout, 30s at most")
        .doc("Time after the end for conversations under way, which have a number of messages or requests; what is still under way then is cut short, neither ok nor failed");
    name: String, One(&NAME), Row::field("", "name").flag("--name", "NAME", LOAD)
        .otherwise("the file's name, or the target")
        .doc("Name of the run; names its report");
    seed: u64, One(&SEED), Row::field("", "seed").flag("--seed", "N", LOAD).default(&Plan::DEFAULT_SEED)
        .doc("Seed of every random choice");
    workers: NonZeroU32, One(&WORKERS), Row::field("", "workers").flag("--workers", "N", LOAD)
        .otherwise("one a core, more where descriptors ask for it")
        .doc("Worker threads");
    memory: u64, One(&SIZE), Row::field("", "memory").flag("--memory", "SIZE", LOAD)
        .otherwise("nine tenths of what the machine and the cgroup have free")
        .doc("Memory that the whole process may take; a connection whose peer's unfinished or unread bytes go beyond fails, on this side");
    // Before what uses it.
    data: Vec<DataTable>, DataTables, Row::field("", "data")
        .doc("Files of rows that clients fill placeholders with, `{users.name}` for [data.users]: each client takes a row, in-order, random, or once");
    steps: WrittenSteps, Steps, Row::field("", "steps")
        .doc("What each client says and waits for, step by step, in the place of [messages] and [http]");
    populations: (), Populations, Row::field("", "population")
        .otherwise("all clients do the same")
        .doc("Clients of several kinds: [[population]] with `name`, `share` of the load or [population.load], and what a scenario has to say how clients connect and what they do; what it leaves out is the scenario's");
    // From where, and how a connection lives.
    target_ports: Vec<u16>, PortList, Row::field("target", "ports")
        .otherwise("that of the URL, or of its scheme")
        .doc("Ports, where the URL has none: 9001, \"9001-9004\" or a list of such");
    addresses: AddressSet, Addresses, Row::field("source", "addresses").flag("--source", "A,B-C,CIDR", CONNECTIONS)
        .otherwise("the kernel's choice, by route")
        .doc("Source addresses, ranges and CIDR blocks, with commas; '127.0.0.2 * 3' has three times the share");
    ports: PortPolicy, One(&PORT_POLICY), Row::field("source", "ports").flag("--ports", "POLICY", CONNECTIONS)
        .default(&Source::default().ports)
        .doc("Who chooses the source port: kernel (what an ordinary client does), explicit or explicit:LO-HI (we do), naive-bind (the kernel at bind), or LO-HI (the kernel, within a range)");
    lifetime: Lifetime, One(&LIFETIME), Row::field("connection", "lifetime").flag("--lifetime", "TIME", CONNECTIONS)
        .otherwise("0s; until-end with `every` and no `count`")
        .doc("How long a connection stays open: 0s, 2s, 'uniform(1s,5s)', 'exponential(20s)' or until-end");
    close: Close, One(&CLOSE), Row::field("connection", "close").flag("--close", "HOW", CONNECTIONS)
        .default(&Connection::default().close)
        .doc("Who closes, and how: fin, rst or peer");
    connect_timeout: Duration, One(&POSITIVE_DURATION), Row::field("connection", "connect_timeout")
        .flag("--connect-timeout", "TIME", CONNECTIONS).default(&Connection::default().connect_timeout)
        .doc("Longest wait for a connection");
    handshake_timeout: Duration, One(&POSITIVE_DURATION), Row::field("connection", "handshake_timeout")
        .flag("--handshake-timeout", "TIME", CONNECTIONS).default(&Connection::default().handshake_timeout)
        .doc("Longest wait for each handshake above TCP");
    // What the result is judged by.
    thresholds: Vec<Placed<Threshold>>, Comparisons { example: "[thresholds] with \"connect.p99\" = \"< 50ms\"" },
        Row::field("", "thresholds").flag("--threshold", "METRIC OP VALUE", JUDGEMENT)
        .otherwise("failed.ratio < 1%")
        .doc("What the result is judged by, such as 'connect.p99 < 50ms'; may be given several times");
    abort_when: Vec<Placed<Threshold>>, Comparisons { example: "[abort_when] with \"failed.ratio\" = \"> 50%\"" },
        Row::field("", "abort_when").flag("--abort-when", "METRIC OP VALUE", JUDGEMENT)
        .otherwise("no condition")
        .doc("End the run early, as failed, as soon as this holds, such as 'failed.ratio > 50%'; looked at each second; may be given several times");
    // What is said over a connection.
    send: Template, One(&TEMPLATE), Row::field("messages", "send").flag("--send", "TEXT", MESSAGES)
        .otherwise("nothing is sent")
        .doc("Message to send, with {seq}, {conn}, {now_us} and {random:1KiB} replaced; over HTTP the body");
    binary: bool, Switch, Row::field("messages", "binary").flag("--binary", "", MESSAGES)
        .doc("Send it as binary");
    every: Duration, One(&POSITIVE_DURATION), Row::field("messages", "every").flag("--every", "TIME", MESSAGES)
        .otherwise("when the last is answered")
        .doc("Time from one message to the next, whether or not the last was answered");
    think: Duration, One(&DURATION), Row::field("messages", "think").flag("--think", "TIME", MESSAGES)
        .default(&Messages::default().think)
        .doc("Time from an answer to the next message");
    count: Count, One(&COUNT), Row::field("messages", "count").flag("--count", "N", MESSAGES)
        .only(Schemes::NOT_HTTP, "count of messages; `requests` is the number")
        .otherwise("1, or as many as its lifetime holds")
        .doc("Messages on one connection");
    expect: Expect, One(&EXPECT), Row::field("messages", "expect").flag("--expect", "WHAT", MESSAGES)
        .otherwise("no answer is waited for")
        .doc("What answers a message: echo, any, 'contains(TEXT)' or 'json(/POINTER == VALUE)', both with its placeholders; of a WebSocket, anything else is a push");
    timeout: Duration, One(&POSITIVE_DURATION), Row::field("messages", "timeout").flag("--reply-timeout", "TIME", MESSAGES)
        .default(&Messages::default().timeout)
        .doc("Longest wait for an answer");
    ping_every: Duration, One(&POSITIVE_DURATION), Row::field("messages", "ping_every").flag("--ping-every", "TIME", MESSAGES)
        .only(Schemes::WS, "pings").otherwise("no pings")
        .doc("Send a WebSocket ping so often, and measure its pong");
    close_code: u16, One(&CLOSE_CODE), Row::field("messages", "close_code").flag("--close-code", "CODE", MESSAGES)
        .only(Schemes::WS, "close code").default(&Messages::default().close_code)
        .doc("Code of our close frame");
    expect_close: Vec<u16>, One(&CLOSE_CODES), Row::field("messages", "expect_close").flag("--expect-close", "CODES", MESSAGES)
        .only(Schemes::WS, "close codes").otherwise("with `close = \"peer\"` 1000, 1001 or none; else no close of the peer")
        .doc("Close codes of the peer that are as they should be, such as 1000,1001; any other is a failure");
    framing: Framing, One(&FRAMING), Row::field("messages", "framing").flag("--framing", "HOW", MESSAGES)
        .only(Schemes::STREAM, "framing of its own").otherwise("line")
        .doc("How steps find messages in a stream: by line, by a length of 1, 2 or 4 bytes before each, which is sent as well, or none: what a step waits for is taken off, and the rest stays");
    senders: Count, One(&COUNT), Row::field("messages", "senders").flag("--senders", "N", MESSAGES)
        .only(Schemes::WS, "senders and listeners").otherwise("all send")
        .doc("Only the first N connections send; the others listen, and the spread of arrivals is measured");
    // What HTTP is spoken, a WebSocket's handshake included.
    headers: Vec<Header>, Headers, Row::field("target", "headers").flag("--header", "NAME: VALUE", HTTP)
        .only(Schemes::SPEAKS_HTTP, "headers")
        .otherwise("none")
        .doc("A header, such as 'X-Token: abc'; may be given several times");
    auth: Header, One(&AUTH), Row::field("target", "auth").flag("--auth", "HOW", HTTP)
        .only(Schemes::SPEAKS_HTTP, "headers to authenticate by")
        .otherwise("none")
        .doc("'basic(USER:PASSWORD)' or 'bearer(TOKEN)'");
    origin: String, One(&TEXT), Row::field("target", "origin").flag("--origin", "ORIGIN", HTTP)
        .only(Schemes::SPEAKS_HTTP, "origin")
        .otherwise("none")
        .doc("The header Origin");
    subprotocols: Vec<String>, Each(&SUBPROTOCOL), Row::field("target", "subprotocols").flag("--subprotocol", "NAME", HTTP)
        .only(Schemes::WS, "subprotocols")
        .otherwise("none")
        .doc("A subprotocol to offer; may be given several times. Extensions are not offered: messages are never compressed (no permessage-deflate)");
    method: String, One(&METHOD), Row::field("http", "method").flag("--method", "METHOD", HTTP)
        .only(Schemes::HTTP, "requests").otherwise("GET, or POST with a body")
        .doc("Method of requests");
    body: Template, One(&TEMPLATE), Row::field("http", "body").flag("--body", "TEXT", HTTP)
        .only(Schemes::HTTP, "requests").otherwise("no body")
        .doc("Body of requests");
    requests: Count, One(&COUNT), Row::field("http", "requests").flag("--requests", "N", HTTP)
        .only(Schemes::HTTP, "requests").default(&Request::default().requests)
        .doc("Requests on one connection");
    statuses: Statuses, One(&STATUSES), Row::field("http", "status").flag("--status", "STATUSES", HTTP)
        .only(Schemes::HTTP, "statuses").default(&Statuses::default())
        .doc("Statuses that are as they should be, such as 200, 2xx or 200-299,404");
    // TLS.
    ca: PathBuf, One(&FILE), Row::field("tls", "ca").flag("--ca", "FILE", TLS)
        .only(Schemes::TLS, "TLS").otherwise("the system's")
        .doc("Trust the certificates in this PEM file");
    cert: PathBuf, One(&FILE), Row::field("tls", "cert").flag("--cert", "FILE", TLS)
        .only(Schemes::TLS, "TLS").otherwise("none")
        .doc("Our own certificate, as PEM");
    key: PathBuf, One(&FILE), Row::field("tls", "key").flag("--key", "FILE", TLS)
        .only(Schemes::TLS, "TLS")
        .otherwise("none")
        .doc("Its key, as PEM");
    insecure: bool, Switch, Row::field("tls", "insecure").flag("--insecure", "", TLS)
        .only(Schemes::TLS, "TLS")
        .doc("Accept any certificate; the report says so");
    server_name: String, One(&SERVER_NAME), Row::field("tls", "server_name").flag("--server-name", "NAME", TLS)
        .only(Schemes::TLS, "TLS").otherwise("the target's host")
        .doc("Name to ask for and to verify");
    alpn: Vec<String>, Each(&ALPN), Row::field("tls", "alpn").flag("--alpn", "NAME", TLS)
        .only(Schemes::TLS, "TLS").otherwise("http/1.1 for HTTP and WebSocket")
        .doc("A protocol to offer; may be given several times");
    tls_version: TlsVersion, One(&TLS_VERSION), Row::field("tls", "version").flag("--tls-version", "VERSION", TLS)
        .only(Schemes::TLS, "TLS").otherwise("1.2 and 1.3")
        .doc("The one version to speak: 1.2 or 1.3");
    resumption: bool, Switch, Row::field("tls", "resumption").flag("--resumption", "", TLS)
        .only(Schemes::TLS, "TLS")
        .doc("Resume sessions; a resumed handshake costs a fraction of a full one");
    // What is done when a connection is lost. In the file the table alone asks for it.
    reconnect: bool, Switch, Row::flag_alone("reconnect").flag("--reconnect", "", RECONNECTING)
        .doc("Connect again when a connection is lost or can't be had");
    backoff: Duration, One(&POSITIVE_DURATION), Row::field("reconnect", "backoff").flag("--backoff", "TIME", RECONNECTING)
        .default(&Reconnect::default().backoff)
        .doc("First wait before it; doubles with each failure");
    backoff_max: Duration, One(&POSITIVE_DURATION), Row::field("reconnect", "max").flag("--backoff-max", "TIME", RECONNECTING)
        .default(&Reconnect::default().max)
        .doc("Longest wait");
    jitter: f64, One(&JITTER), Row::field("reconnect", "jitter").flag("--jitter", "SHARE", RECONNECTING)
        .default(&Reconnect::default().jitter)
        .doc("How far waits are spread: 0.5 is from 50 % to 150 %");
    attempts: Count, One(&COUNT), Row::field("reconnect", "attempts").flag("--reconnect-attempts", "N", RECONNECTING)
        .otherwise("never")
        .doc("Failures in a row after which it is given up");
    // A target that the run starts.
    serve_kind: Kind, One(&KIND), Row::field("serve", "kind").default(&Serve::default().kind)
        .doc("What is spoken");
    serve_behaviour: Behaviour, One(&BEHAVIOUR), Row::field("serve", "behaviour").default(&Serve::default().behaviour)
        .doc("What is done with a connection: what `connstorm serve KIND --help` lists");
    serve_listen: Vec<SocketAddr>, Listen, Row::field("serve", "listen").otherwise("127.0.0.1, a free port")
        .doc("Addresses and ports to listen on; port 0 is a free one");
    serve_backlog: u32, One(&BACKLOG), Row::field("serve", "backlog").default(&Serve::default().backlog)
        .doc("Length of the accept queue; the kernel cuts it to net.core.somaxconn");
    serve_workers: NonZeroU32, One(&WORKERS), Row::field("serve", "workers")
        .otherwise("one a core, more where descriptors ask for it")
        .doc("Worker threads of the target");
}
