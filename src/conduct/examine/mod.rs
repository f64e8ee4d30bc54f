//! An examination of this host.

use super::host_state;
use crate::diagnose::host::checks;
use crate::kernel::clock::Clock;
use crate::kernel::sysctl::HostSettings;
use crate::report::SCHEMA_VERSION;
use crate::report::examination::Examination;

/// Examines this host.
pub fn host() -> Examination {
    let began = Clock::start().wall_epoch();
    let host = HostSettings::read();
    let state = host_state::look(&host);
    Examination {
        schema_version: SCHEMA_VERSION,
        connstorm_version: env!("CARGO_PKG_VERSION").to_owned(),
        began,
        checks: checks(&host, &state),
        host,
        state,
        findings: Vec::new(),
    }
}
