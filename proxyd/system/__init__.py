"""THE operating-system seam: every call that differs between systems goes through ``native``.

``contract.System`` lists all of it: starting and ending processes, signals, descriptor passing, shared
memory, listening sockets, limits, the run directory. No other module asks on which system it runs.
"""

import sys

from proxyd.system.contract import (
    MAX_DESCRIPTORS,
    Acceptance,
    ActivatedSocket,
    Capture,
    ChildExit,
    ControlListener,
    ControlServer,
    Datagrams,
    Notifier,
    PrivateDirectory,
    System,
)

__all__ = [
    "MAX_DESCRIPTORS",
    "Acceptance",
    "ActivatedSocket",
    "Capture",
    "ChildExit",
    "ControlListener",
    "ControlServer",
    "Datagrams",
    "Notifier",
    "PrivateDirectory",
    "System",
    "native",
]

native: System

if sys.platform == "linux":
    from proxyd.system import _linux

    native = _linux
elif sys.platform == "win32":
    from proxyd.system import _windows

    native = _windows
else:
    raise ImportError(f"proxyd does not run on {sys.platform}; it needs Linux or Windows")
