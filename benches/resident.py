"""Resident memory of a run that holds connections, read from outside while it runs."""

import re
import subprocess
import time
from pathlib import Path

from harness import FIRST_PORT, LAST_PORT, Failed, pinned

RATE = 6_000


def peak_resident(connstorm, url, held, cpus):
    """Opens and holds so many connections; gives the peak of VmRSS in bytes (VmHWM, which counts from exec)."""
    seconds = held / RATE + 2
    process = subprocess.Popen(
        [connstorm, "run", url, "--rate", f"{RATE}/s", "--connections", str(held), "--lifetime", "until-end",
         "--duration", f"{seconds:.1f}s", "--workers", "1", "--quiet"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=pinned(cpus),
    )
    peak = sockets = 0
    limit = time.monotonic() + seconds + 30
    try:
        while process.poll() is None:
            if time.monotonic() > limit:
                raise Failed(f"connstorm did not end {held:,} held connections in time")
            peak = max(peak, high_water(process.pid))
            sockets = max(sockets, established())
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            process.kill()
        _, errors = process.communicate()
    if process.returncode not in (0, 4):
        raise Failed(f"connstorm ended with code {process.returncode}: {errors}")
    seen = (sockets - (LAST_PORT - FIRST_PORT + 1)) // 2  # both ends are here, and the target's listeners
    if seen != held:
        raise Failed(f"{held:,} connections were to be held, the kernel saw {seen:,}")
    return peak


def high_water(pid):
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:  # it has just ended
        return 0
    return int(found[1]) * 1024 if found else 0


def established():
    """Sockets of this namespace that are in use by TCP."""
    return int(re.search(r"^TCP: inuse (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)[1])
