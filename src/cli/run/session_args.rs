//! The flags of what is said above TCP, under the names of the scenario's fields.

use crate::plan::SessionOverrides;
use clap::Args;

/// What is said, and what is expected.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages (ws, http, tcp)")]
pub(super) struct MessageFlags {
    /// Message to send, with {seq}, {conn}, {now_us} and {random:1KiB} replaced; over HTTP the body
    #[arg(long, value_name = "TEXT")]
    send: Option<String>,
    /// Send it as binary
    #[arg(long)]
    binary: bool,
    /// Time from one message to the next, whether or not the last was answered
    #[arg(long, value_name = "TIME")]
    every: Option<String>,
    /// Time from an answer to the next message
    #[arg(long, value_name = "TIME")]
    think: Option<String>,
    /// Messages on one connection [default: 1, or as many as its lifetime holds]
    #[arg(long, value_name = "N")]
    count: Option<String>,
    /// What answers a message: echo, any, 'contains(TEXT)' or 'json(/POINTER == VALUE)'
    #[arg(long, value_name = "WHAT")]
    expect: Option<String>,
    /// Longest wait for an answer [default: 5s]
    #[arg(long, value_name = "TIME")]
    reply_timeout: Option<String>,
    /// Send a WebSocket ping so often, and measure its pong
    #[arg(long, value_name = "TIME")]
    ping_every: Option<String>,
    /// Code of our close frame [default: 1000]
    #[arg(long, value_name = "CODE")]
    close_code: Option<String>,
    /// Only the first N connections send; the others listen, and the spread of arrivals is measured
    #[arg(long, value_name = "N")]
    senders: Option<String>,
}

/// What HTTP is spoken, a WebSocket's handshake included.
#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP and WebSocket handshake")]
pub(super) struct HttpFlags {
    /// A header, such as 'X-Token: abc'; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// 'basic(USER:PASSWORD)' or 'bearer(TOKEN)'
    #[arg(long, value_name = "HOW")]
    auth: Option<String>,
    /// The header Origin
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// A subprotocol to offer; may be given several times. Extensions are not offered: messages are never
    /// compressed (no permessage-deflate)
    #[arg(long = "subprotocol", value_name = "NAME")]
    subprotocols: Vec<String>,
    /// Method of requests [default: GET, or POST with a body]
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Body of requests
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Requests on one connection [default: 1]
    #[arg(long, value_name = "N")]
    requests: Option<String>,
    /// Statuses that are as they should be, such as 200, 2xx or 200-299,404 [default: 200-399]
    #[arg(long, value_name = "STATUSES")]
    status: Option<String>,
}

/// TLS.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsFlags {
    /// Trust the certificates in this PEM file [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
    /// Our own certificate, as PEM
    #[arg(long, value_name = "FILE")]
    cert: Option<String>,
    /// Its key, as PEM
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// Accept any certificate; the report says so
    #[arg(long)]
    insecure: bool,
    /// Name to ask for and to verify [default: the target's host]
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// A protocol to offer; may be given several times [default: http/1.1 for HTTP and WebSocket]
    #[arg(long, value_name = "NAME")]
    alpn: Vec<String>,
    /// The one version to speak: 1.2 or 1.3
    #[arg(long, value_name = "VERSION")]
    tls_version: Option<String>,
    /// Resume sessions; a resumed handshake costs a fraction of a full one
    #[arg(long)]
    resumption: bool,
}

/// What is done when a connection is lost.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reconnecting")]
pub(super) struct ReconnectFlags {
    /// Connect again when a connection is lost or can't be had
    #[arg(long)]
    reconnect: bool,
    /// First wait before it; doubles with each failure [default: 100ms]
    #[arg(long, value_name = "TIME", requires = "reconnect")]
    backoff: Option<String>,
    /// Longest wait [default: 10s]
    #[arg(long, value_name = "TIME", requires = "reconnect")]
    backoff_max: Option<String>,
    /// How far waits are spread: 0.5 is from 50 % to 150 % [default: 0.5]
    #[arg(long, value_name = "SHARE", requires = "reconnect")]
    jitter: Option<String>,
    /// Failures in a row after which it is given up [default: never]
    #[arg(long, value_name = "N", requires = "reconnect")]
    reconnect_attempts: Option<String>,
}

/// All of them.
#[derive(Debug, Args)]
pub(super) struct SessionFlags {
    #[command(flatten)]
    messages: MessageFlags,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    tls: TlsFlags,
    #[command(flatten)]
    reconnect: ReconnectFlags,
}

impl SessionFlags {
    /// The flags as the scenario reads them.
    pub(super) fn overrides(&self) -> SessionOverrides {
        let SessionFlags { messages, http, tls, reconnect } = self;
        SessionOverrides {
            headers: http.headers.clone(),
            auth: http.auth.clone(),
            origin: http.origin.clone(),
            subprotocols: http.subprotocols.clone(),
            method: http.method.clone(),
            body: http.body.clone(),
            requests: http.requests.clone(),
            status: http.status.clone(),
            ca: tls.ca.clone(),
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            insecure: tls.insecure,
            server_name: tls.server_name.clone(),
            alpn: tls.alpn.clone(),
            tls_version: tls.tls_version.clone(),
            resumption: tls.resumption,
            send: messages.send.clone(),
            binary: messages.binary,
            every: messages.every.clone(),
            think: messages.think.clone(),
            count: messages.count.clone(),
            expect: messages.expect.clone(),
            timeout: messages.reply_timeout.clone(),
            ping_every: messages.ping_every.clone(),
            close_code: messages.close_code.clone(),
            senders: messages.senders.clone(),
            reconnect: reconnect.reconnect,
            backoff: reconnect.backoff.clone(),
            backoff_max: reconnect.backoff_max.clone(),
            jitter: reconnect.jitter.clone(),
            attempts: reconnect.reconnect_attempts.clone(),
        }
    }
}
