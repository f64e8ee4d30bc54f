//! An HTTP status that was not wanted: each means something else.

use super::Case;
use crate::diagnose::FindingId;
use crate::diagnose::claim::Claim;
use crate::model::Reply;

/// The finding of a status.
pub(super) fn finding(case: &Case<'_>) -> Claim {
    let status = case.failed.failure.code.unwrap_or(0);
    if speaks_of_tls(case.reply) {
        let says = format!(
            "{} is a TLS port: it answered {status} to plain HTTP{}",
            case.url(),
            quoted(case, status)
        );
        let other = case.url_with(case.other_scheme());
        return case.target(FindingId::PlainTextToATlsPort, says).remedy(format!("use {other}"));
    }
    let shown = case.reply.and_then(|reply| reply.status.clone()).unwrap_or_else(|| status.to_string());
    let wanted = if case.is_websocket() { "101" } else { "one that is expected" };
    let says = format!(
        "{} answered {shown} instead of {wanted}: {}{}{}",
        case.url(),
        meaning(status, case.is_websocket()),
        by_proxy(case.reply),
        quoted(case, status)
    );
    let id = match status {
        200..=299 => FindingId::NoWebsocketThere,
        300..=399 => FindingId::Redirected,
        401 | 403 | 407 => FindingId::NotAuthorised,
        404 | 405 | 410 => FindingId::WrongPath,
        426 => FindingId::UpgradeRequired,
        408 | 429 => FindingId::RateLimited,
        400..=499 => FindingId::BadRequest,
        502 | 504 => FindingId::NoBackend,
        503 => FindingId::Unavailable,
        _ => FindingId::ServerError,
    };
    remedies(status, case).into_iter().fold(case.target(id, says), Claim::remedy)
}

/// Headers that only a proxy or a cache adds.
fn by_proxy(reply: Option<&Reply>) -> String {
    const ADDED: [&str; 6] = ["via", "proxy-status", "x-cache", "x-squid-error", "x-varnish", "cf-ray"];
    let headers = reply.map_or(&[][..], |reply| &reply.headers);
    let added = headers.iter().find(|(name, _)| ADDED.iter().any(|added| name.eq_ignore_ascii_case(added)));
    added.map_or(String::new(), |(name, value)| format!("; the answer came by a proxy ({name}: {value})"))
}

/// What a browser says.
fn quoted(case: &Case<'_>, status: u16) -> String {
    if !case.is_websocket() {
        return String::new();
    }
    format!("; browsers say: 'Error during WebSocket handshake: Unexpected response code: {status}'")
}

/// nginx: "The plain HTTP request was sent to HTTPS port"; Go: "Client sent an HTTP request to an HTTPS
/// server"; Apache: "speaking plain HTTP to an SSL-enabled server port".
fn speaks_of_tls(reply: Option<&Reply>) -> bool {
    let Some(body) = reply.and_then(|reply| reply.body.as_ref()) else { return false };
    let body = body.to_lowercase();
    ["sent to https port", "http request to an https server", "ssl-enabled server port"]
        .iter()
        .any(|text| body.contains(text))
}

fn meaning(status: u16, websocket: bool) -> &'static str {
    match status {
        200..=299 if websocket => {
            "a plain HTTP endpoint is there, which knows nothing of WebSocket (another path, or another port)"
        }
        200..=299 => "another success than the one expected",
        300..=399 => {
            "it wants the client to go elsewhere, see the header Location; WebSocket clients do not follow"
        }
        400 => {
            "it does not take the request: a header that is missing or not allowed (Origin, Host, subprotocol), or a \
             proxy that drops 'Upgrade'"
        }
        401 | 407 => "it wants the client to authenticate",
        403 => "it refuses this client: no rights, an Origin that is not allowed, or an address on a list",
        404 | 410 => "nothing is at that path",
        405 => "nothing at that path takes this method",
        408 => "it gave up waiting for the request: it is overloaded, or the path is slow",
        426 => {
            "it wants another protocol or another version, see the headers Upgrade and Sec-WebSocket-Version"
        }
        429 => "it limits the rate of this client, see the header Retry-After",
        402 | 406 | 409 | 411..=425 | 427..=428 | 430..=499 => "it does not take the request",
        502 => "a proxy answers, and the server behind it does not speak to it",
        503 => "it, or a proxy before it, has no capacity left, or no server to hand the request to",
        504 => "a proxy answers, and the server behind it does not in time",
        _ => "the server failed by itself",
    }
}

fn remedies(status: u16, case: &Case<'_>) -> Vec<String> {
    let header = |name: &str| {
        let headers = &case.reply?.headers;
        headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    let proxy = "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \
                 \"upgrade\";";
    let log = "look into the server's log".to_owned();
    match status {
        200..=299 if case.is_websocket() => vec![
            "give the path of the WebSocket endpoint, such as ws://host:port/ws".to_owned(),
            "behind a proxy the upgrade may be lost. ".to_owned() + proxy,
            "Workerman, GatewayWorker: let it listen on websocket://0.0.0.0:PORT, not on http://".to_owned(),
        ],
        300..=399 => {
            let to = header("location").unwrap_or_else(|| "the address in the header Location".to_owned());
            vec![
                format!("connect to {to}"),
                format!("if it only wants TLS: {}", case.url_with(case.other_scheme())),
            ]
        }
        401 | 407 => {
            vec!["--auth 'basic(USER:PASSWORD)' or --auth 'bearer(TOKEN)'; auth = \"…\" in [target]".into()]
        }
        403 => vec!["--auth …, --origin https://the.allowed.site, or --header 'Cookie: …'".into(), log],
        404 | 405 | 410 => {
            vec!["check the path of the URL, and that of a proxy before the server".into(), log]
        }
        400 | 426 => vec![
            "--origin, --subprotocol or --header, as the server's manual has it".into(),
            proxy.into(),
            log,
        ],
        408 | 429 => {
            vec!["a lower --rate, or more --source addresses".into(), "raise the server's limit".into()]
        }
        502..=504 => vec![
            "look into the proxy's log: is the server behind it up, and does it take so many connections?"
                .into(),
            "nginx: worker_connections, keepalive of the upstream, proxy_read_timeout".into(),
        ],
        _ => vec![log],
    }
}
