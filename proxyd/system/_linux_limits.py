"""What this machine grants on Linux: processors, descriptors, malloc's knobs."""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import ctypes
import errno
import math
import os
import resource
import ssl

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_CGROUP_ROOT = "/sys/fs/cgroup"


def cpu_count() -> int:
    cpus = len(os.sched_getaffinity(0))
    try:
        with open("/proc/self/cgroup") as membership:
            quota = cpu_quota(_CGROUP_ROOT, membership.read())
    except OSError:
        quota = None
    if quota is not None:
        cpus = min(cpus, math.ceil(quota))
    return max(1, cpus)


def cpu_quota(root: str, membership: str) -> float | None:
    """The tightest CPU quota on the way from this process's cgroup up to ``root``, in processors.

    ``membership`` is /proc/self/cgroup. Version 2 has ``cpu.max`` ("quota period"), version 1
    ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` below the controller's own mount. None: no quota. In a
    container the path may be the host's and not exist here; the way up then still meets the mounted root.
    """
    quotas: list[float] = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mounts = [root, os.path.join(root, "unified")]
        elif "cpu" in controllers.split(","):
            mounts = [os.path.join(root, "cpu"), os.path.join(root, controllers)]
        else:
            continue
        for mount in mounts:
            for directory in _upwards(mount, path):
                quota = _quota_of(directory)
                if quota is not None:
                    quotas.append(quota)
    return min(quotas, default=None)


def _upwards(mount: str, path: str) -> list[str]:
    parts = [part for part in path.split("/") if part and part != ".."]
    return [os.path.join(mount, *parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_of(directory: str) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words: list[str] = []
            for name in names:
                with open(os.path.join(directory, name)) as file:
                    words += file.read().split()
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):  # no such file; "max" is no number: both mean no quota
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None


def raise_descriptor_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # an infinite hard limit is above the kernel's own maximum
            pass
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def words(error: OSError) -> str:
    return os.strerror(error.errno or 0)


def reader_has_gone(error: OSError) -> bool:
    return error.errno == errno.EPIPE


def openssl_libraries(module: str) -> tuple[str, str]:
    return module, module  # its own libraries' functions are found through it


def load_system_roots(context: ssl.SSLContext, purpose: ssl.Purpose) -> None:
    context.load_default_certs(purpose)


def tune_malloc() -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return False
    # Event loops ask for 256 KiB per read; at glibc's default threshold each would be mapped and unmapped.
    return bool(mallopt(_M_MMAP_THRESHOLD, 32 << 20)) and bool(mallopt(_M_TRIM_THRESHOLD, 64 << 20))
