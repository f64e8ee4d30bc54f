//! Replies, and what each status is sent with.

use crate::protocol::Reply;
use std::borrow::Cow;
use std::io::Write;

/// True if a reply is the last on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Yes,
    No,
}

/// A reply to be written.
#[derive(Debug)]
pub(crate) struct Page<'b> {
    pub(crate) status: u16,
    pub(crate) body: Cow<'b, [u8]>,
    pub(crate) chunked: bool,
    /// To HEAD: the same head, and no body.
    pub(crate) head_only: bool,
    pub(crate) closing: Closing,
}

/// Bytes in a chunk of ours.
const CHUNK: usize = 4096;

impl Page<'_> {
    /// The last reply on its connection, with the status as its text.
    pub(crate) fn refusal(status: u16) -> Page<'static> {
        Page { status, body: text(status).into(), chunked: false, head_only: false, closing: Closing::Yes }
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let has_body = !matches!(self.status, 204 | 304);
        let _ = write!(out, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        out.extend_from_slice(telling_headers(self.status).as_bytes());
        if self.closing == Closing::Yes {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        if has_body {
            out.extend_from_slice(b"Content-Type: text/plain\r\n");
            // Writing to a Vec does not fail, here and below.
            let _ = match self.chunked {
                true => write!(out, "Transfer-Encoding: chunked\r\n"),
                false => write!(out, "Content-Length: {}\r\n", self.body.len()),
            };
        }
        out.extend_from_slice(b"\r\n");
        match (has_body && !self.head_only, self.chunked) {
            (false, _) => {}
            (true, false) => out.extend_from_slice(&self.body),
            (true, true) => write_chunks(out, &self.body),
        }
    }
}

fn write_chunks(out: &mut Vec<u8>, body: &[u8]) {
    for chunk in body.chunks(CHUNK) {
        let _ = write!(out, "{:x}\r\n", chunk.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
}

/// The body of a behaviour's reply.
pub(crate) fn body(reply: Reply) -> Vec<u8> {
    match reply.body {
        Some(bytes) => vec![b'x'; bytes as usize],
        None => text(reply.status),
    }
}

/// Writes the reply of a server that knows no later version than 1.0.
pub(crate) fn write_http10(out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\n200 OK\n",
    );
}

/// The status and its reason, as a body.
pub(crate) fn text(status: u16) -> Vec<u8> {
    format!("{status} {}\n", reason(status)).into_bytes()
}

/// Headers without which a status would be half a reply.
fn telling_headers(status: u16) -> &'static str {
    match status {
        301 | 302 | 303 | 307 | 308 => "Location: /elsewhere\r\n",
        401 => "WWW-Authenticate: Basic realm=\"connstorm\"\r\n",
        405 => "Allow: GET\r\n",
        407 => "Proxy-Authenticate: Basic realm=\"connstorm\"\r\n",
        426 => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        429 | 503 => "Retry-After: 1\r\n",
        _ => "",
    }
}

/// RFC 9110, section 15, and RFC 6585.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(status: u16, body: &[u8], chunked: bool) -> String {
        let mut out = Vec::new();
        Page { status, body: body.into(), chunked, head_only: false, closing: Closing::No }.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bodies_go_by_length_or_in_chunks() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        assert_eq!(written(200, b"abc", false), format!("{head}Content-Length: 3\r\n\r\nabc"));
        assert_eq!(
            written(200, b"abc", true),
            format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        );
        assert!(written(200, &[b'x'; 5000], true).contains("\r\n388\r\nxxx"));
        assert_eq!(written(204, b"abc", false), "HTTP/1.1 204 No Content\r\n\r\n");
    }

    #[test]
    fn a_status_comes_with_what_makes_it_whole() {
        for (status, header) in [
            (301, "\r\nLocation: /elsewhere\r\n"),
            (401, "\r\nWWW-Authenticate: Basic"),
            (426, "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            (429, "\r\nRetry-After: 1\r\n"),
        ] {
            assert!(written(status, &text(status), false).contains(header), "{status}");
        }
        assert!(written(502, &text(502), false).ends_with("\r\n\r\n502 Bad Gateway\n"));
    }
}
