//! Questions to a socket whose handshake is under way or has failed.

use crate::linux::socket::{CallError, Connection as Socket};
use crate::linux::tcp_info::TcpInfo;
use crate::model::{Cause, Failure};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        Failure::from_errno(error.stage, error.errno)
    }
}

/// The failure that an error means, with the ICMP message behind it, if the kernel kept one, and who sent that.
pub(super) fn explained(error: CallError, socket: &Socket) -> (Failure, Option<IpAddr>) {
    let (mut failure, mut sent_by) = (Failure::from(error), None);
    let may_be_icmp = matches!(
        failure.cause,
        Cause::Refused | Cause::HostUnreachable | Cause::NetworkUnreachable | Cause::Permission
    );
    if may_be_icmp && let Some(icmp) = socket.icmp_error() {
        if failure.cause == Cause::Refused {
            failure.cause = Cause::RefusedIcmp;
        }
        failure.code = Some(u16::from(icmp.icmp_code));
        sent_by = icmp.offender;
    }
    (failure, sent_by)
}

/// True if a handshake that took so long had its SYN sent again. Asked only where that can be: the first
/// retransmit comes after a second (`TCP_TIMEOUT_INIT`).
pub(super) fn syn_was_sent_again(waited: Duration, socket: &Socket) -> bool {
    const SHORTLY_BEFORE_THE_FIRST: Duration = Duration::from_millis(900);
    waited >= SHORTLY_BEFORE_THE_FIRST
        && TcpInfo::of(socket).is_ok_and(|info| info.retransmits > 0 || info.total_retransmits > Some(0))
}

pub(super) fn keep_icmp_errors(socket: &Socket, destination: SocketAddr, keep: bool) {
    let set = socket.keep_icmp_errors(destination, keep);
    debug_assert!(set.is_ok(), "every kernel knows IP_RECVERR: {set:?}");
}
