#!/usr/bin/env python3
"""Where the client's CPU time goes, a short TCP connection: by system call, packets, and our own code.

    cargo build --release && python3 benches/where.py

perf (Debian's linux-perf) samples the generator's CPU clock with kernel call chains, in a namespace of its own, client on
CPU 0, the C target (benches/c/accept_sink.c) on CPU 1; each sample belongs to the outermost system call in its chain. What
of connect() and close() is spent in the receive path (loopback handles the packets of both ends in the sender's call)
stands apart, as "packets". The samples are scaled to the CPU time that the kernel charges to the process, and divided by
its connections. Own code is everything in user space: connstorm, its libraries, libc and vdso.
"""

import argparse
import collections
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import ROOT, Failed, Target, compile_c, enter_namespace, run

CLIENT, TARGET = {0}, {1}
RECEIVE = ("net_rx_action", "tcp_v4_rcv", "ip_rcv", "process_backlog", "tcp_rcv_state_process")
CALLS = {
    "__x64_sys_socket": "socket()", "__x64_sys_setsockopt": "setsockopt()", "__x64_sys_bind": "bind()",
    "__x64_sys_connect": "connect()", "__x64_sys_close": "close()", "__x64_sys_epoll_ctl": "reactor (epoll)",
    "__x64_sys_epoll_wait": "reactor (epoll)", "__x64_sys_epoll_pwait": "reactor (epoll)",
    "__x64_sys_epoll_pwait2": "reactor (epoll)",
    "__x64_sys_getsockname": "getsockname(), getsockopt()", "__x64_sys_getsockopt": "getsockname(), getsockopt()",
}
# Deferred work of close(): the last reference to a file is dropped on the way back to user space.
DEFERRED = {"__fput": "close()", "____fput": "close()", "task_work_run": "close()"}
ORDER = ["socket()", "setsockopt()", "bind()", "connect()", "handshake: packets", "getsockname(), getsockopt()", "close()",
         "close: packets", "reactor (epoll)", "kernel: other", "own code"]


def part_of(frames):
    """What a sample belongs to; frames from the innermost, each (symbol, whether it is the kernel's)."""
    if not frames or not frames[0][1]:
        return "own code"
    kernel = [symbol for symbol, is_kernel in frames if is_kernel]
    call = next((CALLS[symbol] for symbol in reversed(kernel) if symbol in CALLS), None)
    call = call or next((DEFERRED[symbol] for symbol in kernel if symbol in DEFERRED), None)
    receives = any(symbol in RECEIVE for symbol in kernel)
    if receives and call in ("connect()", "close()"):
        return "handshake: packets" if call == "connect()" else "close: packets"
    return call or "kernel: other"


def samples(text):
    """The call chains of `perf script`: blocks of lines, each an address, a symbol and (its object)."""
    frames, inside = [], False
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if inside:
                yield frames
            frames, inside = [], False
        elif not inside:
            inside = True
        else:
            symbol = line.split(None, 1)[1] if len(line.split(None, 1)) > 1 else ""
            name, _, place = symbol.rpartition(" (")
            frames.append((name.split("+")[0].strip(), "kernel" in place or place.startswith("[")))


def profile(options, mode, sink, folder):
    data, result = Path(folder, "perf.data"), Path(folder, "result.json")
    with Target(sink, TARGET) as target:
        argv = ["perf", "record", "-q", "-F", "4999", "-e", "cpu-clock", "--call-graph", "fp", "-o", data, "--",
                options.connstorm, "run", target.url, "--concurrency", "1", "--connections", str(options.connections),
                "--workers", "1", "--close", mode, "--quiet", "--json", result]
        recorded = run(argv, CLIENT)
        counted = json.loads(result.read_text())
    if counted["counts"]["ok"] != options.connections:
        raise Failed(f"{counted['counts']['failed']} connections failed: {recorded.err}")
    script = subprocess.run(["perf", "script", "-i", data, "-F", "comm,tid,ip,sym,dso"], capture_output=True, text=True,
                            timeout=300, check=True).stdout
    parts = collections.Counter(part_of(frames) for frames in samples(script))
    return parts, counted["resources"]["cpu_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connstorm", type=Path, default=ROOT / "target" / "release" / "connstorm")
    parser.add_argument("--connections", type=int, default=150_000)
    options = parser.parse_args()
    for needed in (options.connstorm, "perf"):
        if not shutil.which(needed):
            sys.exit(f"{needed} is missing: cargo build --release; perf is in Debian's linux-perf")
    enter_namespace()
    columns = {}
    with tempfile.TemporaryDirectory() as folder:
        sink = compile_c(folder, "accept_sink")
        for mode in ("fin", "rst"):
            columns[mode] = profile(options, mode, sink, folder)
    print(f"{'CPU a connection':30} {'FIN':>14} {'RST':>14}")
    share = {}
    for name in ORDER:
        cells = []
        for mode, (parts, cpu_s) in columns.items():
            total = sum(parts.values())
            cpu_us = cpu_s * 1e6 / options.connections
            us = cpu_us * parts[name] / total
            share.setdefault(mode, {})[name] = us
            cells.append(f"{us:6.2f} µs {us / cpu_us:4.0%}")
        print(f"{name:30} {cells[0]:>14} {cells[1]:>14}")
    for mode, parts in share.items():
        kernel = sum(parts.values()) - parts["own code"]
        print(f"{mode.upper()}: {sum(parts.values()):.1f} µs in all; own code is {parts['own code'] / kernel:.1%} of the kernel's cost "
              f"({sum(columns[mode][0].values()):,} samples)")


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        sys.exit(f"failed: {why}")
