#!/usr/bin/env python3
"""connstorm beside other load generators: what a short HTTP connection costs, and what each says when ports run out.

    cargo build --release && python3 benches/peers.py

Peers come from the registries: Debian's wrk, apache2-utils (ab), hey, httperf, siege and nghttp2-client (h2load);
npm's autocannon and artillery, in the folder that --npm names (npm install autocannon artillery). One that is not
there is left out, and said so.

  cost        CPU of the whole client process for connect + request + reply + close, 10 at a time, client on CPU 0,
              server (connstorm serve http) on CPU 1. Rounds are interleaved, and each run has a destination address
              of its own, so that no TIME_WAIT of another is in its way. Divided by the connections that the
              kernel's own counter (Tcp ActiveOpens) says were made.
  exhaustion  1,100 connections at once on a range of 1,024 ports, tcp_tw_reuse=0, 3 s, kept alive: 76 too many. What
              the tool says of it, its exit code, its CPU. One run each.
"""

import argparse
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from harness import ROOT, Failed, active_opens, enter_namespace, run, sysctl

PORT = 8000
AT_ONCE, TOO_MANY = 10, 1100
SAYS = re.compile(r"assign requested|EADDRNOTAVAIL|address_not_available|addrunavail|connect|Failed|error", re.I)
COUNTS_ERRORS = re.compile(r"Socket errors|Errors: (total|fd)|errors,", re.I)
NAMES_IT = re.compile(r"assign requested address|EADDRNOTAVAIL|address_not_available|addrunavail [1-9]", re.I)


def tools(connstorm, npm):
    """By name: the command of `cost` for (url, host, connections), and that of `exhaustion` for (url, host)."""
    node = Path(npm) / "node_modules" / ".bin"
    return {
        "connstorm": (
            connstorm,
            lambda url, host, n: f"run {url} --concurrency {AT_ONCE} --connections {n} --workers 1 --progress never",
            lambda url, host: f"run {url} --concurrency {TOO_MANY} --lifetime until-end --duration 3s --progress never",
        ),
        "ab": (
            "ab",
            lambda url, host, n: f"-q -n {n} -c {AT_ONCE} {url}",
            lambda url, host: f"-q -k -t 3 -n 1000000 -c {TOO_MANY} {url}",
        ),
        "httperf": (
            "httperf",
            lambda url, host, n: f"--server {host} --port {PORT} --num-conns {n} --num-calls 1",
            lambda url, host: f"--server {host} --port {PORT} --num-conns {TOO_MANY} --rate 1100 --num-calls 3 "
            "--think-timeout 1 --period 0.001 --burst-length 1 --timeout 3",
        ),
        "wrk": (
            "wrk",
            lambda url, host, n: f"-t 1 -c {AT_ONCE} -d 2s -H 'Connection: close' {url}",
            lambda url, host: f"-t 1 -c {TOO_MANY} -d 3s {url}",
        ),
        "hey": (
            "hey",
            lambda url, host, n: f"-n {n} -c {AT_ONCE} -disable-keepalive -cpus 1 {url}",
            lambda url, host: f"-z 3s -c {TOO_MANY} -cpus 1 {url}",
        ),
        "siege": (
            "siege",
            lambda url, host, n: f"-q -b -c {AT_ONCE} -r {n // AT_ONCE} {url}",
            # Its own limit is 255 users; it can't ask for more without a configuration file.
            None,
        ),
        "h2load": (
            "h2load",
            None,  # It keeps connections: one connection a request is not among what it does.
            lambda url, host: f"--h1 -t 1 -c {TOO_MANY} -D 3 {url}",
        ),
        "autocannon": (
            node / "autocannon",
            lambda url, host, n: f"-c {AT_ONCE} -d 3 -H Connection=close {url}",
            lambda url, host: f"-c {TOO_MANY} -d 3 {url}",
        ),
        "artillery": (
            node / "artillery",
            None,  # It takes minutes for what the others do in a second: its start would be all that is measured.
            lambda url, host: f"quick --count {TOO_MANY} --num 2 {url}",
        ),
        "oha": (
            "oha",
            lambda url, host, n: f"--no-tui -n {n} -c {AT_ONCE} --disable-keepalive {url}",
            lambda url, host: f"--no-tui -z 3s -c {TOO_MANY} {url}",
        ),
    }


class Server:
    """connstorm serve http on all addresses: each run goes to one of its own."""

    def __init__(self, connstorm):
        self.serial = 0
        self.process = subprocess.Popen(
            [connstorm, "serve", "http", "--listen", f"0.0.0.0:{PORT}", "--workers", "1", "--json", "-"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {1}),
        )
        self.process.stderr.readline()

    def next(self):
        self.serial += 1
        return f"127.{1 + self.serial // 250}.{1 + self.serial % 250}.1"

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def measured(program, arguments, limit_s):
    before = active_opens()
    ended = run([program, *shlex.split(arguments)], {0}, limit_s)
    return ended, active_opens() - before


def cost(there, server, connections, rounds):
    """CPU a connection in µs, and connections a second, by tool and round."""
    found = {name: [] for name, (_, command, _) in there.items() if command}
    for number in range(rounds):
        # Another order each round.
        for name in sorted(found, key=lambda name: hash((number, name))):
            program, command, _ = there[name]
            host = server.next()
            try:
                ended, made = measured(program, command(f"http://{host}:{PORT}/", host, connections), 60)
            except Failed as failed:
                print(f"note: {name}: {failed}", file=sys.stderr)
                continue
            if made:
                found[name].append((ended.cpu_s * 1e6 / made, made / ended.wall_s))
    own = statistics.median(cpu for cpu, _ in found["connstorm"])
    print("connect + request + reply + close, 10 at a time, one core\n")
    print("| tool | CPU a connection, median (range) | beside connstorm | connections/s, median |")
    print("|---|---:|---:|---:|")
    rows = [(statistics.median(cpu for cpu, _ in runs), name, runs) for name, runs in found.items() if runs]
    for median, name, runs in sorted(rows):
        low, high = min(cpu for cpu, _ in runs), max(cpu for cpu, _ in runs)
        rate = statistics.median(rate for _, rate in runs)
        print(f"| {name} | {median:.0f} µs ({low:.0f}-{high:.0f}) | {median / own:.2f} | {rate:,.0f} |")


def exhaustion(there, server):
    """What each says when 76 of 1,100 connections find no port."""
    print(f"\n{TOO_MANY:,} connections at once on 1,024 ports, tcp_tw_reuse=0\n")
    print("| tool | names the error | says when, for which tuple, and why | exit | CPU | in its own words |")
    print("|---|---|---|---:|---:|---|")
    for name, (program, _, command) in there.items():
        if command is None:
            continue
        host = server.next()
        try:
            ended, _ = measured(program, command(f"http://{host}:{PORT}/", host), 30)
        except Failed as failed:
            print(f"| {name} | - | no | - | - | {failed} |")
            continue
        text = ended.out + ended.err
        lines = [" ".join(line.split()) for line in text.splitlines() if SAYS.search(line)]
        errors = [line for line in lines if COUNTS_ERRORS.search(line)]
        telling = [line for line in lines if NAMES_IT.search(line)] or errors or lines
        words = telling[0][:90].replace("|", "/") if telling else "nothing"
        names = "yes" if NAMES_IT.search(text) else "no"
        why = "yes" if re.search(r"ports_exhausted.*attempt", text) and host in text else "no"
        print(f"| {name} | {names} | {why} | {ended.code} | {ended.cpu_s:.1f} s | {words} |")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("parts", nargs="*", help="some of: cost exhaustion (both)")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--connections", type=int, default=10_000, help="of a run of cost")
    options.add_argument("--connstorm", type=Path, default=ROOT / "target" / "release" / "connstorm")
    options.add_argument("--npm", type=Path, default=Path("."), help="the folder with node_modules")
    options = options.parse_args()
    options.npm = options.npm.resolve()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if not options.connstorm.exists():
        sys.exit(f"peers: {options.connstorm} is missing: cargo build --release")
    enter_namespace()
    all_tools = tools(options.connstorm, options.npm)
    there = {name: tool for name, tool in all_tools.items() if shutil.which(tool[0])}
    missing = [name for name in all_tools if name not in there]
    if missing:
        print(f"note: not installed, and left out: {', '.join(missing)}", file=sys.stderr)
    server = Server(options.connstorm)
    try:
        if not options.parts or "cost" in options.parts:
            cost(there, server, options.connections, options.rounds)
        if not options.parts or "exhaustion" in options.parts:
            sysctl("net/ipv4/ip_local_port_range", "40000 41023")
            sysctl("net/ipv4/tcp_tw_reuse", "0")
            exhaustion(there, server)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
