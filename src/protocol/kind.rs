//! Protocol over a connection.

use std::fmt;

/// Protocol over a connection.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Bare TCP.
    #[default]
    Tcp,
    /// Bytes over TLS.
    Tls,
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// WebSocket (RFC 6455).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

/// Protocol that is spoken once TLS, where there is any, is out of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// Bytes without a meaning.
    Stream,
    /// HTTP/1.1.
    Http,
    /// WebSocket.
    WebSocket,
}

impl Kind {
    /// All there are.
    pub const ALL: [Kind; 6] = [Kind::Tcp, Kind::Tls, Kind::Http, Kind::Https, Kind::Ws, Kind::Wss];

    /// Name, as in a URL and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            Kind::Tls => "tls",
            Kind::Http => "http",
            Kind::Https => "https",
            Kind::Ws => "ws",
            Kind::Wss => "wss",
        }
    }

    /// True if it goes over TLS.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Kind::Tls | Kind::Https | Kind::Wss)
    }

    /// The port that a URL of this scheme has where none is given.
    pub fn own_port(self) -> Option<u16> {
        match self {
            Kind::Http | Kind::Ws => Some(80),
            Kind::Https | Kind::Wss => Some(443),
            Kind::Tcp | Kind::Tls => None,
        }
    }

    /// Protocol above TLS, or above TCP.
    pub fn application(self) -> Application {
        match self {
            Kind::Tcp | Kind::Tls => Application::Stream,
            Kind::Http | Kind::Https => Application::Http,
            Kind::Ws | Kind::Wss => Application::WebSocket,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
