//! The latencies of a run, each with the name by which results and thresholds know it.

use super::Latency;

macro_rules! latencies {
    ($($(#[doc = $doc:literal])+ $field:ident = $kind:ident,)*) => {
        /// The latencies of a run.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Latencies { $($(#[doc = $doc])+ pub $field: Latency,)* }

        /// A latency: from what to what.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LatencyKind { $($(#[doc = $doc])+ $kind,)* }

        impl LatencyKind {
            /// Every latency, in the order of declaration.
            pub const ALL: &'static [LatencyKind] = &[$(LatencyKind::$kind),*];

            /// Name in JSON and in thresholds.
            pub fn name(self) -> &'static str {
                match self { $(LatencyKind::$kind => stringify!($field),)* }
            }

            /// Meaning, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(LatencyKind::$kind => concat!($($doc),+).trim_ascii(),)* }
            }

            /// The latency of this name.
            pub fn named(name: &str) -> Option<LatencyKind> {
                LatencyKind::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }

        impl Latencies {
            /// Names in JSON and in thresholds, in their order.
            pub const NAMES: [&'static str; [$(stringify!($field)),*].len()] = [$(stringify!($field)),*];

            /// Every latency with its name.
            pub fn named(&self) -> [(&'static str, &Latency); Latencies::NAMES.len()] {
                [$((stringify!($field), &self.$field)),*]
            }

            /// One of them.
            pub fn of(&self, kind: LatencyKind) -> &Latency {
                match kind { $(LatencyKind::$kind => &self.$field,)* }
            }

            /// Adds all that others have recorded.
            pub(super) fn merge(&mut self, other: &Latencies) {
                $(self.$field.merge(&other.$field);)*
            }
        }
    };
}

latencies! {
    /// From the start of the attempt to the established connection.
    connect = Connect,
    /// From the moment at which the attempt was due to the established connection: with the
    /// generator's own delay, so that coordinated omission can't hide it.
    connect_from_due = ConnectFromDue,
    /// From the moment at which the attempt was due to its start: the generator's own delay.
    lateness = Lateness,
    /// socket(), its options and bind() alone.
    bind_call = BindCall,
    /// The connect() call alone: the kernel's search for a port is in it.
    connect_call = ConnectCall,
    /// From the established connection to its end, for attempts that ended well.
    lifetime = Lifetime,
    /// From the established connection to the end of the TLS handshake.
    tls = Tls,
    /// From the established connection, TLS included, to the end of the protocol's handshake: a
    /// WebSocket's 101, the first byte's worth of a whole HTTP reply.
    handshake = Handshake,
    /// From a message to its answer.
    round_trip = RoundTrip,
    /// From the moment at which a message was due to its answer, where messages have a time of their own.
    round_trip_from_due = RoundTripFromDue,
    /// From the moment at which a message was due, and could be sent, to its sending: the generator's own delay.
    message_lateness = MessageLateness,
    /// Longest time that something at a socket can have waited for its worker, by what came: the generator's own
    /// delay.
    service_lateness = ServiceLateness,
    /// From our ping to its pong.
    pong = Pong,
    /// From one push to the next on the same connection.
    push_gap = PushGap,
    /// From the time that a received message carries to its arrival; both clocks are in it.
    one_way = OneWay,
    /// From the first to the last arrival of a message that several received. Settled at the end of the run.
    fanout_spread = FanoutSpread,
}
