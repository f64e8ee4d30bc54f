#!/usr/bin/env python3
"""Churn from one source address to one destination, with tcp_tw_reuse=0: explicit ports beside the kernel's own choice.

    cargo build --release && python3 benches/churn.py              # kernel until it stops, then five minutes explicit
    python3 benches/churn.py --seconds 30                          # shorter

A port that an ordinary client has used is in TIME_WAIT for a minute: with the default range that is 28,232 connections,
and then EADDRNOTAVAIL. With explicit ports, each goes round all the ports of the range again and again, its TIME_WAIT
taken by the next connection (net/ipv4/tcp_ipv4.c, tcp_twsk_unique(): allowed for a bound port when timestamps are on).
Client on CPU 0, the C target (benches/c/accept_sink.c) on CPU 1, in a namespace of its own. Printed, from the windows
of connstorm's own result: connections, failures, and rate and time in connect() of each tenth of the run.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from harness import ROOT, Failed, Target, compile_c, enter_namespace, run, sysctl, sysctl_now, tenths

CLIENT, TARGET = {0}, {1}
DEFAULT_RANGE = "32768 60999"


def churn(options, target, folder, source, *flags):
    """One run; its result, and the CPU time of the client."""
    result = Path(folder, "result.json")
    url = f"tcp://{target.address}:9000"
    argv = [options.connstorm, "run", url, "--source", source, "--workers", "1", "--concurrency", "8", "--close", "fin",
            "--quiet", "--json", result, *flags]
    ended = run(argv, CLIENT, limit_s=options.seconds + 60)
    if ended.code not in (0, 3, 4):
        raise Failed(f"connstorm ended with code {ended.code}: {ended.err}")
    return json.loads(result.read_text()), ended


def tell(name, result, ended):
    counts = result["counts"]
    print(f"\n{name}: {counts['started']:,} started, {counts['ok']:,} ok, {counts['failed']:,} failed; "
          f"CPU {ended.cpu_s * 1e6 / counts['started']:.1f} µs a connection")
    for kind in result["failures"]:
        print(f"  {kind['count']:,} × {kind['cause']} at {kind['stage']}, first at {kind['first_at_s']:.2f} s, "
              f"attempt {kind['first_ordinal'] + 1:,}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connstorm", type=Path, default=ROOT / "target" / "release" / "connstorm")
    parser.add_argument("--seconds", type=int, default=300, help="of the explicit run")
    options = parser.parse_args()
    if not options.connstorm.exists():
        sys.exit(f"{options.connstorm} is missing: cargo build --release")
    enter_namespace()
    sysctl("net/ipv4/tcp_tw_reuse", "0")
    with tempfile.TemporaryDirectory() as folder:
        sink = compile_c(folder, "accept_sink")
        # First, and from an address of its own: what explicit ports leave behind for a minute would be in its way.
        everything = sysctl_now("net/ipv4/ip_local_port_range")
        sysctl("net/ipv4/ip_local_port_range", DEFAULT_RANGE)
        with Target(sink, TARGET) as target:
            result, ended = churn(options, target, folder, "127.0.0.1", "--ports", "kernel", "--duration", "50s")
            tell("kernel, the default range of 28,232 ports, 50 s", result, ended)
            for onset in result["onsets"]:
                attempt = "" if onset["ordinal"] is None else f", attempt {onset['ordinal'] + 1:,}"
                print(f"  {onset['kind']} at {onset['at_s']:.2f} s{attempt}")
        sysctl("net/ipv4/ip_local_port_range", everything)
        with Target(sink, TARGET) as target:
            result, ended = churn(options, target, folder, "127.0.0.2", "--ports", "explicit", "--duration", f"{options.seconds}s")
            tell(f"explicit, {options.seconds} s", result, ended)
            print("  from      connections/s   connect p50 / p99")
            rates = []
            for begin, part in tenths([w for w in result["windows"] if w["started"] > 0]):
                rate = sum(w["ok"] for w in part) / (part[-1]["at_s"] - begin)
                rates.append(rate)
                p50, p99 = (sorted(w[q] for w in part)[len(part) // 2] for q in ("connect_p50_us", "connect_p99_us"))
                print(f"  {begin:6.0f} s   {rate:13,.0f}   {p50:,.0f} / {p99:,.0f} µs")
            print(f"  slowest tenth beside the fastest: {min(rates) / max(rates):.2f}")
            accepted = target.stop()[0]["accepted"]
            print(f"  the target's own count: {accepted:,} accepted")


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(f"failed: {why}")
