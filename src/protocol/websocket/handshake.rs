//! The opening handshake: the key, and what the peer's 101 has to be like.

use crate::model::Cause;
use crate::protocol::http1::ReplyHead;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// A handshake under way.
#[derive(Debug)]
pub struct Upgrade {
    /// Answer that the peer has to give to our key.
    accept: String,
}

/// Fault of a reply of status 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeError {
    /// Cause that it is.
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
        if !head.headers.lists("upgrade", "websocket") || !head.headers.lists("connection", "upgrade") {
            return wrong(
                Cause::BadUpgrade,
                "101 without 'Upgrade: websocket' and 'Connection: Upgrade'".into(),
            );
        }
        let accepts: Vec<&[u8]> =
            head.headers.values("sec-websocket-accept").map(<[u8]>::trim_ascii).collect();
        match accepts[..] {
            [accept] if accept == self.accept.as_bytes() => {}
            [other] => {
                let found = String::from_utf8_lossy(other);
                let says = format!("Sec-WebSocket-Accept is {found}, and should be {}", self.accept);
                return wrong(Cause::WrongAcceptKey, says);
            }
            [] => return wrong(Cause::BadUpgrade, "101 without Sec-WebSocket-Accept".into()),
            [_, _, ..] => {
                let says = format!("Sec-WebSocket-Accept came {} times, and may come once", accepts.len());
                return wrong(Cause::BadUpgrade, says);
            }
        }
        if let Some(extension) = head.headers.list("sec-websocket-extensions").next() {
            let name = String::from_utf8_lossy(extension);
            return wrong(Cause::UnrequestedExtension, format!("the extension {name} was not offered"));
        }
        let subprotocols: Vec<&[u8]> = head.headers.list("sec-websocket-protocol").collect();
        let is_offered = |name: &[u8]| offered.iter().any(|offered| offered.as_bytes() == name);
        match subprotocols[..] {
            [] if offered.is_empty() => Ok(()),
            // A browser fails the connection then (WHATWG WebSockets, "establish a WebSocket connection").
            [] => wrong(
                Cause::SubprotocolNotSelected,
                format!("101 without Sec-WebSocket-Protocol, although {} was offered", offered.join(", ")),
            ),
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
        assert_eq!(verified(&upgrade, &whole, &[]), Ok(()));
        assert_eq!(verified(&upgrade, &whole, &["a"]), Err(Cause::SubprotocolNotSelected));
        assert_eq!(verified(&upgrade, &format!("{whole}\r\nSec-WebSocket-Protocol: a"), &["b", "a"]), Ok(()));
        let unasked = |header: &str| verified(&upgrade, &format!("{whole}\r\n{header}"), &["a"]);
        assert_eq!(unasked("Sec-WebSocket-Protocol: b"), Err(Cause::UnrequestedSubprotocol));
        assert_eq!(unasked("Sec-WebSocket-Extensions: permessage-deflate"), Err(Cause::UnrequestedExtension));
        let twice = format!("{whole}\r\nSec-WebSocket-Accept: {accept}");
        let without = "Upgrade: websocket\r\nConnection: upgrade";
        for bad in ["Upgrade: websocket", without, &twice] {
            assert_eq!(verified(&upgrade, bad, &[]), Err(Cause::BadUpgrade), "{bad}");
        }
        let folded = whole.replace("Accept: ", "Accept:\r\n ");
        assert_eq!(verified(&upgrade, &folded, &[]), Ok(()));
        let wrong = whole.replace(&accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(verified(&upgrade, &wrong, &[]), Err(Cause::WrongAcceptKey));
    }
}
