//! The flags of the command line that say what the scenario's fields say.

use super::diagnostics::{Mistake, Place};
use super::field::{Field, Placed};
use super::session::{self, SessionOverrides};
use super::settings::{LoadFlags, Settings};
use super::syntax::{COUNT, DURATION, Fault, NAME, POSITIVE_DURATION, POSITIVE_RATE, SEED, Syntax, WORKERS};
use super::target_url::TARGET_URL;
use super::thresholds::THRESHOLD;
use super::words::{CLOSE, LIFETIME, PORT_POLICY};
use crate::model::AddressSet;

/// What flags say about a scenario: the text of each flag as it was given, not looked into yet.
///
/// The same rules hold for a flag as for the field of the file, and a mistake names the flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The target's URL: `tcp://host:port`.
    pub target: Option<String>,
    /// `--rate`: an open loop at this rate, such as `5000/s`.
    pub rate: Option<String>,
    /// `--concurrency`: a closed loop with so many slots.
    pub concurrency: Option<String>,
    /// `--ramp`: how long the rate takes to go up from zero.
    pub ramp: Option<String>,
    /// `--duration`: how long the rate is held after the ramp, or how long a closed loop goes on.
    pub duration: Option<String>,
    /// `--connections`: attempts in all, at most.
    pub connections: Option<String>,
    /// `--max-open`: connections open at once, at most.
    pub max_open: Option<String>,
    /// `--lifetime`: how long a connection stays open.
    pub lifetime: Option<String>,
    /// `--close`: `fin`, `rst` or `peer`.
    pub close: Option<String>,
    /// `--source`: source addresses, ranges and CIDR blocks, separated by commas.
    pub source: Option<String>,
    /// `--ports`: who chooses the source port.
    pub ports: Option<String>,
    /// `--connect-timeout`: longest wait from connect() to the established connection.
    pub connect_timeout: Option<String>,
    /// `--handshake-timeout`: longest wait for each handshake above TCP.
    pub handshake_timeout: Option<String>,
    /// `--threshold`, as often as it was given: `connect.p99 < 50ms`.
    pub thresholds: Vec<String>,
    /// `--abort-when`, as often as it was given: `failed.ratio > 50%`.
    pub abort_when: Vec<String>,
    /// `--workers`: number of worker threads.
    pub workers: Option<String>,
    /// `--seed`: seed of every random choice.
    pub seed: Option<String>,
    /// `--name`: name of the scenario.
    pub name: Option<String>,
    /// The flags of what is said above TCP.
    pub session: SessionOverrides,
}

const SOURCE: Syntax<AddressSet> = Syntax {
    expected: "addresses, ranges or CIDR blocks, separated by commas",
    bare_number: false,
    parse: |text| {
        let block = |item: &str| {
            (super::syntax::ADDRESSES.parse)(item).map_err(|fault: Fault| fault.in_part(text, item))
        };
        Ok(AddressSet::new(text.split(',').map(block).collect::<Result<_, _>>()?))
    },
};

/// Reads every flag; each mistake goes to `mistakes`.
pub(super) fn read(overrides: &Overrides, mistakes: &mut Vec<Mistake>) -> (Settings, LoadFlags) {
    let o = overrides;
    let load = LoadFlags {
        rate: flag("--rate", &o.rate, &POSITIVE_RATE, mistakes),
        concurrency: flag("--concurrency", &o.concurrency, &COUNT, mistakes),
        ramp: flag("--ramp", &o.ramp, &DURATION, mistakes),
        duration: flag("--duration", &o.duration, &POSITIVE_DURATION, mistakes),
    };
    let mut settings = Settings {
        name: flag("--name", &o.name, &NAME, mistakes),
        seed: flag("--seed", &o.seed, &SEED, mistakes),
        workers: flag("--workers", &o.workers, &WORKERS, mistakes),
        url: flag("target", &o.target, &TARGET_URL, mistakes),
        addresses: flag("--source", &o.source, &SOURCE, mistakes),
        ports: flag("--ports", &o.ports, &PORT_POLICY, mistakes),
        max_open: flag("--max-open", &o.max_open, &COUNT, mistakes),
        connections: flag("--connections", &o.connections, &COUNT, mistakes),
        lifetime: flag("--lifetime", &o.lifetime, &LIFETIME, mistakes),
        close: flag("--close", &o.close, &CLOSE, mistakes),
        connect_timeout: flag("--connect-timeout", &o.connect_timeout, &POSITIVE_DURATION, mistakes),
        handshake_timeout: flag("--handshake-timeout", &o.handshake_timeout, &POSITIVE_DURATION, mistakes),
        session: session::read(&o.session, mistakes),
        thresholds: Vec::new(),
        abort_when: Vec::new(),
    };
    for text in &o.thresholds {
        settings
            .thresholds
            .extend(flag("--threshold", &Some(text.clone()), &THRESHOLD, mistakes).into_value());
    }
    for text in &o.abort_when {
        settings
            .abort_when
            .extend(flag("--abort-when", &Some(text.clone()), &THRESHOLD, mistakes).into_value());
    }
    (settings, load)
}

/// One flag, read.
pub(super) fn flag<T>(
    flag: &'static str,
    given: &Option<String>,
    syntax: &Syntax<T>,
    mistakes: &mut Vec<Mistake>,
) -> Field<T> {
    let Some(text) = given else { return Field::Absent };
    let place = Place::Flag { flag, given: text.clone() };
    match (syntax.parse)(text) {
        Ok(value) => Field::Given(Placed { value, place }),
        Err(fault) => {
            mistakes.push(fault.at(place));
            Field::Bad
        }
    }
}
