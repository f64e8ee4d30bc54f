//! The head of a reply.

use super::{Framing, Headers};
use httparse::{ParserConfig, Response, Status};

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
    /// Reason phrase.
    pub reason: &'b str,
    /// Header fields.
    pub headers: Headers<'b>,
    /// Bytes that it takes, with the empty line.
    pub size: usize,
}

/// Reason for which bytes are not the head of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// They don't begin as one.
    #[error("the reply is not HTTP")]
    NotHttp,
    /// They begin as one, and break its rules.
    #[error("the reply begins as HTTP/1, and its status line or headers break the rules of HTTP (RFC 9112)")]
    Malformed,
    /// The head has no end within [`LONGEST_HEAD`].
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
        let size = match lenient().parse_response(&mut response, bytes) {
            Ok(Status::Complete(size)) if size <= LONGEST_HEAD => size,
            Ok(Status::Partial) if bytes.len() <= LONGEST_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLong),
            Err(_) if bytes.len() < BEGINNING.len() + 1 => return Err(HeadError::NotHttp),
            Err(_) => return Err(HeadError::Malformed),
        };
        let (Some(version), Some(status)) = (response.version, response.code) else {
            return Err(HeadError::Malformed);
        };
        let reason = response.reason.unwrap_or_default();
        Ok(Some(ReplyHead { version, status, reason, headers: Headers(response.headers.to_vec()), size }))
    }

    /// True if it is an interim reply, which the final one follows (RFC 9110, section 15.2).
    pub fn is_interim(&self) -> bool {
        (100..=199).contains(&self.status) && self.status != 101
    }

    /// True if the connection may be used for another request.
    pub fn keeps_alive(&self) -> bool {
        self.headers.keep_alive(self.version)
    }

    /// Delimiter of the body (RFC 9112, section 6.3). `None` where that can't be told.
    pub fn framing(&self, of_head_request: bool) -> Option<Framing> {
        if of_head_request || matches!(self.status, 100..=199 | 204 | 304) {
            return Some(Framing::Length(0));
        }
        if let Some(coding) = self.headers.list("transfer-encoding").last() {
            return Some(if coding.eq_ignore_ascii_case(b"chunked") {
                Framing::Chunked
            } else {
                Framing::UntilClose
            });
        }
        match self.headers.content_length() {
            None => Some(Framing::UntilClose),
            Some(length) => length.map(Framing::Length),
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
        let wanted =
            self.headers.iter().filter(|(name, _)| TELLING.iter().any(|t| name.eq_ignore_ascii_case(t)));
        wanted.take(16).map(|(name, value)| (name.to_owned(), line(value))).collect()
    }
}

/// A value as one line of at most 120 characters: a folded one has line ends in it.
fn line(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split(['\r', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(120)
        .collect()
}

/// A user agent has to take folded values (RFC 9112, section 5.2); a field that breaks the rules is no reason to
/// lose the others.
fn lenient() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    config
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
        let malformed = ReplyHead::parse(b"HTTP/1.1 abc\r\n\r\n").unwrap_err();
        assert_eq!(malformed, HeadError::Malformed);
        for other in ["S", "HTTQ", "HTTP/2", "\x15\x03"] {
            assert_eq!(ReplyHead::parse(other.as_bytes()).unwrap_err(), HeadError::NotHttp, "{other}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(LONGEST_HEAD));
        assert_eq!(ReplyHead::parse(long.as_bytes()).unwrap_err(), HeadError::TooLong);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(ReplyHead::parse(many.as_bytes()).unwrap_err(), HeadError::TooLong);
    }

    #[test]
    fn folded_and_broken_fields_lose_no_other_field() {
        let text =
            b"HTTP/1.1 101 X\r\nServer: a\r\n  b\r\nX-Bad: \x01\r\nbad name: x\r\nUpgrade: websocket\r\n\r\n";
        let head = ReplyHead::parse(text).unwrap().unwrap();
        assert!(head.headers.lists("upgrade", "websocket"));
        assert_eq!(head.telling()[0], ("Server".to_owned(), "a b".to_owned()));
        assert_eq!(head.size, text.len());
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
