//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with the unit that leaves two or three digits: `28 µs`, `2.51 ms`, `1.20 s`.
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", three_digits(us as f64 / 1e3)),
        _ => format!("{} s", three_digits(us as f64 / 1e6)),
    }
}

/// The same to the microsecond: `812 µs`, `50.001 ms`, `1.000001 s`.
pub fn exact_micros(us: f64) -> String {
    match us.round() {
        whole if whole < 1e3 => format!("{whole} µs"),
        whole if whole < 1e6 => format!("{} ms", trimmed(format!("{:.3}", whole / 1e3))),
        whole => format!("{} s", trimmed(format!("{:.6}", whole / 1e6))),
    }
}

/// A number without the zeros that end its fraction.
pub fn trimmed(number: String) -> String {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number,
    }
}

/// Seconds with hundredths below ten, tenths below a hundred: `2.03 s`, `30.1 s`, `125 s`.
pub fn seconds(s: f64) -> String {
    format!("{} s", three_digits(s))
}

/// Bytes in the binary unit that leaves three digits: `861 B`, `3.60 KiB`, `9.42 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{} {}", three_digits(value), UNITS[unit]) }
}

/// A share as a percentage that never rounds to 0 % or 100 % what is not: `0.0 %`, `<0.1 %`, `99.9 %`.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".into();
    }
    if part == whole {
        return "100 %".into();
    }
    let share = part as f64 / whole as f64 * 100.0;
    if share < 0.1 { "<0.1 %".into() } else { format!("{:.1} %", share.min(99.9)) }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// A word as a shell takes it, whatever is in it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            ["0", "999", "1,000", "28,232", "1,234,567"],
            [0, 999, 1000, 28_232, 1_234_567].map(thousands)[..]
        );
        assert_eq!(
            ["28 µs", "2.51 ms", "99.9 ms", "250 ms", "1.20 s"],
            [28, 2510, 99_900, 250_000, 1_200_000].map(micros)[..]
        );
        assert_eq!([seconds(0.0), seconds(9.999), seconds(125.2)], ["0.00 s", "10.0 s", "125 s"]);
        assert_eq!(["861 B", "3.60 KiB", "1.00 MiB"], [861, 3686, 1 << 20].map(bytes)[..]);
    }

    #[test]
    fn a_word_runs_nothing_in_a_shell() {
        assert_eq!(shell_word("ws://[::1]:9001/chat"), "ws://[::1]:9001/chat");
        assert_eq!(shell_word("ws://h/?a=1&b=$(id)"), "'ws://h/?a=1&b=$(id)'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
    }

    #[test]
    fn a_share_is_only_0_or_100_percent_when_it_is() {
        assert_eq!(percent(0, 10), "0 %");
        assert_eq!(percent(1, 1_000_000), "<0.1 %");
        assert_eq!(percent(999_999, 1_000_000), "99.9 %");
        assert_eq!(percent(10, 10), "100 %");
        assert_eq!(percent(0, 0), "0 %");
    }
}
