//! Wrong protocol: connected, and both ends talk, but not the same language.

use crate::diagnose::FindingId;
use crate::lab::experiment::{Experiment, Group::WrongProtocol};
use crate::lab::setting::Setting;
use crate::protocol::{Behaviour, Kind};

const LISTEN: &str = "127.0.0.1:9000";

pub(super) fn experiments() -> Vec<Experiment> {
    vec![ws_to_http(), http_to_ws(), ws_to_tls(), wss_to_plain(), ws_to_line_protocol()]
}

fn echoes(kind: Kind) -> impl FnOnce(Setting) -> Setting {
    move |setting| setting.serves(kind, Behaviour::Echo, LISTEN)
}

fn ws_to_http() -> Experiment {
    Experiment::new(
        WrongProtocol,
        "ws-to-http",
        "A WebSocket client and a server that speaks plain HTTP.",
        "ws://127.0.0.1:9000/chat --rate 20/s --duration 1s --handshake-timeout 1s",
    )
    .stands_for("If the server is using the HTTP protocol, the client cannot connect using WebSocket.")
    .setting(echoes(Kind::Http))
    .intends(FindingId::NoWebsocketThere)
    .cure("use-http", "speak what the server speaks: http://", |e| e.retarget("http://127.0.0.1:9000/chat"))
    .cure(
        "websocket-server",
        "let the server speak WebSocket (Workerman: websocket://0.0.0.0:9000)",
        |e| {
            e.setting.servers.clear();
            e.setting.serve(Kind::Ws, Behaviour::Echo, LISTEN);
        },
    )
}

fn http_to_ws() -> Experiment {
    Experiment::new(
        WrongProtocol,
        "http-to-ws",
        "An HTTP client and a server that speaks WebSocket.",
        "http://127.0.0.1:9000/chat --rate 20/s --duration 1s --handshake-timeout 1s",
    )
    .stands_for("If the server is using the WebSocket protocol, the client must also use WebSocket.")
    .setting(echoes(Kind::Ws))
    .intends(FindingId::UpgradeRequired)
    .cure("use-ws", "speak what the server speaks: ws://", |e| e.retarget("ws://127.0.0.1:9000/chat"))
}

fn ws_to_tls() -> Experiment {
    Experiment::new(
        WrongProtocol,
        "ws-to-tls",
        "A WebSocket client without TLS, and a server with it.",
        "ws://127.0.0.1:9000/chat --rate 20/s --duration 1s --handshake-timeout 1s",
    )
    .stands_for("Plain to a TLS port: scheme mismatch.")
    .setting(echoes(Kind::Wss))
    .intends(FindingId::PlainTextToATlsPort)
    .cure("use-wss", "wss:// instead of ws://", |e| {
        e.retarget("wss://127.0.0.1:9000/chat");
        // The certificate is made for the experiment: nobody has signed it.
        e.flags("--insecure");
    })
}

fn wss_to_plain() -> Experiment {
    Experiment::new(
        WrongProtocol,
        "wss-to-plain",
        "A WebSocket client with TLS, and a server without it.",
        "wss://127.0.0.1:9000/chat --rate 20/s --duration 1s --handshake-timeout 1s",
    )
    .stands_for("TLS to a plain port: scheme mismatch.")
    .setting(echoes(Kind::Ws))
    .intends(FindingId::TlsToAPlainPort)
    .cure("use-ws", "ws:// instead of wss://", |e| e.retarget("ws://127.0.0.1:9000/chat"))
}

fn ws_to_line_protocol() -> Experiment {
    Experiment::new(
        WrongProtocol,
        "ws-to-line-protocol",
        "A WebSocket client on the port of a mail server.",
        "ws://127.0.0.1:9000/chat --rate 20/s --duration 1s --handshake-timeout 1s",
    )
    .stands_for("Error during WebSocket handshake: net::ERR_INVALID_HTTP_RESPONSE")
    .setting(|s| s.serves(Kind::Tcp, Behaviour::Raw(b"220 mail.example ESMTP\r\n".to_vec()), LISTEN))
    .intends(FindingId::ReplyIsNotHttp)
    .cure("right-port", "connect to the port of the WebSocket server (ss -ltnp)", |e| {
        e.setting.serve(Kind::Ws, Behaviour::Echo, "127.0.0.1:9001");
        e.retarget("ws://127.0.0.1:9001/chat");
    })
}
