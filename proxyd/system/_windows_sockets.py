"""Sockets on Windows: channels in whose bytes descriptors travel, listening sockets that several share."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import _winapi
import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from proxyd.system import _windows_api as api
from proxyd.system._windows_memory import Section, sections

# Windows Sockets: WSAHOST_NOT_FOUND, WSANO_DATA.
NO_ADDRESS: Final = frozenset((socket.EAI_NONAME, 11004))

_KIND_SOCKET: Final = 1
_KIND_SECTION: Final = 2
_KIND_HANDLE: Final = 3
_HEAD: Final = struct.Struct("!BI")  # kind, length of what follows
_SECTION: Final = struct.Struct("!QQ")  # handle, size; the name follows
_HANDLE: Final = struct.Struct("!Q")

# Process handles by pid, of this one and those that ``_windows_process`` has started: to them descriptors can
# be lent.
processes: Final[dict[int, int]] = {os.getpid(): _winapi.GetCurrentProcess()}

# Who has the other end of a channel: its port to a pid. This process, until that end is handed over.
_peers: Final[dict[int, int]] = {}


def channel_pair() -> tuple[socket.socket, socket.socket]:
    # There is no socketpair: a connection over the loopback interface, whose ends prove to each other that
    # nobody else has connected meanwhile.
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        left = socket.socket()
        try:
            left.connect(listening.getsockname())
            while True:
                right, address = listening.accept()
                if address == left.getsockname():
                    break
                right.close()
        except OSError:
            left.close()
            raise
    for end in (left, right):
        _peers[end.getsockname()[1]] = os.getpid()
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setblocking(False)
    return left, right


def hand_over(channel: socket.socket, pid: int) -> bytes:
    """One end of a channel, as ``socket.fromshare`` of that process takes it."""
    _peers[channel.getsockname()[1]] = pid
    return channel.share(pid)


def lend_descriptors(channel: socket.socket, descriptors: Sequence[int]) -> tuple[bytes, list[int]]:
    if not descriptors:
        return b"", []
    pid = _peers[channel.getpeername()[1]]
    return b"".join(_packed(descriptor, pid) for descriptor in descriptors), []


def _packed(descriptor: int, pid: int) -> bytes:
    section = sections.get(descriptor)
    if section is not None:
        body = _SECTION.pack(_duplicate(descriptor, pid), section.size) + section.name.encode()
        return _HEAD.pack(_KIND_SECTION, len(body)) + body
    sock = _as_socket(descriptor)
    if sock is None:
        return _HEAD.pack(_KIND_HANDLE, _HANDLE.size) + _HANDLE.pack(_duplicate(descriptor, pid))
    try:
        body = hand_over(sock, pid)
    finally:
        sock.detach()
    return _HEAD.pack(_KIND_SOCKET, len(body)) + body


def _duplicate(handle: int, pid: int) -> int:
    """A copy of the handle in another process: its number there."""
    ours = _winapi.GetCurrentProcess()
    return _winapi.DuplicateHandle(ours, handle, processes[pid], 0, False, _winapi.DUPLICATE_SAME_ACCESS)


def adopt_descriptors(packed: bytes) -> list[int]:
    found: list[int] = []
    position = 0
    while position < len(packed):
        kind, length = _HEAD.unpack_from(packed, position)
        position += _HEAD.size
        body = packed[position : position + length]
        position += length
        if kind == _KIND_SOCKET:
            found.append(socket.fromshare(body).detach())
        elif kind == _KIND_SECTION:
            handle, size = _SECTION.unpack_from(body)
            sections[handle] = Section(body[_SECTION.size :].decode(), size)
            found.append(handle)
        else:
            found.append(_HANDLE.unpack(body)[0])
    return found


def close_descriptor(descriptor: int) -> None:
    if sections.pop(descriptor, None) is None:
        sock = _as_socket(descriptor)
        if sock is not None:
            sock.close()
            return
    api.close(descriptor)


def _as_socket(descriptor: int) -> socket.socket | None:
    """Every socket of ours has an address, and nothing else has."""
    try:
        return socket.socket(fileno=descriptor)
    except OSError:
        return None


def send_descriptors(channel: socket.socket, data: bytes, descriptors: Sequence[int]) -> int:
    raise ValueError("descriptors travel inside the bytes here")


def receive_descriptors(channel: socket.socket, size: int) -> tuple[bytes, list[int]]:
    return channel.recv(size), []


def claim_port(host: str, port: int, ipv4_compat: bool = False) -> socket.socket:
    return bind(host, port, False, ipv4_compat)


def bind(host: str, port: int, shared: bool, ipv4_compat: bool = False) -> socket.socket:
    # It stays blocking: that is a property of the socket, not of a copy, and accepting waits (see
    # _windows_accept).
    sock = open_socket(host, socket.SOCK_STREAM, ipv4_compat)
    bind_to(sock, host, port)
    return sock


def open_socket(host: str, kind: socket.SocketKind, ipv4_compat: bool) -> socket.socket:
    """A socket for addresses of the family of ``host``, and of no other unless that is wanted."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not ipv4_compat)
    return sock


def bind_to(sock: socket.socket, host: str, port: int) -> None:
    """Give a socket its address, for itself alone; where that fails it is closed. Raises OSError."""
    try:
        # Without it any process could bind the same address and take what comes for us.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise


def port_remedy(udp: bool) -> str:
    return (
        "another program has the address for itself, or Windows keeps the port back (netsh interface ipv4 "
        f"show excludedportrange protocol={'udp' if udp else 'tcp'}); choose another port"
    )


def default_backlog() -> int:
    return socket.SOMAXCONN


def keep_alive(sock: socket.socket, probes: int, time: int, interval: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPCNT, probes),
        (socket.TCP_KEEPIDLE, time),
        (socket.TCP_KEEPINTVL, interval),
    ):
        if value:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def reset_when_closed(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("HH", 1, 0))


def new_pipe() -> None:
    return None


def cannot_splice(error: OSError) -> bool:
    return True


def knows_original_destinations() -> bool:
    return False


def original_destination(sock: socket.socket) -> tuple[str, int] | None:
    return None


def unix_sockets() -> bool:
    return False  # Windows has them, its Python has not


def bind_pipe(path: str, mode: int) -> socket.socket:
    raise OSError(errno.EAFNOSUPPORT, "there are no Unix domain sockets on this system")


async def connect_pipe(
    loop: asyncio.AbstractEventLoop, protocol: Callable[[], Any], path: str
) -> asyncio.Transport:
    raise OSError(errno.EAFNOSUPPORT, "there are no Unix domain sockets on this system")
