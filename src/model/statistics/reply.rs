//! Words of a peer that made an attempt fail: enough of them to tell why.

use serde::{Deserialize, Serialize};

/// Bytes of a body that are kept.
pub const BODY_KEPT: usize = 1000;
/// First bytes of what came that are kept.
const BYTES_KEPT: usize = 48;

/// Reply that came instead of what was expected.
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
    /// The reason in a WebSocket's close frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<String>,
    /// The protocol that the first bytes betray.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The first bytes, those that are not printable escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// True if the server asked for a client's certificate in its TLS handshake, and ended the connection before it had said
    /// anything inside TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub certificate_asked: bool,
    /// Fault, in words: the message of the TLS library, or expected and found.
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

    /// The body as one line of at most 200 characters, tags of HTML left out.
    pub fn body_text(&self) -> Option<String> {
        const SHOWN: usize = 200;
        let body = self.body.as_deref()?;
        let mut is_tag = false;
        let is_html = body.trim_start().starts_with('<');
        let text: String = body
            .chars()
            .map(|c| match c {
                '<' if is_html => {
                    is_tag = true;
                    ' '
                }
                '>' if is_tag => {
                    is_tag = false;
                    ' '
                }
                _ if is_tag => ' ',
                c => c,
            })
            .collect();
        let text: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_page_are_told_without_its_tags() {
        let page = b"<!DOCTYPE HTML>\n<html><head>\n<title>400</title>\n</head><p>Plain a < b</p></html>";
        let reply = Reply::default().with_body(page);
        assert_eq!(reply.body_text().as_deref(), Some("400 Plain a"));
        assert_eq!(Reply::default().with_body(b"a < b\nc").body_text().as_deref(), Some("a < b c"));
        assert_eq!(Reply::default().with_body(b"<p></p>").body_text(), None);
    }
}
