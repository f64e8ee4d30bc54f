//! Orders of the run itself. A remedy that is in use already, or that such a run can't have, is none.

use crate::model::{Close, PortPolicy};
use std::time::Duration;

/// See the module. Not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFacts {
    /// Who ends a connection, and how.
    pub close: Option<Close>,
    /// Who chooses the source ports.
    pub ports: Option<PortPolicy>,
    /// Longest wait for an established connection.
    pub connect_timeout: Option<Duration>,
    /// Other flags that the run has, or fields of its scenario by the flag's name: `--insecure`.
    pub flags: Vec<&'static str>,
}

impl ClientFacts {
    /// True if the run has a flag.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}
