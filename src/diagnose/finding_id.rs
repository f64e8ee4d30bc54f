//! Ids of findings, as an enum: each with its name in JSON and its meaning.
//!
//! Names are stable: programs rely on them. A new finding is one line here, and its rivals one line in
//! [`super::rivals`].

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! findings {
    ($($id:ident = $name:literal, $meaning:literal;)*) => {
        /// Id of a finding. Its text is what programs rely on: `ports-exhausted-by-time-wait`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FindingId {
            $(#[doc = $meaning] $id,)*
            /// A finding of another version of this program.
            Unknown,
        }

        impl FindingId {
            /// Every finding of this version.
            pub const ALL: &'static [FindingId] = &[$(FindingId::$id,)*];

            /// Name in JSON and in texts.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(FindingId::$id => $name,)*
                    FindingId::Unknown => "unknown",
                }
            }

            /// Meaning, in a clause.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(FindingId::$id => $meaning,)*
                    FindingId::Unknown => "a finding of another version",
                }
            }
        }
    };
}

findings! {
    SourceAddressNotLocal = "source-address-not-local", "bind() refused an address that is not this host's";
    SourceAddressNotReady = "source-address-not-ready", "the source address is tentative: duplicate address detection is under way";
    AddressDuplicate = "address-duplicate", "another host on the link has the source address (dadfailed)";
    NoSourceAddress = "no-source-address", "this host has no address of the destination's family";
    Ipv6Off = "ipv6-off", "IPv6 is switched off on this host";
    PortsExhaustedByTimeWait = "ports-exhausted-by-time-wait", "source ports ran out: TIME_WAIT keeps them";
    PortsExhaustedByLiveConnections = "ports-exhausted-by-live-connections", "source ports ran out: open connections keep them";
    PortsExhaustedByFinWait2 = "ports-exhausted-by-fin-wait-2", "source ports ran out: the peer never closes its side";
    PortsExhaustedByCloseWait = "ports-exhausted-by-close-wait", "source ports ran out: the program of this host never closes its side";
    PortsExhaustedByLastAck = "ports-exhausted-by-last-ack", "source ports ran out: the peer does not acknowledge the last FIN";
    PortsExhaustedByOtherSockets = "ports-exhausted-by-other-sockets", "source ports ran out: listening, bound or connected sockets of other programs keep them";
    PortsExhaustedByReservedPorts = "ports-exhausted-by-reserved-ports", "source ports ran out: most are reserved";
    PortsExhaustedByPoisonedBuckets = "ports-exhausted-by-poisoned-buckets", "source ports ran out: bind() of others keeps them from connect()";
    PortsExhaustedByNaiveBind = "ports-exhausted-by-naive-bind", "bind() without IP_BIND_ADDRESS_NO_PORT ran out of ports";
    PortsExhausted = "ports-exhausted", "source ports ran out, and what keeps them was not seen";
    ExplicitPortsAllLeased = "explicit-ports-all-leased", "all explicit ports are in use by this run";
    ExplicitPortTaken = "explicit-port-taken", "an explicit port is another's";
    PortsRunningLow = "ports-running-low", "most source ports of a tuple are in use, or they are forecast to run out";
    BindsWithoutNoPort = "binds-without-no-port", "a program binds to port 0 before it connects, without IP_BIND_ADDRESS_NO_PORT";
    CloseWaitLeak = "close-wait-leak", "a program does not close connections that its peer has closed";
    DescriptorsUsedUp = "descriptors-used-up", "a program has used up its descriptors, or nearly (EMFILE)";
    PortSearchSlow = "port-search-slow", "connect() searches long: half of the ports are taken";
    ProcessFileLimit = "process-file-limit", "this process met its limit of descriptors (EMFILE)";
    SystemFileLimit = "system-file-limit", "this host met its limit of open files (ENFILE)";
    OutOfMemory = "out-of-memory", "the kernel had no memory for a socket (ENOBUFS, ENOMEM)";
    MemoryLimit = "memory-limit", "this process met its limit of memory: peers left messages unfinished, or did not read";
    ConntrackFull = "conntrack-full", "connection tracking had no room for another entry";
    SnatPortsExhausted = "own-snat-ports", "address translation on this host had no port left";
    TimeWaitCapped = "time-wait-capped", "TIME_WAIT sockets were destroyed above tcp_max_tw_buckets";
    GeneratorLate = "generator-late", "this machine was late: it is the limit, and the failures may be its own";
    NothingListens = "nothing-listens", "refused by RST: no socket listens there";
    WrongPort = "wrong-port", "refused by RST: a server listens on a port much like it";
    ListensOnAnotherAddress = "listens-on-another-address", "refused by RST: a server listens on that port of another address";
    ListenerIsV6Only = "listener-is-v6only", "refused by RST: the listener at `[::]` takes no IPv4 (IPV6_V6ONLY)";
    ListenerIsBoundToDevice = "listener-is-bound-to-a-device", "refused by RST: the listener takes one interface only (SO_BINDTODEVICE)";
    TranslatedToDeadHost = "translated-destination", "address translation (DNAT, a published container port) leads to another host, where nothing listens";
    SelfConnect = "self-connect", "a socket connected to itself: nothing listens there";
    ListenerAway = "listener-away", "refused in one interval, as by a restart";
    ServerGone = "server-gone", "the server ended during the run and did not come back";
    RefusedAtTimes = "refused-at-times", "refused now and then";
    RefusedForOneSource = "refused-for-some-sources", "refused for some source addresses, and for no other";
    ConnectionLimit = "connection-limit", "the server holds so many connections at once, and no more";
    RefusedByFirewall = "refused-by-firewall", "refused by a rule of a firewall: by ICMP, or by RST although something listens";
    ConnectNotPermitted = "connect-not-permitted", "this host itself forbids the connection";
    RouteForbids = "route-forbids", "a route of this host refuses the address (blackhole, unreachable, prohibit)";
    AcceptQueueFull = "accept-queue-full", "the listener had no room for complete connections";
    SynQueueFull = "syn-queue-full", "the listener had no room for half-open connections";
    TcpMd5Demanded = "tcp-md5-demanded", "the listener wants TCP-MD5 or TCP-AO signatures";
    DroppedOnTheWay = "dropped-on-the-way", "no answer to anybody: packets are dropped";
    SomeTimedOut = "some-timed-out", "no answer at times: packets are lost";
    SomeSourcesTimeOut = "some-sources-time-out", "no answer to some source addresses, and to no other";
    SynLostOnTheWay = "syn-lost-on-the-way", "connected, but late: the SYN had to be sent again";
    LongRoundTrip = "long-round-trip", "connected, but late, or given up too early: the way is long, and nothing is lost";
    MtuHole = "mtu-hole", "large packets are lost on the way, small ones pass";
    SlowLink = "slow-link", "data was still on its way when the time was over";
    PrivateAddressOutOfReach = "private-address-out-of-reach", "a private address, and no network of this host";
    NoSuchHost = "no-such-host", "no host has the address: its link address is unknown";
    GatewaySilent = "gateway-silent", "the gateway to the address does not answer";
    NoRoute = "no-route", "no route leads to the address";
    HostUnreachable = "host-unreachable", "a router says that the address can't be reached";
    NameDoesNotResolve = "name-does-not-resolve", "the target's name has no address";
    NameLeadsElsewhere = "name-leads-elsewhere", "the target's name leads to another address than expected";
    SomeAddressesFail = "some-addresses-fail", "some of the target's addresses fail, and others never do";
    ProxyInTheWay = "proxy-in-the-way", "proxy variables are set";
    TargetOutOfDescriptors = "target-out-of-descriptors", "the server has no descriptor left to accept() with";
    TargetStopped = "target-stopped", "the server's process is stopped (SIGSTOP, a debugger)";
    NotAccepted = "not-accepted", "the server does not call accept()";
    SilentAfterConnect = "silent-after-connect", "connected, then silence";
    NoWebsocketThere = "no-websocket-there", "a plain HTTP endpoint, where a WebSocket was wanted";
    Redirected = "redirected", "the server wants the client to go elsewhere (3xx)";
    NotAuthorised = "not-authorised", "the server refuses this client (401, 403, 407)";
    WrongPath = "wrong-path", "nothing is at that path (404, 405, 410)";
    UpgradeRequired = "upgrade-required", "the server wants another protocol (426)";
    RateLimited = "rate-limited", "the server limits the rate (408, 429)";
    BadRequest = "bad-request", "the server does not take the request (other 4xx)";
    NoBackend = "no-backend", "a proxy has no server behind it (502, 504)";
    Unavailable = "unavailable", "no capacity (503)";
    ServerError = "server-error", "the server failed by itself (5xx)";
    BadUpgrade = "bad-upgrade", "a 101 that breaks the rules of an upgrade";
    UnrequestedSubprotocol = "unrequested-subprotocol", "a subprotocol that was not offered";
    SubprotocolNotSelected = "subprotocol-not-selected", "a subprotocol was offered, and the server selected none";
    UnrequestedExtension = "unrequested-extension", "an extension that was not offered";
    ReplyIsHttp10 = "reply-is-http-1-0", "a reply by HTTP/1.0, which has no upgrade";
    ReplyTooLong = "reply-too-long", "a head longer than any client takes";
    ReplyIsNotHttp = "reply-is-not-http", "another protocol (ERR_INVALID_HTTP_RESPONSE)";
    WrongAcceptKey = "wrong-accept-key", "a WebSocket server that does not prove itself";
    TlsAlert = "tls-alert", "the server ended TLS by an alert";
    ClientCertificateRequired = "client-certificate-required", "the server wants a client certificate that it takes";
    CertificateExpired = "certificate-expired", "the server's certificate has expired";
    CertificateNotYetValid = "certificate-not-yet-valid", "the server's certificate is not valid yet";
    UnknownIssuer = "unknown-issuer", "the server's certificate is signed by nobody who is trusted";
    NameMismatch = "name-mismatch", "the server's certificate is for another name";
    CertificateInvalid = "certificate-invalid", "the server's certificate is refused";
    PlainTextToATlsPort = "plain-text-to-a-tls-port", "plain text where the server speaks TLS";
    TlsToAPlainPort = "tls-to-a-plain-port", "TLS where the server speaks plain text";
    TlsToAnotherProtocol = "tls-to-another-protocol", "TLS where the server speaks another protocol";
    TlsFails = "tls-fails", "TLS fails for another reason";
    StalledInTheReply = "stalled-in-the-reply", "the server began to answer and did not go on";
    ClosedBeforeTheReply = "closed-before-the-reply", "the server closed before its reply";
    ResetInTheHandshake = "reset-in-the-handshake", "the server reset during the handshake";
    ClosedInTheTlsHandshake = "closed-in-the-tls-handshake", "the server closed during the TLS handshake";
    ClosedWithoutACloseFrame = "closed-without-a-close-frame", "the server closed without a close frame";
    ResetAtTheClose = "reset-at-the-close", "the server reset at the close, after the session";
    CloseNotAnswered = "close-not-answered", "the server did not answer a close frame";
    PeerDoesNotClose = "peer-does-not-close", "the server was to close, and did not in time";
    ClosedByTheServer = "closed-by-the-server", "the server closed open sessions";
    ResetByTheServer = "reset-by-the-server", "the server reset open sessions";
    IdleTimeout = "idle-timeout", "the server closes connections that were silent for a fixed time";
    KeepAliveLimit = "keep-alive-limit", "the server closes a connection after a number of requests";
    ServerReloaded = "server-reloaded", "the server closed all its connections at one moment and went on";
    ServerRestarted = "server-restarted", "sessions were lost, then connections refused, then taken again";
    NoAnswerInTheSession = "no-answer-in-the-session", "a message was not answered in time";
    UnexpectedReply = "unexpected-reply", "an answer other than expected";
    ProtocolViolated = "protocol-violated", "the server broke the rules of its protocol";
    NotExplained = "not-explained", "failures that no other finding explains";
}

impl FindingId {
    /// The finding of a name; [`FindingId::Unknown`] for one that this version does not have.
    pub fn of(name: &str) -> FindingId {
        FindingId::ALL.iter().copied().find(|id| id.as_str() == name).unwrap_or(FindingId::Unknown)
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq<str> for FindingId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for FindingId {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Serialize for FindingId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FindingId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FindingId, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(FindingId::of(&name))
    }
}

impl schemars::JsonSchema for FindingId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FindingId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // Any text: a later version has more of them.
        schemars::json_schema!({ "type": "string", "examples": FindingId::ALL.iter().map(|id| id.as_str()).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own_and_leads_back() {
        for id in FindingId::ALL {
            assert_eq!(FindingId::of(id.as_str()), *id);
            let json = serde_json::to_string(id).unwrap();
            assert_eq!(serde_json::from_str::<FindingId>(&json).unwrap(), *id);
        }
    }

    #[test]
    fn a_finding_of_a_later_version_does_not_spoil_the_file() {
        assert_eq!(serde_json::from_str::<FindingId>("\"of-tomorrow\"").unwrap(), FindingId::Unknown);
    }
}
