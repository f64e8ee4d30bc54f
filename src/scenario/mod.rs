//! What the user wrote, made into a validated, immutable [`Plan`].

mod nearest;
mod plan;
pub mod units;

pub use nearest::nearest;
pub use plan::{
    Arrivals, Behaviour, Close, Connection, Lifetime, Load, Plan, PortPolicy, RateStage, Scheme, Serve,
    Source, Target,
};
