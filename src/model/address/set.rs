//! Sets of source addresses, written as addresses, ranges and CIDR blocks with optional weights.
//!
//! A set is never expanded: an IPv6 /64 is one block, and the n-th address is computed.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Consecutive addresses of one family that have the same weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBlock {
    first: IpAddr,
    last: IpAddr,
    weight: u32,
}

/// Mistake in an address, a range or a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressSetError {
    /// The text is no address, range or block.
    #[error(
        "'{0}' is not an address, a range or a CIDR block, such as 127.0.0.2, 127.0.0.2-127.0.0.9 or fd00::/120"
    )]
    NotAnAddress(String),
    /// The end of a range comes before its beginning, or is of the other family.
    #[error("the range '{0}' has to go upwards and stay in one family, such as 127.0.0.2-127.0.0.9")]
    NotARange(String),
    /// The prefix is longer than the address.
    #[error("the prefix of '{0}' is longer than the address: at most /32 for IPv4 and /128 for IPv6")]
    PrefixTooLong(String),
    /// The weight is no positive number.
    #[error("the weight in '{0}' has to be a whole number from 1 to 1000, such as 127.0.0.2 * 3")]
    BadWeight(String),
}

impl AddressBlock {
    /// The number of addresses. At most 2^64 − 1, which is also what a larger block counts as: nobody
    /// goes round such a block.
    pub fn len(&self) -> u64 {
        let span = bits(self.last) - bits(self.first);
        u64::try_from(span).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Never: a block holds at least one address.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The share of each address, against the weights of other blocks.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The n-th address, from 0.
    pub fn nth(&self, n: u64) -> Option<IpAddr> {
        if n >= self.len() {
            return None;
        }
        Some(self.at(n))
    }

    /// The n-th address from the first, which is in the block where [`AddressBlock::len`] is larger than `n`.
    pub(super) fn at(&self, n: u64) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().wrapping_add(n as u32)).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().wrapping_add(n.into())).into(),
        }
    }

    /// True if an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && (bits(self.first)..=bits(self.last)).contains(&bits(address))
    }

    /// True if its addresses are of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }
}

impl From<IpAddr> for AddressBlock {
    fn from(address: IpAddr) -> AddressBlock {
        let address = address.to_canonical();
        AddressBlock { first: address, last: address, weight: 1 }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl FromStr for AddressBlock {
    type Err = AddressSetError;

    fn from_str(text: &str) -> Result<AddressBlock, AddressSetError> {
        let (addresses, weight) = match text.split_once('*') {
            Some((addresses, weight)) => {
                let weight = weight.trim().parse().ok().filter(|w| (1..=1000).contains(w));
                (addresses.trim(), weight.ok_or_else(|| AddressSetError::BadWeight(text.to_owned()))?)
            }
            None => (text.trim(), 1),
        };
        let parse = |part: &str| {
            part.trim().parse::<IpAddr>().map_err(|_| AddressSetError::NotAnAddress(text.trim().to_owned()))
        };
        let (first, last) = if let Some((base, prefix)) = addresses.split_once('/') {
            cidr(parse(base)?, prefix, addresses)?
        } else if let Some((first, last)) = addresses.split_once('-') {
            (parse(first)?, parse(last)?)
        } else {
            let address = parse(addresses)?;
            (address, address)
        };
        // A v4-mapped address is the IPv4 address on the wire.
        let both_mapped = first.to_canonical().is_ipv4() && last.to_canonical().is_ipv4();
        let (first, last) =
            if both_mapped { (first.to_canonical(), last.to_canonical()) } else { (first, last) };
        if first.is_ipv4() != last.is_ipv4() || bits(first) > bits(last) {
            return Err(AddressSetError::NotARange(addresses.to_owned()));
        }
        Ok(AddressBlock { first, last, weight })
    }
}

/// Blocks of one family, sorted by their first address, cut where any of them begins or ends.
fn parted(sorted: &[AddressBlock], ipv4: bool) -> Vec<AddressBlock> {
    let blocks: Vec<&AddressBlock> = sorted.iter().filter(|block| block.is_ipv4() == ipv4).collect();
    // The weight changes by so much at an address; `None`: past the last address of all.
    let mut changes: Vec<(u128, i64)> = Vec::new();
    for block in blocks {
        changes.push((bits(block.first), i64::from(block.weight)));
        changes.extend(bits(block.last).checked_add(1).map(|end| (end, -i64::from(block.weight))));
    }
    changes.sort_unstable();
    let (mut parts, mut weight, mut at) = (Vec::new(), 0i64, 0u128);
    let last = if ipv4 { u128::from(u32::MAX) } else { u128::MAX };
    for (next, change) in changes.into_iter().map(|(at, change)| (Some(at), change)).chain([(None, 0)]) {
        let end = next.map_or(Some(last), |next| next.checked_sub(1));
        if let Some(end) = end.filter(|end| weight > 0 && *end >= at && next != Some(at)) {
            let (first, last) = (address(at, ipv4), address(end, ipv4));
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            parts.push(AddressBlock { first, last, weight });
        }
        at = next.unwrap_or(at);
        weight += change;
    }
    parts
}

fn address(bits: u128, ipv4: bool) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) if ipv4 => Ipv4Addr::from_bits(bits).into(),
        _ => Ipv6Addr::from_bits(bits).into(),
    }
}

fn cidr(base: IpAddr, prefix: &str, text: &str) -> Result<(IpAddr, IpAddr), AddressSetError> {
    let width = if base.is_ipv4() { 32 } else { 128 };
    let prefix: u32 = prefix.trim().parse().map_err(|_| AddressSetError::NotAnAddress(text.to_owned()))?;
    if prefix > width {
        return Err(AddressSetError::PrefixTooLong(text.to_owned()));
    }
    Ok(match base {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            (
                Ipv4Addr::from_bits(v4.to_bits() & !host).into(),
                Ipv4Addr::from_bits(v4.to_bits() | host).into(),
            )
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
            (
                Ipv6Addr::from_bits(v6.to_bits() & !host).into(),
                Ipv6Addr::from_bits(v6.to_bits() | host).into(),
            )
        }
    })
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.first != self.last {
            write!(f, "-{}", self.last)?;
        }
        if self.weight != 1 {
            write!(f, " * {}", self.weight)?;
        }
        Ok(())
    }
}

/// Source addresses, in the order in which the user wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct AddressSet {
    blocks: Vec<AddressBlock>,
}

impl AddressSet {
    /// A set of these blocks.
    pub fn new(blocks: Vec<AddressBlock>) -> AddressSet {
        AddressSet { blocks }
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> &[AddressBlock] {
        &self.blocks
    }

    /// True if no address was given, so that the kernel chooses.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The number of addresses of all blocks.
    pub fn len(&self) -> u64 {
        self.blocks.iter().fold(0, |sum, block| sum.saturating_add(block.len()))
    }

    /// The same addresses, each in one block, with the sum of the weights that it was given: an address that
    /// is written three times is one source, used three times as often. In the order in which they were
    /// written where no two blocks overlap, else upwards.
    #[must_use]
    pub fn distinct(&self) -> AddressSet {
        let overlap = |a: &AddressBlock, b: &AddressBlock| a.contains(b.first) || b.contains(a.first);
        let mut sorted: Vec<AddressBlock> = self.blocks.clone();
        sorted.sort_by_key(|block| (block.is_ipv4(), bits(block.first)));
        let mut highest: Option<AddressBlock> = None;
        let apart = sorted.iter().all(|block| {
            let apart = highest.is_none_or(|before| !overlap(&before, block));
            if highest.is_none_or(|before| before.is_ipv4() != block.is_ipv4() || before.last < block.last) {
                highest = Some(*block);
            }
            apart
        });
        if apart {
            return self.clone();
        }
        AddressSet { blocks: [true, false].into_iter().flat_map(|v4| parted(&sorted, v4)).collect() }
    }

    /// The blocks of one family.
    pub fn of_family(&self, ipv4: bool) -> AddressSet {
        AddressSet { blocks: self.blocks.iter().copied().filter(|b| b.is_ipv4() == ipv4).collect() }
    }
}

impl FromStr for AddressSet {
    type Err = AddressSetError;

    /// Parses a comma-separated list, as in `--source`.
    fn from_str(text: &str) -> Result<AddressSet, AddressSetError> {
        Ok(AddressSet { blocks: text.split(',').map(str::parse).collect::<Result<_, _>>()? })
    }
}

impl TryFrom<Vec<String>> for AddressSet {
    type Error = AddressSetError;

    fn try_from(texts: Vec<String>) -> Result<AddressSet, AddressSetError> {
        Ok(AddressSet { blocks: texts.iter().map(|t| t.parse()).collect::<Result<_, _>>()? })
    }
}

impl From<AddressSet> for Vec<String> {
    fn from(set: AddressSet) -> Vec<String> {
        set.blocks.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> AddressBlock {
        text.parse().expect(text)
    }

    #[test]
    fn addresses_ranges_and_blocks() {
        assert_eq!(block("127.0.0.2").len(), 1);
        assert_eq!(block("127.0.0.2-127.0.0.9").len(), 8);
        assert_eq!(block("127.1.0.0/16").len(), 65_536);
        assert_eq!(block("127.0.0.77/24").nth(0), Some("127.0.0.0".parse().unwrap()));
        assert_eq!(block("0.0.0.0/0").len(), 1 << 32);
        assert_eq!(block("fd00::/120").nth(255), Some("fd00::ff".parse().unwrap()));
        assert_eq!(block("fd00::/120").nth(256), None);
        assert_eq!(block("fd00::/64").len(), u64::MAX);
        assert_eq!(block("::/0").len(), u64::MAX);
        assert_eq!(block("127.0.0.2 * 3").weight(), 3);
    }

    #[test]
    fn mistakes_are_named() {
        for (bad, part) in [
            ("127.0.0.9-127.0.0.2", "upwards"),
            ("127.0.0.1-::1", "one family"),
            ("127.0.0.1/33", "/32"),
            ("127.0.0.1 * 0", "weight"),
            ("localhost", "not an address"),
            ("", "not an address"),
            ("1.2.3.4/x", "not an address"),
        ] {
            let error = bad.parse::<AddressBlock>().expect_err(bad).to_string();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn a_set_is_written_as_it_was_read() {
        let set: AddressSet = "127.0.0.2-127.0.0.9,::1 * 2".parse().unwrap();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"["127.0.0.2-127.0.0.9","::1 * 2"]"#);
        assert_eq!(serde_json::from_str::<AddressSet>(&json).unwrap(), set);
        assert_eq!(set.len(), 9);
        assert_eq!(set.of_family(false).len(), 1);
    }
}
