//! The body of a request, read as it comes.
//!
//! Invariant: at most [`LONGEST_BODY`] bytes are kept, and never more than the peer has sent.

use super::request::{BadRequest, Framing};
use httparse::Status;

/// The longest body that is taken, in bytes.
pub(crate) const LONGEST_BODY: u64 = 16 << 20;
/// The longest line of a size, or of a trailer: more is no honest peer's.
const LONGEST_LINE: usize = 1024;
/// Most lines of trailers.
const MOST_TRAILERS: u8 = 100;

/// A body that is being read.
#[derive(Debug)]
pub(crate) struct Body {
    /// What has come of it, if it is wanted.
    pub(crate) bytes: Vec<u8>,
    is_wanted: bool,
    length: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many bytes to come, of the body.
    Length(u64),
    /// The line with the size of the next chunk.
    Size,
    /// So many bytes to come, of a chunk.
    Chunk(u64),
    /// The end of the line after a chunk.
    ChunkEnd,
    /// After the last chunk: lines up to an empty one, of which so many have come.
    Trailer(u8),
    Done,
}

impl Body {
    /// A body that is to come. It is counted but not kept unless it `is_wanted`.
    pub(crate) fn new(framing: Framing, is_wanted: bool) -> Result<Body, BadRequest> {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) if length > LONGEST_BODY => return Err(BadRequest(413)),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
        };
        Ok(Body { bytes: Vec::new(), is_wanted, length: 0, state })
    }

    /// Whether all of it has come.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Reads on; returns how many bytes were used. The rest is to come again with what follows, or belongs
    /// to the next request.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, BadRequest> {
        let mut used = 0;
        while let Some((taken, next)) = self.step(&bytes[used..])? {
            used += taken;
            self.state = next;
        }
        Ok(used)
    }

    /// What was used, and what is expected next; nothing where more has to come first.
    fn step(&mut self, bytes: &[u8]) -> Result<Option<(usize, State)>, BadRequest> {
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(match self.state {
            State::Done => None,
            State::Length(left) => Some(match self.keep(bytes, left)? {
                taken if taken == left => (taken as usize, State::Done),
                taken => (taken as usize, State::Length(left - taken)),
            }),
            State::Chunk(left) => Some(match self.keep(bytes, left)? {
                taken if taken == left => (taken as usize, State::ChunkEnd),
                taken => (taken as usize, State::Chunk(left - taken)),
            }),
            State::Size => match httparse::parse_chunk_size(bytes) {
                Ok(Status::Complete((taken, 0))) => Some((taken, State::Trailer(0))),
                Ok(Status::Complete((taken, size))) => Some((taken, State::Chunk(size))),
                Ok(Status::Partial) if bytes.len() <= LONGEST_LINE => None,
                _ => return Err(BadRequest(400)),
            },
            State::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => Some((2, State::Size)),
                [b'\r'] => None,
                _ => return Err(BadRequest(400)),
            },
            State::Trailer(lines) => match bytes.iter().position(|&byte| byte == b'\n') {
                Some(0) => Some((1, State::Done)),
                Some(1) if bytes[0] == b'\r' => Some((2, State::Done)),
                Some(end) if lines < MOST_TRAILERS => Some((end + 1, State::Trailer(lines + 1))),
                None if bytes.len() <= LONGEST_LINE => None,
                _ => return Err(BadRequest(400)),
            },
        })
    }

    /// Takes as many bytes as there are, at most `left`.
    fn keep(&mut self, bytes: &[u8], left: u64) -> Result<u64, BadRequest> {
        let taken = left.min(bytes.len() as u64);
        self.length += taken;
        if self.length > LONGEST_BODY {
            return Err(BadRequest(413));
        }
        if self.is_wanted {
            self.bytes.extend_from_slice(&bytes[..taken as usize]);
        }
        Ok(taken)
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
            assert_eq!((&body.bytes[..], &rest[..]), (&b"abc0123456789abcdef"[..], &b"next"[..]), "at {at}");
        }
    }

    #[test]
    fn a_length_ends_where_it_says() {
        let (body, rest) = read(Framing::Length(5), &[b"ab", b"cdefg"]).unwrap();
        assert!(body.is_complete());
        assert_eq!((&body.bytes[..], &rest[..]), (&b"abcde"[..], &b"fg"[..]));
        assert!(Body::new(Framing::Length(0), true).unwrap().is_complete());
    }

    #[test]
    fn too_long_and_malformed_bodies_are_refused() {
        let refused = |framing, bytes: &[u8]| read(framing, &[bytes]).map(|_| ()).unwrap_err().0;
        assert_eq!(refused(Framing::Length(LONGEST_BODY + 1), b""), 413);
        assert_eq!(refused(Framing::Chunked, b"xyz\r\n"), 400);
        assert_eq!(refused(Framing::Chunked, b"1\r\naXX"), 400);
        assert_eq!(refused(Framing::Chunked, &b"x".repeat(LONGEST_LINE + 1)), 400);
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
                prop_assert!(body.bytes.len() + rest.len() <= came);
            }
        }
    }
}
