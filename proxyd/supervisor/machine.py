"""What a worker has to know of the machine it runs on."""

import socket

import psutil

LOOPBACK = "127.0.0.1"


def local_address() -> str:
    """This machine's own IPv4 address, as Envoy finds it: the first that is no loopback address.

    Clients on a loopback address are forwarded as it (``x-forwarded-for`` with use_remote_address). Looked up
    for each worker that starts, which is rare; a machine without a network has 127.0.0.1 alone.
    """
    try:
        interfaces = psutil.net_if_addrs()
    except (OSError, psutil.Error):
        return LOOPBACK
    for addresses in interfaces.values():
        for entry in addresses:
            if entry.family == socket.AF_INET and entry.address != LOOPBACK:
                return entry.address
    return LOOPBACK
