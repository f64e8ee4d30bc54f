//! The name that was probably meant: edit distance over a few known names.

/// The candidate that is nearest to `word`, or `None` where none is near enough to be worth naming.
///
/// Near enough is a third of the longer word's letters (at least one), with a swap of two neighbours
/// counted as one edit and case ignored; failing that, a candidate that begins with the word or the other
/// way round (`ramp` for `ramp_to`).
///
/// ```
/// use connstorm::plan::nearest;
/// assert_eq!(nearest("adresses", ["addresses", "ports"]), Some("addresses"));
/// assert_eq!(nearest("colour", ["addresses", "ports"]), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    let mut beginning: Option<&str> = None;
    for candidate in candidates {
        let name = candidate.to_lowercase();
        let limit = (word.chars().count().max(name.chars().count()) / 3).max(1);
        if let Some(distance) = distance_within(&word, &name, limit)
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, candidate));
        }
        let shorter = word.len().min(name.len());
        if beginning.is_none() && shorter >= 3 && (name.starts_with(&word) || word.starts_with(&name)) {
            beginning = Some(candidate);
        }
    }
    best.map(|(_, candidate)| candidate).or(beginning)
}

/// Damerau's distance in its "optimal string alignment" form; `None` when it is above `limit`.
fn distance_within(left: &str, right: &str, limit: usize) -> Option<usize> {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    if left.len().abs_diff(right.len()) > limit {
        return None;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let change = last[j] + usize::from(a != b);
            let mut least = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    let distance = last[right.len()];
    (distance <= limit).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["ramp_to", "over", "hold", "at"];

    #[test]
    fn slips_of_the_keyboard_are_seen_through() {
        assert_eq!(nearest("ramp_too", NAMES), Some("ramp_to"));
        assert_eq!(nearest("rampto", NAMES), Some("ramp_to"));
        assert_eq!(nearest("ovre", NAMES), Some("over"));
        assert_eq!(nearest("HOLD", NAMES), Some("hold"));
        assert_eq!(nearest("ramp", NAMES), Some("ramp_to"));
    }

    #[test]
    fn the_nearest_of_several_wins_and_the_far_is_not_named() {
        assert_eq!(nearest("fir", ["fin", "fire"]), Some("fin"));
        assert_eq!(nearest("fire", ["fin", "fire"]), Some("fire"));
        assert_eq!(nearest("headers", NAMES), None);
        assert_eq!(nearest("", NAMES), None);
    }
}
