#!/usr/bin/env python3
"""Instructions that connstorm itself needs for a short connection, a request, a message or a handshake, against a recorded baseline.

    cargo build --release && python3 benches/instructions.py            # compare; fails above 5 % growth
    cargo build --release && python3 benches/instructions.py --record   # write the baseline anew

Counted by valgrind (callgrind), in user space, on the worker threads alone: our own code and the libraries it
uses, not the kernel, and not the threads that watch it by the clock. Two runs that differ in nothing but the number of
connections (or messages) are subtracted, so that start-up is not in it. The count repeats to within a percent, on any machine,
which no time does; what it can't see is the kernel's cost, which benches/tcp_short.py measures. valgrind 3.19 does not know
epoll_pwait2: what is counted waits by ppoll in its place. The release profile and the compiler are part of the figure.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from harness import ROOT, enter_namespace

BASELINE = ROOT / "benches" / "instructions.baseline.json"
ALLOWED_GROWTH = 0.05
FEW, MANY = 2000, 6000
# Kind of the target, flags, and the flag whose number makes two runs differ. A connection is counted, except where the flag
# counts messages of one connection.
CASES = {
    "tcp, FIN": ("tcp", "--concurrency 1 --close fin", "--connections"),
    "tcp, RST": ("tcp", "--concurrency 1 --close rst", "--connections"),
    "tcp, explicit ports": ("tcp", "--concurrency 1 --close rst --ports explicit", "--connections"),
    "tcp, open loop": ("tcp", "--close rst --rate 20000/s", "--connections"),
    "http, connect and request": ("http", "--concurrency 1", "--connections"),
    "ws, connect and upgrade": ("ws", "--concurrency 1", "--connections"),
    "ws, echo of 20 bytes": ("ws", "--concurrency 1 --connections 1 --send twenty-bytes-of-text --expect echo", "--count"),
    "tls, handshake": ("tls", "--concurrency 1 --insecure", "--connections"),
}
# A TLS handshake takes some 200 times as long.
FEWER = {"tls, handshake": (100, 300)}
LIMIT_S = 120


def instructions(connstorm, url, flags):
    """Instructions of the workers in one run."""
    with tempfile.TemporaryDirectory() as folder:
        argv = ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={folder}/counts"]
        argv += [connstorm, "run", url, *f"--workers 1 --source 127.0.0.9 --quiet {flags}".split()]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S)
        # One file a thread; the worker's is the one that opens connections.
        texts = [file.read_text() for file in Path(folder).glob("counts-*")]
        texts = [text for text in texts if "connstorm::engine::connections" in text]
        totals = [re.search(r"^totals: (\d+)", text, re.MULTILINE) for text in texts]
    # 4: under valgrind an open loop is late, which is no matter here.
    if ended.returncode not in (0, 4) or not totals or None in totals:
        sys.exit(f"instructions: {' '.join(map(str, argv))} ended with {ended.returncode}:\n{ended.stderr}")
    return sum(int(total.group(1)) for total in totals)


@contextmanager
def serving(connstorm, kind):
    """A target of this kind; its URL."""
    target = subprocess.Popen(
        [connstorm, "serve", kind, "--listen", "127.0.0.1:0", "--workers", "1", "--json", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    try:
        line = target.stderr.readline()
        address = re.search(r"127\.0\.0\.1:\d+", line)
        if address is None:
            sys.exit(f"instructions: the target did not say where it listens: {line}")
        yield f"{kind}://{address.group()}"
    finally:
        target.terminate()
        target.wait(10)


def measure(connstorm):
    """Instructions a connection or a message, by case."""
    found = {}
    for name, (kind, flags, counted) in CASES.items():
        sizes = FEWER.get(name, (FEW, MANY))
        with serving(connstorm, kind) as url:
            few, many = (instructions(connstorm, url, f"{flags} {counted} {n}") for n in sizes)
        found[name] = (many - few) / (sizes[1] - sizes[0])
    return found


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--record", action="store_true", help="write the baseline anew")
    options.add_argument("--connstorm", type=Path, default=ROOT / "target" / "release" / "connstorm")
    options = options.parse_args()
    if not options.connstorm.exists():
        sys.exit(f"instructions: {options.connstorm} is missing: cargo build --release")
    enter_namespace()
    measured = measure(options.connstorm)
    if options.record:
        BASELINE.write_text(json.dumps({name: round(count) for name, count in measured.items()}, indent=2) + "\n")
    baseline = json.loads(BASELINE.read_text())
    print(f"{'user instructions, each':<32}{'now':>8}{'baseline':>10}{'change':>9}")
    grown = []
    for name, count in measured.items():
        before = baseline.get(name)
        if before is None:
            sys.exit(f"instructions: {BASELINE.name} has no '{name}': record it with --record")
        change = count / before - 1
        print(f"{name:<32}{count:>8.0f}{before:>10}{change:>+9.1%}")
        if change > ALLOWED_GROWTH:
            grown.append(name)
    if grown:
        sys.exit(f"instructions: more than {ALLOWED_GROWTH:.0%} above the baseline: {', '.join(grown)}")


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    main()
