#!/usr/bin/env python3
"""Steadiness: half the largest rate for half an hour. Memory, descriptors, port leases, lateness and conservation.

    cargo build --release && python3 benches/steady.py                 # 30 minutes
    python3 benches/steady.py --minutes 2

First the largest rate is measured (closed loop, 5 s), then half of it is offered as an open loop: short connections,
closed by FIN, with explicit ports from one source address to one destination and tcp_tw_reuse=0, so that a lease that is
lost is never had again: 64,512 of them would be gone after that many losses, and the run would fail. Client on CPU 0, the
C target (benches/c/accept_sink.c) on CPU 1, in a namespace of its own. Resident memory and descriptors are read from
outside (/proc/PID), of every thread, each of which has a table of its own; the rest is from connstorm's own result.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, Failed, Target, compile_c, enter_namespace, pinned, run, sysctl, tenths

CLIENT, TARGET = {0}, {1}
FLAGS = ["--source", "127.0.0.1", "--ports", "explicit", "--close", "fin", "--workers", "1", "--quiet"]


def resident(pid):
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


def descriptors(pid):
    """Open descriptors, of all its tables: the threads that have the same one count once."""
    tables = {tuple(sorted(os.listdir(task / "fd"))) for task in Path(f"/proc/{pid}/task").iterdir()}
    return sum(len(table) for table in tables)


def largest_rate(connstorm, sink, folder):
    result = Path(folder, "largest.json")
    with Target(sink, TARGET) as target:
        ended = run([connstorm, "run", f"tcp://{target.address}:9000", *FLAGS, "--concurrency", "8", "--duration", "5s",
                     "--json", result], CLIENT)
    if ended.code not in (0, 4):
        raise Failed(f"connstorm ended with {ended.code}: {ended.err}")
    told = json.loads(result.read_text())
    return told["counts"]["ok"] / told["elapsed_s"]


def watched(argv, every_s):
    """Runs it to its end; what it used meanwhile."""
    rows, began = [], time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, preexec_fn=pinned(CLIENT),
    )
    while True:
        try:
            process.wait(every_s)
            break
        except subprocess.TimeoutExpired:
            rows.append((time.monotonic() - began, resident(process.pid), descriptors(process.pid)))
    if process.returncode not in (0, 4):
        raise Failed(f"connstorm ended with {process.returncode}: {process.stderr.read()}")
    return rows


def middle(values):
    return sorted(values)[len(values) // 2]


def tell(result, rows, accepted):
    counts = result["counts"]
    print(f"{counts['planned']:,} planned = {counts['started']:,} started + {counts['skipped']:,} skipped; "
          f"started = {counts['ok']:,} ok + {counts['failed']:,} failed + {counts['in_flight']:,} in flight; "
          f"the target accepted {accepted:,}")
    conserved = counts["planned"] == counts["started"] + counts["skipped"] and (
        counts["started"] == counts["ok"] + counts["failed"] + counts["in_flight"])
    print(f"conservation: {'exact' if conserved else 'BROKEN'}; verdict: {result['verdict']}")
    print("  until     ok/s  connect p99  lateness p99  resident  descriptors")
    for began, part in tenths([w for w in result["windows"] if w["planned"] > 0]):
        ends = part[-1]["at_s"]
        used = [row for row in rows if began <= row[0] < ends] or [(0, 0, 0)]
        print(f"  {ends:5.0f} s  {sum(w['ok'] for w in part) / (ends - began):6,.0f}  "
              f"{middle([w['connect_p99_us'] for w in part]):8,.0f} µs  {middle([w['lateness_p99_us'] for w in part]):9,.0f} µs  "
              f"{middle([row[1] for row in used]):,} KiB  {max(row[2] for row in used)}")
    lateness = result["latency_us"]["lateness"]
    print(f"lateness of the whole: p50 {lateness['p50']:,.0f}, p99 {lateness['p99']:,.0f}, max {lateness['max']:,.0f} µs")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connstorm", type=Path, default=ROOT / "target" / "release" / "connstorm")
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    if not options.connstorm.exists():
        sys.exit(f"{options.connstorm} is missing: cargo build --release")
    enter_namespace()
    sysctl("net/ipv4/tcp_tw_reuse", "0")
    with tempfile.TemporaryDirectory() as folder:
        sink = compile_c(folder, "accept_sink")
        most = largest_rate(options.connstorm, sink, folder)
        rate = int(most / 2)
        print(f"at most {most:,.0f}/s; offered: {rate:,}/s for {options.minutes:g} minutes", flush=True)
        file = Path(folder, "result.json")
        with Target(sink, TARGET) as target:
            rows = watched([options.connstorm, "run", f"tcp://{target.address}:9000", *FLAGS, "--rate", f"{rate}/s",
                            "--duration", f"{options.minutes * 60:.0f}s", "--json", file], 5)
            accepted = target.stop()[0]["accepted"]
        tell(json.loads(file.read_text()), rows, accepted)


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(f"failed: {why}")
