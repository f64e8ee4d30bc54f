//! A plan divided among several processes: what keeps it from that, and how much of it one of them does.

use super::{Arrivals, Plan};
use crate::model::Slice;

/// Reason for which a plan can't be divided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Indivisible {
    /// Each part would start a target of its own.
    #[error(
        "a scenario that starts its own target ([serve]) can't be divided: each part would connect to another one. \
         Start it with `connstorm serve`, and name it as the [target]"
    )]
    OwnTarget,
    /// No part knows the figures of the whole.
    #[error(
        "abort_when can't be judged by one part of a run: it is about the figures of all parts. Take it out of the \
         scenario"
    )]
    AbortWhen,
    /// Some part would have nothing to open a connection with.
    #[error("{what} = {most} can't be divided among {of} parts: some would have none. Ask for at least {of}")]
    TooFew {
        /// The field.
        what: &'static str,
        /// Value of the field.
        most: u64,
        /// Number of parts that were asked for.
        of: u32,
    },
}

impl Plan {
    /// True if the plan can be divided among so many parts, with each attempt made by one of them.
    ///
    /// Fewer attempts than parts are no obstacle: some parts then have nothing to do.
    ///
    /// # Errors
    /// What stands against it.
    pub fn can_be_divided(&self, of: u32) -> Result<(), Indivisible> {
        if self.serve.is_some() {
            return Err(Indivisible::OwnTarget);
        }
        if !self.abort_when.is_empty() {
            return Err(Indivisible::AbortWhen);
        }
        self.each().into_iter().try_for_each(|plan| plan.has_enough_for(of))
    }

    /// True if every part has something to open connections with.
    fn has_enough_for(&self, of: u32) -> Result<(), Indivisible> {
        let slots = match self.load.arrivals {
            Arrivals::Closed { slots, .. } => Some(slots),
            Arrivals::Open(_) => None,
        };
        let attempts = self.load.connections.unwrap_or(u64::MAX);
        for (what, most) in [("concurrency", slots), ("max_open", self.load.max_open)] {
            if let Some(most) = most.filter(|most| *most < u64::from(of) && *most < attempts) {
                return Err(Indivisible::TooFew { what, most, of });
            }
        }
        Ok(())
    }

    /// The load of one slice as a plan of its own, for whoever asks how much a host does: forecasts, observation, the
    /// number of workers. Not for running it: its ordinals would not be those of the whole.
    #[must_use]
    pub fn share(&self, slice: Slice) -> Plan {
        let mut plan = self.clone();
        if slice.is_whole() {
            return plan;
        }
        let load = &mut plan.load;
        load.max_open = load.max_open.map(|most| slice.share(most));
        load.connections = load.connections.map(|attempts| slice.share(attempts));
        match &mut load.arrivals {
            Arrivals::Open(stages) => {
                for stage in stages {
                    (stage.from, stage.to) =
                        (stage.from.scaled(slice.fraction()), stage.to.scaled(slice.fraction()));
                }
            }
            Arrivals::Closed { slots, .. } => *slots = slice.share(*slots),
        }
        for population in &mut plan.populations {
            population.plan = population.plan.share(slice);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Overrides, from_flags};

    fn plan(flags: &[(&'static str, &str)]) -> Plan {
        let mut overrides = Overrides::to("tcp://127.0.0.1:9001");
        flags.iter().for_each(|(flag, value)| overrides.set(flag, value));
        from_flags(&overrides).unwrap()
    }

    #[test]
    fn what_would_leave_a_part_without_means_is_refused_and_few_attempts_are_not() {
        let closed = plan(&[("--concurrency", "2"), ("--duration", "1s")]);
        let error = closed.can_be_divided(3).unwrap_err().to_string();
        assert!(error.starts_with("concurrency = 2 can't be divided among 3 parts"), "{error}");
        assert_eq!(closed.can_be_divided(2), Ok(()));
        let few_open = plan(&[("--rate", "9/s"), ("--max-open", "2")]);
        assert!(few_open.can_be_divided(3).unwrap_err().to_string().starts_with("max_open = 2"));
        let few = plan(&[("--rate", "9/s"), ("--connections", "2"), ("--max-open", "2")]);
        assert_eq!(few.can_be_divided(9), Ok(()), "never more than two are open anyway");
        let mut aborts = plan(&[]);
        aborts.abort_when = vec!["failed > 3".parse().unwrap()];
        assert_eq!(aborts.can_be_divided(2), Err(Indivisible::AbortWhen));
        let mut serves = plan(&[]);
        serves.serve = crate::plan::load_file(
            std::path::Path::new("own.toml"),
            "[serve]\nlisten = [\"127.0.0.1:0\"]",
            &|_| None,
            &Overrides::default(),
        )
        .unwrap()
        .serve;
        assert_eq!(serves.can_be_divided(2), Err(Indivisible::OwnTarget));
    }

    #[test]
    fn shares_add_up_to_the_whole() {
        let whole = plan(&[("--rate", "900/s"), ("--connections", "100"), ("--max-open", "50")]);
        let shares: Vec<Plan> = (0..3).map(|k| whole.share(Slice::new(k, 1, 3).unwrap())).collect();
        let sum = |of: fn(&Plan) -> u64| shares.iter().map(of).sum::<u64>();
        assert_eq!(sum(|plan| plan.load.connections.unwrap()), 100);
        assert_eq!(sum(|plan| plan.load.max_open.unwrap()), 50);
        let Arrivals::Open(stages) = &shares[1].load.arrivals else { panic!() };
        assert!((stages[0].from.as_per_second() - 300.0).abs() < 1e-9);
        assert_eq!(whole.share(Slice::WHOLE), whole);
    }
}
