//! nginx with a page and its own counters (`stub_status`).

use super::{Server, missing};
use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PAGE: &str = "127.0.0.1:8080";
const STATUS: &str = "127.0.0.1:8081";
/// TLS, and what `/ws` there and on the page's port is handed on to.
const SECURE: &str = "127.0.0.1:8443";
/// TLS with clients that show the server's own certificate only.
const MUTUAL: &str = "127.0.0.1:8444";
const BACKEND: &str = "127.0.0.1:8101";

/// An nginx of our own. One to a namespace: its ports are fixed.
pub(crate) struct Nginx {
    server: Server,
    /// Connections that were made to ask for the counters.
    asked: u64,
}

/// Counts of nginx, without the connections that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) accepted: u64,
    pub(crate) handled: u64,
    pub(crate) open: u64,
}

impl Nginx {
    /// Starts it, and waits until it answers.
    pub(crate) fn start() -> Nginx {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nginx.conf");
        write_certificate(folder.path());
        std::fs::write(&file, configuration(&folder.path().display().to_string())).unwrap();
        let log = folder.path().join("output.log");
        let arguments = ["-c", file.to_str().unwrap(), "-e", log.to_str().unwrap()].map(str::to_owned);
        let mut server = Server::start("nginx", "nginx-light", folder, &arguments);
        server.until_it_answers(status);
        Nginx { server, asked: 1 }
    }

    /// Where it serves its page.
    pub(crate) fn address(&self) -> SocketAddr {
        PAGE.parse().unwrap()
    }

    /// Where it serves the same over TLS, with a certificate that nobody signed.
    pub(crate) fn secure_address(&self) -> SocketAddr {
        SECURE.parse().unwrap()
    }

    /// Where it serves over TLS to those alone who show [`Nginx::certificate`].
    pub(crate) fn mutual_address(&self) -> SocketAddr {
        MUTUAL.parse().unwrap()
    }

    /// The key of its certificate, as PEM.
    pub(crate) fn key(&self) -> PathBuf {
        self.server.folder.path().join("key.pem")
    }

    /// The certificate of that, as PEM.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.server.folder.path().join("cert.pem")
    }

    /// Counters of nginx now.
    pub(crate) fn counted(&mut self) -> Counted {
        let [open, accepted, handled] = status().expect("nginx answers");
        self.asked += 1;
        Counted { accepted: accepted - self.asked, handled: handled - self.asked, open: open - 1 }
    }
}

/// A certificate for 127.0.0.1, signed by itself.
fn write_certificate(folder: &std::path::Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "7",
        ])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output();
    let made = made.unwrap_or_else(|error| panic!("{}", missing("openssl", "openssl", &error)));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// One process, which keeps the user it has: in a user namespace there is no other.
fn configuration(folder: &str) -> String {
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n"))
        .collect();
    format!(
        r#"daemon off;
master_process off;
user root;
pid {folder}/nginx.pid;
events {{
    worker_connections 16384;
}}
http {{
{paths}
    access_log off;
    client_header_timeout 600s;
    keepalive_timeout 600s;
    server {{
        listen {PAGE} backlog=4096;
        listen {SECURE} ssl backlog=4096;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{
            return 200 "ok\n";
        }}
        location /private {{
            return 403 "go away\n";
        }}
        location /ws {{
            proxy_pass http://{BACKEND};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
        location /no-upgrade {{
            proxy_pass http://{BACKEND};
        }}
    }}
    server {{
        listen {MUTUAL} ssl backlog=4096;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        ssl_client_certificate {folder}/cert.pem;
        ssl_verify_client on;
        location / {{
            return 200 "ok\n";
        }}
    }}
    server {{
        listen {STATUS};
        stub_status;
    }}
}}
"#
    )
}

/// Connections that are open, were accepted, were handled; the asking one included.
fn status() -> Result<[u64; 3]> {
    let mut stream = TcpStream::connect(STATUS)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| Error::other(format!("not the page of stub_status: {answer}")))
}

fn parse(answer: &str) -> Option<[u64; 3]> {
    let after = |mark: &str| {
        let rest = &answer[answer.find(mark)? + mark.len()..];
        Some(rest.split_whitespace().map_while(|word| word.parse().ok()).collect::<Vec<u64>>())
    };
    let totals = after("accepts handled requests")?;
    Some([*after("Active connections:")?.first()?, *totals.first()?, *totals.get(1)?])
}
