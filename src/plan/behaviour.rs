//! The behaviour of a target as it is written in a scenario and on the command line.

use super::nearest;
use super::units::{Rate, parse_count, parse_duration};
use crate::protocol::{Behaviour, Kind, Reply};
use std::time::Duration;

/// The longest body of a reply: it is made anew for each.
const LONGEST_BODY: u64 = 16 << 20;

/// One way to write each behaviour, with an example of its argument.
const EXAMPLES: [&str; 25] = [
    "echo",
    "sink",
    "discard",
    "reset",
    "silent",
    "full-backlog",
    "slow-accept(10/s)",
    "close-after(2s)",
    "close-after(64KiB)",
    "close-after(10)",
    "raw(SSH-2.0-x\\r\\n)",
    "slow(2s)",
    "close-before-reply",
    "http-1.0",
    "reply(200)",
    "reply(503, 1KiB, chunked)",
    "push(1s)",
    "broadcast",
    "reject(403)",
    "wrong-accept-key",
    "unrequested-subprotocol",
    "unrequested-extension",
    "http",
    "alert(40)",
    "plain-text-reply",
];

/// Examples of behaviours for a target of this kind.
pub fn expected(kind: Kind) -> String {
    let suits = |text: &&&str| parse(text).is_ok_and(|behaviour| behaviour.suits(kind));
    let mut fitting: Vec<&str> = EXAMPLES.iter().filter(suits).copied().collect();
    let last = fitting.pop().unwrap_or_default();
    format!("{} or {last}", fitting.join(", "))
}

/// As [`parse`], for a flag and a target of this kind: a mistake also says what was expected.
///
/// # Errors
/// What is wrong with the text, or that such a target can't behave so, and what would be right.
pub fn parse_flag(kind: Kind, text: &str) -> Result<Behaviour, String> {
    match parse(text) {
        Ok(behaviour) if behaviour.suits(kind) => Ok(behaviour),
        Ok(_) => Err(format!("a {kind} target can't do '{}'; expected {}", text.trim(), expected(kind))),
        Err(says) => Err(format!("{says}; expected {}", expected(kind))),
    }
}

/// Parses what `Behaviour` displays, of whatever kind of target.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<Behaviour, String> {
    let text = text.trim();
    let (name, argument) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((name, argument)) => (name, Some(argument.trim())),
        None => (text, None),
    };
    match (bare(name), argument) {
        (Some(behaviour), None) => Ok(behaviour),
        (Some(_), Some(_)) => Err(format!("{name} takes nothing in brackets")),
        (None, Some(argument)) => match with_argument(name, argument) {
            Some(parsed) => parsed,
            None => Err(unknown(name)),
        },
        // What the argument may be, says the example.
        (None, None) => Err(match EXAMPLES.iter().find(|example| takes(example, name)) {
            Some(example) => format!("{name} needs something in brackets, such as {example}"),
            None => unknown(name),
        }),
    }
}

fn takes(example: &str, name: &str) -> bool {
    example.split_once('(').is_some_and(|(taking, _)| taking == name)
}

fn unknown(name: &str) -> String {
    let names = EXAMPLES.map(|example| example.split_once('(').map_or(example, |(name, _)| name));
    match nearest(name, names) {
        Some(near) => format!("'{name}' is not a behaviour, did you mean `{near}`?"),
        None => format!("'{name}' is not a behaviour"),
    }
}

fn bare(name: &str) -> Option<Behaviour> {
    Some(match name {
        "echo" => Behaviour::Echo,
        "sink" => Behaviour::Sink,
        "discard" => Behaviour::Discard,
        "reset" => Behaviour::Reset,
        "silent" => Behaviour::Silent,
        "full-backlog" => Behaviour::FullBacklog,
        "close-before-reply" => Behaviour::CloseBeforeReply,
        "http-1.0" => Behaviour::Http10,
        "broadcast" => Behaviour::Broadcast,
        "wrong-accept-key" => Behaviour::WrongAcceptKey,
        "unrequested-subprotocol" => Behaviour::UnrequestedSubprotocol,
        "unrequested-extension" => Behaviour::UnrequestedExtension,
        "http" => Behaviour::PlainHttp,
        "plain-text-reply" => Behaviour::PlainTextReply,
        _ => return None,
    })
}

fn with_argument(name: &str, argument: &str) -> Option<Result<Behaviour, String>> {
    Some(match name {
        "close-after" => close_after(argument),
        "slow-accept" => slow_accept(argument),
        "raw" => unescaped(argument).map(Behaviour::Raw),
        "slow" => duration(argument).map(Behaviour::Slow),
        "push" => duration(argument).and_then(|every| match every {
            Duration::ZERO => Err("push needs a time above zero, such as push(1s)".to_owned()),
            every => Ok(Behaviour::Push { every }),
        }),
        "reject" => status(argument, 300).map(Behaviour::Reject),
        "reply" => reply(argument).map(Behaviour::Reply),
        "alert" => argument.parse().map(Behaviour::Alert).map_err(|_| {
            format!("'{argument}' is not the number of a TLS alert, 0 to 255; 40 is handshake_failure")
        }),
        _ => return None,
    })
}

fn duration(argument: &str) -> Result<Duration, String> {
    parse_duration(argument).map_err(|error| error.to_string())
}

/// A size with its unit; nothing where the text ends in no unit of size.
fn size(text: &str) -> Option<Result<u64, String>> {
    let units = [("KiB", 1024), ("MiB", 1 << 20), ("B", 1)];
    let (number, unit) = units.into_iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))?;
    let count = parse_count(number).map_err(|error| error.to_string());
    Some(count.and_then(|count| {
        count.checked_mul(unit).ok_or_else(|| format!("'{text}' is not a number of bytes that can be held"))
    }))
}

fn close_after(argument: &str) -> Result<Behaviour, String> {
    if let Some(bytes) = size(argument) {
        return match bytes? {
            0 => Err(format!("'{argument}' is not a number of bytes from 1 up; discard closes at once")),
            bytes => Ok(Behaviour::CloseAfterBytes(bytes)),
        };
    }
    if let Ok(count) = parse_count(argument) {
        return match count {
            0 => Err("'0' is not a number of messages from 1 up; close-before-reply answers none".to_owned()),
            count => Ok(Behaviour::CloseAfterMessages(count)),
        };
    }
    parse_duration(argument).map(Behaviour::CloseAfter).map_err(|_| {
        format!(
            "'{argument}' is neither a duration, a size, nor a number of messages, such as 250ms, 2s, 64KiB \
             or 10"
        )
    })
}

fn slow_accept(argument: &str) -> Result<Behaviour, String> {
    let rate: Rate = argument.parse().map_err(|error: super::units::UnitError| error.to_string())?;
    Duration::try_from_secs_f64(rate.as_per_second().recip())
        .map(|every| Behaviour::SlowAccept { every })
        .map_err(|_| format!("'{argument}' is not a rate above zero; full-backlog never accepts"))
}

fn status(text: &str, lowest: u16) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| (lowest..=599).contains(status));
    status.ok_or_else(|| format!("'{text}' is not a status from {lowest} to 599"))
}

fn reply(argument: &str) -> Result<Reply, String> {
    let mut parts = argument.split(',').map(str::trim);
    let status = status(parts.next().unwrap_or_default(), 200)?;
    let mut reply = Reply { status, body: None, chunked: false };
    for part in parts {
        match size(part) {
            None if part == "chunked" => reply.chunked = true,
            None => {
                return Err(format!("'{part}' is neither the size of a body, such as 1KiB, nor `chunked`"));
            }
            Some(bytes) => match bytes? {
                bytes if bytes <= LONGEST_BODY => reply.body = Some(bytes as u32),
                _ => return Err(format!("'{part}' is longer than a body may be; at most 16MiB")),
            },
        }
    }
    Ok(reply)
}

/// The bytes that a text with escapes stands for.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        let hex = escape.strip_prefix('x').and_then(|hex| hex.get(..2));
        let (byte, length) = match (escape.bytes().next(), hex) {
            (Some(b'x'), Some(hex)) => (from_hex(hex), 3),
            (Some(b'r'), _) => (Some(b'\r'), 1),
            (Some(b'n'), _) => (Some(b'\n'), 1),
            (Some(b'\\'), _) => (Some(b'\\'), 1),
            _ => (None, 0),
        };
        bytes.push(byte.ok_or("an escape is \\r, \\n, \\\\ or \\x and two hexadecimal digits")?);
        rest = &escape[length..];
    }
    bytes.extend(rest.as_bytes());
    if bytes.is_empty() { Err("raw needs bytes to send; silent sends none".to_owned()) } else { Ok(bytes) }
}

/// Two hexadecimal digits; unlike `from_str_radix` alone it takes no sign.
fn from_hex(digits: &str) -> Option<u8> {
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_can_be_parsed() {
        for behaviour in [
            Behaviour::CloseAfterBytes(65_536),
            Behaviour::CloseAfter(Duration::from_millis(250)),
            Behaviour::CloseAfterMessages(3),
            Behaviour::SlowAccept { every: Duration::from_millis(100) },
            Behaviour::Raw(b" -ERR (\\x)\r\n\0\xff) ".to_vec()),
            Behaviour::Push { every: Duration::from_micros(1500) },
            Behaviour::Reply(Reply { status: 503, body: Some(2048), chunked: true }),
            Behaviour::Reply(Reply { status: 204, body: None, chunked: false }),
        ] {
            assert_eq!(parse(&behaviour.to_string()), Ok(behaviour));
        }
        for example in EXAMPLES {
            let behaviour = parse(example).unwrap();
            assert_eq!(parse(&behaviour.to_string()), Ok(behaviour), "{example}");
        }
        assert_eq!(parse("close-after(64KiB)"), Ok(Behaviour::CloseAfterBytes(65_536)));
        assert_eq!(parse(" close-after( 1m ) "), Ok(Behaviour::CloseAfter(Duration::from_secs(60))));
        assert_eq!(parse("raw(SSH-2.0-x\\r\\n)"), Ok(Behaviour::Raw(b"SSH-2.0-x\r\n".to_vec())));
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
            ("close-after", "needs something in brackets, such as close-after(2s)"),
            ("echo(1s)", "echo takes nothing"),
            ("close-after(fast)", "neither a duration, a size"),
            ("close-after(0B)", "discard closes at once"),
            ("close-after(0)", "close-before-reply answers none"),
            ("close-after(9007199254740992MiB)", "not a number of bytes"),
            ("close-after(1.5B)", "'1.5' is not a whole number"),
            ("slow-accept(0/s)", "full-backlog never accepts"),
            ("slow-accept(often)", "is not a rate"),
            ("push(0s)", "a time above zero"),
            ("reject(200)", "'200' is not a status from 300 to 599"),
            ("reply(99)", "from 200 to 599"),
            ("reply(200, 17MiB)", "at most 16MiB"),
            ("reply(200, much)", "neither the size of a body"),
            ("raw()", "raw needs bytes"),
            ("raw(\\x1)", "an escape is"),
            ("raw(\\x+1)", "an escape is"),
            ("raw(\\xé)", "an escape is"),
            ("raw(\\)", "an escape is"),
            ("alert(256)", "0 to 255"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_kind_does_what_suits_it() {
        assert_eq!(parse_flag(Kind::Ws, "broadcast"), Ok(Behaviour::Broadcast));
        let told = parse_flag(Kind::Tcp, "broadcast").unwrap_err();
        assert!(told.starts_with("a tcp target can't do 'broadcast'; expected echo, sink, "), "{told}");
        assert!(parse_flag(Kind::Ws, "alert(40)").is_err() && parse_flag(Kind::Wss, "alert(40)").is_ok());
        assert!(expected(Kind::Tcp).starts_with("echo, sink, discard, reset, silent, full-backlog"));
        assert!(expected(Kind::Https).ends_with("alert(40) or plain-text-reply"));
        assert!(!expected(Kind::Http).contains("sink") && expected(Kind::Http).contains("chunked)"));
    }
}
