//! Text and formats: one file a format. Reads [`crate::result`], never the other way round.

mod bars;
pub mod compare_table;
mod csv;
pub mod examination;
pub mod explain;
pub mod find;
mod findings;
pub mod forecast;
#[cfg(test)]
mod golden;
mod hlog;
pub mod html;
mod junit;
mod markdown;
pub mod metrics;
pub mod openmetrics;
pub mod output;
mod plan_line;
pub mod plan_text;
mod populations;
pub mod push;
pub mod rehearsal;
pub mod screen;
pub mod shown;
mod steps;
mod style;
pub mod summary;
pub mod sweep_text;
pub mod trace;
pub mod watch;
pub mod watch_metrics;

use findings::remedy_command;

pub use plan_line::plan_line;
pub use style::Style;
