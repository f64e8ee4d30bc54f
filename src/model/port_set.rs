//! Sets of ports, and the range from which the kernel chooses source ports.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A set of ports: sorted ranges that neither overlap nor touch.
///
/// Written as the kernel writes `ip_local_reserved_ports`: `"8080,9000-9010"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct PortSet {
    ranges: Vec<(u16, u16)>,
}

/// The text is no list of ports and ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a port or a range of ports, such as 8080 or 9000-9010")]
pub struct PortSetError(String);

impl PortSet {
    /// The number of ports in it.
    pub fn len(&self) -> u32 {
        self.ranges.iter().map(|&(low, high)| u32::from(high) - u32::from(low) + 1).sum()
    }

    /// True if no port is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// True if a port is in it.
    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|&(low, high)| (low..=high).contains(&port))
    }

    /// Number of ports of a range that are in it.
    pub fn count_in(&self, range: &RangeInclusive<u16>) -> u32 {
        self.within(range).map(|part| u32::from(*part.end()) - u32::from(*part.start()) + 1).sum()
    }

    /// The ranges as far as they lie in another range.
    fn within(&self, range: &RangeInclusive<u16>) -> impl Iterator<Item = RangeInclusive<u16>> + '_ {
        let (first, last) = (*range.start(), *range.end());
        let parts = self.ranges.iter().map(move |&(low, high)| low.max(first)..=high.min(last));
        parts.filter(|part| !part.is_empty())
    }

    /// The ranges, upwards; no two of them touch.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u16>> + '_ {
        self.ranges.iter().map(|&(low, high)| low..=high)
    }
}

impl FromIterator<RangeInclusive<u16>> for PortSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u16>>>(ranges: I) -> PortSet {
        let mut given: Vec<(u16, u16)> =
            ranges.into_iter().filter(|range| !range.is_empty()).map(RangeInclusive::into_inner).collect();
        given.sort_unstable();
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (low, high) in given {
            match ranges.last_mut() {
                Some(last) if u32::from(low) <= u32::from(last.1) + 1 => last.1 = last.1.max(high),
                _ => ranges.push((low, high)),
            }
        }
        PortSet { ranges }
    }
}

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<PortSet, PortSetError> {
        let port = |text: &str| text.trim().parse::<u16>().ok();
        text.trim()
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(|part| {
                let (low, high) = part.split_once('-').unwrap_or((part, part));
                match (port(low), port(high)) {
                    (Some(low), Some(high)) if low <= high => Ok(low..=high),
                    _ => Err(PortSetError(part.trim().to_owned())),
                }
            })
            .collect()
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, &(low, high)) in self.ranges.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if low == high { write!(f, "{comma}{low}")? } else { write!(f, "{comma}{low}-{high}")? }
        }
        Ok(())
    }
}

impl TryFrom<String> for PortSet {
    type Error = PortSetError;

    fn try_from(text: String) -> Result<PortSet, PortSetError> {
        text.parse()
    }
}

impl From<PortSet> for String {
    fn from(set: PortSet) -> String {
        set.to_string()
    }
}

/// The range from which the kernel chooses source ports, and what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first port, `ip_local_port_range`'s first number.
    pub low: u16,
    /// The last port, its second number.
    pub high: u16,
    /// Ports that are never chosen, `ip_local_reserved_ports`.
    pub reserved: PortSet,
}

impl PortRange {
    /// Number of ports that connect() can choose from: those of the range less those reserved. Reserved ports
    /// outside of the range cost nothing.
    ///
    /// `__inet_hash_connect` (net/ipv4/inet_hashtables.c) makes the number of steps of its walk even, so
    /// that of a range of odd length one call may miss one port, another one each time; the last port
    /// of such a range is got by luck.
    pub fn usable(&self) -> u32 {
        if self.high < self.low {
            return 0;
        }
        u32::from(self.high) - u32::from(self.low) + 1 - self.reserved.count_in(&(self.low..=self.high))
    }

    /// Number of the usable ports that connect() tries first: those of the parity of [`PortRange::low`].
    /// Once they are taken, each connect() searches them all before it tries the others.
    pub fn usable_first(&self) -> u32 {
        let reserved: u32 =
            self.reserved.within(&(self.low..=self.high)).map(|part| of_parity(&part, self.low % 2)).sum();
        of_parity(&(self.low..=self.high), self.low % 2) - reserved
    }
}

/// Ports of a range that are even, or odd.
fn of_parity(range: &RangeInclusive<u16>, parity: u16) -> u32 {
    let below = |n: u32| if parity == 0 { n.div_ceil(2) } else { n / 2 };
    if range.is_empty() { 0 } else { below(u32::from(*range.end()) + 1) - below(u32::from(*range.start())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::netns;
    use proptest::prelude::*;
    use std::net::{TcpListener, TcpStream};

    fn set(text: &str) -> PortSet {
        text.parse().unwrap()
    }

    #[test]
    fn lists_of_the_kernel() {
        assert_eq!(set("").len(), 0);
        assert_eq!(set("\n").len(), 0);
        assert_eq!(set("8080,9148\n").len(), 2);
        assert_eq!(set("1,2,4-6,5-9,10").to_string(), "1-2,4-10");
        assert_eq!(set("0-65535").len(), 65_536);
        assert!(set("9000-9010").contains(9010));
        assert_eq!(set("9000-9010,1").count_in(&(9005..=9100)), 6);
        for bad in ["x", "9-1", "65536", "1-2-3", "-", "-5"] {
            assert!(bad.parse::<PortSet>().unwrap_err().to_string().contains("9000-9010"), "{bad}");
        }
    }

    #[test]
    fn usable_ports_are_those_connect_can_choose() {
        let range = |low, high, reserved: &str| PortRange { low, high, reserved: reserved.parse().unwrap() };
        assert_eq!(range(32_768, 60_999, "").usable(), 28_232);
        assert_eq!(range(1024, 65_535, "").usable(), 64_512);
        assert_eq!(range(40_000, 40_010, "").usable(), 11);
        assert_eq!(range(40_000, 40_000, "").usable(), 1);
        assert_eq!(range(40_000, 40_010, "80,40003,40010").usable(), 9);
        assert_eq!(range(40_000, 40_009, "40000,40001,40002").usable_first(), 3);
        assert_eq!(range(9, 1, "").usable(), 0);
        assert_eq!(range(0, u16::MAX, "0-65535").usable(), 0);
    }

    /// The ports the kernel gives, one connection after another, until it has none.
    fn ports_until_exhaustion(range: &PortRange) -> Vec<u16> {
        let limits = format!("{} {}", range.low, range.high);
        netns::set_sysctl("net.ipv4.ip_local_port_range", &limits).unwrap();
        let reserved = range.reserved.to_string();
        netns::set_sysctl("net.ipv4.ip_local_reserved_ports", &reserved).unwrap();
        let listener = TcpListener::bind("127.0.0.1:9001").unwrap();
        let destination = listener.local_addr().unwrap();
        let held: Vec<_> = std::iter::from_fn(|| TcpStream::connect(destination).ok())
            .inspect(|_| drop(listener.accept().unwrap()))
            .take(1000)
            .collect();
        held.iter().map(|stream| stream.local_addr().unwrap().port()).collect()
    }

    fn the_kernel_agrees(low: u16, high: u16, reserved: &'static str) {
        netns::for_test(move || {
            let range = PortRange { low, high, reserved: reserved.parse().unwrap() };
            let ports = ports_until_exhaustion(&range);
            assert_eq!(ports.len(), usize::try_from(range.usable()).unwrap());
            let (first, rest) = ports.split_at(usize::try_from(range.usable_first()).unwrap());
            assert!(first.iter().all(|port| port % 2 == low % 2), "{first:?}");
            assert!(rest.iter().all(|port| port % 2 != low % 2), "{rest:?}");
        });
    }

    #[test]
    fn the_kernel_agrees_on_an_even_range() {
        the_kernel_agrees(40_000, 40_099, "");
    }

    #[test]
    fn the_kernel_agrees_on_a_range_that_begins_odd() {
        the_kernel_agrees(40_001, 40_100, "");
    }

    #[test]
    fn the_kernel_agrees_on_reserved_ports() {
        the_kernel_agrees(40_000, 40_099, "80,40010-40019,40099,50000");
    }

    #[test]
    fn of_an_odd_number_of_ports_the_kernel_may_miss_one() {
        netns::for_test(|| {
            let range = PortRange { low: 40_000, high: 40_100, reserved: PortSet::default() };
            assert!((100..=101).contains(&ports_until_exhaustion(&range).len()));
        });
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[0-9,\\- ]{0,24}") {
            if let Ok(set) = text.parse::<PortSet>() {
                prop_assert_eq!(set.to_string().parse::<PortSet>().unwrap(), set);
            }
        }

        #[test]
        fn membership_and_numbers_agree(ranges in prop::collection::vec((0u16..400, 0u16..400), 0..8)) {
            let set: PortSet = ranges.iter().map(|&(low, high)| low..=high).collect();
            let members = (0..=u16::MAX).filter(|&port| set.contains(port)).count();
            prop_assert_eq!(usize::try_from(set.len()).unwrap(), members);
            let inside = |port: u16| ranges.iter().any(|&(low, high)| (low..=high).contains(&port));
            prop_assert!((0..500).all(|port| inside(port) == set.contains(port)));
        }
    }
}
