//! The capacity planner: what a load asks of a host, what gives way first and when, and what to change.
//!
//! Everything here is pure: a [`Demand`] and a [`HostLimits`] go in, a [`Forecast`] comes out, without a
//! look at a clock, a file or a socket. [`remedies`] runs the same forecast on changed input, so that the
//! effect it states is never a rule of thumb. [`Search`] is the state machine of `connstorm find`.
//!
//! The model is that of a queue with unlimited servers: a connection that starts at `s` occupies something
//! (a port, a descriptor, a conntrack entry) for its lifetime and for a tail that the kernel adds, so what is
//! occupied at `t` is `∫ rate(s) · P(lifetime + tail > t − s) ds`. In the steady state this is Little's law.
//! It assumes that attempts go evenly over sources and destinations, and it gives means: with random
//! lifetimes the true figure swings about it by roughly its square root.

mod change;
mod course;
mod demand;
mod forecast;
mod hold;
mod limits;
mod ports;
mod profile;
mod remedy;
mod search;
mod shape;
mod sweep;

pub use change::{Change, Cost};
pub use demand::{Demand, Ends, RateCourse};
pub use forecast::forecast;
pub use limits::{Conntrack, Costs, HostLimits, PortSpan};
pub use ports::PortFigures;
pub use remedy::{Advice, Effect, Remedy, remedies};
pub use search::{Answer, End, Probe, Search, SearchError, SearchLimits};
pub use shape::{
    AcceptQueueForecast, Break, ConntrackForecast, DescriptorForecast, ExhaustionError, Forecast, Limit,
    MemoryForecast, Moment, OpenForecast, PortForecast, RateBound, Severity, TimeWaitForecast,
};
pub use sweep::{SweepPoint, sweep};

#[cfg(test)]
mod field_tests;
#[cfg(test)]
mod property_tests;
