//! Conditions on sockets, compiled to the bytecode that sock_diag runs inside the kernel.
//!
//! `INET_DIAG_REQ_BYTECODE` (include/uapi/linux/inet_diag.h) is a row of conditional jumps, forward only.
//! A program accepts a socket when it runs off its end exactly (offset = length), and rejects it when it
//! jumps four bytes beyond. A host condition in IPv4 also matches IPv4-mapped IPv6 sockets
//! (`inet_diag_bc_run`, net/ipv4/inet_diag.c), which occupy the same tuples.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

const BC_JMP: u8 = 1;
const BC_S_GE: u8 = 2;
const BC_S_LE: u8 = 3;
const BC_S_COND: u8 = 7;
const BC_D_COND: u8 = 8;

const OP_BYTES: usize = 4;

/// A compiled condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    bytes: Vec<u8>,
    /// Where the instructions begin: their arguments lie between.
    ops: Vec<usize>,
}

impl Program {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The source port lies in a range.
    pub(super) fn source_port(range: &RangeInclusive<u16>) -> Program {
        let at_least = Program::one(BC_S_GE, &port_argument(*range.start()));
        let at_most = Program::one(BC_S_LE, &port_argument(*range.end()));
        at_least.and(at_most)
    }

    /// The source address has these first `prefix` bits.
    pub(super) fn source(address: IpAddr, prefix: u8) -> Program {
        Program::one(BC_S_COND, &host_condition(address, prefix, None))
    }

    /// The destination is this one; port 0 is any port.
    pub(super) fn destination(destination: SocketAddr) -> Program {
        let whole = if destination.is_ipv4() { 32 } else { 128 };
        let port = Some(destination.port()).filter(|&port| port != 0);
        Program::one(BC_D_COND, &host_condition(destination.ip(), whole, port))
    }

    /// Both conditions hold.
    pub(super) fn and(mut self, other: Program) -> Program {
        // What rejected at the end of the first has to reject at the end of both.
        let reject = self.bytes.len() + OP_BYTES;
        for at in self.ops.clone() {
            if at + self.no(at) == reject {
                self.set_no(at, reject + other.bytes.len() - at);
            }
        }
        self.append(other);
        self
    }

    /// One of the conditions holds.
    pub(super) fn or(mut self, other: Program) -> Program {
        // What is rejected by the first lands four bytes beyond it: behind this jump, on the second.
        let jump = self.bytes.len();
        self.ops.push(jump);
        self.bytes.extend_from_slice(&[BC_JMP, 4, 0, 0]);
        self.set_no(jump, OP_BYTES + other.bytes.len());
        self.append(other);
        self
    }

    /// One of several conditions holds; `None` of no condition. Put together from the last, so that each
    /// is left by one jump.
    pub(super) fn any(conditions: impl DoubleEndedIterator<Item = Program>) -> Option<Program> {
        conditions.rev().reduce(|rest, condition| condition.or(rest))
    }

    fn one(code: u8, argument: &[u8]) -> Program {
        let length = OP_BYTES + argument.len();
        let mut bytes = vec![code, u8::try_from(length).unwrap_or(u8::MAX), 0, 0];
        bytes.extend_from_slice(argument);
        let mut program = Program { bytes, ops: vec![0] };
        program.set_no(0, length + OP_BYTES);
        program
    }

    fn append(&mut self, other: Program) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ops.extend(other.ops.into_iter().map(|at| at + shift));
    }

    fn no(&self, at: usize) -> usize {
        usize::from(u16::from_ne_bytes([self.bytes[at + 2], self.bytes[at + 3]]))
    }

    /// A jump that is too far saturates; the program is then too long for a request as well, which is
    /// where it is refused.
    fn set_no(&mut self, at: usize, offset: usize) {
        let offset = u16::try_from(offset).unwrap_or(u16::MAX);
        self.bytes[at + 2..at + 4].copy_from_slice(&offset.to_ne_bytes());
    }
}

/// The port of a comparison stands where the `no` of a second instruction would.
fn port_argument(port: u16) -> [u8; 4] {
    let [first, second] = port.to_ne_bytes();
    [0, 0, first, second]
}

/// `struct inet_diag_hostcond`: family, prefix, padding, port (−1: any), address.
fn host_condition(address: IpAddr, prefix: u8, port: Option<u16>) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let mut argument = vec![u8::try_from(family).unwrap_or_default(), prefix.min(longest), 0, 0];
    argument.extend_from_slice(&port.map_or(-1, i32::from).to_ne_bytes());
    argument.extend_from_slice(&octets);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The kernel's treatment of a program, for the conditions on source ports: `inet_diag_bc_run`.
    fn run(bytes: &[u8], port: u16) -> bool {
        let (mut at, mut left) = (0, i64::try_from(bytes.len()).unwrap());
        while left > 0 {
            let no = u16::from_ne_bytes([bytes[at + 2], bytes[at + 3]]);
            let argument = || u16::from_ne_bytes([bytes[at + 6], bytes[at + 7]]);
            let holds = match bytes[at] {
                BC_JMP => false,
                BC_S_GE => port >= argument(),
                BC_S_LE => port <= argument(),
                code => panic!("no instruction {code}"),
            };
            let step = if holds { u16::from(bytes[at + 1]) } else { no };
            at += usize::from(step);
            left -= i64::from(step);
        }
        left == 0
    }

    proptest! {
        #[test]
        fn programs_accept_what_they_should(
            ranges in prop::collection::vec((0u16..300, 0u16..300), 1..12),
            within in (0u16..300, 0u16..300),
        ) {
            let any = Program::any(ranges.iter().map(|&(low, high)| Program::source_port(&(low..=high)))).unwrap();
            let both = any.clone().and(Program::source_port(&(within.0..=within.1)));
            let turned = Program::source_port(&(within.0..=within.1)).and(any.clone());
            for port in 0..310 {
                let in_any = ranges.iter().any(|&(low, high)| (low..=high).contains(&port));
                let in_both = in_any && (within.0..=within.1).contains(&port);
                prop_assert_eq!(run(any.bytes(), port), in_any);
                prop_assert_eq!(run(both.bytes(), port), in_both);
                prop_assert_eq!(run(turned.bytes(), port), in_both);
            }
        }
    }

    #[test]
    fn no_condition_is_no_program() {
        assert_eq!(Program::any(std::iter::empty()), None);
    }

    #[test]
    fn a_prefix_is_never_longer_than_its_address() {
        let program = Program::source("10.0.0.0".parse().unwrap(), 99);
        assert_eq!(program.bytes()[5], 32);
        assert_eq!(program.bytes().len(), 16);
    }
}
