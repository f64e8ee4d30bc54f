//! Counts: tallies, latency histograms, and windows of time.
//!
//! Pure. A tally belongs to one worker; whole tallies are handed over and merged, never shared.

mod at_timeout;
mod closes;
mod codes;
mod evidence;
mod fanout;
mod latencies;
mod latency;
mod lateness;
mod load_course;
mod onset;
mod port_search;
mod reply;
mod run;
mod saved_histogram;
mod shares;
mod speech;
mod steps;
mod tally;
mod traffic;
mod window;

pub use at_timeout::{Acknowledged, AtTimeout};
pub use closes::{CloseCount, Closes, close_code_name};
pub use codes::{Codes, status_list};
pub use evidence::{Evidence, Fact};
pub use fanout::Fanout;
pub use latencies::{Latencies, LatencyKind};
pub use latency::Latency;
pub use lateness::{Late, Served, TOO_LATE};
pub use load_course::{LOAD_SLICES, LoadCourse, SlicedLatency};
pub use onset::{Onset, OnsetKind};
pub use port_search::{PortSearch, SlowSearch};
pub use reply::{BODY_KEPT, Reply};
pub use run::{PopulationRun, Run, RunStart, WindowRow};
pub use shares::Shares;
pub use speech::{ABOVE_TCP, Speech, StepSpeech, WindowLatency};
pub use steps::{StepTally, Steps};
pub use tally::{FailureTally, Opening, SAMPLES, Sample, Tally};
pub use traffic::Traffic;
pub use window::{Handover, Timeline, Window};
