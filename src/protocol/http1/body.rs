//! A body, of a request or of a reply, taken off the stream piece by piece.

use httparse::Status;

/// The longest line of a chunked body: its size, or a trailer.
const LONGEST_LINE: usize = 4 * 1024;
/// Most trailers.
const MOST_TRAILERS: u32 = 100;

/// Delimiter of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks with their sizes.
    Chunked,
    /// Everything until the peer closes.
    UntilClose,
}

/// A body that breaks its own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunks of the body are malformed")]
pub struct BadBody;

/// A body on its way.
#[derive(Debug)]
pub struct Body {
    state: State,
    /// The beginning of it, up to what was asked for.
    pub kept: Vec<u8>,
    keep: usize,
    /// All its bytes, kept or not.
    pub length: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain(u64),
    UntilClose,
    Size,
    Chunk(u64),
    ChunkEnd,
    Trailer(u32),
    Done,
}

impl Body {
    /// A body of which nothing has come, and of which at most `keep` bytes are kept.
    pub fn new(framing: Framing, keep: usize) -> Body {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Plain(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Body { state, kept: Vec::new(), keep, length: 0 }
    }

    /// True if all of it has come.
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// True if the end of the stream is its end.
    pub fn ends_with_the_stream(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Takes what it can of `bytes`; returns how many those were. The rest is either what follows the body, or
    /// too short a beginning, to come again with what follows.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, BadBody> {
        let mut used = 0;
        while self.state != State::Done {
            let rest = &bytes[used..];
            let (taken, state) = match self.state {
                State::Plain(left) => {
                    let taken = self.keep(rest, left);
                    (
                        taken,
                        if left == taken as u64 { State::Done } else { State::Plain(left - taken as u64) },
                    )
                }
                State::UntilClose => (self.keep(rest, u64::MAX), State::UntilClose),
                State::Chunk(left) => {
                    let taken = self.keep(rest, left);
                    let left = left - taken as u64;
                    (taken, if left == 0 { State::ChunkEnd } else { State::Chunk(left) })
                }
                state => match Body::line(state, rest)? {
                    Some(step) => step,
                    None => return Ok(used),
                },
            };
            (used, self.state) = (used + taken, state);
            if taken == 0 && rest.is_empty() {
                return Ok(used);
            }
        }
        Ok(used)
    }

    /// The parts between chunks; `None` where the line is not complete.
    fn line(state: State, bytes: &[u8]) -> Result<Option<(usize, State)>, BadBody> {
        Ok(match state {
            State::Size => match httparse::parse_chunk_size(bytes) {
                Ok(Status::Complete((taken, 0))) => Some((taken, State::Trailer(0))),
                Ok(Status::Complete((taken, size))) => Some((taken, State::Chunk(size))),
                Ok(Status::Partial) if bytes.len() <= LONGEST_LINE => None,
                _ => return Err(BadBody),
            },
            State::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => Some((2, State::Size)),
                [] | [b'\r'] => None,
                _ => return Err(BadBody),
            },
            State::Trailer(lines) => match bytes.iter().position(|&byte| byte == b'\n') {
                Some(0) => Some((1, State::Done)),
                Some(1) if bytes[0] == b'\r' => Some((2, State::Done)),
                Some(end) if lines < MOST_TRAILERS => Some((end + 1, State::Trailer(lines + 1))),
                None if bytes.len() <= LONGEST_LINE => None,
                _ => return Err(BadBody),
            },
            state => Some((0, state)),
        })
    }

    fn keep(&mut self, bytes: &[u8], left: u64) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let kept = taken.min(self.keep.saturating_sub(self.kept.len()));
        self.kept.extend_from_slice(&bytes[..kept]);
        self.length += taken as u64;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds in pieces as a connection does, with the unused rest before the next piece.
    fn read(framing: Framing, keep: usize, pieces: &[&[u8]]) -> Result<(Body, Vec<u8>), BadBody> {
        let mut body = Body::new(framing, keep);
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
            let (body, rest) = read(Framing::Chunked, 100, &[&CHUNKED[..at], &CHUNKED[at..]]).unwrap();
            assert!(body.is_complete());
            assert_eq!((&body.kept[..], &rest[..]), (&b"abc0123456789abcdef"[..], &b"next"[..]), "at {at}");
        }
    }

    #[test]
    fn no_more_is_kept_than_was_asked_for() {
        let (body, rest) = read(Framing::Length(5), 2, &[b"ab", b"cdefg"]).unwrap();
        assert!(body.is_complete() && body.length == 5);
        assert_eq!((&body.kept[..], &rest[..]), (&b"ab"[..], &b"fg"[..]));
        let (body, rest) = read(Framing::UntilClose, 1, &[b"ab", b"cd"]).unwrap();
        assert!(body.ends_with_the_stream() && body.length == 4 && rest.is_empty());
    }

    #[test]
    fn malformed_chunks_are_refused() {
        let refused = |bytes: &[u8]| read(Framing::Chunked, 10, &[bytes]).is_err();
        assert!(refused(b"xyz\r\n") && refused(b"1\r\naXX"));
        assert!(refused(&b"1".repeat(LONGEST_LINE + 1)));
        assert!(refused(&[b"0\r\n", &b"a: b\n".repeat(101)[..]].concat()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_it_should(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
            keep in 0usize..50,
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            for framing in [Framing::Chunked, Framing::UntilClose, Framing::Length(70)] {
                if let Ok((body, rest)) = read(framing, keep, &pieces) {
                    prop_assert!(body.kept.len() <= keep && rest.len() <= 320);
                }
            }
        }
    }
}
