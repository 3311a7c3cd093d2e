"""Sockets on Linux: channels that carry descriptors, and listening sockets."""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import array
import socket
from collections.abc import Sequence

from proxyd.system.contract import MAX_DESCRIPTORS

_INT_SIZE = array.array("i").itemsize
_ANCILLARY_SIZE = socket.CMSG_SPACE(MAX_DESCRIPTORS * _INT_SIZE)


def channel_pair() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    left.setblocking(False)
    right.setblocking(False)
    return left, right


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


def claim_port(host: str, port: int) -> socket.socket:
    sock = _stream_socket(host)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def bind(host: str, port: int, shared: bool) -> socket.socket:
    sock = _stream_socket(host)
    try:
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _stream_socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not matter
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # Envoy: ipv4_compat is off by default
    return sock


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
