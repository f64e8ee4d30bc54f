//! The lab: failures of connections, each reproduced in a throw-away namespace and explained.
//!
//! An [`Experiment`] is data: the [`Setting`] of a namespace, the load, the finding that the diagnosis
//! should come to, and [`Cure`]s. What runs it is the same for all:
//!
//! ```text
//! reproduce ──► this program again, confined (kernel::sandbox) ──► perform: setting, targets, conduct
//!           ◄── the result, as JSON ◄───────────────────────────────┘
//! ```
//!
//! Nothing outside is changed, no privilege is needed, and nothing is left: the confined process dies with
//! the one that started it, and the namespaces with the process. The diagnosis is that of every run; it
//! never learns which experiment it looks at.

mod catalogue;
mod experiment;
mod load;
mod name_server;
pub mod ordinary;
mod perform;
mod reproduce;
mod setting;
pub mod shell;
mod stage;
pub mod table;
pub mod text;
mod watch;

pub use catalogue::{all, find};
pub use experiment::{Cure, Experiment, Group};
pub use perform::{Answer, perform};
pub use reproduce::{LabError, reproduce};
pub use setting::Setting;
