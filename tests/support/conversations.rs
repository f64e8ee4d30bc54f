//! Servers that nobody here wrote and that want a conversation: Socket.IO and graphql-ws of npm, Mosquitto.
//!
//! The packages of npm are looked for in `target/servers/node_modules`: `npm install --prefix target/servers socket.io
//! graphql graphql-ws ws` brings them. A server that is not there is told, and its test does nothing.

use super::Server;
use super::websockets::answers_at;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Each says on a line of its output, when it is asked by SIGUSR2, what it has counted.
const SOCKET_IO: &str = r"
const { Server } = require('socket.io');
const io = new Server(8111, { pingInterval: 1000, pingTimeout: 2000, transports: ['websocket'] });
const counted = { joined: 0, said: 0, gone: 0 };
io.on('connection', socket => {
  counted.joined++;
  socket.on('say', (message, done) => { counted.said++; done({ ok: true }); });
  socket.on('disconnect', reason => { if (reason === 'ping timeout') counted.gone++; });
});
setInterval(() => require('fs').writeFileSync('counted.json', JSON.stringify(counted)), 100);
";

const GRAPHQL: &str = r"
const { WebSocketServer } = require('ws');
const { useServer } = require('graphql-ws/use/ws');
const { GraphQLSchema, GraphQLObjectType, GraphQLString } = require('graphql');
const field = (subscribe) => ({ type: GraphQLString, resolve: root => root && root.greetings, subscribe });
const greet = async function* () {
  for (const greetings of ['Hi', 'Bonjour', 'Hola']) { yield { greetings }; await new Promise(done => setTimeout(done, 100)); }
};
const type = (name, fields) => new GraphQLObjectType({ name, fields });
const schema = new GraphQLSchema({
  query: type('Query', { hello: { type: GraphQLString, resolve: () => 'world' } }),
  subscription: type('Subscription', { greetings: field(greet) }),
});
const counted = { subscribed: 0, completed: 0 };
const hooks = { schema, onSubscribe: () => { counted.subscribed++; }, onComplete: () => { counted.completed++; } };
useServer(hooks, new WebSocketServer({ port: 8112, path: '/graphql', backlog: 4096 }), 200);
setInterval(() => require('fs').writeFileSync('counted.json', JSON.stringify(counted)), 100);
";

/// Mosquitto 2.0.11 does not start without a listener of plain MQTT, and can't become another user in a user namespace.
const MOSQUITTO: &str = "listener 1883 127.0.0.1\nlistener 8113\nprotocol websockets\nallow_anonymous true\n\
                         max_connections -1\nuser root\n";

/// A server that counts.
pub(crate) struct Counting {
    server: Server,
}

impl Counting {
    /// Socket.IO; `None`: it is not installed.
    pub(crate) fn socket_io() -> Option<Counting> {
        let path = "/socket.io/?EIO=4&transport=websocket";
        node("socket.io", SOCKET_IO, ([127, 0, 0, 1], 8111).into(), path, "")
    }

    /// graphql-ws; `None`: it is not installed.
    pub(crate) fn graphql() -> Option<Counting> {
        let subprotocol = "Sec-WebSocket-Protocol: graphql-transport-ws\r\n";
        node("graphql-ws", GRAPHQL, ([127, 0, 0, 1], 8112).into(), "/graphql", subprotocol)
    }

    /// Mosquitto, over WebSocket; `None`: it is not installed.
    pub(crate) fn mosquitto() -> Option<Counting> {
        if !Path::new("/usr/sbin/mosquitto").exists() {
            return skipped("mosquitto", "apt install mosquitto");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mosquitto.conf"), MOSQUITTO).unwrap();
        let arguments = ["-c", "mosquitto.conf"].map(str::to_owned);
        let mut server = Server::start("mosquitto", "mosquitto", folder, &arguments);
        let address = ([127, 0, 0, 1], 8113).into();
        server.until_it_answers(|| answers_at(address, "/", "Sec-WebSocket-Protocol: mqtt\r\n"));
        Some(Counting { server })
    }

    /// What it has counted, once a number has become this.
    pub(crate) fn until(&self, name: &str, wanted: u64) -> Value {
        let mut counted = Value::Null;
        for _ in 0..100 {
            let text =
                std::fs::read_to_string(self.server.folder.path().join("counted.json")).unwrap_or_default();
            counted = serde_json::from_str(&text).unwrap_or(counted);
            if counted[name] == wanted {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        counted
    }
}

fn skipped(name: &str, how: &str) -> Option<Counting> {
    eprintln!("skipped: {name} is not installed ({how})");
    None
}

fn node(
    package: &'static str,
    script: &str,
    address: SocketAddr,
    path: &str,
    headers: &str,
) -> Option<Counting> {
    let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/servers/node_modules");
    if !modules.join(package).exists() {
        return skipped(package, "npm install --prefix target/servers socket.io graphql graphql-ws ws");
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("module.paths.push({:?});{script}", modules.display().to_string());
    std::fs::write(folder.path().join("server.js"), script).unwrap();
    let mut server = Server::start("node", "nodejs", folder, &["server.js".to_owned()]);
    server.until_it_answers(|| answers_at(address, path, headers));
    Some(Counting { server })
}
