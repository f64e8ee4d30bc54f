//! What was written, parsed value by value and not yet checked as a whole: by the file, or by the flags.

use super::field::Field;
use super::plan::{Close, Lifetime, PortPolicy, RateStage, Serve};
use super::session::SessionSettings;
use super::target_url::TargetUrl;
use super::thresholds::Threshold;
use super::units::{Count, Rate};
use crate::model::AddressSet;
use std::num::NonZeroU32;
use std::time::Duration;

/// The fields that the file and the flags have in common.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) name: Field<String>,
    pub(super) seed: Field<u64>,
    pub(super) workers: Field<NonZeroU32>,
    pub(super) url: Field<TargetUrl>,
    pub(super) addresses: Field<AddressSet>,
    pub(super) ports: Field<PortPolicy>,
    pub(super) max_open: Field<Count>,
    pub(super) connections: Field<Count>,
    pub(super) lifetime: Field<Lifetime>,
    pub(super) close: Field<Close>,
    pub(super) connect_timeout: Field<Duration>,
    pub(super) handshake_timeout: Field<Duration>,
    pub(super) session: SessionSettings,
    pub(super) thresholds: Vec<Threshold>,
    pub(super) abort_when: Vec<Threshold>,
}

impl Settings {
    /// These settings (the flags') over others (the file's). A threshold takes the place of all that the file
    /// has for the same metric, and so does a condition.
    pub(super) fn over(self, file: Settings) -> Settings {
        Settings {
            name: self.name.or(file.name),
            seed: self.seed.or(file.seed),
            workers: self.workers.or(file.workers),
            url: self.url.or(file.url),
            addresses: self.addresses.or(file.addresses),
            ports: self.ports.or(file.ports),
            max_open: self.max_open.or(file.max_open),
            connections: self.connections.or(file.connections),
            lifetime: self.lifetime.or(file.lifetime),
            close: self.close.or(file.close),
            connect_timeout: self.connect_timeout.or(file.connect_timeout),
            handshake_timeout: self.handshake_timeout.or(file.handshake_timeout),
            thresholds: laid_over(self.thresholds, file.thresholds),
            abort_when: laid_over(self.abort_when, file.abort_when),
            session: self.session.over(file.session),
        }
    }
}

/// The flags' thresholds, and of the file's those for other metrics, in the order of the file.
fn laid_over(flags: Vec<Threshold>, mut file: Vec<Threshold>) -> Vec<Threshold> {
    file.retain(|written| !flags.iter().any(|flag| flag.metric == written.metric));
    file.extend(flags);
    file
}

/// The arrivals that the file asks for; at most one of the two is given.
#[derive(Debug, Default)]
pub(super) struct WrittenLoad {
    pub(super) open: Field<Vec<RateStage>>,
    pub(super) closed: Field<WrittenClosed>,
}

/// A closed loop as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WrittenClosed {
    pub(super) slots: Count,
    pub(super) duration: Option<Duration>,
}

/// The flags that ask for arrivals.
#[derive(Debug, Default)]
pub(super) struct LoadFlags {
    pub(super) rate: Field<Rate>,
    pub(super) concurrency: Field<Count>,
    pub(super) ramp: Field<Duration>,
    pub(super) duration: Field<Duration>,
}

/// A whole scenario file.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) settings: Settings,
    /// The table `[target]`, if there is one.
    pub(super) target_table: Field<()>,
    /// Ports beside the URL.
    pub(super) target_ports: Field<Vec<u16>>,
    pub(super) load: WrittenLoad,
    pub(super) serve: Field<Serve>,
}
