#!/usr/bin/env python3
"""What a WebSocket costs connstorm: held, opened and closed, and echoing.

    python3 benches/websocket.py                # all parts
    python3 benches/websocket.py memory         # one of: memory, parked, connect, echo, peers
    python3 benches/websocket.py peers          # beside artillery, which `benches/peers.py --install` gets

The target is `connstorm serve ws`, a process of its own on the other core; only the generator's CPU time and
memory are counted, by the kernel (wait4, VmHWM). Nothing is subtracted. Goals: at most 1,200 bytes of user memory
a held connection (goal 800). Beside connect stands the same with bare TCP, in turn.

peers: artillery is the one generator of the registries that speaks WebSocket without a cluster of its own (hey, wrk,
ab, h2load, httperf, siege and autocannon do not; k6 and tcpkali are in none of them). Both are to open the same number of
connections within a second, as fast as they can, send one message each and hold them for 6 s; what is printed is the
difference of two runs, 16,200 connections less 200, so that the start of a program is not in it. Rounds are interleaved.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, Failed, active_opens, enter_namespace, pinned, run, wait
from resident import high_water, peak_resident

TARGET, CLIENT = {0}, {1}
PORTS = range(9000, 9016)


class Server:
    """`connstorm serve KIND` on sixteen ports of an address that no earlier run used."""

    serial = 0

    def __init__(self, connstorm, kind, behaviour="echo"):
        Server.serial += 1
        address = f"127.2.{Server.serial}.1"
        slash = "/" if kind == "ws" else ""
        self.url = f"{kind}://{address}:{PORTS[0]}-{PORTS[-1]}{slash}"
        listen = ",".join(f"{address}:{port}" for port in PORTS)
        self.process = subprocess.Popen(
            [connstorm, "serve", kind, "--behaviour", behaviour, "--listen", listen],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            preexec_fn=pinned(TARGET),
        )
        for _ in PORTS:
            if not self.process.stdout.readline().startswith("listening on"):
                raise Failed("the target did not come up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        wait(self.process, 10)
        self.process.stdout.close()


def storm(options, url, *flags):
    """Runs connstorm to its end; gives what it used and its result."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        ended = run([options.connstorm, "run", url, *flags, "--workers", 1, "--quiet", "--json", result], CLIENT)
        if ended.code not in (0, 4):
            raise Failed(f"connstorm ended with code {ended.code}: {ended.err}")
        return ended, json.loads(result.read_text())


def memory(options):
    peaks = {}
    for held in (2_000, 18_000):
        with Server(options.connstorm, "ws") as server:
            peaks[held] = peak_resident(options.connstorm, server.url, held, CLIENT)
        progress(f"{held:,} held: {peaks[held] / 1024:,.0f} KiB resident")
    each = (peaks[18_000] - peaks[2_000]) / 16_000
    goal = "goal 800 met" if each <= 800 else "limit 1,200 met" if each <= 1200 else "MISSED"
    print(f"held WebSocket: {each:,.0f} bytes of user memory each, {peaks[18_000] / 1024:,.0f} KiB for 18,000 ({goal})")


PARKED = """\
steps = [
  {{ open = true }},
  {{ send = '{{"id":"{{random:64}}"}}', expect = "echo", take = {{ id = "json:/id" }} }},
  {{ on = {{ starts_with = "2" }}, send = "3{{id}}" }},
  {{ think = "until-end" }},
]
target = {{ url = "{url}" }}
load = {{ open = [{{ hold = "20s", at = "2000/s" }}], connections = {held} }}
connection = {{ lifetime = "until-end" }}
"""


def parked(options):
    """A conversation that waits, with a reaction and 64 bytes taken: what each takes beside the first 2,000."""
    peaks = {}
    for held in (2_000, 20_000):
        with Server(options.connstorm, "ws") as server, tempfile.TemporaryDirectory() as folder:
            scenario = Path(folder, "parked.toml")
            scenario.write_text(PARKED.format(url=server.url, held=held))
            _, result = storm(options, scenario)
            if result["counts"]["held_max"] != held:
                raise Failed(f"{held:,} wanted, {result['counts']['held_max']:,} held")
            peaks[held] = result["resources"]["rss_peak_bytes"] - result["resources"]["rss_start_bytes"]
    each = (peaks[20_000] - peaks[2_000]) / 18_000
    goal = "goal 700 met" if each <= 700 else "limit 1,000 met" if each <= 1000 else "MISSED"
    print(f"parked conversation, a reaction and 64 bytes taken: {each:,.0f} bytes of user memory each at 20,000 ({goal})")


def connect(options):
    wanted = options.connections
    costs = {"ws": [], "tcp": []}
    rates = {"ws": [], "tcp": []}
    for turn in range(options.rounds):
        for kind in costs if turn % 2 == 0 else reversed(costs):
            with Server(options.connstorm, kind) as server:
                ended, result = storm(options, server.url, "--concurrency", 8, "--connections", wanted)
            if result["counts"]["ok"] != wanted:
                raise Failed(f"{kind}: {wanted:,} connections wanted, {result['counts']['ok']:,} ended well")
            costs[kind].append(ended.cpu_s * 1e6 / wanted)
            rates[kind].append(wanted / result["elapsed_s"])
            progress(f"round {turn + 1}: {kind}: {costs[kind][-1]:.1f} µs, {rates[kind][-1]:,.0f}/s")
    for kind, what in (("ws", "connect + upgrade + close frames"), ("tcp", "connect + close")):
        low, high = min(costs[kind]), max(costs[kind])
        cost, rate = statistics.median(costs[kind]), statistics.median(rates[kind])
        print(f"{kind}, {what}: {cost:.1f} µs of CPU each ({low:.1f}-{high:.1f}), {rate:,.0f}/s, one worker")


def echo(options):
    rates, costs = [], []
    for turn in range(options.rounds):
        with Server(options.connstorm, "ws") as server:
            flags = ["--concurrency", 100, "--duration", "4s", "--lifetime", "until-end"]
            ended, result = storm(options, server.url, *flags, "--send", "{seq}", "--expect", "echo")
        said = result["messages"]
        if said["mismatches"] or said["matched"] != said["sent"]:
            raise Failed(f"{said['sent']:,} messages sent, {said['matched']:,} came back")
        rates.append(said["matched"] / result["elapsed_s"])
        costs.append(ended.cpu_s * 1e6 / said["matched"])
        progress(f"round {turn + 1}: {rates[-1]:,.0f} echoes/s, {costs[-1]:.2f} µs each")
    print(f"echo on 100 connections: {statistics.median(rates):,.0f} messages/s, "
          f"{statistics.median(costs):.2f} µs of CPU each ({min(costs):.2f}-{max(costs):.2f}), one worker")


ARTILLERY = """\
config: {{ target: "{url}", phases: [{{ duration: 1, arrivalRate: {rate} }}] }}
scenarios: [{{ engine: ws, flow: [{{ send: "hello" }}, {{ think: 6 }}] }}]
"""
FEW, MANY = 200, 16_200


def used(argv):
    """CPU time, the most resident memory, and the connections of a program, on the client's core, by the kernel's count.

    Memory is VmHWM, which counts from exec: ru_maxrss would be that of this program where the other is smaller.
    """
    before, peak = active_opens(), 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [str(part) for part in argv], stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=pinned(CLIENT),
        )
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, high_water(process.pid))
            time.sleep(0.05)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode not in (0, 4):
            raise Failed(f"{argv[0]} ended with {process.returncode}: {said.read()[-400:]}")
    return usage.ru_utime + usage.ru_stime, peak, active_opens() - before


def peers(options):
    artillery = options.peers.resolve() / "node_modules" / ".bin" / "artillery"
    if not artillery.exists():
        progress(f"note: {artillery} is not there: python3 benches/peers.py --install; peers is left out")
        return

    def ours(url, count):
        flags = f"--rate {count}/s --connections {count} --lifetime 6s --send hello --every 60s --workers 1"
        return [options.connstorm, "run", url, *flags.split(), "--quiet"]

    def theirs(url, count):
        file.write_text(ARTILLERY.format(url=url, rate=count))
        return [artillery, "run", "--quiet", file]

    found = {"connstorm": [], "artillery": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "storm.yml")
        for turn in range(options.rounds):
            for name, argv in (("connstorm", ours), ("artillery", theirs))[:: 1 if turn % 2 == 0 else -1]:
                ends = []
                for count in (FEW, MANY):
                    with Server(options.connstorm, "ws") as server:
                        url = server.url.replace(f"-{PORTS[-1]}", "")
                        ends.append(used(argv(url, count)))
                (cpu_few, memory_few, few), (cpu_many, memory_many, many) = ends
                cost = (cpu_many - cpu_few) * 1e6 / (many - few)
                each = (memory_many - memory_few) / (many - few)
                found[name].append((cost, each))
                progress(f"round {turn + 1}: {name}: {cost:,.0f} µs, {each:,.0f} bytes a connection "
                         f"({few:,} and {many:,} of {FEW:,} and {MANY:,} were made)")
    print("| WebSocket: connect, upgrade, one echo, 6 s, close | CPU a connection | user memory a held one |")
    print("|---|---:|---:|")
    for name, rounds in found.items():
        costs, sizes = zip(*rounds)
        low, high = min(costs), max(costs)
        print(f"| {name} | {statistics.median(costs):,.0f} µs ({low:,.0f}-{high:,.0f}) | {statistics.median(sizes):,.0f} B |")


def progress(text):
    print(text, file=sys.stderr)


def main():
    parts = {"memory": memory, "parked": parked, "connect": connect, "echo": echo, "peers": peers}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"some of: {' '.join(parts)} (all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=30_000, help="a run of connect (30,000)")
    parser.add_argument("--connstorm", type=Path, default=ROOT / "target/release/connstorm")
    parser.add_argument("--peers", type=Path, default=ROOT / "target" / "peers", help="the folder of npm's")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {' '.join(sorted(unknown))}; there are {' '.join(parts)}")
    if not options.connstorm.exists():
        sys.exit(f"{options.connstorm} is missing: build it with\n    cargo build --release")
    enter_namespace()
    try:
        for part in options.parts or parts:
            parts[part](options)
    except Failed as failure:
        sys.exit(f"websocket: {failure}")


if __name__ == "__main__":
    main()
