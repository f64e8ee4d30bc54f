//! Which protocol the first bytes of a server betray. Pure: bytes in, a guess with a name out.
//!
//! Only what a protocol's own specification puts at the beginning is taken for a proof; the rest is text or
//! binary, and says no more.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the first bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoken {
    /// A TLS handshake record (RFC 8446, section 5.1).
    Tls,
    /// A TLS alert, with its number (section 6).
    TlsAlert(u8),
    /// An HTTP/1 status line.
    Http(u16),
    /// An HTTP/2 SETTINGS frame (RFC 9113, section 3.4).
    Http2,
    /// A banner of SSH (RFC 4253, section 4.2).
    Ssh,
    /// A greeting of SMTP (RFC 5321, section 3.1).
    Smtp,
    /// A greeting of FTP (RFC 959).
    Ftp,
    /// A greeting with 220 that is of SMTP or of FTP.
    Greeting220,
    /// A greeting of POP3 (RFC 1939).
    Pop3,
    /// A greeting of IMAP (RFC 9051).
    Imap,
    /// An answer of Redis (RESP).
    Redis,
    /// A greeting of `MySQL` or `MariaDB` (protocol version 10, or an error packet).
    Mysql,
    /// An error of `PostgreSQL`.
    Postgres,
    /// An answer of memcached.
    Memcached,
    /// The INFO of NATS.
    Nats,
    /// A protocol header of AMQP.
    Amqp,
    /// A greeting of VNC (RFB).
    Vnc,
    /// A negotiation of telnet.
    Telnet,
    /// An HTTP request: what was sent comes back, as from an echo server.
    Echo,
    /// Text of no protocol known here.
    Text,
    /// Bytes that are no text.
    Binary,
}

impl Spoken {
    /// What the first bytes are; `None` for none.
    pub fn of(bytes: &[u8]) -> Option<Spoken> {
        let first = *bytes.first()?;
        Some(
            tls(bytes)
                .or_else(|| http(bytes))
                .or_else(|| banner(bytes))
                .or_else(|| packet(bytes))
                .unwrap_or_else(|| {
                    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\r' | b'\n' | 0x20..=0x7e);
                    if is_text(&first) && bytes.iter().all(is_text) { Spoken::Text } else { Spoken::Binary }
                }),
        )
    }

    /// Whether the bytes name a protocol, rather than being text or binary of any.
    pub fn is_known(&self) -> bool {
        !matches!(self, Spoken::Text | Spoken::Binary)
    }

    /// The name of the protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Spoken::Tls | Spoken::TlsAlert(_) => "TLS",
            Spoken::Http(_) => "HTTP",
            Spoken::Http2 => "HTTP/2",
            Spoken::Ssh => "SSH",
            Spoken::Smtp => "SMTP",
            Spoken::Ftp => "FTP",
            Spoken::Greeting220 => "SMTP or FTP",
            Spoken::Pop3 => "POP3",
            Spoken::Imap => "IMAP",
            Spoken::Redis => "Redis",
            Spoken::Mysql => "MySQL",
            Spoken::Postgres => "PostgreSQL",
            Spoken::Memcached => "memcached",
            Spoken::Nats => "NATS",
            Spoken::Amqp => "AMQP",
            Spoken::Vnc => "VNC",
            Spoken::Telnet => "telnet",
            Spoken::Echo => "an echo of the request",
            Spoken::Text => "text",
            Spoken::Binary => "binary",
        }
    }
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A record's type, and a version of 3.0 to 3.4.
fn tls(bytes: &[u8]) -> Option<Spoken> {
    match bytes {
        [0x15, 3, 0..=4, 0, 2, _, number, ..] => Some(Spoken::TlsAlert(*number)),
        [0x16, 3, 0..=4, ..] => Some(Spoken::Tls),
        _ => None,
    }
}

fn http(bytes: &[u8]) -> Option<Spoken> {
    // A SETTINGS frame on stream 0: length (of 6 bytes each), type 4, flags 0.
    if let [0, 0, length, 4, 0, 0, 0, 0, 0, ..] = bytes
        && length % 6 == 0
    {
        return Some(Spoken::Http2);
    }
    if bytes.starts_with(b"GET /") {
        return Some(Spoken::Echo);
    }
    let rest = bytes.strip_prefix(b"HTTP/1.")?;
    let status = std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok()?;
    (rest.get(1) == Some(&b' ')).then_some(Spoken::Http(status))
}

/// Protocols in which the server speaks first, or answers nonsense in text.
fn banner(bytes: &[u8]) -> Option<Spoken> {
    let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let says = |words: &[&str]| words.iter().any(|word| line.to_ascii_uppercase().contains(word));
    let begins = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
    Some(match () {
        () if begins(&["SSH-"]) => Spoken::Ssh,
        () if begins(&["220 ", "220-", "421 ", "554 "]) && says(&["SMTP"]) => Spoken::Smtp,
        () if begins(&["220 ", "220-"]) && says(&["FTP"]) => Spoken::Ftp,
        () if begins(&["220 ", "220-"]) => Spoken::Greeting220,
        () if begins(&["+OK"]) && line.len() > 3 => Spoken::Pop3,
        () if begins(&["* OK", "* BYE", "* PREAUTH"]) => Spoken::Imap,
        () if begins(&["-ERR", "-NOAUTH", "-DENIED", "-WRONGPASS", "-LOADING", "+PONG"]) => Spoken::Redis,
        () if begins(&["INFO {"]) => Spoken::Nats,
        () if begins(&["AMQP"]) => Spoken::Amqp,
        () if begins(&["RFB 00"]) => Spoken::Vnc,
        () if line == "ERROR" || begins(&["CLIENT_ERROR", "SERVER_ERROR"]) => Spoken::Memcached,
        () => return None,
    })
}

/// Protocols of packets.
fn packet(bytes: &[u8]) -> Option<Spoken> {
    match bytes {
        // Length in three bytes, sequence 0, protocol version 10; or an error such as "too many connections".
        [_, _, 0, 0, 10, b'0'..=b'9', ..] | [_, _, 0, 0, 0xff, _, _, ..] => Some(Spoken::Mysql),
        [b'E', 0, 0, _, _, b'S', ..] => Some(Spoken::Postgres),
        // IAC WILL, WONT, DO, DONT.
        [0xff, 0xfb..=0xfe, _, ..] => Some(Spoken::Telnet),
        _ => None,
    }
}

/// The first line of text, or the first bytes in hexadecimal, for a person: at most 60 characters.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 60;
    if let Some(Spoken::TlsAlert(number)) = tls(bytes) {
        return format!("TLS alert {number}");
    }
    let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let printable = |byte: &u8| (0x20..=0x7e).contains(byte);
    if !line.is_empty() && line.iter().all(printable) {
        return line.iter().take(MOST).map(|byte| char::from(*byte)).collect();
    }
    let hex: Vec<String> = bytes.iter().take(MOST / 3).map(|byte| format!("{byte:02x}")).collect();
    hex.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_protocol_is_known_by_its_first_bytes() {
        for (bytes, spoken) in [
            (&b"\x16\x03\x03\x00\x7a\x02"[..], Spoken::Tls),
            (b"\x15\x03\x01\x00\x02\x02\x46", Spoken::TlsAlert(70)),
            (b"HTTP/1.1 404 Not Found\r\n", Spoken::Http(404)),
            (b"HTTP/1.0 200 OK", Spoken::Http(200)),
            (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03", Spoken::Http2),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Spoken::Ssh),
            (b"220 mail.example ESMTP Postfix\r\n", Spoken::Smtp),
            (b"220 (vsFTPd 3.0.5)\r\n", Spoken::Ftp),
            (b"220 ready\r\n", Spoken::Greeting220),
            (b"+OK Dovecot ready.\r\n", Spoken::Pop3),
            (b"* OK [CAPABILITY IMAP4rev1]", Spoken::Imap),
            (b"-ERR wrong number of arguments for 'get' command\r\n", Spoken::Redis),
            (b"-DENIED Redis is running in protected mode", Spoken::Redis),
            (b"J\x00\x00\x00\x0a8.0.36\x00", Spoken::Mysql),
            (b"E\x00\x00\x00\x8cSFATAL\x00", Spoken::Postgres),
            (b"ERROR\r\n", Spoken::Memcached),
            (b"INFO {\"server_id\":", Spoken::Nats),
            (b"AMQP\x00\x00\x09\x01", Spoken::Amqp),
            (b"RFB 003.008\n", Spoken::Vnc),
            (b"\xff\xfd\x18\xff", Spoken::Telnet),
            (b"GET / HTTP/1.1\r\n", Spoken::Echo),
            (b"hello\r\n", Spoken::Text),
            (b"\x00\x01\x02", Spoken::Binary),
        ] {
            assert_eq!(Spoken::of(bytes), Some(spoken), "{}", shown(bytes));
        }
        assert_eq!(Spoken::of(b""), None);
        assert_eq!((shown(b"SSH-2.0-x\r\ny").as_str(), shown(b"\x16\x03").as_str()), ("SSH-2.0-x", "16 03"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Spoken::of(&bytes).is_some(), !bytes.is_empty());
            prop_assert!(shown(&bytes).chars().count() <= 60);
        }
    }
}
