//! The cooldown between probes: as long as the ports of earlier ones in TIME_WAIT would spoil the next.
//!
//! Pure. A probe may count on half of the ports: from there on connect() itself becomes slow.

use std::time::Duration;

/// Ports that earlier probes left behind.
#[derive(Debug, Default)]
pub(super) struct Cooldown {
    /// When each probe ended, how many ports it left, and for how long.
    left: Vec<Left>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    ended: Duration,
    ports: u64,
    blocked: Duration,
}

impl Cooldown {
    /// A probe has ended that left so many ports in TIME_WAIT for so long.
    pub(super) fn spent(&mut self, ended: Duration, ports: u64, blocked: Duration) {
        self.left.push(Left { ended, ports, blocked });
    }

    /// Wait until a probe that needs so many of `usable` ports finds them: half of them at most,
    /// or all of them free where it needs more than that itself.
    pub(super) fn before(&self, now: Duration, needs: u64, usable: u64) -> Duration {
        let room = (usable / 2).saturating_sub(needs);
        let mut ends: Vec<(Duration, u64)> = self
            .left
            .iter()
            .map(|left| (left.ended + left.blocked, left.ports))
            .filter(|(free, ports)| *free > now && *ports > 0)
            .collect();
        ends.sort_unstable();
        let mut taken: u64 = ends.iter().map(|(_, ports)| ports).sum();
        let mut until = now;
        for (free, ports) in ends {
            if taken <= room {
                break;
            }
            taken -= ports;
            until = free;
        }
        until - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::HostLimits;
    use crate::model::{Close, PortDemand, PortPolicy, PortSupply};

    const MINUTE: Duration = Duration::from_secs(60);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_waits_until_half_of_the_ports_are_enough() {
        let mut cooldown = Cooldown::default();
        assert_eq!(cooldown.before(s(0), 5000, 28_232), s(0), "nothing was left");
        cooldown.spent(s(10), 4000, MINUTE);
        cooldown.spent(s(20), 8000, MINUTE);
        assert_eq!(cooldown.before(s(20), 1000, 28_232), s(0), "13,000 of 14,116");
        assert_eq!(cooldown.before(s(20), 3000, 28_232), s(50), "until the first have gone");
        assert_eq!(cooldown.before(s(20), 10_000, 28_232), s(60), "until all have");
        assert_eq!(cooldown.before(s(20), 100_000, 28_232), s(60), "and no longer, whatever is needed");
        assert_eq!(cooldown.before(s(90), 100_000, 28_232), s(0));
    }

    #[test]
    fn a_naive_bind_is_waited_for_as_long_as_its_ports_stay_taken() {
        let supply = |policy| {
            let demand = PortDemand {
                policy,
                close: Close::Fin,
                sources: "127.0.0.2".parse().unwrap(),
                routed: Vec::new(),
                destinations: vec![([127, 0, 0, 1], 9000).into()],
            };
            PortSupply::new(&demand, HostLimits::default().ports())
        };
        // tcp_tw_reuse=2 gives ports of loopback back to connect() after a second, and to bind() not at all.
        for (policy, least) in [(PortPolicy::NaiveBind, s(60)), (PortPolicy::Kernel, s(1))] {
            let mut cooldown = Cooldown::default();
            cooldown.spent(s(10), 20_000, supply(policy).blocks());
            let waits = cooldown.before(s(10), 10_000, 28_232);
            assert!(waits >= least && waits < least + s(4), "{policy:?}: {waits:?}");
        }
    }

    #[test]
    fn what_blocks_nothing_is_not_waited_for() {
        let mut cooldown = Cooldown::default();
        cooldown.spent(s(10), 50_000, Duration::ZERO);
        assert_eq!(cooldown.before(s(10), 50_000, 28_232), s(0));
    }
}
