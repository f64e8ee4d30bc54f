//! redis-server with its own counters (`INFO`).

use super::Server;
use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const ADDRESS: &str = "127.0.0.1:6379";

/// A redis-server of our own. One to a namespace: its port is fixed.
pub(crate) struct Redis {
    /// One connection asks for everything.
    asking: BufReader<TcpStream>,
    _server: Server,
}

/// Counts of redis-server, without the connection that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) open: u64,
}

impl Redis {
    /// Starts it, and waits until it answers.
    pub(crate) fn start() -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().display().to_string();
        let arguments = [
            ["--bind", "127.0.0.1"],
            ["--port", "6379"],
            ["--dir", &directory],
            ["--save", ""],
            ["--appendonly", "no"],
            ["--maxclients", "12000"],
            ["--tcp-backlog", "4096"],
            ["--timeout", "0"],
        ];
        let arguments = arguments.concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let mut server = Server::start("redis-server", "redis-server", folder, &arguments);
        let asking = server.until_it_answers(|| {
            let stream = TcpStream::connect(ADDRESS)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            Ok(BufReader::new(stream))
        });
        Redis { asking, _server: server }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        ADDRESS.parse().unwrap()
    }

    /// Counters of redis-server now.
    pub(crate) fn counted(&mut self) -> Counted {
        let info = self.info().expect("redis-server answers");
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse::<u64>().ok())
                .unwrap_or_else(|| panic!("{name}: {info}"))
        };
        Counted {
            accepted: number("total_connections_received") - 1,
            rejected: number("rejected_connections"),
            open: number("connected_clients") - 1,
        }
    }

    fn info(&mut self) -> Result<String> {
        self.asking.get_mut().write_all(b"INFO everything\r\n")?;
        let mut head = String::new();
        self.asking.read_line(&mut head)?;
        let length = head.trim().strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let length = length.ok_or_else(|| Error::other(format!("not the answer to INFO: {head}")))?;
        let mut body = vec![0; length + 2];
        self.asking.read_exact(&mut body)?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
