//! The lab: failures of connections, each reproduced in a throw-away namespace and explained.
//!
//! An [`Experiment`] is data: the [`Setting`] of a namespace, the load, the finding that the diagnosis
//! should come to, and [`Cure`]s. What runs it is the same for all:
//!
//! ```text
//! isolated ──► this program again, confined (linux::sandbox) ──► inside: setting, targets, run
//!           ◄── the result, as JSON ◄───────────────────────────────┘
//! ```
//!
//! Nothing outside is changed, no privilege is needed, and nothing is left: the confined process dies with
//! the one that started it, and the namespaces with the process. The diagnosis is that of every run; it
//! never learns which experiment it looks at.

mod catalogue;
mod distractor;
mod environment;
mod experiment;
mod holder;
mod inside;
mod isolated;
mod load;
mod name_server;
pub mod plain_server;
mod setting;
pub mod shell;
pub mod table;
pub mod text;
mod wire;

pub use catalogue::{all, find};
pub use distractor::Distractor;
pub use experiment::{Cure, Experiment, Group};
pub use holder::{Holder, Way};
pub use inside::{Answer, inside};
pub use isolated::{LabError, reproduce};
pub use setting::Setting;
pub use wire::Wire;
