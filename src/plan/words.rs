//! The scenario's own small languages: lifetimes, port policies, ways to close, behaviours of a target.

use super::behaviour;
use super::definition::{Close, Lifetime, PortPolicy};
use super::diagnostics::quote;
use super::fields::Written;
use super::nearest::nearest;
use super::syntax::{DURATION, Fault, Syntax, choose};
use crate::protocol::{Behaviour, Kind};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The ports that `explicit` uses where no range is given: all that need no privilege.
pub(super) const EXPLICIT_DEFAULT: RangeInclusive<u16> = 1024..=65_535;

impl Written for Close {
    fn written(&self) -> String {
        match self {
            Close::Fin => "fin",
            Close::Rst => "rst",
            Close::Peer => "peer",
        }
        .to_owned()
    }
}

impl Written for Lifetime {
    fn written(&self) -> String {
        match self {
            Lifetime::Fixed(time) => time.written(),
            Lifetime::Uniform(shortest, longest) => {
                format!("uniform({},{})", shortest.written(), longest.written())
            }
            Lifetime::Exponential(mean) => format!("exponential({})", mean.written()),
            Lifetime::UntilEnd => "until-end".to_owned(),
        }
    }
}

impl Written for PortPolicy {
    fn written(&self) -> String {
        match self {
            PortPolicy::Kernel => "kernel".to_owned(),
            PortPolicy::NaiveBind => "naive-bind".to_owned(),
            PortPolicy::Explicit { low, high } if (*low..=*high) == EXPLICIT_DEFAULT => "explicit".to_owned(),
            PortPolicy::Explicit { low, high } => format!("explicit:{low}-{high}"),
            PortPolicy::Range { low, high } => format!("{low}-{high}"),
        }
    }
}

pub(super) const CLOSE: Syntax<Close> = Syntax {
    expected: "`fin`, `rst` or `peer`",
    bare_number: false,
    pattern: r"fin|rst|peer",
    parse: |text| {
        let choices = [("fin", Close::Fin), ("rst", Close::Rst), ("peer", Close::Peer)];
        choose(text, "a way to close", &choices)
    },
};

const BEHAVIOURS: &str = "what `connstorm serve KIND --help` lists, such as \"echo\", \"sink\", \"silent\" or \
                          \"close-after(2s)\"";

pub(super) const BEHAVIOUR: Syntax<Behaviour> = Syntax {
    expected: BEHAVIOURS,
    bare_number: false,
    pattern: "",
    parse: |text| behaviour::parse(text).map_err(|says| Fault::new(says).expected(BEHAVIOURS)),
};

/// Kind of the target that is served.
pub(super) const KIND: Syntax<Kind> = Syntax {
    expected: "`tcp`, `tls`, `http`, `https`, `ws` or `wss`",
    bare_number: false,
    pattern: r"tcp|tls|https?|wss?",
    parse: |text| choose(text, "a kind of target", &Kind::ALL.map(|kind| (kind.name(), kind))),
};

pub(super) const LIFETIME: Syntax<Lifetime> = Syntax {
    expected: LIFETIME_EXAMPLES,
    bare_number: false,
    pattern: r"until-end|[0-9].*|(exponential|uniform)\s*\(.*\)",
    parse: lifetime,
};

const LIFETIME_EXAMPLES: &str =
    "a duration with its unit, such as \"2s\", or \"exponential(20s)\", \"uniform(1s,5s)\" or \"until-end\"";

fn lifetime(text: &str) -> Result<Lifetime, Fault> {
    let trimmed = text.trim();
    if trimmed == "until-end" {
        return Ok(Lifetime::UntilEnd);
    }
    let Some((name, rest)) = trimmed.split_once('(') else { return fixed_lifetime(trimmed) };
    let Some(arguments) = rest.strip_suffix(')') else {
        return Err(Fault::new(format!("{} is not closed", quote(trimmed))).expected("`)` at the end"));
    };
    let duration =
        |argument: &str| (DURATION.parse)(argument.trim()).map_err(|f| f.in_part(text, argument.trim()));
    match name.trim() {
        "exponential" => match duration(arguments)? {
            Duration::ZERO => Err(Fault::new("the mean of an exponential lifetime cannot be zero")
                .expected("a duration longer than zero")
                .help("a lifetime of \"0s\" closes each connection as soon as it is established")
                .in_part(text, arguments)),
            mean => Ok(Lifetime::Exponential(mean)),
        },
        "uniform" => {
            let Some((low, high)) = arguments.split_once(',') else {
                return Err(Fault::new("a uniform lifetime needs two durations")
                    .expected("the shortest and the longest, such as uniform(1s,5s)")
                    .in_part(text, arguments));
            };
            let (low, high) = (duration(low)?, duration(high)?);
            if low > high {
                return Err(Fault::new("the range of lifetimes has to go upwards")
                    .expected("the shorter duration first, such as uniform(1s,5s)")
                    .in_part(text, arguments));
            }
            Ok(Lifetime::Uniform(low, high))
        }
        other => Err(unknown_lifetime(text, other)),
    }
}

fn fixed_lifetime(text: &str) -> Result<Lifetime, Fault> {
    let looks_like_a_word = text.starts_with(|c: char| c.is_alphabetic());
    if looks_like_a_word {
        return Err(unknown_lifetime(text, text));
    }
    (DURATION.parse)(text).map(Lifetime::Fixed).map_err(|fault| fault.expected(LIFETIME_EXAMPLES))
}

fn unknown_lifetime(text: &str, name: &str) -> Fault {
    let fault = Fault::new(format!("{} is not a lifetime", quote(name)))
        .expected(LIFETIME_EXAMPLES)
        .in_part(text, name);
    match nearest(name, ["exponential", "uniform", "until-end"]) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    }
}

pub(super) const PORT_POLICY: Syntax<PortPolicy> = Syntax {
    expected: PORT_POLICY_EXAMPLES,
    bare_number: false,
    pattern: r"kernel|naive-bind|explicit(:\s*[0-9]+\s*-\s*[0-9]+)?|[0-9]+\s*-\s*[0-9]+",
    parse: port_policy,
};

const PORT_POLICY_EXAMPLES: &str =
    "`kernel`, `naive-bind`, `explicit`, `explicit:LO-HI` or `LO-HI`, such as \"20000-29999\"";

fn port_policy(text: &str) -> Result<PortPolicy, Fault> {
    let trimmed = text.trim();
    match trimmed {
        "kernel" => return Ok(PortPolicy::Kernel),
        "naive-bind" => return Ok(PortPolicy::NaiveBind),
        "explicit" => {
            let (low, high) = EXPLICIT_DEFAULT.into_inner();
            return Ok(PortPolicy::Explicit { low, high });
        }
        _ => {}
    }
    if let Some(range) = trimmed.strip_prefix("explicit:") {
        let (low, high) = port_range(range).map_err(|fault| fault.in_part(text, range))?;
        return Ok(PortPolicy::Explicit { low, high });
    }
    if trimmed.starts_with(|c: char| c.is_ascii_digit()) {
        let (low, high) = port_range(trimmed).map_err(|fault| fault.in_part(text, trimmed))?;
        return Ok(PortPolicy::Range { low, high });
    }
    let fault = Fault::new(format!("{} is not a port policy", quote(text))).expected(PORT_POLICY_EXAMPLES);
    Err(match nearest(trimmed, ["kernel", "naive-bind", "explicit"]) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault,
    })
}

/// The two ports of `LO-HI`.
pub(super) fn port_range(text: &str) -> Result<(u16, u16), Fault> {
    let Some((low, high)) = text.split_once('-') else {
        return Err(Fault::new(format!("{} is not a range of ports", quote(text)))
            .expected("two ports, such as 20000-29999"));
    };
    let (low, high) = (
        port(low).map_err(|fault| fault.in_part(text, low))?,
        port(high).map_err(|fault| fault.in_part(text, high))?,
    );
    if low > high {
        return Err(Fault::new(format!("the range of ports {} has to go upwards", quote(text)))
            .expected(format!("the lower port first, as in {high}-{low}")));
    }
    Ok((low, high))
}

/// One port; 0 is none.
pub(super) fn port(text: &str) -> Result<u16, Fault> {
    let digits = !text.trim().is_empty() && text.trim().bytes().all(|b| b.is_ascii_digit());
    let port = text.trim().parse().ok().filter(|port| digits && *port > 0);
    port.ok_or_else(|| {
        Fault::new(format!("{} is not a port", quote(text.trim()))).expected("a number from 1 to 65535")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part<T: std::fmt::Debug>(syntax: &Syntax<T>, text: &str) -> String {
        let fault = (syntax.parse)(text).expect_err(text);
        fault.part().map_or("all", |part| &text[part]).to_owned()
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        for text in ["0s", "2s 500ms", "uniform(1s,5s)", "exponential(20s)", "until-end"] {
            assert_eq!(lifetime(text).unwrap().written(), text);
        }
        for text in ["kernel", "naive-bind", "explicit", "explicit:2000-2999", "40000-49999"] {
            assert_eq!(port_policy(text).unwrap().written(), text);
        }
        for text in ["fin", "rst", "peer"] {
            assert_eq!((CLOSE.parse)(text).unwrap().written(), text);
        }
    }

    #[test]
    fn lifetimes() {
        let second = Duration::from_secs(1);
        assert_eq!(lifetime("0s"), Ok(Lifetime::Fixed(Duration::ZERO)));
        assert_eq!(lifetime(" exponential( 20s ) "), Ok(Lifetime::Exponential(20 * second)));
        assert_eq!(lifetime("uniform(1s, 5s)"), Ok(Lifetime::Uniform(second, 5 * second)));
        assert_eq!(lifetime("until-end"), Ok(Lifetime::UntilEnd));
    }

    #[test]
    fn a_lifetime_is_at_fault_where_the_mistake_is() {
        assert_eq!(part(&LIFETIME, "exponential(20)"), "20");
        assert_eq!(part(&LIFETIME, "exponential(0s)"), "0s");
        assert_eq!(part(&LIFETIME, "uniform(1s, 5)"), "5");
        assert_eq!(part(&LIFETIME, "uniform(5s,1s)"), "5s,1s");
        assert_eq!(part(&LIFETIME, "uniform(5s)"), "5s");
        assert_eq!(part(&LIFETIME, "expnential(5s)"), "expnential");
        assert_eq!(part(&LIFETIME, "uniform(1s,5s"), "all");
        assert_eq!(part(&LIFETIME, "5"), "all");
        assert_eq!(part(&LIFETIME, ""), "all");
    }

    #[test]
    fn port_policies() {
        assert_eq!(port_policy("kernel"), Ok(PortPolicy::Kernel));
        assert_eq!(port_policy("naive-bind"), Ok(PortPolicy::NaiveBind));
        assert_eq!(port_policy("explicit"), Ok(PortPolicy::Explicit { low: 1024, high: 65_535 }));
        assert_eq!(port_policy("explicit:5-6"), Ok(PortPolicy::Explicit { low: 5, high: 6 }));
        assert_eq!(port_policy("20000-29999"), Ok(PortPolicy::Range { low: 20_000, high: 29_999 }));
        assert_eq!(part(&PORT_POLICY, "explicit:9-7"), "9-7");
        assert_eq!(part(&PORT_POLICY, "explicit:9-70000"), "70000");
        assert_eq!(part(&PORT_POLICY, "0-7"), "0");
        assert_eq!(part(&PORT_POLICY, "explict"), "all");
        assert_eq!(part(&PORT_POLICY, "20000"), "20000");
    }

    #[test]
    fn every_kind_is_read_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!((KIND.parse)(kind.name()), Ok(kind));
        }
        assert!((KIND.parse)("udp").is_err());
    }
}
