//! Text found in bytes. Pure; a search costs what its bytes cost.

/// The first place from `from` on at which `part` stands in `text`.
pub(super) fn find_from(text: &[u8], part: &[u8], from: usize) -> Option<usize> {
    let from = from.min(text.len());
    memchr::memmem::find(&text[from..], part).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_from_a_place_on() {
        assert_eq!((find_from(b"abcabc", b"bc", 0), find_from(b"abcabc", b"bc", 2)), (Some(1), Some(4)));
        assert_eq!((find_from(b"abc", b"", 9), find_from(b"abc", b"x", 9)), (Some(3), None));
    }
}
