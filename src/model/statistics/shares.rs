//! Counts by key, for a few keys: which source addresses, or destinations, a kind of failure has.

/// Keys counted. With more of them no one is the cause.
const MOST: usize = 32;

/// Counts by key. Once there are more than 32 keys it knows nothing any more, rather than half of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares<K> {
    counts: Vec<(K, u64)>,
    overflowed: bool,
}

impl<K> Default for Shares<K> {
    fn default() -> Shares<K> {
        Shares { counts: Vec::new(), overflowed: false }
    }
}

impl<K: Copy + Ord> Shares<K> {
    /// Counts further ones.
    pub fn add(&mut self, key: K, count: u64) {
        if self.overflowed {
            return;
        }
        match self.counts.iter().position(|(known, _)| *known == key) {
            Some(at) => self.counts[at].1 += count,
            None if self.counts.len() < MOST => self.counts.push((key, count)),
            None => {
                self.overflowed = true;
                self.counts.clear();
            }
        }
    }

    /// Adds all that another has counted.
    pub fn merge(&mut self, other: &Shares<K>) {
        for (key, count) in &other.counts {
            self.add(*key, *count);
        }
        if other.overflowed {
            self.overflowed = true;
            self.counts.clear();
        }
    }

    /// Every key with its count, by key; none where there were too many.
    pub fn sorted(&self) -> Vec<(K, u64)> {
        let mut counts = self.counts.clone();
        counts.sort_unstable();
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_keys_are_counted_and_many_are_not() {
        let (mut one, mut other) = (Shares::default(), Shares::default());
        one.add(7, 1);
        one.add(3, 1);
        other.add(7, 2);
        one.merge(&other);
        assert_eq!(one.sorted(), [(3, 1), (7, 3)]);
        (0..40).for_each(|key| other.add(key, 1));
        assert_eq!(other.sorted(), []);
        one.merge(&other);
        one.add(3, 1);
        assert_eq!(one.sorted(), [], "what was too many stays so");
    }
}
