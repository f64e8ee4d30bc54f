#!/usr/bin/env python3
"""connstorm watch beside programs that nobody here wrote, each made to run out of source ports.

    python3 benches/watch_programs.py [connstorm] [program ...]

Each program runs in a network namespace of its own (needs root), with 1,024 ports and tcp_tw_reuse=0, against a server that leaves
the closing to the client. Shown for each: the program that watch names, the tuple, the cause, the first remedy, and the forecast that was made
when half of the ports were in use beside what came. A program that is not installed is left out, and said so.

Debian: apt-get install apache2-utils haproxy nginx-light nodejs hey; pip install requests
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap

SERVER = """
import selectors, socket, sys
listener = socket.socket(); listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('10.9.9.1', 8080)); listener.listen(4096); listener.setblocking(False)
ready = selectors.DefaultSelector(); ready.register(listener, 1)
answer = b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok'
while True:
    for key, _ in ready.select():
        if key.fileobj is listener:
            try:
                while True:
                    client = listener.accept()[0]; client.setblocking(False); ready.register(client, 1)
            except BlockingIOError: pass
            continue
        try: asked = key.fileobj.recv(65536)
        except OSError: asked = b''
        try:
            if asked: key.fileobj.send(answer)
        except OSError: pass
        if not asked: ready.unregister(key.fileobj); key.fileobj.close()
"""

REQUESTS = """
import requests, time
for n in range(3000):
    try: requests.get('http://10.9.9.1:8080/', timeout=5)
    except Exception as error: time.sleep(0.05)
    time.sleep(0.003)
"""

NAIVE = """
import socket, time
for n in range(3000):
    client = socket.socket()
    try: client.bind(('10.9.9.2', 0)); client.connect(('10.9.9.1', 8080)); client.send(b'GET / HTTP/1.1\\r\\n\\r\\n'); client.recv(999)
    except OSError: time.sleep(0.05)
    client.close(); time.sleep(0.004)
"""

NODE = """
const http = require('http'); let n = 0;
const one = () => { if (n++ > 3000) return;
  const again = () => setTimeout(one, 4);
  http.get({ host: '10.9.9.1', port: 8080, agent: false }, r => { r.resume(); r.on('end', again); }).on('error', () => setTimeout(one, 50)); };
one();
"""

# HAProxy ends a connection to a server by RST and leaves no TIME_WAIT: what fills its ports are live connections.
HAPROXY = """
global
  maxconn 4000
defaults
  mode tcp
  timeout connect 3s
  timeout client 30s
  timeout server 30s
frontend f
  bind 127.0.0.1:8081
  bind 127.0.0.2:8081
  default_backend b
backend b
  server s 10.9.9.1:8080
"""

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  server {{ listen 127.0.0.1:8081; location / {{ proxy_pass http://10.9.9.1:8080; proxy_http_version 1.1; }} }} }}
"""

# A load that keeps its own connection open: what runs out is the proxy behind it.
LOAD = """
import socket, time
time.sleep(1)
peer = socket.create_connection(('127.0.0.1', 8081))
for n in range(2500):
    try:
        peer.send(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
        if not peer.recv(65536): raise OSError
    except OSError:
        peer = socket.create_connection(('127.0.0.1', 8081))
    time.sleep(0.004)
"""

# Connections that stay, to two addresses of the proxy, so that the load does not run out itself.
HOLD = """
import socket, time
time.sleep(1)
held = []
for n in range(1400):
    try: held.append(socket.create_connection(('127.0.0.%d' % (1 + n % 2), 8081)))
    except OSError: pass
    time.sleep(0.006)
time.sleep(9)
"""


def programs(folder):
    """Name, what has to be installed, the name that watch has to give, and the shell line; `-- ` before a program that watch
    starts itself, as it ends as soon as it has no port."""
    def file(name, text):
        path = os.path.join(folder, name)
        with open(path, "w") as out:
            out.write(text)
        return path
    load = file("load.py", LOAD)
    haproxy, nginx = file("haproxy.cfg", HAPROXY), file("nginx.conf", NGINX.format(dir=folder))
    return [
        ("hey without keep-alive", "hey", "hey", "hey -z 12s -c 4 -q 40 -disable-keepalive http://10.9.9.1:8080/"),
        ("ab, many at once", "ab", "ab", "-- ab -q -n 100000 -c 1100 -s 20 http://10.9.9.1:8080/"),
        ("requests without a session", "python3", "python3", f"python3 {file('r.py', REQUESTS)}"),
        ("node without an agent", "node", "node", f"node {file('n.js', NODE)}"),
        ("bind() before connect()", "python3", "python3", f"python3 {file('b.py', NAIVE)}"),
        ("haproxy in mode tcp", "haproxy", "haproxy", f"haproxy -f {haproxy} & P=$!; python3 {file('h.py', HOLD)}; kill $P"),
        ("nginx without keepalive", "nginx", "nginx", f"nginx -c {nginx} & P=$!; python3 {load}; kill $P"),
    ]


def watched(connstorm, line, folder):
    """The JSON lines of a watch beside a program."""
    server = os.path.join(folder, "server.py")
    with open(server, "w") as out:
        out.write(SERVER)
    starts, program = line.startswith("-- "), line.removeprefix("-- ")
    beside = "" if starts else f"( sleep 1; timeout 16 sh -c '{program}' ) > {folder}/out 2>&1 & C=$!"
    script = textwrap.dedent(f"""
        ip link set lo up; ip addr add 10.9.9.1/32 dev lo; ip addr add 10.9.9.2/32 dev lo
        sysctl -qw net.ipv4.ip_local_port_range='40000 41023' net.ipv4.tcp_tw_reuse=0
        python3 {server} & S=$!; sleep 0.7
        {beside}
        {connstorm} watch --for 16s --json - {line if starts else ""}
        kill $C $S 2>/dev/null; wait 2>/dev/null
    """)
    # A namespace of processes: what a program leaves behind ends with it.
    run = ["unshare", "-n", "-p", "-f", "--mount-proc", "bash", "-c", script]
    out = subprocess.run(run, capture_output=True, text=True, check=False).stdout
    return [json.loads(row) for row in out.splitlines() if row.startswith("{")]


def forecast(lines):
    """What was forecast when half of the ports were in use, and when none was left."""
    came = next((row["at_s"] for row in lines if row.get("kind") == "ports_exhausted"), None)
    for row in lines:
        for tuple_ in row.get("tuples", []) if row["type"] == "look" else []:
            half = tuple_["ports_used"] * 2 >= tuple_["ports_usable"]
            if half and tuple_["destination"] == "10.9.9.1:8080" and tuple_.get("time_left_s"):
                return row["at_s"] + tuple_["time_left_s"], came
    return None, came


def main():
    arguments = sys.argv[1:]
    connstorm = os.path.abspath(arguments[0]) if arguments else "target/release/connstorm"
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        for name, needs, expected, line in programs(folder):
            if arguments[1:] and not any(word in name for word in arguments[1:]):
                continue
            if not shutil.which(needs):
                print(f"{name}: {needs} is not installed")
                continue
            lines = watched(connstorm, line, folder)
            end = lines[-1] if lines else {"findings": []}
            ran_out = [f for f in end["findings"] if f["id"].startswith("ports-exhausted")]
            if not ran_out:
                wrong += 1
                print(f"{name}: nothing that ran out; {[f['id'] for f in end['findings']]}")
                continue
            finding = ran_out[0]
            who, tuple_ = finding["evidence"].get("held_by", "nobody"), finding["evidence"]["tuple"]
            said, came = forecast(lines)
            told = "none made" if said is None or came is None else f"{said:.1f} s, came {came:.1f} s ({(said - came) / came * 100:+.1f} %)"
            right = expected in who
            wrong += not right
            print(f"{name}: {'ok' if right else 'WRONG'}\n    {who}: {tuple_}\n    {finding['certainty']}: {finding['id']}\n"
                  f"    remedy: {finding['remedies'][0]}\n    forecast at half: {told}; watching cost {end['last']['cost_share'] * 100:.2f} % of a core")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
