"""What the system tells about itself and about processes, by /proc: all measures are the proxy's own."""

import os
import platform
import socket
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
PROXY_CORE, LOAD_CORE = 0, 1


def tree(pid: int) -> list[int]:
    """`pid` and every process below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for child in (task / "children").read_text().split():
            found.extend(tree(int(child)))
    return found


def leaves(pid: int) -> list[int]:
    """The processes that have no children: the ones that carry traffic in all the proxies compared here."""
    return [one for one in tree(pid) if len(tree(one)) == 1]


def cpu_seconds(pid: int) -> float:
    """User and system time of `pid` and all below it, so far."""
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK


def private_bytes(pid: int) -> int:
    """Memory that `pid` shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def description() -> str:
    """Processor, cores, kernel."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"


def load_average() -> float:
    """Processes that wanted to run, on average of the last minute."""
    return os.getloadavg()[0]


def too_few_cores() -> str:
    """Why nothing can be measured here; empty where it can."""
    if {PROXY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        return ""
    return f"cores {PROXY_CORE} and {LOAD_CORE} are needed, one for the proxy and one for load and origin"
