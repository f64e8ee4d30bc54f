//! The opening handshake: the key, and what the peer's 101 has to be like.

use crate::model::Cause;
use crate::protocol::http1::ReplyHead;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// A handshake under way.
#[derive(Debug)]
pub struct Upgrade {
    /// What the peer has to make of our key.
    accept: String,
}

/// What is wrong with a reply of status 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeError {
    /// Its name.
    pub cause: Cause,
    /// In words.
    pub says: String,
}

impl Upgrade {
    /// A handshake with a new key; the key is to be sent.
    pub fn begin() -> (Upgrade, String) {
        let key = generate_key();
        (Upgrade { accept: derive_accept_key(key.as_bytes()) }, key)
    }

    /// Holds a reply of status 101 against what was asked for (RFC 6455, section 4.1).
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, head: &ReplyHead<'_>, offered: &[String]) -> Result<(), UpgradeError> {
        let wrong = |cause, says: String| Err(UpgradeError { cause, says });
        if !head.lists("upgrade", "websocket") || !head.lists("connection", "upgrade") {
            return wrong(
                Cause::BadUpgrade,
                "101 without 'Upgrade: websocket' and 'Connection: Upgrade'".into(),
            );
        }
        let accepts: Vec<&[u8]> = head.values("sec-websocket-accept").collect();
        if accepts != [self.accept.as_bytes()] {
            let found = accepts.first().map_or("none".into(), |value| String::from_utf8_lossy(value));
            return wrong(
                Cause::WrongAcceptKey,
                format!("Sec-WebSocket-Accept is {found}, and should be {}", self.accept),
            );
        }
        if let Some(extension) = head.list("sec-websocket-extensions").next() {
            let name = String::from_utf8_lossy(extension);
            return wrong(Cause::UnrequestedExtension, format!("the extension {name} was not offered"));
        }
        let subprotocols: Vec<&[u8]> = head.list("sec-websocket-protocol").collect();
        let is_offered = |name: &[u8]| offered.iter().any(|offered| offered.as_bytes() == name);
        match subprotocols[..] {
            // None at all is the server's right; who needs one sees by the session that it has none.
            [] => Ok(()),
            [one] if is_offered(one) => Ok(()),
            [first, ..] => {
                let name = String::from_utf8_lossy(first);
                wrong(Cause::UnrequestedSubprotocol, format!("the subprotocol {name} was not offered"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(upgrade: &Upgrade, headers: &str, offered: &[&str]) -> Result<(), Cause> {
        let text = format!("HTTP/1.1 101 Switching Protocols\r\n{headers}\r\n\r\n");
        let head = ReplyHead::parse(text.as_bytes()).unwrap().unwrap();
        let offered: Vec<String> = offered.iter().map(|&name| name.to_owned()).collect();
        upgrade.verify(&head, &offered).map_err(|error| error.cause)
    }

    #[test]
    fn a_101_is_held_against_what_was_asked_for() {
        let (upgrade, key) = Upgrade::begin();
        assert_eq!(key.len(), 24);
        let accept = upgrade.accept.clone();
        let whole = format!(
            "Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\nSec-WebSocket-Accept: {accept}"
        );
        assert_eq!(verified(&upgrade, &whole, &["a"]), Ok(()));
        assert_eq!(verified(&upgrade, &format!("{whole}\r\nSec-WebSocket-Protocol: a"), &["b", "a"]), Ok(()));
        let unasked = |header: &str| verified(&upgrade, &format!("{whole}\r\n{header}"), &["a"]);
        assert_eq!(unasked("Sec-WebSocket-Protocol: b"), Err(Cause::UnrequestedSubprotocol));
        assert_eq!(unasked("Sec-WebSocket-Extensions: permessage-deflate"), Err(Cause::UnrequestedExtension));
        assert_eq!(verified(&upgrade, "Upgrade: websocket", &[]), Err(Cause::BadUpgrade));
        let wrong = whole.replace(&accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(verified(&upgrade, &wrong, &[]), Err(Cause::WrongAcceptKey));
    }
}
