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
  scaling   Two workers against one. The target needs a share of the second core, so it is left out by
            counting connections per core-second that the target left to the client:
                rate(k) = connections * k / (k * wall - CPU of the target on those k cores)
            With one worker the target has a core of its own, and rate(1) = connections / wall. Time in which
            a worker waits is in wall, so waiting counts against the second worker.
  lateness  Open loop at 10,000/s for 30 s: how late attempts were started, by connstorm's own histogram.
  memory    Resident memory of connstorm (peak) with 18,000 held connections, less the same with 2,000,
            divided by 16,000. The target is another process.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from harness import FIRST_PORT, LAST_PORT, ROOT, Failed, Target, compile_c, enter_namespace, run, sysctl
from resident import peak_resident

CLIENT, TARGET, BOTH = {0}, {1}, {0, 1}
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
        slots, wanted = 4500, self.options.connections
        reserved = {"in use": f"1024-{65535 - 5000}", "empty": ""}
        flags = ["--ports", "explicit", "--source", "127.0.0.1", "--concurrency", slots, "--lifetime", "250ms"]
        flags += ["--connections", wanted, "--close", "fin", "--workers", 1]
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
        wanted = 2 * self.options.connections
        rates = {1: [], 2: []}
        plain = {1: [], 2: []}
        for turn in range(self.options.rounds):
            for workers in (1, 2) if turn % 2 == 0 else (2, 1):
                flags = ["--concurrency", workers, "--connections", wanted, "--close", "rst"]
                flags += ["--workers", workers]
                cpus, target_cpus = (CLIENT, TARGET) if workers == 1 else (BOTH, BOTH)
                with Target(self.sink, target_cpus) as target:
                    ended = self.connstorm(target.url, cpus, *flags, wanted=wanted)
                    taken = target.stop()[1] if workers == 2 else 0.0
                rates[workers].append(wanted * workers / (workers * ended.wall_s - taken))
                plain[workers].append(wanted / ended.wall_s)
                progress(f"round {turn + 1}: {workers} worker(s): {plain[workers][-1]:,.0f}/s")
        ratios = [two / one for one, two in zip(rates[1], rates[2])]
        note = f"target counted in: {median(plain[2]) / median(plain[1]):.2f}"
        self.row("two workers, RST: rate without the target", f"{median(rates[2]):,.0f}/s",
                 f"{median(rates[1]):,.0f}/s one worker", spread(ratios), ">= 1.80", median(ratios) >= 1.8, note)

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
