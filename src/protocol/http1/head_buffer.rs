//! A head on its way: what has come of it, and when it is worth to be parsed.
//!
//! Invariant: the bytes that are parsed, added up, are at most a small multiple of the bytes that came, however a
//! peer splits them: a head is parsed when its first line ends, when an empty line has come, and each time that
//! it has doubled.

/// Bytes by which other protocols give themselves away.
const BEGINNING: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct HeadBuffer {
    bytes: Vec<u8>,
    /// Bytes at the last parse.
    parsed: usize,
}

impl HeadBuffer {
    /// All that has come.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory that are held.
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds what came; whether it is to be parsed now. If not, the head is neither complete, nor longer than
    /// `longest`, nor known to be wrong.
    pub fn push(&mut self, more: &[u8], longest: usize) -> bool {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(more);
        let fresh = &self.bytes[before.saturating_sub(3)..];
        let ends =
            fresh.windows(2).any(|pair| pair == b"\n\n") || fresh.windows(3).any(|three| three == b"\n\r\n");
        let first_line = more.contains(&b'\n') && !self.bytes[..before].contains(&b'\n');
        let grown = self.bytes.len() > longest || self.bytes.len() >= 2 * self.parsed.max(BEGINNING);
        let due = before < BEGINNING || ends || first_line || grown;
        if due {
            self.parsed = self.bytes.len();
        }
        due
    }

    /// Takes the first bytes off.
    pub fn consume(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.parsed = 0;
    }

    /// Everything that is left, taken out.
    pub fn take(&mut self) -> Vec<u8> {
        self.parsed = 0;
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_byte_by_byte_is_parsed_a_few_times_and_at_its_end() {
        for end in ["\r\n\r\n", "\n\n", "\n\r\n"] {
            let text = format!("HTTP/1.1 200 OK\r\n{}A: b{end}", "A: b\r\n".repeat(100));
            let (mut buffer, mut parsed, mut last) = (HeadBuffer::default(), 0, false);
            for byte in text.as_bytes() {
                last = buffer.push(std::slice::from_ref(byte), 4096);
                parsed += if last { buffer.bytes().len() } else { 0 };
            }
            assert!(last, "the end is seen");
            assert!(parsed <= 5 * text.len(), "{parsed} bytes were parsed of {}", text.len());
        }
    }

    #[test]
    fn a_wrong_beginning_is_seen_at_once() {
        let mut buffer = HeadBuffer::default();
        assert!(buffer.push(b"S", 4096) && buffer.push(b"SH", 4096));
        buffer.consume(3);
        assert!(buffer.is_empty() && buffer.push(b"HTTP/1.1 200 OK and a long reason", 4096));
        assert!(!buffer.push(b"x", 4096));
        assert!(buffer.push(b"\r\n", 4096), "the end of the first line");
        assert!(!buffer.push(b"A: b", 64) && buffer.push(&[b'x'; 30], 64), "longer than may be");
    }
}
