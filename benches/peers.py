#!/usr/bin/env python3
"""connstorm beside other load generators: what a short HTTP connection costs, and what each says when ports run out.

    cargo build --release && python3 benches/peers.py --install     # as root on Debian; later without --install

Peers come from the registries: Debian's wrk, apache2-utils (ab), hey, httperf, siege and nghttp2-client (h2load); npm's
autocannon and artillery and crates.io's oha, which go into a folder of their own (--peers). --install gets them all; one
that is not there is left out, and said so.

  cost        CPU of the whole client process for connect + request + reply + close, 10 at a time, client on CPU 0,
              server (connstorm serve http) on CPU 1. Rounds are interleaved, and each run has a destination address
              of its own, so that no TIME_WAIT of another is in its way. Divided by the connections that the
              kernel's own counter (Tcp ActiveOpens) says were made.
  memory      Most resident memory (VmHWM, from outside) with 4,000 connections kept alive at once, less that with 500,
              a connection. The median of three rounds.
  exhaustion  1,100 connections at once on a range of 1,024 ports, tcp_tw_reuse=0, 5 s, kept alive: 76 too many. What
              the tool says of it, its exit code, its CPU. 1.5 s after it was full the range is made wider: whether it then opens
              those that it could not open before. One run each.
"""

import argparse
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from harness import IN_NAMESPACE, ROOT, Failed, active_opens, enter_namespace, run, sysctl
from resident import high_water

PORT = 8000
AT_ONCE, TOO_MANY = 10, 1100
NARROW, WIDER = "40000 41023", "40000 42047"
SAYS = re.compile(r"assign requested|EADDRNOTAVAIL|address_not_available|addrunavail|connect|Failed|error", re.I)
COUNTS_ERRORS = re.compile(r"Socket errors|Errors: (total|fd)|errors,", re.I)
NAMES_IT = re.compile(r"assign requested address|EADDRNOTAVAIL|address_not_available|addrunavail [1-9]", re.I)


DEBIAN = ["wrk", "apache2-utils", "hey", "httperf", "siege", "nghttp2-client"]
NPM = ["artillery@2.0.21", "autocannon@8"]


def install(folder):
    """Gets the peers; one that can't be had is told, and is no reason to stop."""
    steps = [["apt-get", "install", "-y", "-qq", "--no-install-recommends", package] for package in DEBIAN]
    folder.mkdir(parents=True, exist_ok=True)
    # No scripts: artillery's fetch browsers.
    steps.append(["npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", *NPM])
    steps.append(["cargo", "install", "oha", "--locked", "--quiet", "--root", folder])
    for step in steps:
        try:
            done = subprocess.run(step, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else None
        except OSError as error:
            why = error.strerror
        if why:
            print(f"note: {' '.join(map(str, step))}: {why}", file=sys.stderr)


def tools(connstorm, peers):
    """By name: the program, the command of `cost` for (url, host, connections), and one that keeps n at once for (url, host, n)."""
    node = peers / "node_modules" / ".bin"
    return {
        "connstorm": (
            connstorm,
            lambda url, host, n: f"run {url} --concurrency {AT_ONCE} --connections {n} --workers 1 --progress never",
            lambda url, host, n: f"run {url} --concurrency {n} --lifetime until-end --duration 5s --progress never",
        ),
        "ab": (
            "ab",
            lambda url, host, n: f"-q -n {n} -c {AT_ONCE} {url}",
            lambda url, host, n: f"-q -k -t 5 -n 1000000 -c {n} {url}",
        ),
        "httperf": (
            "httperf",
            lambda url, host, n: f"--server {host} --port {PORT} --num-conns {n} --num-calls 1",
            lambda url, host, n: f"--server {host} --port {PORT} --num-conns {n} --rate {n} --num-calls 3 "
            "--think-timeout 1 --period 0.001 --burst-length 1 --timeout 3",
        ),
        "wrk": (
            "wrk",
            lambda url, host, n: f"-t 1 -c {AT_ONCE} -d 2s -H 'Connection: close' {url}",
            lambda url, host, n: f"-t 1 -c {n} -d 5s {url}",
        ),
        "hey": (
            "hey",
            lambda url, host, n: f"-n {n} -c {AT_ONCE} -disable-keepalive -cpus 1 {url}",
            lambda url, host, n: f"-z 5s -c {n} -cpus 1 {url}",
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
            lambda url, host, n: f"--h1 -t 1 -c {n} -D 5 {url}",
        ),
        "autocannon": (
            node / "autocannon",
            lambda url, host, n: f"-c {AT_ONCE} -d 3 -H Connection=close {url}",
            lambda url, host, n: f"-c {n} -d 5 {url}",
        ),
        "artillery": (
            node / "artillery",
            None,  # It takes minutes for what the others do in a second: its start would be all that is measured.
            lambda url, host, n: f"quick --count {n} --num 2 {url}",
        ),
        "oha": (
            peers / "bin" / "oha",
            lambda url, host, n: f"--no-tui -n {n} -c {AT_ONCE} --disable-keepalive {url}",
            lambda url, host, n: f"--no-tui -z 5s -c {n} {url}",
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


def memory(there, server, rounds):
    """User memory a connection that is kept alive, in bytes, by tool."""
    few, many = 500, 4000
    print(f"\nuser memory a connection: {many:,} kept alive at once, less {few:,}\n")
    print("| tool | bytes a connection, median (range) | most at once that the kernel saw |")
    print("|---|---:|---:|")
    rows = []
    for name, (program, _, command) in there.items():
        if command is None:
            continue
        each, seen = [], 0
        for _ in range(rounds):
            peaks = []
            for count in (few, many):
                host = server.next()
                argv = [str(program), *shlex.split(command(f"http://{host}:{PORT}/", host, count))]
                peak, opened = peak_of(argv, host)
                peaks.append(peak)
            seen = max(seen, opened)
            each.append((peaks[1] - peaks[0]) / (many - few))
        if seen < many * 0.9:
            print(f"note: {name} had no more than {seen:,} open at once, and is left out", file=sys.stderr)
            continue
        rows.append((statistics.median(each), name, each, seen))
    for median, name, each, seen in sorted(rows):
        print(f"| {name} | {median:,.0f} ({min(each):,.0f}-{max(each):,.0f}) | {seen:,} |")


def peak_of(argv, host):
    """The most resident memory of a program, which is ended after 20 s, and the most connections it had at once."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: os.sched_setaffinity(0, {0}))
    peak = most = 0
    limit = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < limit:
        peak, most = max(peak, high_water(process.pid)), max(most, opened_to(host))
        time.sleep(0.1)
    if process.poll() is None:
        process.kill()
    process.wait()
    return peak, most


def opened_to(host):
    """ESTABLISHED connections of this namespace to a host's port, by their client's end."""
    remote = "".join(f"{int(part):02X}" for part in reversed(host.split("."))) + f":{PORT:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if (at := line.split())[2] == remote and at[3] == "01")


def widen(host, later, over):
    """Makes the range wider 1.5 s after it was full, and counts what is open 1.7 s after that."""
    while opened_to(host) < 1000 and not over.wait(0.1):
        pass
    if not over.wait(1.5):
        sysctl("net/ipv4/ip_local_port_range", WIDER)
        if not over.wait(1.7):
            later["open"] = opened_to(host)


def exhaustion(there, server):
    """What each says when 76 of 1,100 connections find no port, and what it does when there are ports again."""
    print(f"\n{TOO_MANY:,} connections at once on 1,024 ports, tcp_tw_reuse=0\n")
    print("| tool | names the error | says when, for which tuple, and why | exit | CPU | then opens the rest | in its own words |")
    print("|---|---|---|---:|---:|---|---|")
    for name, (program, _, command) in there.items():
        if command is None:
            continue
        host = server.next()
        sysctl("net/ipv4/ip_local_port_range", NARROW)
        later = {"open": 0}
        over = threading.Event()
        watcher = threading.Thread(target=widen, args=(host, later, over))
        watcher.start()
        try:
            ended, _ = measured(program, command(f"http://{host}:{PORT}/", host, TOO_MANY), 30)
        except Failed as failed:
            print(f"| {name} | - | no | - | - | - | {str(failed).rsplit('/', 1)[-1]} |")
            continue
        finally:
            over.set()
            watcher.join()
        opened = later["open"]
        recovers = "yes" if opened >= TOO_MANY else "ended before" if opened == 0 else f"no, {opened:,}"
        text = ended.out + ended.err
        lines = [" ".join(line.split()) for line in text.splitlines() if SAYS.search(line)]
        errors = [line for line in lines if COUNTS_ERRORS.search(line)]
        telling = [line for line in lines if NAMES_IT.search(line)] or errors or lines
        words = telling[0][:90].replace("|", "/") if telling else "nothing"
        names = "yes" if NAMES_IT.search(text) else "no"
        why = "yes" if re.search(r"ports_exhausted.*attempt", text) and host in text else "no"
        print(f"| {name} | {names} | {why} | {ended.code} | {ended.cpu_s:.1f} s | {recovers} | {words} |")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("parts", nargs="*", help="some of: cost memory exhaustion (all)")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--connections", type=int, default=10_000, help="of a run of cost")
    options.add_argument("--connstorm", type=Path, default=ROOT / "target" / "release" / "connstorm")
    options.add_argument("--peers", type=Path, default=ROOT / "target" / "peers", help="the folder of npm's and cargo's")
    options.add_argument("--install", action="store_true", help="get the peers first")
    options = options.parse_args()
    options.peers = options.peers.resolve()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if not options.connstorm.exists():
        sys.exit(f"peers: {options.connstorm} is missing: cargo build --release")
    if options.install and IN_NAMESPACE not in os.environ:
        install(options.peers)
    enter_namespace()
    all_tools = tools(options.connstorm, options.peers)
    there = {name: tool for name, tool in all_tools.items() if shutil.which(tool[0])}
    missing = [name for name in all_tools if name not in there]
    if missing:
        print(f"note: not installed, and left out: {', '.join(missing)}", file=sys.stderr)
    server = Server(options.connstorm)
    try:
        if not options.parts or "cost" in options.parts:
            cost(there, server, options.connections, options.rounds)
        if not options.parts or "memory" in options.parts:
            memory(there, server, min(options.rounds, 3))
        if not options.parts or "exhaustion" in options.parts:
            sysctl("net/ipv4/tcp_tw_reuse", "0")
            exhaustion(there, server)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
