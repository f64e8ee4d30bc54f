//! The body of a request: read as that of a reply is, with a limit, and a status for what is wrong with it.
//!
//! Invariant: at most [`LONGEST_BODY`] bytes are kept, and never more than the peer has sent.

use crate::protocol::http1::{self, BadRequest, Framing};

/// The longest body that is taken, in bytes.
pub(crate) const LONGEST_BODY: u64 = 16 << 20;

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Body(http1::Body);

impl Body {
    /// A body that is to come. It is counted but not kept unless it `is_wanted`.
    pub(crate) fn new(framing: Framing, is_wanted: bool) -> Result<Body, BadRequest> {
        if matches!(framing, Framing::Length(length) if length > LONGEST_BODY) {
            return Err(BadRequest(413));
        }
        let keep = if is_wanted { LONGEST_BODY as usize } else { 0 };
        Ok(Body(http1::Body::new(framing, keep)))
    }

    /// True if all of it has come.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    /// Bytes of memory that are held.
    pub(crate) fn held(&self) -> usize {
        self.0.kept.capacity()
    }

    /// Bytes that have come of it, if it is wanted.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.kept
    }

    /// Reads on; returns how many bytes were used. The rest is to come again with what follows, or belongs
    /// to the next request.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, BadRequest> {
        let used = self.0.feed(bytes).map_err(|_| BadRequest(400))?;
        if self.0.length > LONGEST_BODY { Err(BadRequest(413)) } else { Ok(used) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds in pieces as a connection does, with the unused rest before the next piece.
    fn read(framing: Framing, pieces: &[&[u8]]) -> Result<(Body, Vec<u8>), BadRequest> {
        let mut body = Body::new(framing, true)?;
        let mut input = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            let used = body.feed(&input)?;
            input.drain(..used);
        }
        Ok((body, input))
    }

    const CHUNKED: &[u8] = b"3;a=b\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\nnext";

    #[test]
    fn chunks_split_anywhere_make_the_same_body() {
        for at in 0..CHUNKED.len() {
            let (body, rest) = read(Framing::Chunked, &[&CHUNKED[..at], &CHUNKED[at..]]).unwrap();
            assert!(body.is_complete());
            assert_eq!((body.bytes(), &rest[..]), (&b"abc0123456789abcdef"[..], &b"next"[..]), "at {at}");
        }
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let (body, rest) = read(Framing::Length(5), &[b"ab", b"cdefg"]).unwrap();
        assert!(body.is_complete());
        assert_eq!((body.bytes(), &rest[..]), (&b"abcde"[..], &b"fg"[..]));
        assert!(Body::new(Framing::Length(0), true).unwrap().is_complete());
        let mut unwanted = Body::new(Framing::Length(2), false).unwrap();
        assert_eq!((unwanted.feed(b"abc"), unwanted.bytes()), (Ok(2), &b""[..]));
    }

    #[test]
    fn too_long_and_malformed_bodies_are_refused() {
        let refused = |framing, bytes: &[u8]| read(framing, &[bytes]).map(|_| ()).unwrap_err().0;
        assert_eq!(refused(Framing::Length(LONGEST_BODY + 1), b""), 413);
        assert_eq!(refused(Framing::Chunked, b"xyz\r\n"), 400);
        assert_eq!(refused(Framing::Chunked, b"1\r\naXX"), 400);
        assert_eq!(refused(Framing::Chunked, &b"x".repeat(1024 + 1)), 400);
        assert_eq!(refused(Framing::Chunked, &[b"0\r\n", &b"a: b\n".repeat(101)[..]].concat()), 400);
        let half = format!("{:x}\r\n{}\r\n", LONGEST_BODY / 2, "x".repeat(LONGEST_BODY as usize / 2));
        assert_eq!(refused(Framing::Chunked, format!("{half}{half}1\r\na").as_bytes()), 413);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_came(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let came: usize = pieces.iter().map(|piece| piece.len()).sum();
            if let Ok((body, rest)) = read(Framing::Chunked, &pieces) {
                prop_assert!(body.bytes().len() + rest.len() <= came);
            }
        }
    }
}
