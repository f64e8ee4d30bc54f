//! The same demand at many rates.

use super::demand::Demand;
use super::forecast::forecast;
use super::limits::HostLimits;
use super::shape::Forecast;
use serde::{Deserialize, Serialize};

/// The forecast at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// The highest rate of the demand, in arrivals per second.
    pub rate: f64,
    /// Forecast of the demand.
    pub forecast: Forecast,
}

/// Forecasts the demand at each of `rates` (arrivals per second), in their order.
pub fn sweep(demand: &Demand, host: &HostLimits, rates: impl IntoIterator<Item = f64>) -> Vec<SweepPoint> {
    rates
        .into_iter()
        .map(|rate| SweepPoint { rate, forecast: forecast(&demand.with_peak_rate(rate), host) })
        .collect()
}
