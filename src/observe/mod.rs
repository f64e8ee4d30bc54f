//! Samples of the kernel's state over time, and the detectors of onsets over them.
//!
//! A [`Sampler`] asks the kernel, within a [`Budget`] of CPU, and says of each answer how old and how
//! exact it is; a [`Series`] keeps the samples of a run. Nothing here judges what the numbers mean.

mod budget;
mod sample;
mod sampler;
mod series;
mod yield_cpu;

pub use budget::{Ages, Budget, Look, Population, Slice};
pub use sample::{Accuracy, Delta, OwnUsage, Part, Sample};
pub use sampler::{Sampler, SamplerConfig};
pub use series::Series;

mod detect;
mod run_context;

pub use detect::{Detectors, ObservedWindow};
pub use run_context::{Books, RunContext, forecast};
