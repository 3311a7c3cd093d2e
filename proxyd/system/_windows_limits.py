"""What this machine grants on Windows: processors, handles."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import errno
import glob
import math
import os
from typing import Final

from proxyd.system import _windows_api as api

# Numbers that Windows' sockets have of their own, which strerror() does not know.
_WORDS: Final = {
    errno.EADDRINUSE: "Address already in use",
    errno.EADDRNOTAVAIL: "Cannot assign requested address",
    errno.EAFNOSUPPORT: "Address family not supported by protocol",
    errno.EALREADY: "Operation already in progress",
    errno.ECONNABORTED: "Software caused connection abort",
    errno.ECONNREFUSED: "Connection refused",
    errno.ECONNRESET: "Connection reset by peer",
    errno.EHOSTDOWN: "Host is down",
    errno.EHOSTUNREACH: "No route to host",
    errno.EINPROGRESS: "Operation now in progress",
    errno.EMSGSIZE: "Message too long",
    errno.ENETDOWN: "Network is down",
    errno.ENETRESET: "Network dropped connection on reset",
    errno.ENETUNREACH: "Network is unreachable",
    errno.ENOBUFS: "No buffer space available",
    errno.ENOTCONN: "Transport endpoint is not connected",
    errno.ENOTSOCK: "Socket operation on non-socket",
    errno.ESHUTDOWN: "Cannot send after transport endpoint shutdown",
    errno.ETIMEDOUT: "Connection timed out",
    errno.EWOULDBLOCK: "Resource temporarily unavailable",
}

# What a completion port says of a socket, where Python sees no more in it than an invalid argument.
_SYSTEM_ERRORS: Final = {
    64: errno.ECONNRESET,  # ERROR_NETNAME_DELETED
    121: errno.ETIMEDOUT,  # ERROR_SEM_TIMEOUT
    1225: errno.ECONNREFUSED,  # ERROR_CONNECTION_REFUSED
    1231: errno.ENETUNREACH,  # ERROR_NETWORK_UNREACHABLE
    1232: errno.EHOSTUNREACH,  # ERROR_HOST_UNREACHABLE
    1234: errno.ECONNREFUSED,  # ERROR_PORT_UNREACHABLE
    1236: errno.ECONNABORTED,  # ERROR_CONNECTION_ABORTED
}


def cpu_count() -> int:
    import psutil  # takes time, which no worker should

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


def words(error: OSError) -> str:
    number = _SYSTEM_ERRORS.get(error.winerror or 0) or error.errno or 0
    return _WORDS.get(number) or os.strerror(number)


def reader_has_gone(error: OSError) -> bool:
    # The second is what Python says of it; then it knows neither a file nor what Windows calls it.
    named = error.filename is not None or error.winerror is not None
    return error.errno == errno.EPIPE or (error.errno == errno.EINVAL and not named)


def openssl_libraries(module: str) -> tuple[str, str]:
    folder = glob.escape(os.path.dirname(module))
    tls, below = (glob.glob(os.path.join(folder, f"{name}-*.dll")) for name in ("libssl", "libcrypto"))
    return (tls or [module])[0], (below or [module])[0]


def tune_malloc() -> bool:
    return False  # the heap of Windows has no such knob
