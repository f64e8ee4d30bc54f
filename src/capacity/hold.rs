//! Time for which a connection occupies something: its lifetime and a tail that the kernel adds.
//!
//! With `S(a)` the chance that it still occupies it at age `a`, the two integrals of `S` give what a step
//! and a ramp of the arrival rate occupy, in closed form. All figures are seconds.

use crate::model::Lifetime;

/// A random time: the lifetime's distribution, moved by a constant tail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hold {
    spread: Spread,
    tail: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Spread {
    Fixed(f64),
    Uniform(f64, f64),
    Exponential(f64),
    Forever,
}

/// So many means after which an exponential remainder (e⁻⁴⁰) is less than rounding.
const EXPONENTIAL_SPAN: f64 = 40.0;

impl Hold {
    /// A lifetime followed by `tail` seconds.
    pub(super) fn new(lifetime: Lifetime, tail: f64) -> Hold {
        let spread = match lifetime {
            Lifetime::Fixed(d) => Spread::Fixed(d.as_secs_f64()),
            Lifetime::Uniform(a, b) if a == b => Spread::Fixed(a.as_secs_f64()),
            Lifetime::Uniform(a, b) => Spread::Uniform(a.min(b).as_secs_f64(), a.max(b).as_secs_f64()),
            Lifetime::Exponential(mean) if mean.is_zero() => Spread::Fixed(0.0),
            Lifetime::Exponential(mean) => Spread::Exponential(mean.as_secs_f64()),
            Lifetime::UntilEnd => Spread::Forever,
        };
        Hold { spread, tail: tail.max(0.0) }
    }

    /// For ever: what has arrived, counted.
    pub(super) fn forever() -> Hold {
        Hold { spread: Spread::Forever, tail: 0.0 }
    }

    /// The mean, in seconds; infinite for [`Lifetime::UntilEnd`].
    pub(super) fn mean(&self) -> f64 {
        self.tail
            + match self.spread {
                Spread::Fixed(d) => d,
                Spread::Uniform(a, b) => (a + b) / 2.0,
                Spread::Exponential(mean) => mean,
                Spread::Forever => f64::INFINITY,
            }
    }

    /// The ages at which `S` changes its form.
    pub(super) fn bends(&self) -> Vec<f64> {
        match self.spread {
            Spread::Fixed(d) => vec![d + self.tail],
            Spread::Uniform(a, b) => vec![a + self.tail, b + self.tail],
            Spread::Exponential(mean) => {
                [0.0, 1.0, 3.0, 10.0, EXPONENTIAL_SPAN].map(|n| self.tail + n * mean).to_vec()
            }
            Spread::Forever => Vec::new(),
        }
    }

    /// `∫₀ˣ S(a) da`: what arrivals of one a second occupy after `x` seconds.
    pub(super) fn after_step(&self, x: f64) -> f64 {
        let x = x.max(0.0);
        match self.spread {
            Spread::Forever => x,
            Spread::Fixed(d) => x.min(d + self.tail),
            Spread::Uniform(a, b) => {
                let (start, width) = (a + self.tail, b - a);
                let y = (x - start).clamp(0.0, width);
                x.min(start) + y - y * y / (2.0 * width)
            }
            Spread::Exponential(mean) => {
                let y = (x - self.tail).max(0.0);
                x.min(self.tail) - mean * (-y / mean).exp_m1()
            }
        }
    }

    /// `∫₀ˣ ∫₀ᵘ S(a) da du`: what arrivals that grow by one a second each second occupy after `x` seconds.
    pub(super) fn after_ramp(&self, x: f64) -> f64 {
        let x = x.max(0.0);
        match self.spread {
            Spread::Forever => x * x / 2.0,
            Spread::Fixed(d) => {
                let hold = d + self.tail;
                if x <= hold { x * x / 2.0 } else { hold * hold / 2.0 + hold * (x - hold) }
            }
            Spread::Uniform(a, b) => {
                let (start, width) = (a + self.tail, b - a);
                let before = x.min(start);
                let y = (x - start).clamp(0.0, width);
                let beyond = (x - start - width).max(0.0);
                before * before / 2.0 + start * y + y * y / 2.0 - y * y * y / (6.0 * width)
                    + (start + width / 2.0) * beyond
            }
            Spread::Exponential(mean) => {
                let before = x.min(self.tail);
                let y = (x - self.tail).max(0.0);
                before * before / 2.0 + self.tail * y + mean * y + mean * mean * (-y / mean).exp_m1()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn holds() -> Vec<Hold> {
        let s = Duration::from_secs;
        [
            Lifetime::Fixed(s(0)),
            Lifetime::Fixed(s(3)),
            Lifetime::Uniform(s(4), s(1)),
            Lifetime::Exponential(s(2)),
            Lifetime::Exponential(s(0)),
            Lifetime::UntilEnd,
        ]
        .into_iter()
        .flat_map(|lifetime| [Hold::new(lifetime, 0.0), Hold::new(lifetime, 5.0)])
        .collect()
    }

    #[test]
    fn the_ramp_integral_is_the_integral_of_the_step_integral() {
        for hold in holds() {
            for x in [0.0, 0.5, 2.0, 4.5, 7.0, 9.0, 30.0] {
                let n = 20_000;
                let dx = x / f64::from(n);
                let sum: f64 = (0..n).map(|i| hold.after_step((f64::from(i) + 0.5) * dx) * dx).sum();
                assert!((sum - hold.after_ramp(x)).abs() < 1e-4, "{hold:?} at {x}: {sum}");
            }
        }
    }

    #[test]
    fn the_step_integral_ends_at_the_mean() {
        for hold in holds().into_iter().filter(|h| h.mean().is_finite()) {
            assert!((hold.after_step(1e4) - hold.mean()).abs() < 1e-9, "{hold:?}");
        }
    }
}
