#!/usr/bin/env python3
"""What a TCP connection costs connstorm, beside a plain blocking C loop, measured in one interleaved run.

    cargo build --release && python3 benches/tcp_short.py

Five questions, each answered in a fresh network namespace with the client on CPU 0 and the target, which is
a C program of its own (benches/c/accept_sink.c), on CPU 1:

  cost      CPU of the client a short connection, FIN and RST, as a ratio to the C loop of the same round.
            The whole process is counted, start-up included; both go round the same 16 destination ports,
            and each run gets a destination address that no earlier run used.
  explicit  CPU a connection with explicit source ports, 90 % of 5,000 ports in use against the same load
            on all 64,512. What changes between the two is net.ipv4.ip_local_reserved_ports alone.
  scaling   Two workers on two cores against one worker on one, RST. The target would be the limit, since it
            needs half a core a worker; so each core gets a target of its own beside its worker (the ports
            halved between two), and the target takes the same part of a core in both. It cancels out of the
            ratio. Also printed: one worker with the target on the other core, against the two workers.
  lateness  Open loop at 10,000/s for 30 s: how late attempts were started, by connstorm's own histogram.
  memory    Resident memory of connstorm (peak) with 18,000 held connections, less the same with 2,000,
            divided by 16,000. The target is another process.
"""

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from harness import FIRST_PORT, LAST_PORT, ROOT, Failed, Target, compile_c, enter_namespace, run, sysctl
from resident import peak_resident

CLIENT, TARGET = {0}, {1}
MODES = ("fin", "rst")


class Bench:
    """The programs under measurement, and the rows of the table."""

    def __init__(self, options, tools):
        self.options = options
        self.tools = tools
        self.loop = compile_c(tools, "blocking_connect")
        self.sink = compile_c(tools, "accept_sink")
        self.rows = []

    def c_loop(self, mode):
        """CPU µs a connection of the C loop."""
        wanted = self.options.connections
        with Target(self.sink, TARGET) as target:
            ended = run([self.loop, target.address, FIRST_PORT, LAST_PORT, wanted, mode], CLIENT)
            if ended.code != 0:
                raise Failed(f"the C loop failed: {ended.out}{ended.err}")
            agree(wanted, target.stop()[0]["accepted"], "the C loop")
        return ended.cpu_s * 1e6 / wanted

    def connstorm(self, target, cpus, *flags, wanted=None):
        """One run of connstorm; its result as JSON goes along."""
        result = Path(self.tools, "result.json")
        result.unlink(missing_ok=True)
        argv = [self.options.connstorm, "run", target, *flags, "--json", result, "--quiet"]
        ended = run(argv, cpus)
        # 4: "the generator was the limit", which is what a test of the generator's cost is after.
        if ended.code not in (0, 4):
            raise Failed(f"connstorm ended with code {ended.code}: {' '.join(map(str, argv))}\n{ended.err}")
        ended.result = json.loads(result.read_text())
        counts = ended.result["counts"]
        if counts["failed"] or (wanted is not None and counts["ok"] != wanted):
            raise Failed(f"connstorm counted {counts}, {wanted} wanted: {ended.result.get('failures')}")
        return ended

    def storm_cost(self, mode):
        """CPU µs a connection of connstorm, one worker and one slot, as the C loop has."""
        wanted = self.options.connections
        flags = ["--concurrency", 1, "--connections", wanted, "--close", mode, "--workers", 1]
        with Target(self.sink, TARGET) as target:
            ended = self.connstorm(target.url, CLIENT, *flags, wanted=wanted)
            agree(wanted, target.stop()[0]["accepted"], "connstorm")
        return ended.cpu_s * 1e6 / wanted

    def cost(self):
        measured = {(who, mode): [] for who in ("C loop", "connstorm") for mode in MODES}
        for turn in range(self.options.rounds):
            order = [("C loop", self.c_loop), ("connstorm", self.storm_cost)]
            for mode in MODES:
                for who, measure in order if turn % 2 == 0 else reversed(order):
                    measured[who, mode].append(measure(mode))
                    progress(f"round {turn + 1}: {who}, {mode}: {measured[who, mode][-1]:.1f} µs")
        for mode in MODES:
            ours, theirs = measured["connstorm", mode], measured["C loop", mode]
            self.compare(f"short TCP, {mode.upper()}: CPU/connection", ours, theirs, "C loop", 1.10)

    def explicit(self):
        # A source address of its own: bind() refuses a port (EADDRINUSE) on which the same address has
        # a TIME_WAIT from a socket without SO_REUSEADDR, and the other runs leave those on 127.0.0.1.
        slots, wanted = 4500, self.options.connections
        reserved = {"in use": f"1024-{65535 - 5000}", "empty": ""}
        flags = ["--ports", "explicit", "--source", "127.0.0.2", "--concurrency", slots, "--lifetime", "250ms"]
        # RST: after a FIN a port is only free when the peer has closed as well, and at 90 % in use it is
        # wanted again some 30 ms later, whether or not the target has been given the CPU by then.
        flags += ["--connections", wanted, "--close", "rst", "--workers", 1]
        measured = {state: [] for state in reserved}
        for turn in range(self.options.rounds):
            for state in reserved if turn % 2 == 0 else reversed(reserved):
                sysctl("net/ipv4/ip_local_reserved_ports", reserved[state] or "\n")
                with Target(self.sink, TARGET) as target:
                    url = f"tcp://{target.address}:{FIRST_PORT}"
                    ended = self.connstorm(url, CLIENT, *flags, wanted=wanted)
                if (held := ended.result["counts"]["held_max"]) < 0.98 * slots:
                    raise Failed(f"{slots:,} ports were to be in use at once, {held:,} were")
                measured[state].append(ended.cpu_s * 1e6 / wanted)
                progress(f"round {turn + 1}: explicit, {state}: {measured[state][-1]:.1f} µs")
        sysctl("net/ipv4/ip_local_reserved_ports", "\n")
        label = "explicit ports, 90 % in use: CPU/connection"
        self.compare(label, measured["in use"], measured["empty"], "7 % in use", 1.20)

    def scaling(self):
        rates = {"one core": [], "two cores": [], "target apart": []}
        for turn in range(self.options.rounds):
            for layout in rates if turn % 2 == 0 else reversed(rates):
                rates[layout].append(self.rate_of(layout))
                progress(f"round {turn + 1}: {layout}: {rates[layout][-1]:,.0f}/s")
        one, two, apart = rates.values()
        ratios = [of_two / of_one for of_one, of_two in zip(one, two)]
        beside = f"{median(one):,.0f}/s one on one"
        self.row("two workers on two cores, RST: rate", f"{median(two):,.0f}/s", beside,
                 spread(ratios), ">= 1.80", median(ratios) >= 1.8,
                 f"target apart: {median(two) / median(apart):.2f} x {median(apart):,.0f}/s")

    def rate_of(self, layout):
        """Connections a second in one of the three layouts of workers and targets on cores."""
        workers, target_cpus = {"one core": (1, [0]), "two cores": (2, [0, 1]), "target apart": (1, [1])}[layout]
        wanted = 2 * self.options.connections
        flags = ["--concurrency", workers, "--connections", wanted, "--close", "rst", "--workers", workers]
        ports = (LAST_PORT - FIRST_PORT + 1) // len(target_cpus)
        with ExitStack() as targets:
            address = None
            for n, cpu in enumerate(target_cpus):
                first = FIRST_PORT + n * ports
                target = Target(self.sink, {cpu}, first, first + ports - 1, address)
                address = targets.enter_context(target).address
            ended = self.connstorm(target.url, set(range(workers)), *flags, wanted=wanted)
        return wanted / ended.wall_s

    def lateness(self):
        rate, seconds = self.options.rate, self.options.seconds
        flags = ["--rate", f"{rate}/s", "--duration", f"{seconds}s", "--workers", 1]
        with Target(self.sink, TARGET) as target:
            ended = self.connstorm(target.url, CLIENT, *flags, wanted=rate * seconds)
        late = ended.result["latency_us"]["lateness"]
        self.row(f"open loop, {rate:,}/s for {seconds} s: lateness p99", f"{late['p99']:,} µs", "",
                 f"p50 {late['p50']:,}, max {late['max']:,} µs", "< 1,000 µs", late["p99"] < 1000)

    def memory(self):
        peaks = {}
        for held in (2_000, 18_000):
            with Target(self.sink, TARGET) as target:
                peaks[held] = peak_resident(self.options.connstorm, target.url, held, CLIENT)
            progress(f"{held:,} held: {peaks[held] / 1024:,.0f} KiB resident")
        each = (peaks[18_000] - peaks[2_000]) / 16_000
        self.row("held TCP: user memory/connection", f"{each:,.0f} B", "",
                 f"{peaks[18_000] / 1024:,.0f} KiB for 18,000", "<= 1,000 B (600)", each <= 1000)

    def compare(self, label, ours, theirs, whose, limit):
        ratios = [our / their for our, their in zip(ours, theirs)]
        self.row(label, f"{median(ours):.1f} µs", f"{median(theirs):.1f} µs {whose}", spread(ratios),
                 f"<= {limit:.2f}", median(ratios) <= limit)

    def row(self, label, ours, theirs, ratio, goal, met, note=""):
        self.rows.append((label, ours, theirs, ratio, goal, "met" if met else "MISSED", note))


median = statistics.median


def spread(ratios):
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def agree(wanted, seen, what):
    if seen != wanted:
        raise Failed(f"{what}: {wanted:,} connections wanted, {seen:,} seen")


def progress(text):
    print(text, file=sys.stderr)


def table(rows):
    """Aligned columns, as text."""
    heads = ("measure", "connstorm", "beside", "ratio median (range)", "goal", "", "")
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in (heads, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def self_test(bench):
    """Shows that the benchmark's own parts work, without connstorm."""
    for mode in MODES:
        assert bench.c_loop(mode) > 0
    try:
        agree(10, 9, "nine of ten")
        raise AssertionError("a missing connection was not noticed")
    except Failed:
        pass
    bench.compare("ratio", [11.0, 12.0, 10.0], [10.0, 10.0, 10.0], "C loop", 1.05)
    assert "1.10 (1.00-1.20)" in table(bench.rows) and "MISSED" in table(bench.rows)
    print("benches/tcp_short.py: the C loop and its target agree in FIN and RST, the table is right")


def main():
    parts = ("cost", "explicit", "scaling", "lateness", "memory")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"some of: {' '.join(parts)} (all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=60_000, help="a run of the C loop (60,000)")
    parser.add_argument("--rate", type=int, default=10_000, help="of the open loop, a second (10,000)")
    parser.add_argument("--seconds", type=int, default=30, help="of the open loop (30)")
    parser.add_argument("--connstorm", type=Path, default=ROOT / "target/release/connstorm")
    parser.add_argument("--c-only", action="store_true", help="only the C loop's cost")
    parser.add_argument("--self-test", action="store_true", help="try the benchmark's own parts")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {' '.join(sorted(unknown))}; there are {' '.join(parts)}")
    alone = options.self_test or options.c_only
    if not alone and not options.connstorm.exists():
        sys.exit(f"{options.connstorm} is missing: build it with\n    cargo build --release")
    if options.self_test:
        options.connections = 2_000
    enter_namespace()
    with tempfile.TemporaryDirectory() as tools:
        bench = Bench(options, tools)
        try:
            if options.self_test:
                self_test(bench)
            elif options.c_only:
                c_only(bench)
            else:
                for part in options.parts or parts:
                    getattr(bench, part)()
        except Failed as failure:
            print(table(bench.rows))
            sys.exit(f"tcp_short: {failure}")
        if not alone:
            print(table(bench.rows))


def c_only(bench):
    for mode in MODES:
        costs = [bench.c_loop(mode) for _ in range(bench.options.rounds)]
        print(f"C loop, {mode.upper()}: {median(costs):.1f} µs ({min(costs):.1f}-{max(costs):.1f})")


if __name__ == "__main__":
    main()
