//! The course of a run as a line of small bars.

/// Heights of a bar, from nothing to full.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values as bars, at most so many: where there are more values, each bar is the largest of its share. The
/// tallest bar is `full`, or the largest value where that is larger.
pub(super) fn bars(values: &[f64], most: usize, full: f64) -> String {
    let top = values.iter().copied().filter(|v| v.is_finite()).fold(full, f64::max);
    if values.is_empty() || most == 0 || top <= 0.0 {
        return String::new();
    }
    let count = values.len().min(most);
    let bar = |n: usize| {
        let (from, to) = (n * values.len() / count, (n + 1) * values.len() / count);
        let value = values[from..to].iter().copied().fold(0.0, f64::max);
        let height = (value / top * BARS.len() as f64).ceil() as usize;
        BARS[height.clamp(1, BARS.len()) - 1]
    };
    (0..count).map(bar).collect()
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_the_largest_of_their_share() {
        assert_eq!(bars(&[0.0, 1.0, 8.0], 10, 0.0), "▁▁█");
        assert_eq!(bars(&[0.0, 8.0, 0.0, 0.0], 2, 0.0), "█▁", "a peak is not averaged away");
        assert_eq!(bars(&[512.0], 5, 1024.0), "▄", "against a limit");
        assert_eq!([bars(&[], 5, 1.0), bars(&[0.0], 5, 0.0), bars(&[1.0], 0, 1.0)], ["", "", ""]);
        assert_eq!(bars(&[f64::NAN, 1.0], 5, 0.0).chars().count(), 2);
    }
}
