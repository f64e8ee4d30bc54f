#!/usr/bin/env python3
"""How soon runs end: after their time at overload, and after a signal, before and during the load.

Prints, for each case, how long after its time (or after the signal) the program had ended. The promise: no later than one
second after its time and its longest wait; the load stops within half a second of a signal.

    python3 benches/ends.py --connstorm target/release/connstorm
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

ADDRESS = "127.0.0.1:17120"


def serve(connstorm, kind, behaviour):
    process = subprocess.Popen(
        [connstorm, "serve", kind, "--listen", ADDRESS, "--behaviour", behaviour, "--duration", "120s"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    time.sleep(0.5)
    return process


def timed(connstorm, what, signal_after=None, which=signal.SIGINT):
    """Runs it; gives its code, when it ended (from its start, or from the signal), and its result if it left one."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        began = time.monotonic()
        process = subprocess.Popen(
            [connstorm, "run", *what, "--quiet", "--json", result],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        if signal_after is not None:
            time.sleep(signal_after)
            began = time.monotonic()
            process.send_signal(which)
        code = process.wait(timeout=300)
        took = time.monotonic() - began
        return code, took, json.loads(result.read_text()) if result.exists() and result.stat().st_size else None


def row(name, code, took, allowed):
    word = "within" if took <= allowed else "BEYOND"
    print(f"{name:<58} exit {code:>3}  {took:6.2f} s  {word} {allowed:.1f} s")
    return took <= allowed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connstorm", default=harness.ROOT / "target/release/connstorm", type=Path)
    connstorm = parser.parse_args().connstorm.resolve()
    harness.enter_namespace()
    good = []
    url = f"ws://{ADDRESS}/"
    overload = ["--workers", "1", "--lifetime", "until-end", "--send", "x{seq}", "--every", "1ms", "--expect", "echo"]
    target = serve(connstorm, "ws", "echo")
    try:
        for slots in (150, 400, 800):
            what = [url, *overload, "--concurrency", str(slots), "--connections", str(slots)]
            code, took, result = timed(connstorm, [*what, "--duration", "3s", "--reply-timeout", "2s"])
            # Its time, the longest wait (3 s to connect, 5 s for the handshake), a second; and the report.
            good.append(row(f"3 s, {slots} x 1,000 messages/s on one worker", code, took - 3, 9.5))
            print(f"{'':<6}{result['verdict']}; elapsed {result['elapsed_s']:.2f} s, sent {result['messages']['sent']:,}, "
                  f"never sent {result['messages']['unsent_late']:,}")
        what = [url, *overload, "--concurrency", "800", "--connections", "800", "--duration", "100s"]
        for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            code, took, _ = timed(connstorm, what, 2.0, which)
            good.append(row(f"{which.name} in the midst of that", code, took, 1.0))
        what = [url, "--rate", "5000/s", "--duration", "100s", "--lifetime", "2s"]
        code, took, _ = timed(connstorm, what, 3.0)
        good.append(row("SIGINT, 5,000 connections/s, 10,000 open", code, took, 1.0))
    finally:
        target.kill()
        target.wait()
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as scenario:
        stages = ",".join(['{ramp_to="1/s",over="1ms"}'] * 20000)
        scenario.write(f'[target]\nurl="tcp://127.0.0.1:9"\n[load]\nopen=[{stages}]\nconnections=3\n')
        scenario.flush()
        code, took, _ = timed(connstorm, [scenario.name], 0.05)
        good.append(row("SIGINT 50 ms after the start, 20,000 stages", code, took, 0.5))
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
