//! Names the protocol that the first bytes of a peer betray. Pure.

/// The protocol of a server that speaks first, or answers what it does not understand, so; `None` where the
/// bytes are like nothing known.
pub fn sniff(bytes: &[u8]) -> Option<&'static str> {
    if let Some(by_text) = TEXTS.iter().find(|(prefix, _)| bytes.starts_with(prefix)) {
        return Some(by_text.1);
    }
    match bytes {
        [b'2', b'2', b'0', b' ' | b'-', rest @ ..] => Some(mail_or_files(rest)),
        [b'4' | b'5', _, _, b' ' | b'-', rest @ ..] if mail_or_files(rest) == "SMTP" => Some("SMTP"),
        // Telnet: IAC WILL, WONT, DO, DONT (RFC 854).
        [0xff, 0xfb..=0xfe, _, ..] => Some("telnet"),
        // TLS: content type, version 3.x, length (RFC 8446, section 5.1).
        [0x14..=0x17, 3, 0..=4, _, _, ..] => Some("TLS"),
        // HTTP/2: a SETTINGS frame of a length that is a multiple of six (RFC 9113, section 3.4).
        [0, _, _, 4, 0 | 1, 0, 0, 0, 0, ..] => Some("HTTP/2"),
        // MySQL: length, sequence number 0, protocol 10, a version in digits.
        [_, _, 0, 0, 10, b'1'..=b'9', ..] => Some("MySQL"),
        // MySQL: an error before any greeting, such as "too many connections".
        [_, _, 0, 0, 0xff, ..] => Some("MySQL"),
        // PostgreSQL: an error or a request to authenticate, with its length.
        [b'E' | b'R', 0, 0, _, _, b'S' | 0, ..] => Some("PostgreSQL"),
        // MQTT: CONNACK.
        [0x20, 2, 0 | 1, _] => Some("MQTT"),
        // A WebSocket's close frame without a handshake.
        [0x88, 0..=125, ..] => Some("WebSocket frames"),
        [b'-' | b'+', rest @ ..] if is_line(rest) => Some("Redis (RESP) or POP3"),
        [b'{' | b'[', ..] if is_text(bytes) => Some("JSON without HTTP"),
        [b'<', ..] if is_text(bytes) => Some("HTML or XML without HTTP"),
        [] => None,
        _ if bytes.len() >= 4 && is_text(bytes) => Some("a text protocol"),
        _ if bytes.len() >= 4 => Some("a binary protocol"),
        _ => None,
    }
}

/// Name for an echo server: it sends a request back.
pub const ECHO: &str = "an echo of the request";

const TEXTS: [(&[u8], &str); 20] = [
    (b"HTTP/", "HTTP"),
    (b"GET /", ECHO),
    (b"SSH-", "SSH"),
    (b"-ERR ", "Redis (RESP) or POP3"),
    (b"-NOAUTH", "Redis (RESP)"),
    (b"-DENIED", "Redis (RESP)"),
    (b"-WRONGPASS", "Redis (RESP)"),
    (b"+OK", "Redis (RESP) or POP3"),
    (b"+PONG", "Redis (RESP)"),
    (b"-LOADING", "Redis (RESP)"),
    (b"* OK", "IMAP"),
    (b"* BYE", "IMAP"),
    (b"* PREAUTH", "IMAP"),
    (b"INFO {", "NATS"),
    (b"RFB ", "VNC"),
    (b"AMQP", "AMQP"),
    (b"ICY ", "Icecast"),
    (b"RTSP/", "RTSP"),
    (b"SIP/", "SIP"),
    (b"ERROR\r\n", "memcached"),
];

/// FTP and SMTP both greet with 220.
fn mail_or_files(greeting: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(&greeting[..greeting.len().min(200)]).to_ascii_uppercase();
    if text.contains("SMTP") || text.contains("MAIL") {
        "SMTP"
    } else if text.contains("FTP") {
        "FTP"
    } else {
        "SMTP or FTP"
    }
}

fn is_line(bytes: &[u8]) -> bool {
    bytes.len() >= 3 && is_text(bytes)
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~' | 0x80..))
        && bytes.iter().any(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn protocols_are_known_by_their_first_bytes() {
        for (bytes, name) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], "HTTP"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
            (b"-ERR unknown command 'GET'\r\n", "Redis (RESP) or POP3"),
            (b"220 mail.example.com ESMTP Postfix\r\n", "SMTP"),
            (b"220 (vsFTPd 3.0.3)\r\n", "FTP"),
            (b"220 hello\r\n", "SMTP or FTP"),
            (b"\x15\x03\x03\x00\x02\x02\x28", "TLS"),
            (b"\x16\x03\x01\x02\x00\x01\x00", "TLS"),
            (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00", "HTTP/2"),
            (b"J\x00\x00\x00\x0a8.0.36\x00", "MySQL"),
            (b"E\x00\x00\x00\x8aSFATAL", "PostgreSQL"),
            (b"INFO {\"server_id\":", "NATS"),
            (b"GET / HTTP/1.1\r\n", ECHO),
            (b"421 mail.example ESMTP is too busy\r\n", "SMTP"),
            (b"\xff\xfd\x18\xff\xfd\x20", "telnet"),
            (b"* OK IMAP4 ready\r\n", "IMAP"),
            (b"welcome to the game\n", "a text protocol"),
            (b"\x00\x01\x02\x03\x04", "a binary protocol"),
            (b"{\"error\":1}", "JSON without HTTP"),
        ] {
            assert_eq!(sniff(bytes), Some(name), "{}", bytes.escape_ascii());
        }
        assert_eq!(sniff(b""), None);
        assert_eq!(sniff(b"x"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_named_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = sniff(&bytes);
        }
    }
}
