//! The head of a reply.

use super::Framing;
use httparse::{Header, Response, Status};

/// The longest head that is taken, in bytes.
pub const LONGEST_HEAD: usize = 32 * 1024;
/// Most headers in it.
const MOST_HEADERS: usize = 128;

/// The head of a reply.
#[derive(Debug)]
pub struct ReplyHead<'b> {
    /// The minor version: 0 or 1.
    pub version: u8,
    /// The status.
    pub status: u16,
    /// Its reason.
    pub reason: &'b str,
    headers: Vec<Header<'b>>,
    /// Bytes that it takes, with the empty line.
    pub size: usize,
}

/// Why bytes are not the head of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// They don't begin as one.
    #[error("the reply is not HTTP")]
    NotHttp,
    /// It has no end within [`LONGEST_HEAD`].
    #[error("the head of the reply is longer than 32 KiB, or has more than 128 headers")]
    TooLong,
}

impl<'b> ReplyHead<'b> {
    /// `None` where the head is not complete. Bytes that can't become one are refused at the first that shows
    /// it.
    pub fn parse(bytes: &'b [u8]) -> Result<Option<ReplyHead<'b>>, HeadError> {
        const BEGINNING: &[u8] = b"HTTP/1.";
        let shown = bytes.len().min(BEGINNING.len());
        if bytes[..shown] != BEGINNING[..shown] {
            return Err(HeadError::NotHttp);
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = Response::new(&mut headers);
        let size = match response.parse(bytes) {
            Ok(Status::Complete(size)) if size <= LONGEST_HEAD => size,
            Ok(Status::Partial) if bytes.len() <= LONGEST_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLong),
            Err(_) => return Err(HeadError::NotHttp),
        };
        let (Some(version), Some(status)) = (response.version, response.code) else {
            return Err(HeadError::NotHttp);
        };
        let reason = response.reason.unwrap_or_default();
        Ok(Some(ReplyHead { version, status, reason, headers: response.headers.to_vec(), size }))
    }

    /// The values of a header, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }

    /// The elements of a header that is a list.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let elements = self.values(name).flat_map(|value| value.split(|&byte| byte == b','));
        elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
    }

    /// Whether a header that is a list holds an element, in whatever case.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.list(name).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// Whether the connection may be used for another request.
    pub fn keeps_alive(&self) -> bool {
        match self.version {
            0 => self.lists("connection", "keep-alive"),
            _ => !self.lists("connection", "close"),
        }
    }

    /// How the body is delimited (RFC 9112, section 6.3). `None` where that can't be told.
    pub fn framing(&self, of_head_request: bool) -> Option<Framing> {
        if of_head_request || matches!(self.status, 100..=199 | 204 | 304) {
            return Some(Framing::Length(0));
        }
        if let Some(coding) = self.list("transfer-encoding").last() {
            return Some(if coding.eq_ignore_ascii_case(b"chunked") {
                Framing::Chunked
            } else {
                Framing::UntilClose
            });
        }
        let mut lengths = self.values("content-length").map(length);
        match lengths.next() {
            None => Some(Framing::UntilClose),
            Some(length) => {
                let length = length?;
                lengths.all(|other| other == Some(length)).then_some(Framing::Length(length))
            }
        }
    }

    /// Headers that tell why a reply is not the one that was wanted, cut to a line each.
    pub fn telling(&self) -> Vec<(String, String)> {
        const TELLING: [&str; 19] = [
            "server",
            "via",
            "proxy-status",
            "x-cache",
            "x-squid-error",
            "x-varnish",
            "cf-ray",
            "location",
            "www-authenticate",
            "proxy-authenticate",
            "retry-after",
            "upgrade",
            "connection",
            "content-type",
            "allow",
            "sec-websocket-version",
            "sec-websocket-protocol",
            "sec-websocket-extensions",
            "x-powered-by",
        ];
        let wanted = self.headers.iter().filter(|h| TELLING.iter().any(|t| h.name.eq_ignore_ascii_case(t)));
        let line = |value: &[u8]| String::from_utf8_lossy(value).chars().take(120).collect();
        wanted.take(16).map(|header| (header.name.to_owned(), line(header.value))).collect()
    }
}

/// Digits alone: `parse` would take a sign.
fn length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framing(head: &str) -> Option<Framing> {
        ReplyHead::parse(head.as_bytes()).unwrap().unwrap().framing(false)
    }

    #[test]
    fn a_head_is_whole_partial_or_refused_at_the_first_wrong_byte() {
        let head = ReplyHead::parse(b"HTTP/1.1 403 Forbidden\r\nServer: x\r\nServer: y\r\n\r\nrest")
            .unwrap()
            .unwrap();
        assert_eq!((head.version, head.status, head.reason, head.size), (1, 403, "Forbidden", 48));
        assert_eq!(head.telling().len(), 2);
        for partial in ["", "H", "HTTP/1.", "HTTP/1.1 200 OK\r\nA: b\r\n"] {
            assert!(ReplyHead::parse(partial.as_bytes()).unwrap().is_none(), "{partial}");
        }
        for other in ["S", "HTTQ", "HTTP/2", "\x15\x03", "HTTP/1.1 abc\r\n\r\n"] {
            assert_eq!(ReplyHead::parse(other.as_bytes()).unwrap_err(), HeadError::NotHttp, "{other}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(LONGEST_HEAD));
        assert_eq!(ReplyHead::parse(long.as_bytes()).unwrap_err(), HeadError::TooLong);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(ReplyHead::parse(many.as_bytes()).unwrap_err(), HeadError::TooLong);
    }

    #[test]
    fn bodies_end_as_their_heads_say() {
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Some(Framing::Length(5)));
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n"),
            Some(Framing::Chunked)
        );
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n"), Some(Framing::UntilClose));
        assert_eq!(framing("HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n"), Some(Framing::Length(0)));
        for bad in ["Content-Length: +1", "Content-Length: 1\r\nContent-Length: 2", "Content-Length: x"] {
            assert_eq!(framing(&format!("HTTP/1.1 200 OK\r\n{bad}\r\n\r\n")), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_head_or_not(
            head in prop_oneof!["HTTP/1\\.[01] [0-9]{3} \\PC{0,9}\r\n([A-Za-z-]{1,20}: \\PC{0,20}\r\n){0,5}(\r\n)?", "\\PC{0,30}"],
            cut in 0usize..200,
        ) {
            let bytes = &head.as_bytes()[..cut.min(head.len())];
            if let Ok(Some(head)) = ReplyHead::parse(bytes) {
                prop_assert!(head.size <= bytes.len());
                let _ = (head.framing(false), head.telling(), head.keeps_alive());
            }
        }
    }
}
