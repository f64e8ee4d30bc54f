//! The forecast of a run, and what was measured beside it.

use crate::capacity::{Demand, Forecast, Moment};
use crate::model::OnsetKind;
use crate::result::figures::Figures;
use crate::result::window::WindowSummary;
use serde::{Deserialize, Serialize};

/// Forecast made before the run, and its error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ForecastReport {
    /// Demand that the planner was given: the plan in its terms.
    pub demand: Demand,
    /// The planner's forecast.
    #[serde(flatten)]
    pub forecast: Forecast,
    /// Measured figures, beside it.
    pub compared: Vec<Compared>,
}

/// One figure of the forecast beside the run's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Compared {
    /// Name of the figure for machines, with its unit.
    pub figure: Figure,
    /// As forecast; absent: never.
    pub forecast: Option<f64>,
    /// As measured; absent: never.
    pub measured: Option<f64>,
    /// |forecast − measured| ÷ measured; absent where one of them is.
    pub error: Option<f64>,
}

/// A figure that is both forecast and measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// When connect() became slow, in seconds since the start.
    PortSearchSlowAtS,
    /// When no port was left, in seconds since the start.
    PortsExhaustedAtS,
    /// At which attempt, from 1.
    PortsExhaustedOrdinal,
    /// The most connections open at once.
    HeldMax,
    /// The most TIME_WAIT sockets of the namespace in any sample.
    TimeWaitMax,
}

impl ForecastReport {
    /// A forecast beside what the run measured. `time_wait_before` are the TIME_WAIT sockets that the
    /// namespace had before the run.
    pub(super) fn new(
        demand: Demand,
        forecast: Forecast,
        time_wait_before: u64,
        figures: &Figures<'_>,
        windows: &[WindowSummary],
    ) -> ForecastReport {
        let ports = &forecast.ports;
        let onset = |kind| figures.onsets.iter().find(|onset| onset.kind == kind);
        let slow = onset(OnsetKind::PortSearchSlow).map(|onset| onset.at_s);
        let exhausted = onset(OnsetKind::PortsExhausted);
        let at = |moment: Option<Moment>| moment.map(|moment| moment.at_s);
        let time_wait = time_wait_max(windows, forecast.ends_at_s);
        let mut compared = vec![
            Compared::of(Figure::PortSearchSlowAtS, at(ports.search_slow), slow),
            Compared::of(Figure::PortsExhaustedAtS, at(ports.exhausted), exhausted.map(|onset| onset.at_s)),
            Compared::of(
                Figure::PortsExhaustedOrdinal,
                ports.exhausted.map(|moment| moment.ordinal as f64),
                exhausted.and_then(|onset| onset.ordinal).map(|ordinal| ordinal as f64),
            ),
            Compared::of(
                Figure::HeldMax,
                Some(forecast.open.attainable as f64),
                Some(figures.counts.held_max as f64),
            ),
        ];
        // The kernel's count is of all of the namespace: only where it began with hardly any is it ours.
        let ours = time_wait.filter(|most| time_wait_before * 50 <= *most);
        compared.extend(ours.map(|measured| {
            Compared::of(Figure::TimeWaitMax, Some(forecast.time_wait.peak as f64), Some(measured as f64))
        }));
        ForecastReport { demand, forecast, compared }
    }

    /// The figure of that name.
    pub fn figure(&self, figure: Figure) -> Option<&Compared> {
        self.compared.iter().find(|row| row.figure == figure)
    }
}

/// The most TIME_WAIT sockets while the plan lasted. What is open at its end is closed at once, which is no churn:
/// the first sample from then on counts for no more than what had ended by itself until then.
fn time_wait_max(windows: &[WindowSummary], ends_at_s: Option<f64>) -> Option<u64> {
    let seen = |window: &WindowSummary| window.kernel.as_ref()?.time_wait_total;
    let lasts = |window: &&WindowSummary| ends_at_s.is_none_or(|end| window.at_s < end);
    let (during, after) = windows.split_at(windows.iter().take_while(lasts).count());
    let before = during.iter().rev().find_map(seen).unwrap_or(0);
    let ended = before + after.first().map_or(0, |window| window.ok);
    let at_end = after.iter().find_map(seen).map(|seen| seen.min(ended));
    during.iter().filter_map(seen).max().max(at_end)
}

impl Compared {
    fn of(figure: Figure, forecast: Option<f64>, measured: Option<f64>) -> Compared {
        let error = forecast
            .zip(measured)
            .filter(|(_, measured)| *measured > 0.0)
            .map(|(forecast, measured)| (forecast - measured).abs() / measured);
        Compared { figure, forecast, measured, error }
    }

    /// True if it is worth a line: something was forecast or measured, that is not nothing.
    pub fn is_telling(&self) -> bool {
        let there = |value: Option<f64>| value.is_some_and(|value| value >= 1e-9);
        (there(self.forecast) || there(self.measured))
            // Short connections are never open at the end of a window, where this is looked at.
            && !(self.figure == Figure::HeldMax && self.forecast.unwrap_or(0.0) < 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::window::KernelWindow;

    #[test]
    fn what_is_closed_at_the_end_is_no_churn() {
        let window = |at_s, ok, time_wait_total| WindowSummary {
            at_s,
            ok,
            kernel: Some(KernelWindow { time_wait_total, ..KernelWindow::default() }),
            ..WindowSummary::default()
        };
        // The plan ends at 2 s with 500 open; the sample at that time sees some of them closed already.
        let windows = [window(1.0, 100, Some(100)), window(2.0, 100, Some(450)), window(2.1, 500, Some(700))];
        assert_eq!(time_wait_max(&windows, Some(2.0)), Some(200));
        assert_eq!(time_wait_max(&windows, None), Some(700));
        assert_eq!(time_wait_max(&windows[..1], Some(2.0)), Some(100));
        // Closed by RST: nothing comes of what has ended.
        let reset = [window(1.0, 100, Some(0)), window(2.0, 100, None), window(2.1, 500, Some(0))];
        assert_eq!(time_wait_max(&reset, Some(2.0)), Some(0));
        assert_eq!(time_wait_max(&[window(1.0, 9, None)], Some(2.0)), None);
    }

    #[test]
    fn an_error_is_a_share_of_what_was_measured() {
        let row = |forecast, measured| Compared::of(Figure::PortsExhaustedAtS, forecast, measured);
        assert_eq!(row(Some(2.2), Some(2.0)).error.map(|e| (e * 1000.0).round()), Some(100.0));
        assert_eq!(row(None, Some(2.0)).error, None);
        assert_eq!((row(None, None).error, row(None, None).is_telling()), (None, false));
    }
}
