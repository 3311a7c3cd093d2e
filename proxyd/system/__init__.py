"""THE operating-system seam: every call that differs between systems goes through ``native``.

``contract.System`` lists all of it: starting and ending processes, signals, descriptor passing, shared
memory, listening sockets, limits, the run directory. No other module asks on which system it runs.
"""

import sys

from proxyd.system.contract import MAX_DESCRIPTORS, ChildExit, System

__all__ = ["MAX_DESCRIPTORS", "ChildExit", "System", "native"]

native: System

if sys.platform == "linux":
    from proxyd.system import _linux

    native = _linux
else:
    raise ImportError(f"proxyd does not run on {sys.platform} yet; it needs Linux")
