"""What the benchmarks share: a fresh network namespace, the C programs, pinned processes and their CPU time.

CPU time is what the kernel charges to a finished child (wait4), for the C loop and for connstorm alike;
no program is asked about itself. Nothing is subtracted: start-up counts. Only the standard library is used.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST_PORT, LAST_PORT = 9000, 9015
IN_NAMESPACE = "CONNSTORM_BENCH_NAMESPACE"

# Room for every run of a benchmark: no port search, no TIME_WAIT cap and no accept queue is to be the limit.
SYSCTLS = {
    "net/ipv4/ip_local_port_range": "1024 65535",
    "net/ipv4/tcp_max_tw_buckets": "4000000",
    "net/core/somaxconn": "65535",
}


class Failed(Exception):
    """A run that can't be counted, with what is to be done about it."""


def enter_namespace():
    """Starts this program again in a network namespace of its own, and brings its loopback up."""
    if IN_NAMESPACE not in os.environ:
        unshare = shutil.which("unshare") or sys.exit("unshare is missing: install Debian's util-linux")
        flags = "-n" if os.geteuid() == 0 else "-rn"
        os.environ[IN_NAMESPACE] = "1"
        os.execv(unshare, [unshare, flags, sys.executable, *sys.argv])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        get_flags, set_flags, up = 0x8913, 0x8914, 0x1
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, get_flags, request))[1]
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", flags | up))
    for name, value in SYSCTLS.items():
        try:
            sysctl(name, value)
        except OSError as error:  # net.core belongs to the host where the namespace is not root's
            print(f"note: {name} stays as it is: {error.strerror}", file=sys.stderr)


def sysctl(name, value):
    Path("/proc/sys", name).write_text(value)


def sysctl_now(name):
    return Path("/proc/sys", name).read_text()


def active_opens():
    """Connections that this namespace began: the kernel's own count."""
    lines = Path("/proc/self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index("ActiveOpens")])


def tenths(windows):
    """Ten parts of a run's windows: when each began, in seconds, and its windows."""
    size = max(1, len(windows) // 10)
    began = 0.0
    for at in range(0, size * 10, size):
        part = windows[at:at + size]
        if not part:
            return
        yield began, part
        began = part[-1]["at_s"]


def compile_c(into, name):
    """Compiles one of the C programs, and gives its path."""
    compiler = shutil.which("cc") or shutil.which("gcc") or sys.exit("no C compiler: install Debian's gcc")
    binary = Path(into, name)
    source = ROOT / "benches" / "c" / f"{name}.c"
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary, source], check=True)
    return binary


@dataclass
class Ended:
    """A process that has ended: what it used, how long it took, what it printed."""

    code: int
    cpu_s: float
    wall_s: float
    out: str
    err: str


def pinned(cpus):
    return lambda: os.sched_setaffinity(0, cpus)


def wait(process, limit_s):
    """Waits for a child and takes its resource usage; kills it when it outlasts the limit."""

    def too_long(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        _, status, used = os.wait4(process.pid, 0)
    except TimeoutError:
        process.kill()
        process.wait()
        raise Failed(f"{process.args[0]} did not end within {limit_s} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime


def run(argv, cpus, limit_s=180):
    """Runs a program on these CPUs to its end."""
    argv = [str(part) for part in argv]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.monotonic()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=pinned(cpus)
        )
        code, cpu_s = wait(process, limit_s)
        wall_s = time.monotonic() - began
        for file in (out, err):
            file.seek(0)
        return Ended(code, cpu_s, wall_s, out.read(), err.read())


class Target:
    """The C target, on an address that no earlier run used: an old TIME_WAIT is in nobody's way.

    A second one can be given other ports of the first one's address.
    """

    serial = 0

    def __init__(self, binary, cpus, first=FIRST_PORT, last=LAST_PORT, address=None):
        Target.serial += 1
        self.address = address or f"127.{1 + Target.serial // 250}.{1 + Target.serial % 250}.1"
        self.url = f"tcp://{self.address}:{FIRST_PORT}-{LAST_PORT}"
        self.process = subprocess.Popen(
            [binary, self.address, str(first), str(last)],
            stdout=subprocess.PIPE, text=True, preexec_fn=pinned(cpus),
        )
        if self.process.stdout.readline() != "ready\n":
            raise Failed("the target did not come up")

    def stop(self):
        """Ends it, and gives its counters and its CPU time."""
        self.process.terminate()
        code, cpu_s = wait(self.process, 10)
        counters = self.process.stdout.read()
        if code != 0:
            raise Failed(f"the target ended with code {code}")
        return json.loads(counters), cpu_s

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
