//! The catalogue of rivals: which causes lead to the same kind of failure. A finding is proved only where each
//! other cause of its symptom is ruled out by something seen.

use super::FindingId::{self, *};
use crate::model::{Cause, Failure, Stage};

/// Causes of EADDRNOTAVAIL from connect().
pub(super) const NO_PORT: &[FindingId] = &[
    PortsExhaustedByTimeWait,
    PortsExhaustedByLiveConnections,
    PortsExhaustedByFinWait2,
    PortsExhaustedByCloseWait,
    PortsExhaustedByLastAck,
    PortsExhaustedByOtherSockets,
    PortsExhaustedByPoisonedBuckets,
    Ipv6Off,
    SourceAddressNotReady,
    AddressDuplicate,
    NoSourceAddress,
];

/// Causes of a refusal by RST.
pub(super) const REFUSALS: &[FindingId] = &[
    NothingListens,
    ListensOnAnotherAddress,
    ListenerIsV6Only,
    ListenerIsBoundToDevice,
    TranslatedToDeadHost,
    ListenerAway,
    ServerGone,
    RefusedForOneSource,
    ConnectionLimit,
    RefusedByFirewall,
    SomeAddressesFail,
];

/// Causes of no answer to connect().
pub(super) const TIMEOUTS: &[FindingId] = &[
    AcceptQueueFull,
    SynQueueFull,
    ConntrackFull,
    SnatPortsExhausted,
    TcpMd5Demanded,
    DroppedOnTheWay,
    SomeTimedOut,
    SomeSourcesTimeOut,
    SomeAddressesFail,
    LongRoundTrip,
    PrivateAddressOutOfReach,
    NoSuchHost,
    GatewaySilent,
    GeneratorLate,
    TargetOutOfDescriptors,
    TargetStopped,
    TranslatedToDeadHost,
];

/// Causes of silence after a connection was established.
pub(super) const SILENCES: &[FindingId] = &[
    TargetOutOfDescriptors,
    TargetStopped,
    NotAccepted,
    SilentAfterConnect,
    MtuHole,
    SlowLink,
    GeneratorLate,
];

/// Causes of an end in the midst of a handshake.
pub(super) const IN_THE_HANDSHAKE: &[FindingId] = &[
    AcceptQueueFull,
    ConnectionLimit,
    ClosedBeforeTheReply,
    ClosedInTheTlsHandshake,
    ResetInTheHandshake,
    KeepAliveLimit,
    ServerGone,
    ServerRestarted,
];

/// Causes that lead to one kind of failure, and can be taken for each other.
fn causes(failure: Failure) -> &'static [FindingId] {
    match (failure.stage, failure.cause) {
        (Stage::Connect, Cause::AddressNotAvailable) => NO_PORT,
        (Stage::Bind, Cause::AddressNotAvailable) => {
            &[SourceAddressNotLocal, SourceAddressNotReady, AddressDuplicate, Ipv6Off]
        }
        (Stage::Bind, Cause::AddressInUse) => &[PortsExhaustedByNaiveBind, ExplicitPortTaken],
        (Stage::Connect, Cause::Refused) => REFUSALS,
        (Stage::Connect, Cause::TimedOut) => TIMEOUTS,
        (Stage::Connect, Cause::HostUnreachable | Cause::NetworkUnreachable) => &[
            NoSuchHost,
            GatewaySilent,
            NoRoute,
            RouteForbids,
            PrivateAddressOutOfReach,
            HostUnreachable,
            RefusedByFirewall,
        ],
        (Stage::Connect, Cause::Permission) => &[RouteForbids, ConnectNotPermitted],
        (Stage::Tls | Stage::Handshake, Cause::TimedOut) => SILENCES,
        (Stage::Tls | Stage::Handshake, Cause::Reset | Cause::ClosedEarly) => IN_THE_HANDSHAKE,
        (_, Cause::Stalled) => &[StalledInTheReply, TargetStopped, MtuHole, SlowLink, GeneratorLate],
        (Stage::Close, Cause::TimedOut) => {
            &[CloseNotAnswered, PeerDoesNotClose, TargetStopped, SlowLink, GeneratorLate]
        }
        (Stage::Close, Cause::Reset | Cause::ClosedEarly) => {
            &[ResetAtTheClose, ClosedWithoutACloseFrame, ClosedByTheServer, ServerGone, ServerRestarted]
        }
        (Stage::Session, Cause::TimedOut) => {
            &[NoAnswerInTheSession, MtuHole, SlowLink, TargetStopped, ServerGone, GeneratorLate]
        }
        (Stage::Session, Cause::Reset | Cause::ClosedEarly) => &[
            AcceptQueueFull,
            ConnectionLimit,
            ClosedByTheServer,
            ResetByTheServer,
            IdleTimeout,
            KeepAliveLimit,
            ServerReloaded,
            ServerRestarted,
            ServerGone,
        ],
        // Each of the others is told by the attempt itself: an error number or bytes that have one cause.
        _ => &[],
    }
}

/// Findings that say less than another one of the same symptom, or the same in other words: no rivals.
fn are_kin(one: FindingId, other: FindingId) -> bool {
    const KIN: [&[FindingId]; 3] = [
        // The server is silent because it can't, or may not, call accept(); its queue then fills.
        &[NotAccepted, SilentAfterConnect, TargetStopped, TargetOutOfDescriptors, AcceptQueueFull],
        &[
            ClosedByTheServer,
            ResetByTheServer,
            ServerRestarted,
            ServerGone,
            ServerReloaded,
            IdleTimeout,
            KeepAliveLimit,
        ],
        &[ServerGone, ListenerAway, NothingListens],
    ];
    // The special one is not ruled out by the general one; the general one has the special one for a rival.
    let general = matches!(
        other,
        NotAccepted | SilentAfterConnect | ClosedByTheServer | ResetByTheServer | NothingListens
    ) || one == TargetOutOfDescriptors && other == AcceptQueueFull
        || one == TargetStopped && other == AcceptQueueFull;
    general && KIN.iter().any(|kin| kin.contains(&one) && kin.contains(&other))
}

/// The rivals of a finding for failures of a kind.
pub(super) fn of(id: FindingId, failure: Failure) -> impl Iterator<Item = FindingId> {
    causes(failure).iter().copied().filter(move |rival| *rival != id && !are_kin(id, *rival))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Errno;

    #[test]
    fn a_special_cause_has_no_general_rival_and_the_general_one_has_the_special() {
        let silent = Failure::new(Stage::Handshake, Cause::TimedOut);
        let rivals = |id| of(id, silent).collect::<Vec<_>>();
        assert!(!rivals(TargetOutOfDescriptors).contains(&SilentAfterConnect));
        assert!(rivals(SilentAfterConnect).contains(&TargetOutOfDescriptors));
        assert!(rivals(SilentAfterConnect).contains(&MtuHole));
    }

    #[test]
    fn nothing_is_its_own_rival() {
        for errno in [Errno::ECONNREFUSED, Errno::ETIMEDOUT, Errno::EADDRNOTAVAIL, Errno::EHOSTUNREACH] {
            let failure = Failure::from_errno(Stage::Connect, errno);
            for id in causes(failure) {
                assert!(of(*id, failure).all(|rival| rival != *id));
            }
        }
    }
}
