"""Sockets on Linux: channels that carry descriptors, and listening sockets."""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import array
import asyncio
import logging
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from proxyd.system.contract import MAX_DESCRIPTORS

logger = logging.getLogger("main")

_INT_SIZE = array.array("i").itemsize
_ANCILLARY_SIZE = socket.CMSG_SPACE(MAX_DESCRIPTORS * _INT_SIZE)


def channel_pair() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    left.setblocking(False)
    right.setblocking(False)
    return left, right


def lend_descriptors(channel: socket.socket, descriptors: Sequence[int]) -> tuple[bytes, list[int]]:
    copies: list[int] = []
    try:
        for descriptor in descriptors:
            copies.append(os.dup(descriptor))  # noqa: PERF401 - those made are to be closed
    except OSError:
        for copy in copies:
            os.close(copy)
        raise
    return b"", copies


def adopt_descriptors(packed: bytes) -> list[int]:
    raise ValueError("descriptors travel beside the bytes here")


def close_descriptor(descriptor: int) -> None:
    os.close(descriptor)


def send_descriptors(channel: socket.socket, data: bytes, descriptors: Sequence[int]) -> int:
    rights = array.array("i", descriptors).tobytes()
    return channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def receive_descriptors(channel: socket.socket, size: int) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = channel.recvmsg(size, _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC)
    descriptors: list[int] = []
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(rights[: len(rights) - len(rights) % _INT_SIZE])
            descriptors.extend(numbers)
    return data, descriptors


def claim_port(host: str, port: int, ipv4_compat: bool = False) -> socket.socket:
    sock = _stream_socket(host, ipv4_compat)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def bind(host: str, port: int, shared: bool, ipv4_compat: bool = False) -> socket.socket:
    sock = _stream_socket(host, ipv4_compat)
    bind_to(sock, host, port, shared)
    return sock


def bind_to(sock: socket.socket, host: str, port: int, shared: bool) -> None:
    """Give a socket its address; where that fails it is closed. Raises OSError."""
    try:
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise


def _stream_socket(host: str, ipv4_compat: bool) -> socket.socket:
    sock = open_socket(host, socket.SOCK_STREAM, ipv4_compat)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not matter
    return sock


def open_socket(host: str, kind: socket.SocketKind, ipv4_compat: bool) -> socket.socket:
    """A socket for addresses of the family of ``host``, and of no other unless that is wanted."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not ipv4_compat)
    return sock


def listening_processes(port: int, udp: bool) -> list[tuple[str, int]]:
    import psutil  # takes time, which no worker should

    return [
        (each.laddr.ip, each.pid or 0)
        for each in psutil.net_connections("udp" if udp else "tcp")
        if each.laddr and each.laddr.port == port and (udp or each.status == psutil.CONN_LISTEN)
    ]


def port_remedy(udp: bool) -> str:
    return (
        "ports below 1024 need the capability CAP_NET_BIND_SERVICE (setcap cap_net_bind_service=+ep "
        f"{os.path.realpath(sys.executable)}, or AmbientCapabilities= in a systemd unit), or choose a port "
        "from 1024 on"
    )


NO_ADDRESS: Final = frozenset((socket.EAI_NONAME, socket.EAI_NODATA))


def default_backlog() -> int:
    try:
        with open("/proc/sys/net/core/somaxconn") as file:
            return int(file.read())
    except (OSError, ValueError):
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


def unix_sockets() -> bool:
    return True


def bind_pipe(path: str, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.startswith("@"):
            sock.bind("\0" + path[1:])
        else:
            _remove_stale(path)
            sock.bind(path)
            if mode:
                os.chmod(path, mode)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Whoever made this socket is gone where nobody answers at it."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.setblocking(False)
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            pass  # somebody listens, or it is none of ours to judge: binding tells


async def connect_pipe(
    loop: asyncio.AbstractEventLoop, protocol: Callable[[], Any], path: str
) -> asyncio.Transport:
    if not path.startswith("@"):
        made: asyncio.Transport = (await loop.create_unix_connection(protocol, path))[0]
        return made
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, "\0" + path[1:])  # uvloop takes no such name itself
        transport: asyncio.Transport = (await loop.create_unix_connection(protocol, sock=sock))[0]
    except BaseException:
        sock.close()
        raise
    return transport


# linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h: the same number at both levels.
_SO_ORIGINAL_DST: Final = 80
_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("!2xH4x16s4x")


def knows_original_destinations() -> bool:
    return True


def original_destination(sock: socket.socket) -> tuple[str, int] | None:
    family = sock.family
    try:
        if family == socket.AF_INET6 and sock.getsockname()[0].startswith("::ffff:"):
            family = socket.AF_INET  # an IPv4 connection to a socket for both protocols
        if family == socket.AF_INET:
            layout = _SOCKADDR_IN
            answer = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, layout.size)
        elif family == socket.AF_INET6:
            layout = _SOCKADDR_IN6
            answer = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, layout.size)
        else:
            return None
    except OSError:  # nothing here tracks connections, or not this one
        return None
    port, address = layout.unpack(answer)
    return socket.inet_ntop(family, address), port


def reset_when_closed(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Acceptance:
    """The loop accepts on one descriptor of the socket, and closes it; what is queued then is on another."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self._copy: Final = sock.dup()
        self._server: asyncio.AbstractServer | None = None
        self._started = False
        self._stopped = False

    async def start(
        self,
        loop: asyncio.AbstractEventLoop,
        backlog: int,
        new_connection: Callable[[], asyncio.BaseProtocol],
        take: Callable[[socket.socket], None],
    ) -> None:
        if self._stopped:
            return
        self._started = True
        if self._sock.family == socket.AF_UNIX:
            # The path is not this process's to remove.
            keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
            server = await loop.create_unix_server(new_connection, sock=self._sock, backlog=backlog, **keep)
        else:
            server = await loop.create_server(new_connection, sock=self._sock, backlog=backlog)
        self._server = server
        if self._stopped:  # meanwhile
            server.close()

    def stop(self) -> list[socket.socket]:
        self._stopped = True
        if self._server is not None:
            self._server.close()
        elif not self._started:
            self._sock.close()
        queued: list[socket.socket] = []
        self._copy.setblocking(False)
        try:
            while True:
                connection, _ = self._copy.accept()
                connection.setblocking(False)
                queued.append(connection)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            logger.warning("while the last connections were accepted: %s", error)
        self._copy.close()
        return queued


def acceptance(sock: socket.socket) -> Acceptance:
    return Acceptance(sock)
