//! An HTTP status that was not wanted: each means something else.

use super::{Case, other_scheme};
use crate::diagnose::FindingId;
use crate::diagnose::claim::Claim;
use crate::model::Reply;
use crate::model::format::shell_word;

/// The finding of a status.
pub(super) fn finding(case: &Case<'_>) -> Claim {
    let status = case.failed.failure.code.unwrap_or(0);
    if speaks_of_tls(case.reply) {
        let says = format!(
            "{} is a TLS port: it answered {status} to plain HTTP{}",
            case.url(),
            quoted(case, status)
        );
        return other_scheme::advised(
            case,
            case.target(FindingId::PlainTextToATlsPort, says),
            case.other_scheme(),
        );
    }
    if let Some(words) = wants_certificate(case.reply) {
        let says = format!(
            "{} wants a client certificate that it takes, and answered {status} ('{words}'){}",
            case.url(),
            quoted(case, status)
        );
        return case
            .target(FindingId::ClientCertificateRequired, says)
            .remedy("--cert FILE --key FILE: a certificate that the server takes, and its key, as PEM")
            .remedy("nginx: ssl_verify_client and ssl_client_certificate say which it takes");
    }
    if !case.is_websocket() && is_websocket_server(status, case.reply) {
        return other_scheme::websocket(case);
    }
    let wanted = if case.is_websocket() { "101" } else { "one that is expected" };
    let says = format!(
        "{} answered {} instead of {wanted}: {}{}{}",
        case.url(),
        shown(case, status),
        meaning(status, case.is_websocket()),
        by_proxy(case.reply),
        quoted(case, status)
    );
    let id = match status {
        200..=299 => FindingId::NoWebsocketThere,
        100..=199 | 0..=99 | 600.. => FindingId::ProtocolViolated,
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

fn shown(case: &Case<'_>, status: u16) -> String {
    case.reply.and_then(|reply| reply.status.clone()).unwrap_or_else(|| status.to_string())
}

/// nginx: "400 No required SSL certificate was sent" and "400 The SSL certificate error"; HAProxy and Apache use alerts.
fn wants_certificate(reply: Option<&Reply>) -> Option<&'static str> {
    let body = reply?.body.as_ref()?.to_lowercase();
    ["No required SSL certificate was sent", "The SSL certificate error"]
        .into_iter()
        .find(|words| body.contains(&words.to_lowercase()))
}

/// True if a refusal of plain HTTP is that of a WebSocket endpoint: by a header that only such a one sends (Workerman,
/// NATS, gorilla, ws of npm, websockets of PyPI), or by its words (aiohttp, tornado, sockjs, gorilla).
fn is_websocket_server(status: u16, reply: Option<&Reply>) -> bool {
    let Some(reply) = reply.filter(|_| matches!(status, 400 | 405 | 426)) else { return false };
    let has = |wanted: &str, part: &str| {
        let same = |(name, value): &&(String, String)| {
            name.eq_ignore_ascii_case(wanted) && value.to_lowercase().contains(part)
        };
        reply.headers.iter().any(|header| same(&header))
    };
    let body = reply.body.as_deref().unwrap_or_default().to_lowercase();
    const WORDS: [&str; 5] = [
        "\"upgrade\" only to \"websocket\"",
        "no websocket upgrade",
        "not using the websocket protocol",
        "failed to open a websocket connection",
        "websocket upgrade",
    ];
    has("sec-websocket-version", "") || has("upgrade", "websocket") || WORDS.iter().any(|w| body.contains(w))
}

/// Headers that only a proxy or a cache adds.
fn by_proxy(reply: Option<&Reply>) -> String {
    const ADDED: [&str; 6] = ["via", "proxy-status", "x-cache", "x-squid-error", "x-varnish", "cf-ray"];
    let headers = reply.map_or(&[][..], |reply| &reply.headers);
    let added = headers.iter().find(|(name, _)| ADDED.iter().any(|added| name.eq_ignore_ascii_case(added)));
    added.map_or(String::new(), |(name, value)| format!("; the answer came by a proxy ({name}: {value})"))
}

/// Words of a browser.
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
        401 => "it wants the client to authenticate",
        407 => "a proxy in the way wants the client to authenticate to it",
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
        100..=199 => "it goes over to another protocol, which the request did not ask for",
        0..=99 | 600.. => "that is no status of HTTP (RFC 9110, section 15)",
        504 => "a proxy answers, and the server behind it does not in time",
        505 => {
            "it does not take this version of HTTP: a proxy before it speaks HTTP/1.0 to it, as nginx does by default"
        }
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
        300..=399 => vec![redirected(case, header("location"))],
        401 => {
            if case.facts.client.has("--auth") {
                return vec![
                    format!(
                        "the credentials that were given are refused: are they right, or has the token expired? {}",
                        authentication(case)
                    ),
                    log,
                ];
            }
            vec![authentication(case)]
        }
        407 => vec![
            "give the address and port of the server itself: what answers here is a proxy".into(),
            "--header \"Proxy-Authorization: Basic $(printf USER:PASSWORD | base64)\", if the proxy is meant to be there"
                .into(),
        ],
        403 => vec!["--auth …, --origin https://the.allowed.site, or --header 'Cookie: …'".into(), log],
        404 | 405 | 410 => {
            vec!["check the path of the URL, and that of a proxy before the server".into(), log]
        }
        426 => upgrade(case, header("upgrade"), header("sec-websocket-version"), proxy),
        400 => vec![
            "--origin, --subprotocol or --header, as the server's manual has it".into(),
            proxy.into(),
            log,
        ],
        408 => vec!["a lower --rate".into(), "raise the server's limit".into()],
        429 => {
            let after = header("retry-after").map_or(String::new(), |after| format!("{}, then ", wait(&after)));
            vec![
                format!("{after}a lower --rate, or more --source addresses, if it limits by address"),
                "raise the server's limit for this client".into(),
            ]
        }
        502..=504 => {
            let after = header("retry-after").map(|after| wait(&after));
            let proxy = [
                "look into the proxy's log: is the server behind it up, and does it take so many connections?",
                "nginx: worker_connections, keepalive of the upstream, proxy_read_timeout",
            ];
            after.into_iter().chain(proxy.map(str::to_owned)).collect()
        }
        505 => vec![proxy.into(), log],
        _ => vec![log],
    }
}

/// Time that a server wants to be left alone.
fn wait(retry_after: &str) -> String {
    match retry_after.parse::<u64>() {
        Ok(seconds) => format!("wait {seconds} s, as its Retry-After says"),
        Err(_) => format!("wait until {retry_after}, as its Retry-After says"),
    }
}

/// The flag for the authentication that the server asks for, in one or several headers.
fn authentication(case: &Case<'_>) -> String {
    let headers = case.reply.map_or(&[][..], |reply| &reply.headers);
    let asked = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    let schemes: Vec<String> =
        asked.filter_map(|(_, value)| Some(value.split([' ', ',']).next()?.to_lowercase())).collect();
    let has = |wanted: &str| schemes.iter().any(|scheme| scheme == wanted);
    if has("bearer") {
        return "--auth 'bearer(TOKEN)'; auth = \"…\" in [target]".into();
    }
    match schemes.first() {
        Some(other) if !has("basic") => {
            let is_name = |name: &&String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let other = Some(other).filter(is_name).map_or("another scheme", String::as_str);
            format!(
                "--header 'Authorization: …': it asks for {other}, which connstorm does not compute; or let it take Basic or \
                 Bearer"
            )
        }
        Some(_) => "--auth 'basic(USER:PASSWORD)'; auth = \"…\" in [target]".into(),
        None => "--auth 'basic(USER:PASSWORD)' or --auth 'bearer(TOKEN)'; auth = \"…\" in [target]".into(),
    }
}

/// Longest address that is told as an advice, in characters.
const LONGEST_URL: usize = 300;

/// Where to connect instead, as a URL that can be pasted: the header Location is often relative, or names http for ws.
fn redirected(case: &Case<'_>, location: Option<String>) -> String {
    let Some(location) = location.filter(|location| !location.is_empty()) else {
        return "connect to where the server says; its reply has no header Location".into();
    };
    let is_websocket = case.is_websocket();
    let scheme_of = |scheme: &str| match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" if is_websocket => "ws".to_owned(),
        "https" | "wss" if is_websocket => "wss".to_owned(),
        other => other.to_owned(),
    };
    let url = case.url();
    let (own_scheme, rest) = url.split_once("://").unwrap_or(("", &url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let to = if let Some((scheme, rest)) = location.split_once("://") {
        format!("{}://{rest}", scheme_of(scheme))
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{own_scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{own_scheme}://{authority}{location}")
    } else if location.find([':', '/', '?', '#']).is_some_and(|at| location[at..].starts_with(':')) {
        // A scheme that has no host, such as `mailto:`.
        location.clone()
    } else if location.starts_with('?') {
        format!("{own_scheme}://{authority}{}{location}", path.split(['?', '#']).next().unwrap_or_default())
    } else {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
        format!("{own_scheme}://{authority}{folder}{location}")
    };
    let scheme = to.split_once("://").map_or("", |(scheme, _)| scheme);
    if !matches!(scheme, "http" | "https" | "ws" | "wss") || to.chars().count() > LONGEST_URL {
        let beginning: String = location.chars().take(LONGEST_URL).collect();
        return format!(
            "look at where its header Location leads, which is no address to connect to: {beginning}"
        );
    }
    // The words are the server's: nothing in them may run where they are pasted.
    let use_it = format!("use {}", shell_word(&to));
    if to == location { use_it } else { format!("{use_it}    # Location: {location}") }
}

/// Upgrade that a 426 asks for.
fn upgrade(case: &Case<'_>, to: Option<String>, versions: Option<String>, proxy: &str) -> Vec<String> {
    let to_lower = to.as_deref().unwrap_or_default().to_lowercase();
    if to_lower.contains("tls") {
        return other_scheme::advice(case, case.other_scheme());
    }
    if !case.is_websocket() {
        let to = to.unwrap_or_else(|| "another protocol".into());
        return vec![format!("it wants {to}, which connstorm does not speak after an upgrade of plain HTTP")];
    }
    if let Some(versions) = versions.filter(|versions| !versions.split(',').any(|v| v.trim() == "13")) {
        return vec![format!(
            "let the server speak version 13 of WebSocket (RFC 6455); it offers {versions}"
        )];
    }
    // The upgrade was asked for, and did not arrive.
    vec![
        proxy.into(),
        "look whether a proxy before the server drops the headers Upgrade and Connection".into(),
    ]
}
