//! The behaviour of a target as it is written in a scenario and on the command line.

use super::nearest;
use super::units::{Rate, parse_count, parse_duration};
use crate::protocol::Behaviour;
use std::time::Duration;

pub(super) const EXPECTED: &str = "echo, sink, discard, reset, silent, full-backlog, 'close-after(2s)', \
                        'close-after(64KiB)' or 'slow-accept(10/s)'";

const NAMES: [&str; 8] =
    ["echo", "sink", "discard", "reset", "silent", "full-backlog", "close-after", "slow-accept"];

/// Parses what `Behaviour` displays.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<Behaviour, String> {
    let text = text.trim();
    let (name, argument) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((name, argument)) => (name, Some(argument.trim())),
        None => (text, None),
    };
    match (name, argument) {
        ("echo", None) => Ok(Behaviour::Echo),
        ("sink", None) => Ok(Behaviour::Sink),
        ("discard", None) => Ok(Behaviour::Discard),
        ("reset", None) => Ok(Behaviour::Reset),
        ("silent", None) => Ok(Behaviour::Silent),
        ("full-backlog", None) => Ok(Behaviour::FullBacklog),
        ("close-after", Some(argument)) => close_after(argument),
        ("slow-accept", Some(argument)) => slow_accept(argument),
        ("close-after" | "slow-accept", None) => Err(format!("{name} needs a number")),
        (_, Some(_)) if parse(name).is_ok() => Err(format!("{name} takes no number in brackets")),
        _ => Err(match nearest(name, NAMES) {
            Some(near) => format!("'{name}' is not a behaviour, did you mean `{near}`?"),
            None => format!("'{name}' is not a behaviour"),
        }),
    }
}

/// As [`parse`], for a flag: a mistake also says what was expected.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn parse_flag(text: &str) -> Result<Behaviour, String> {
    parse(text).map_err(|says| format!("{says}; expected {EXPECTED}"))
}

fn close_after(argument: &str) -> Result<Behaviour, String> {
    let unit = [("KiB", 1024), ("MiB", 1 << 20), ("B", 1)]
        .into_iter()
        .find_map(|(unit, size)| Some((argument.strip_suffix(unit)?, size)));
    match unit {
        Some((number, size)) => {
            let count = parse_count(number).map_err(|error| error.to_string())?;
            match count.checked_mul(size) {
                Some(bytes) if bytes > 0 => Ok(Behaviour::CloseAfterBytes(bytes)),
                _ => Err(format!("'{argument}' is not a number of bytes from 1 up; discard closes at once")),
            }
        }
        None => parse_duration(argument).map(Behaviour::CloseAfter).map_err(|_| {
            format!("'{argument}' is neither a duration nor a size, such as 250ms, 2s, 100B, 64KiB or 1MiB")
        }),
    }
}

fn slow_accept(argument: &str) -> Result<Behaviour, String> {
    let rate: Rate = argument.parse().map_err(|error: super::units::UnitError| error.to_string())?;
    Duration::try_from_secs_f64(rate.as_per_second().recip())
        .map(|every| Behaviour::SlowAccept { every })
        .map_err(|_| format!("'{argument}' is not a rate above zero; full-backlog never accepts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_can_be_parsed() {
        for behaviour in [
            Behaviour::Echo,
            Behaviour::Sink,
            Behaviour::Discard,
            Behaviour::CloseAfterBytes(65_536),
            Behaviour::CloseAfter(Duration::from_millis(250)),
            Behaviour::Reset,
            Behaviour::Silent,
            Behaviour::FullBacklog,
            Behaviour::SlowAccept { every: Duration::from_millis(100) },
        ] {
            assert_eq!(parse(&behaviour.to_string()), Ok(behaviour));
        }
        assert_eq!(parse("close-after(64KiB)"), Ok(Behaviour::CloseAfterBytes(65_536)));
        assert_eq!(parse(" close-after( 1m ) "), Ok(Behaviour::CloseAfter(Duration::from_secs(60))));
        assert_eq!(
            parse("slow-accept(2/s)"),
            Ok(Behaviour::SlowAccept { every: Duration::from_millis(500) })
        );
    }

    #[test]
    fn what_cannot_be_parsed_says_what_can() {
        for (text, told) in [
            ("ekho", "did you mean `echo`?"),
            ("", "'' is not a behaviour"),
            ("close-after", "needs a number"),
            ("echo(1s)", "echo takes no number"),
            ("close-after(fast)", "neither a duration nor a size"),
            ("close-after(0B)", "discard closes at once"),
            ("close-after(9007199254740992MiB)", "not a number of bytes"),
            ("close-after(1.5B)", "'1.5' is not a whole number"),
            ("slow-accept(0/s)", "full-backlog never accepts"),
            ("slow-accept(often)", "is not a rate"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
