//! The statistics of a comparison: by how much a figure changed, and within what.
//!
//! A latency is compared by its logarithm, because noise multiplies it. The variance of a side's mean is the
//! larger of two estimates: that between its runs, and that within them (a percentile of n values lies
//! between the order statistics q ± √(q(1−q)/n), the binomial interval). With one run on a side, the other
//! side's variance between runs stands for both; with one on each, a guess does ([`GUESSED`]).

use crate::model::Latency;

/// Values are off by up to 1 % in a histogram of two digits.
const PRECISION: f64 = 0.01;
/// Standard deviation between runs, as a share, where there is but one a side: what the percentiles of a
/// run of some seconds vary by on a machine that others use too.
const GUESSED: f64 = 0.05;
/// Standard normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.96;
/// Student's t of the same, for 1 to 30 degrees of freedom.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A figure of one run, with its standard error as a share of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) error: f64,
}

/// A change and its interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    pub(super) base: f64,
    pub(super) new: f64,
    pub(super) change: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A percentile of a histogram, with the standard error that its number of values leaves.
pub(super) fn quantile(latency: &Latency, q: f64) -> Measured {
    // Below a microsecond nothing is measured; one stands for it, so that there is a logarithm.
    let at = |q: f64| latency.quantile_us(q.clamp(0.0, 1.0)).max(1) as f64;
    let off = (q * (1.0 - q) / latency.count().max(1) as f64).sqrt();
    Measured { value: at(q), error: (at(q + off) / at(q - off)).ln() / 2.0 }
}

/// Difference of the new side from the base, as a share of it. Values have to be above zero; where the
/// base has none there is no share, and any is possible.
pub(super) fn relative_change(base: &[Measured], new: &[Measured]) -> Interval {
    let (b, n) = (Side::of(base), Side::of(new));
    if b.mean_log == f64::NEG_INFINITY || n.mean_log == f64::NEG_INFINITY {
        let (base, new) = (b.mean_log.exp(), n.mean_log.exp());
        let change = if base == new { 0.0 } else { (new - base) / base.max(f64::MIN_POSITIVE) };
        // Nothing against something: sure, if both are measured.
        return Interval { base, new, change, low: change.min(0.0), high: change.max(0.0) };
    }
    let (spread, freedom) = between(&b, &n);
    let variance = |side: &Side| (spread / side.runs).max(side.within);
    let (of_base, of_new) = (variance(&b), variance(&n));
    let half = t(freedom) * (of_base + of_new).sqrt() + PRECISION;
    let log = n.mean_log - b.mean_log;
    Interval {
        base: b.mean_log.exp(),
        new: n.mean_log.exp(),
        change: log.exp_m1(),
        low: (log - half).exp_m1(),
        high: (log + half).exp_m1(),
    }
}

struct Side {
    runs: f64,
    mean_log: f64,
    /// Sum of squared deviations of the logarithms from their mean.
    squares: f64,
    /// Variance of the mean, from within the runs.
    within: f64,
}

impl Side {
    fn of(measured: &[Measured]) -> Side {
        let runs = measured.len() as f64;
        let logs: Vec<f64> = measured.iter().map(|m| m.value.max(0.0).ln()).collect();
        let mean_log = logs.iter().sum::<f64>() / runs;
        let squares = logs.iter().map(|log| (log - mean_log).powi(2)).sum();
        let within = measured.iter().map(|m| m.error.powi(2)).sum::<f64>() / (runs * runs);
        Side { runs, mean_log, squares, within }
    }
}

/// The variance between runs, pooled over both sides, and its degrees of freedom; `None`: it was guessed.
fn between(base: &Side, new: &Side) -> (f64, Option<usize>) {
    let freedom = (base.runs + new.runs - 2.0) as usize;
    if freedom == 0 {
        return (GUESSED * GUESSED, None);
    }
    ((base.squares + new.squares) / freedom as f64, Some(freedom))
}

fn t(freedom: Option<usize>) -> f64 {
    freedom.and_then(|freedom| T.get(freedom.saturating_sub(1)).copied()).unwrap_or(Z)
}

/// Difference of two proportions: Newcombe's interval (1998, method 10), of Wilson's
/// intervals of both sides; no narrower than what lies between the runs of the sides allows.
pub(super) fn change_of_proportion(base: &[(u64, u64)], new: &[(u64, u64)]) -> Interval {
    let sum = |side: &[(u64, u64)]| {
        side.iter()
            .fold((0u64, 0u64), |(a, b), (part, whole)| (a.saturating_add(*part), b.saturating_add(*whole)))
    };
    let (base_sum, new_sum) = (sum(base), sum(new));
    let (p, (p_low, p_high)) = (share(base_sum), wilson(base_sum));
    let (q, (q_low, q_high)) = (share(new_sum), wilson(new_sum));
    let change = q - p;
    let below = ((q - q_low).powi(2) + (p_high - p).powi(2)).sqrt();
    let above = ((q_high - q).powi(2) + (p - p_low).powi(2)).sqrt();
    let spread = spread(base).hypot(spread(new));
    Interval { base: p, new: q, change, low: change - below.max(spread), high: change + above.max(spread) }
}

fn share((part, whole): (u64, u64)) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn wilson(counted: (u64, u64)) -> (f64, f64) {
    let (p, n) = (share(counted), counted.1.max(1) as f64);
    let middle = p + Z * Z / (2.0 * n);
    let off = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((middle - off) / scale).max(0.0), ((middle + off) / scale).min(1.0))
}

/// Half of the interval of the mean that the runs of a side leave; 0 for one run.
fn spread(side: &[(u64, u64)]) -> f64 {
    let runs = side.len() as f64;
    if side.len() < 2 {
        return 0.0;
    }
    let shares: Vec<f64> = side.iter().map(|counted| share(*counted)).collect();
    let mean = shares.iter().sum::<f64>() / runs;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (runs - 1.0);
    t(Some(side.len() - 1)) * (variance / runs).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[f64]) -> Vec<Measured> {
        values.iter().map(|value| Measured { value: *value, error: 0.001 }).collect()
    }

    #[test]
    fn the_interval_is_students_on_logarithms() {
        // Three runs a side, standard deviation 2 % in each: t(4) = 2.776, se = 0.02·√(2/3).
        let spread = |middle: f64| runs(&[middle * (-0.02f64).exp(), middle, middle * 0.02f64.exp()]);
        let interval = relative_change(&spread(100.0), &spread(120.0));
        let half = 2.776 * 0.02 * (2.0f64 / 3.0).sqrt() + PRECISION;
        assert!((interval.change - 0.2).abs() < 1e-9, "{interval:?}");
        assert!((interval.low - (1.2f64.ln() - half).exp_m1()).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - (1.2f64.ln() + half).exp_m1()).abs() < 1e-6, "{interval:?}");
    }

    #[test]
    fn noise_widens_it_and_runs_narrow_it() {
        let width = |base: &[f64], new: &[f64]| {
            let interval = relative_change(&runs(base), &runs(new));
            interval.high - interval.low
        };
        assert!(width(&[90.0, 100.0, 110.0], &[100.0]) > width(&[99.0, 100.0, 101.0], &[100.0]));
        assert!(width(&[90.0, 100.0, 110.0], &[90.0, 100.0, 110.0]) < width(&[90.0, 110.0], &[90.0, 110.0]));
        assert!(width(&[100.0], &[100.0]) > 4.0 * GUESSED, "one run a side is not taken for the truth");
    }

    #[test]
    fn the_difference_of_shares_is_newcombes() {
        // Newcombe 1998, table II, (a): 56/70 − 48/80 = 0.2, 0.0524 to 0.3339.
        let interval = change_of_proportion(&[(48, 80)], &[(56, 70)]);
        assert!(
            (interval.low - 0.0524).abs() < 5e-4 && (interval.high - 0.3339).abs() < 5e-4,
            "{interval:?}"
        );
        let none = change_of_proportion(&[(0, 1000)], &[(0, 1000)]);
        assert!(none.low < 0.0 && none.high > 0.0 && none.change == 0.0);
        assert!(change_of_proportion(&[(0, 0)], &[(0, 0)]).change == 0.0);
    }

    #[test]
    fn a_figure_of_nothing_has_no_logarithm_and_no_panic() {
        let interval = relative_change(&runs(&[0.0]), &runs(&[5.0]));
        assert!(interval.low <= 0.0 && interval.high > 0.0);
        assert_eq!(relative_change(&runs(&[0.0]), &runs(&[0.0])).change, 0.0);
    }
}
