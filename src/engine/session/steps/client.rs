//! A client of a conversation: what goes on with it from one connection to the next.

use super::Program;
use crate::engine::data::Drawn;
use crate::model::Stamp;
use crate::plan::steps::{DEEPEST, MOST_NAMES};
use crate::protocol::Named;

/// Indices of values that are taken lie below this, those of columns of data begin here.
pub(super) const MOST_TAKEN: usize = MOST_NAMES + 1;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Client {
    /// Number of the client in the run, from 1: that of its first attempt.
    pub(in crate::engine) number: u64,
    /// Messages and requests that it has sent.
    pub(super) seq: u64,
    /// Number of the operation that it has come to.
    pub(super) at: u16,
    /// When it goes on, where a pause lasts from one connection to the next.
    pub(in crate::engine) starts_at: Stamp,
    /// Repetitions left, by depth.
    pub(super) left: [u32; DEEPEST],
    /// Values that the client has taken.
    pub(super) taken: Taken,
    /// Rows of data that are the client's.
    pub(super) rows: Drawn,
}

impl Client {
    /// A client that has said nothing.
    pub(in crate::engine) fn new(ordinal: u64) -> Client {
        Client { number: ordinal + 1, ..Client::default() }
    }

    /// The same with these rows of data.
    pub(in crate::engine) fn with_rows(ordinal: u64, rows: Drawn) -> Client {
        Client { rows, ..Client::new(ordinal) }
    }

    /// Names that its placeholders may use.
    pub(super) fn names<'n>(&'n self, program: &'n Program) -> Names<'n> {
        Names { taken: &self.taken, rows: &self.rows, program }
    }
}

/// Values of a client's names: what it took, and its rows of data.
pub(super) struct Names<'n> {
    taken: &'n Taken,
    rows: &'n [u32],
    program: &'n Program,
}

impl Named for Names<'_> {
    fn value(&self, index: u16) -> &[u8] {
        match usize::from(index).checked_sub(MOST_TAKEN) {
            None => self.taken.value(index),
            Some(at) => match self.program.columns.get(at) {
                Some(column) => self.program.data.value(*column, self.rows),
                None => &[],
            },
        }
    }
}

/// Values that were taken, in one piece of memory: of each its index, its length and its bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken(Option<Box<[u8]>>);

/// Bytes before each value: its index, and its length.
const HEADER: usize = 3;
/// The longest value that is taken, in bytes.
pub(super) const LONGEST_TAKEN: usize = u16::MAX as usize;

impl Taken {
    /// Takes a value of at most [`LONGEST_TAKEN`] bytes, in the place of the last one of this index.
    pub(super) fn set(&mut self, index: u16, value: &[u8]) {
        let mut kept = Vec::with_capacity(self.bytes().len() + HEADER + value.len());
        for (known, value) in self.values() {
            if u16::from(known) != index {
                push(&mut kept, known, value);
            }
        }
        push(&mut kept, index.to_le_bytes()[0], &value[..value.len().min(LONGEST_TAKEN)]);
        self.0 = Some(kept.into_boxed_slice());
    }

    /// Bytes of memory that are held.
    pub(super) fn held(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    fn values(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let (&[index, low, high], after) = rest.split_first_chunk::<HEADER>()?;
            let (value, after) = after.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
            rest = after;
            Some((index, value))
        })
    }
}

fn push(out: &mut Vec<u8>, index: u8, value: &[u8]) {
    let [low, high, ..] = value.len().to_le_bytes();
    out.extend_from_slice(&[index, low, high]);
    out.extend_from_slice(value);
}

impl Named for Taken {
    fn value(&self, index: u16) -> &[u8] {
        self.values().find(|(known, _)| u16::from(*known) == index).map_or(&[], |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_kept_in_one_piece() {
        let mut taken = Taken::default();
        assert_eq!((taken.value(0), taken.held()), (&b""[..], 0));
        taken.set(0, b"abc");
        taken.set(200, &[7; 300]);
        taken.set(1, b"");
        taken.set(0, b"longer than before");
        assert_eq!((taken.value(0), taken.value(1)), (&b"longer than before"[..], &b""[..]));
        assert_eq!((taken.value(200), taken.value(2)), (&[7; 300][..], &b""[..]));
        assert_eq!(taken.held(), 3 * HEADER + 18 + 300);
        taken.set(3, &[1; 70_000]);
        assert_eq!(taken.value(3).len(), LONGEST_TAKEN);
    }
}
