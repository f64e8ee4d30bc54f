//! The beginning of what a peer of bare TCP or TLS sent last: often why it closes.

use super::context::SessionError;
use crate::model::{Failure, Reply};
use crate::protocol::sniff;

/// Bytes that are kept.
const KEPT: usize = 199;

/// See the module. A peer that says nothing costs a pointer.
#[derive(Debug, Default)]
pub(crate) struct LastWords(Option<Box<Words>>);

#[derive(Debug)]
struct Words {
    length: u8,
    bytes: [u8; KEPT],
}

impl LastWords {
    /// Keeps the beginning of these bytes instead of what was kept before.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        let length = bytes.len().min(KEPT);
        let words = self.0.get_or_insert_with(|| Box::new(Words { length: 0, bytes: [0; KEPT] }));
        // At most 199.
        words.length = length as u8;
        words.bytes[..length].copy_from_slice(&bytes[..length]);
    }

    /// A failure with these words as the peer's reply, if there are any.
    pub(crate) fn explain(&self, failure: Failure) -> SessionError {
        let Some(words) = &self.0 else { return failure.into() };
        let bytes = &words.bytes[..usize::from(words.length)];
        let mut reply = Reply::default().with_body(bytes).beginning_with(bytes);
        reply.protocol = sniff(bytes).map(str::to_owned);
        SessionError::because(failure, reply)
    }

    /// Bytes of memory that are held.
    pub(crate) fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |_| size_of::<Words>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, Stage};

    #[test]
    fn the_last_words_are_the_reply_of_the_failure() {
        let failure = Failure::new(Stage::Session, Cause::ClosedEarly);
        let mut words = LastWords::default();
        assert!(words.explain(failure).reply.is_none() && words.held() == 0);
        words.keep(b"+OK ready\r\n");
        words.keep(&[b"-ERR max number of clients reached\r\n", &[b'x'; 300][..]].concat());
        let reply = words.explain(failure).reply.unwrap();
        assert!(reply.body.unwrap().starts_with("-ERR max number of clients reached"));
        assert_eq!(reply.protocol.as_deref(), Some("Redis (RESP) or POP3"));
    }
}
