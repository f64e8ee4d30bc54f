//! Samples of the kernel's state over time, and the detectors of onsets over them.
//!
//! A [`Sampler`] asks the kernel, within a [`Budget`] of CPU, and says of each answer how old and how
//! exact it is. Nothing in the samples judges what the numbers mean.

mod budget;
mod hurry;
mod sample;
mod sampler;
mod yield_cpu;

pub use budget::{Ages, Budget, Look, Population, Slice};
pub use hurry::Hurry;
pub use sample::{Accuracy, Delta, Part, Sample};
pub(crate) use sampler::noted;
pub use sampler::{Sampler, SamplerConfig};

mod detect;
mod run_context;

pub use detect::{Detectors, ObservedWindow};
pub use run_context::{RunContext, forecast};
