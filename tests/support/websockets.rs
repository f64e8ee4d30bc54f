//! WebSocket servers that nobody here wrote: npm's `ws` and PyPI's `websockets` as Debian packages them, and
//! websocketd. Each echoes.

use super::Server;
use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const NODE: &str = r"
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ host: '127.0.0.1', port: 8101, backlog: 4096 });
server.on('connection', socket => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })));
";

const PYTHON: &str = r"
import asyncio, websockets

async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)

async def main():
    async with websockets.serve(echo, '127.0.0.1', 8102, backlog=4096):
        await asyncio.Future()

asyncio.run(main())
";

/// A server of our own. One of a kind to a namespace: its port is fixed.
pub(crate) struct EchoServer {
    _server: Server,
    address: SocketAddr,
}

impl EchoServer {
    /// npm's `ws`.
    pub(crate) fn node() -> EchoServer {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("echo.js"),
            format!("module.paths.push('/usr/share/nodejs');{NODE}"),
        )
        .unwrap();
        EchoServer::start("node", "nodejs and node-ws", folder, &["echo.js"], 8101)
    }

    /// PyPI's `websockets`.
    pub(crate) fn python() -> EchoServer {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("echo.py"), PYTHON).unwrap();
        EchoServer::start("/usr/bin/python3", "python3-websockets", folder, &["echo.py"], 8102)
    }

    /// websocketd, which runs a program for each connection: `cat`.
    pub(crate) fn websocketd() -> EchoServer {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["--address=127.0.0.1", "--port=8103", "--loglevel=error", "cat"];
        EchoServer::start("websocketd", "websocketd", folder, &arguments, 8103)
    }

    fn start(
        name: &'static str,
        package: &str,
        folder: tempfile::TempDir,
        arguments: &[&str],
        port: u16,
    ) -> EchoServer {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Server::start(name, package, folder, &arguments);
        server.until_it_answers(|| answers(address));
        EchoServer { _server: server, address }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// True if it answers an upgrade.
pub(crate) fn answers(address: SocketAddr) -> Result<()> {
    answers_at(address, "/", "")
}

/// True if it answers an upgrade of a path, with more headers.
pub(crate) fn answers_at(address: SocketAddr, path: &str, headers: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         {headers}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if answer == *b"HTTP/1.1 101" { Ok(()) } else { Err(Error::other("no 101")) }
}
