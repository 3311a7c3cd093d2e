"""What this machine grants on Windows: processors, handles."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import glob
import math
import os

import psutil

from proxyd.system import _windows_api as api


def cpu_count() -> int:
    every = os.cpu_count() or 1
    try:
        cpus = len(psutil.Process().cpu_affinity())
    except (OSError, psutil.Error):
        cpus = every
    rate = api.cpu_rate()
    if rate is not None:  # as in a container
        cpus = min(cpus, math.ceil(every * rate))
    return max(1, cpus)


def raise_descriptor_limit() -> int:
    return sys.maxsize  # a process may have millions of handles


def openssl_library(module: str) -> str:
    found = glob.glob(os.path.join(glob.escape(os.path.dirname(module)), "libssl-*.dll"))
    return found[0] if found else module


def tune_malloc() -> bool:
    return False  # the heap of Windows has no such knob
