//! The head of a request: bounded, and refused with the status that says why.

use super::{Framing, Headers};
use httparse::{Error, Request, Status};

/// The longest head of a request that is taken, in bytes.
pub const LONGEST_REQUEST_HEAD: usize = 16 * 1024;
/// Most headers in it.
const MOST_HEADERS: usize = 100;

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead<'b> {
    /// As it was sent; methods have a case.
    pub method: &'b str,
    /// The minor version: 0 or 1.
    pub version: u8,
    /// Header fields.
    pub headers: Headers<'b>,
    /// Bytes that it takes, with the empty line.
    pub size: usize,
}

/// A request that is answered with this status, and after which the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRequest(pub u16);

impl<'b> RequestHead<'b> {
    /// `None` where the head is not complete.
    ///
    /// # Errors
    /// The status that says what is wrong with it.
    pub fn parse(bytes: &'b [u8]) -> Result<Option<RequestHead<'b>>, BadRequest> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = Request::new(&mut headers);
        let size = match request.parse(bytes) {
            Ok(Status::Complete(size)) if size <= LONGEST_REQUEST_HEAD => size,
            Ok(Status::Partial) if bytes.len() <= LONGEST_REQUEST_HEAD => return Ok(None),
            Ok(_) | Err(Error::TooManyHeaders) => return Err(BadRequest(431)),
            Err(Error::Version) => return Err(BadRequest(505)),
            Err(_) => return Err(BadRequest(400)),
        };
        let (method, version) = (request.method.unwrap_or_default(), request.version.unwrap_or_default());
        Ok(Some(RequestHead { method, version, headers: Headers(request.headers.to_vec()), size }))
    }

    /// True if the connection may be used for another request.
    pub fn keeps_alive(&self) -> bool {
        self.headers.keep_alive(self.version)
    }

    /// Delimiter of the body. A request that two readers could take apart in two ways is refused
    /// (RFC 9112, section 6.3).
    ///
    /// # Errors
    /// The status that says what is wrong.
    pub fn framing(&self) -> Result<Framing, BadRequest> {
        let mut codings = self.headers.list("transfer-encoding").peekable();
        match (self.headers.content_length(), codings.peek()) {
            (None, None) => Ok(Framing::Length(0)),
            (Some(_), Some(_)) => Err(BadRequest(400)),
            (Some(length), None) => length.map(Framing::Length).ok_or(BadRequest(400)),
            (None, Some(coding)) => match coding.eq_ignore_ascii_case(b"chunked") && codings.count() == 1 {
                true => Ok(Framing::Chunked),
                false => Err(BadRequest(501)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(headers: &str) -> Result<Framing, BadRequest> {
        let text = format!("POST / HTTP/1.1\r\n{headers}\r\n");
        RequestHead::parse(text.as_bytes()).unwrap().unwrap().framing()
    }

    #[test]
    fn a_head_is_whole_partial_or_refused_with_a_status() {
        let head = RequestHead::parse(b"GET /a HTTP/1.1\r\nA: x, Y\r\na: z\r\n\r\nrest").unwrap().unwrap();
        assert_eq!((head.method, head.version, head.size), ("GET", 1, 34));
        assert_eq!(head.headers.list("A").collect::<Vec<_>>(), [b"x", b"Y", b"z"]);
        assert!(head.headers.lists("a", "y") && !head.headers.lists("a", "w"));
        assert!(RequestHead::parse(b"GET / HTT").unwrap().is_none());
        let refused = |bytes: &[u8]| RequestHead::parse(bytes).unwrap_err().0;
        assert_eq!(refused(b"\x16\x03\x01\x02\x00"), 400);
        assert_eq!(refused(b"GET / HTTP/2.0\r\n\r\n"), 505);
        let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(LONGEST_REQUEST_HEAD));
        assert_eq!(refused(long.as_bytes()), 431);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(refused(many.as_bytes()), 431);
    }

    #[test]
    fn connections_are_kept_as_the_version_says() {
        let keeps = |head: &str| RequestHead::parse(head.as_bytes()).unwrap().unwrap().keeps_alive();
        assert!(keeps("GET / HTTP/1.1\r\n\r\n") && !keeps("GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.1\r\nConnection: foo, close\r\n\r\n"));
    }

    #[test]
    fn the_end_of_a_body_is_told_in_one_way_only() {
        assert_eq!(framing(""), Ok(Framing::Length(0)));
        assert_eq!(framing("Content-Length: 12\r\nContent-Length: 12\r\n"), Ok(Framing::Length(12)));
        assert_eq!(framing("Content-Length: 12, 12\r\n"), Ok(Framing::Length(12)));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for headers in [
            "Content-Length: +1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 1, 2\r\n",
            "Content-Length: 1\r\nContent-Length: 2\r\n",
        ] {
            assert_eq!(framing(headers), Err(BadRequest(400)), "{headers}");
        }
        assert_eq!(framing("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), Err(BadRequest(400)));
        assert_eq!(framing("Transfer-Encoding: gzip, chunked\r\n"), Err(BadRequest(501)));
    }
}
