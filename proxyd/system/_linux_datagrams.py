"""UDP sockets on Linux."""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import socket
import struct
from typing import Any, Final

from proxyd.system._linux_sockets import bind_to, open_socket

_IP_PKTINFO: Final = 8  # linux/in.h
_PKTINFO: Final = struct.Struct("=i4s4s")  # interface, local address, the header's destination
_PKTINFO6: Final = struct.Struct("=16sI")  # address, interface
_ANYWHERE: Final = ("0.0.0.0", "::", "::ffff:0.0.0.0")
_SPACE: Final = socket.CMSG_SPACE(_PKTINFO6.size)


def bind_datagrams(host: str, port: int, shared: bool, ipv4_compat: bool = False) -> socket.socket:
    sock = open_socket(host, socket.SOCK_DGRAM, ipv4_compat)
    bind_to(sock, host, port, shared)
    return sock


class Datagrams:
    """At one address the answer's sender is clear; at all of them it is asked for and said each time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self._anywhere: Final = sock.getsockname()[0] in _ANYWHERE
        self._level: Final = socket.IPPROTO_IPV6 if sock.family == socket.AF_INET6 else socket.IPPROTO_IP
        self._kind: Final = socket.IPV6_PKTINFO if sock.family == socket.AF_INET6 else _IP_PKTINFO
        if self._anywhere:
            asked = socket.IPV6_RECVPKTINFO if sock.family == socket.AF_INET6 else _IP_PKTINFO
            sock.setsockopt(self._level, asked, 1)

    def receive(self, size: int) -> tuple[bytes, Any, bytes]:
        if not self._anywhere:
            data, peer = self._sock.recvfrom(size)
            return data, peer, b""
        data, ancillary, _, peer = self._sock.recvmsg(size, _SPACE)
        for level, kind, value in ancillary:
            if level == self._level and kind == self._kind:
                return data, peer, _sender(value)
        return data, peer, b""

    def send(self, data: bytes, peer: Any, sender: bytes) -> None:
        if sender:
            self._sock.sendmsg([data], [(self._level, self._kind, sender)], 0, peer)
        else:
            self._sock.sendto(data, peer)


def _sender(arrived: bytes) -> bytes:
    """What lets an answer come from where a datagram has arrived, by whatever interface leads to its peer."""
    if len(arrived) == _PKTINFO.size:
        _, local, _ = _PKTINFO.unpack(arrived)
        return _PKTINFO.pack(0, local, b"\0\0\0\0")
    address, interface = _PKTINFO6.unpack(arrived)
    link_local = address[0] == 0xFE and address[1] & 0xC0 == 0x80  # there is one on each interface
    return _PKTINFO6.pack(address, interface if link_local else 0)


def datagrams(sock: socket.socket) -> Datagrams:
    return Datagrams(sock)
