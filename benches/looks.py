#!/usr/bin/env python3
"""Delays that a look at very many sockets causes to a run: Ctrl-C, abort_when, the live lines, the exporter.

Another program holds so many sockets; their source ports are those that the run wants. The run is out of ports within its
first second, and looks at all of them: at the sockets, and at the descriptors of the program that holds them. Meanwhile it is
interrupted, or ends itself by its condition. The promise: no delay is longer by 200 ms than that of a run with nothing to look at.

    cargo build --release && python3 benches/looks.py [--sockets 300000]

Printed for each: the longest of all rounds. `Ctrl-C, told`: from the signal to the message. `Ctrl-C, load`: from the signal to the end of
the load, by the result's own figure. `Ctrl-C, exit`: to the end of the program. `abort_when`: from the end of the window in which the
condition held to the end of the load. `live lines`: the longest time without one (ten a second). `exporter`: the longest answer, and the
longest time without a new figure (one a second).
"""

import argparse
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import harness

TARGET = "127.0.0.1:9100"
OTHER = "127.0.0.1:9000"
METRICS = "127.0.0.1:9900"
# The ports that the run chooses from; the other program has a socket on each of them.
PORTS = (10_100, 10_299)
SOURCES = 64
ALLOWED_S = 0.2


@contextlib.contextmanager
def started(argv, **how):
    """A program that is ended when it is no longer wanted."""
    process = subprocess.Popen([str(part) for part in argv], stdin=subprocess.DEVNULL, **how)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def listening(process):
    """Waits until a target says that it listens."""
    line = process.stderr.readline()
    if "listening on" not in line:
        sys.exit(f"looks: the target did not come up: {line}")


def serve(connstorm, address):
    return started(
        [connstorm, "serve", "tcp", "--listen", address, "--behaviour", "sink", "--json", "-"], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )


@contextlib.contextmanager
def held_by_another(connstorm, sockets):
    """Another program with so many sockets, half of them on either side."""
    if sockets == 0:
        yield
        return
    connections = sockets // 2
    argv = [connstorm, "run", f"tcp://{OTHER}", "--source", f"127.9.0.1-127.9.0.{SOURCES}", "--ports", "explicit:10000-59999"]
    argv += ["--rate", "10000/s", "--connections", connections, "--lifetime", "until-end", "--duration", "1h", "--quiet"]
    with serve(connstorm, OTHER) as target:
        listening(target)
        with started(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
            limit = time.monotonic() + 120 + sockets / 5_000
            while in_use() < sockets * 0.95:
                if other.poll() is not None or time.monotonic() > limit:
                    sys.exit(f"looks: only {in_use():,} of {sockets:,} sockets are held; give --sockets a smaller number")
                time.sleep(0.5)
            yield


def in_use():
    return int(re.search(r"^TCP: inuse (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)[1])


class Watcher(threading.Thread):
    """Reads what the run writes to its terminal, with the time of each piece."""

    def __init__(self, terminal):
        super().__init__(daemon=True)
        self.terminal, self.pieces = terminal, []

    def run(self):
        while True:
            select.select([self.terminal], [], [])
            try:
                piece = os.read(self.terminal, 65536)
            except OSError:  # the run has closed its side
                return
            self.pieces.append((time.monotonic(), piece.decode(errors="replace")))

    def first_with(self, text):
        return next((at for at, piece in list(self.pieces) if text in piece), None)

    def longest_gap(self, until):
        times = [at for at, _ in list(self.pieces) if at <= until]
        return max((after - before for before, after in zip(times, times[1:])), default=float("nan"))


class Scraper(threading.Thread):
    """Asks the exporter again and again: how long an answer takes, and how old its figures become."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ended, self.longest, self.oldest = False, 0.0, 0.0

    def run(self):
        text, changed = None, None
        while not self.ended:
            asked = time.monotonic()
            try:
                with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=5) as answer:
                    now = answer.read()
            except OSError:  # not yet there, or gone
                time.sleep(0.01)
                continue
            at = time.monotonic()
            self.longest = max(self.longest, at - asked)
            if now != text:
                if text and b"connstorm_started" in text and not self.ended:
                    self.oldest = max(self.oldest, at - changed)
                text, changed = now, at
            time.sleep(0.02)


def out_of_ports(connstorm, more, result):
    argv = [connstorm, "run", f"tcp://{TARGET}", "--source", "127.9.0.1", "--ports", f"{PORTS[0]}-{PORTS[1]}", "--rate", "500/s"]
    argv += ["--lifetime", "until-end", "--duration", "60s", "--listen", METRICS, "--json", result, *more]
    return [str(part) for part in argv]


def one_run(connstorm, more, interrupted_after):
    """One run; its delays in seconds, by name."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        ours, theirs = pty.openpty()
        scraper, watcher = Scraper(), Watcher(ours)
        argv = out_of_ports(connstorm, more, result)
        with started(argv, stdout=subprocess.DEVNULL, stderr=theirs) as process:
            os.close(theirs)
            watcher.start()
            scraper.start()
            delays = {}
            if interrupted_after is not None:
                while watcher.first_with("open") is None and not watcher.pieces:
                    time.sleep(0.005)
                time.sleep(interrupted_after)
                signalled, wall = time.monotonic(), time.time()
                process.send_signal(signal.SIGINT)
            process.wait(120)
            ended = time.monotonic()
        scraper.ended = True
        watcher.join(2)
        os.close(ours)
        kept = json.loads(result.read_text())
        end_of_load = kept["began_unix_us"] / 1e6 + kept["elapsed_s"]
        if interrupted_after is not None:
            delays["Ctrl-C, told"] = watcher.first_with("interrupted") - signalled
            delays["Ctrl-C, load"] = end_of_load - wall
            delays["Ctrl-C, exit"] = ended - signalled
        else:
            # Told only when a window is complete, which is once a second.
            delays["abort_when"] = kept["elapsed_s"] - int(kept["elapsed_s"])
        delays["live lines"] = watcher.longest_gap(signalled if interrupted_after is not None else ended - 0.3)
        delays["exporter, answer"] = scraper.longest
        delays["exporter, figures"] = scraper.oldest - 1 if scraper.oldest else 0.0
        return delays


def measured(connstorm, rounds):
    """The longest of each delay over all rounds."""
    longest = {}
    runs = [("Ctrl-C", [], 0.3 + 0.35 * n) for n in range(rounds)]
    runs += [("abort", ["--abort-when", "failed > 0"], None)] * max(1, rounds // 2)
    runs += [("long", [], 5.0)]
    for _, more, after in runs:
        for name, delay in one_run(connstorm, more, after).items():
            longest[name] = max(longest.get(name, 0.0), delay)
    return longest


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sockets", type=int, default=300_000, help="sockets of the other program, both ends")
    options.add_argument("--rounds", type=int, default=8, help="runs that are interrupted, each at another moment")
    options.add_argument("--connstorm", type=Path, default=harness.ROOT / "target" / "release" / "connstorm")
    options = options.parse_args()
    connstorm = options.connstorm.resolve()
    harness.enter_namespace()
    results = []
    for sockets in (0, options.sockets):
        with held_by_another(connstorm, sockets), serve(connstorm, TARGET) as target:
            listening(target)
            results.append(measured(connstorm, options.rounds))
    without, beside = results
    print(f"{'longest delay, ms':<24}{'alone':>10}{f'beside {options.sockets:,}':>20}{'more':>10}")
    late = []
    for name, delay in without.items():
        more = beside[name] - delay
        print(f"{name:<24}{delay * 1e3:>10.0f}{beside[name] * 1e3:>20.0f}{more * 1e3:>+10.0f}")
        if more > ALLOWED_S:
            late.append(name)
    if late:
        sys.exit(f"looks: more than {ALLOWED_S * 1e3:.0f} ms longer: {', '.join(late)}")


if __name__ == "__main__":
    main()
