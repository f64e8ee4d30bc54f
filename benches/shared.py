#!/usr/bin/env python3
"""What workers share on the hot path, counted: atomic read-modify-writes, locks, allocations and wake-ups a connection.

    cargo build --release && python3 benches/shared.py

Two workers run under valgrind (callgrind, every instruction by its address); the executions of instructions with a `lock`
prefix, and of `xchg` with memory, are what a processor has to own a cache line for: that, and not the number of threads,
is what keeps a program from scaling. objdump (Debian's binutils) says which addresses those are. Calls of malloc() and of
its kin are counted by callgrind as well; futex() calls by strace, in a run of its own. Two runs that differ in nothing
but the number of connections are subtracted. User space only: what the kernel shares (its bind and hash locks, the
loopback queue) is no different for any other generator.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from harness import ROOT, enter_namespace

FEW, MANY = 2000, 6000
ATOMIC = re.compile(r"^\s*([0-9a-f]+):\s.*\t(lock |xchg\b.*\()")
ALLOCATES = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "free"}
CASES = {
    "tcp, FIN": "--close fin --concurrency 2",
    "tcp, explicit ports": "--close rst --ports explicit --concurrency 2",
    "tcp, open loop": "--close rst --rate 20000/s",
}


def atomics_of(binary, known={}):
    """Addresses of the atomic read-modify-writes of an object."""
    if binary not in known:
        listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", binary], capture_output=True, text=True).stdout
        known[binary] = {int(found[1], 16) for line in listing.splitlines() if (found := ATOMIC.match(line))}
    return known[binary]


def counted(file, into):
    """Adds what one thread's counts hold: executions of atomics, by function, and calls of the allocator."""
    objects, functions = {}, {}

    def named(text, names):
        number, _, name = text.partition(" ")
        if name:
            names[number] = name
        return names.get(number, number)

    binary, function, skip = "", "", False
    for line in file.read_text().splitlines():
        if line.startswith("ob="):
            binary = named(line[3:], objects)
        elif line.startswith("fn="):
            function = named(line[3:], functions)
        elif line.startswith("cob="):
            named(line[4:], objects)
        elif line.startswith("cfn="):
            called = named(line[4:], functions)
        elif line.startswith("calls="):
            if called.split("'")[0] in ALLOCATES:
                into["allocator calls"] += int(line[6:].split()[0])
            skip = True  # the next line is the callee's cost
        elif line.startswith("0x"):
            if skip:
                skip = False
                continue
            address, _, count = line.split()[:3]
            if binary.startswith("/") and int(address, 16) in atomics_of(binary):
                into["atomics"] += int(count)
                into[f"  in {function.split('::h')[0][:90]}"] += int(count)


def callgrind(connstorm, address, flags, connections):
    found = Counter()
    with tempfile.TemporaryDirectory() as folder:
        argv = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--dump-instr=yes", "--compress-pos=no",
                f"--callgrind-out-file={folder}/counts", connstorm, "run", f"tcp://{address}", "--workers", "2",
                "--connections", str(connections), "--source", "127.0.0.9", "--quiet", *flags.split()]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=240)
        if ended.returncode not in (0, 4):
            sys.exit(f"shared: {' '.join(map(str, argv))} ended with {ended.returncode}:\n{ended.stderr}")
        # One file a thread; the main thread, which watches the kernel, is the first.
        for file in Path(folder).glob("counts-*"):
            if not file.name.endswith("-01"):
                counted(file, found)
    return found


def futexes(connstorm, address, flags, connections):
    """futex() calls of all threads."""
    with tempfile.NamedTemporaryFile("r") as table:
        argv = ["strace", "-f", "-c", "-e", "trace=futex", "-o", table.name, connstorm, "run", f"tcp://{address}", "--workers",
                "2", "--connections", str(connections), "--source", "127.0.0.9", "--quiet", *flags.split()]
        subprocess.run(argv, capture_output=True, text=True, timeout=240)
        rows = [line.split() for line in table.read().splitlines() if line.rstrip().endswith("futex")]
    return int(rows[0][3]) if rows else 0


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--connstorm", type=Path, default=ROOT / "target" / "release" / "connstorm")
    options = options.parse_args()
    enter_namespace()
    target = subprocess.Popen(
        [options.connstorm, "serve", "tcp", "--listen", "127.0.0.1:0", "--workers", "1", "--json", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    try:
        address = re.search(r"127\.0\.0\.1:\d+", target.stderr.readline()).group()
        print(f"{'a connection, two workers':28} {'atomics':>8} {'allocator calls':>16} {'futex()':>8}")
        for name, flags in CASES.items():
            few, many = (callgrind(options.connstorm, address, flags, n) for n in (FEW, MANY))
            woken = [futexes(options.connstorm, address, flags, n) for n in (FEW, MANY)]
            each = {key: (many[key] - few[key]) / (MANY - FEW) for key in many}
            futex = (woken[1] - woken[0]) / (MANY - FEW)
            print(f"{name:28} {each.get('atomics', 0):8.2f} {each.get('allocator calls', 0):16.2f} {futex:8.3f}")
            places = sorted((key for key in each if key.startswith("  in ") and each[key] >= 0.005), key=each.get)
            for place in reversed(places):
                print(f"{place}: {each[place]:.2f}")
    finally:
        target.terminate()
        target.wait(10)


if __name__ == "__main__":
    main()
