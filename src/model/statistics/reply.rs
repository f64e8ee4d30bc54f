//! What a peer said that made an attempt fail: enough of it to tell why.

use serde::{Deserialize, Serialize};

/// Bytes of a body that are kept.
pub const BODY_KEPT: usize = 200;
/// First bytes of what came that are kept.
const BYTES_KEPT: usize = 48;

/// What came instead of what was expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Reply {
    /// Status and reason of an HTTP reply, such as `403 Forbidden`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Headers that tell something: server, location, authentication and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The protocol that the first bytes betray.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The first bytes, those that are not printable escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// What was wrong, in words: the message of the TLS library, or expected and found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

impl Reply {
    /// A reply that is described in words.
    pub fn saying(says: impl Into<String>) -> Reply {
        Reply { says: Some(says.into()), ..Reply::default() }
    }

    /// The same, with the first bytes that came.
    #[must_use]
    pub fn beginning_with(mut self, bytes: &[u8]) -> Reply {
        let kept = &bytes[..bytes.len().min(BYTES_KEPT)];
        self.bytes = (!kept.is_empty()).then(|| kept.escape_ascii().to_string());
        self
    }

    /// The same, with the beginning of a body.
    #[must_use]
    pub fn with_body(mut self, body: &[u8]) -> Reply {
        let text = String::from_utf8_lossy(&body[..body.len().min(BODY_KEPT)]);
        let text: String = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        self.body = (!text.trim().is_empty()).then(|| text.trim().to_owned());
        self
    }
}
