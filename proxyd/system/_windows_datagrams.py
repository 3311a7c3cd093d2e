"""UDP sockets on Windows, where Python has no recvmsg() and no sendmsg()."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import ctypes
import socket
import struct
from ctypes import wintypes
from typing import Any, Final

from proxyd.system._windows_sockets import bind_to, open_socket

_LONGEST: Final = 65536  # bytes; no datagram has as many

# mswsock.h, ws2def.h
_SIO_UDP_CONNRESET: Final = 0x9800000C
_SIO_GET_EXTENSION_FUNCTION_POINTER: Final = 0xC8000006
_WSARECVMSG: Final = bytes.fromhex("c8d789f61f6f6b438a53e54fe351c322")  # its GUID
# What is told of datagrams that were sent from here: nobody has the port, or they were too long on the way.
_OF_SENT_ONES: Final = (10052, 10054)  # WSAENETRESET, WSAECONNRESET

_PKTINFO: Final = 19  # IP_PKTINFO and IPV6_PKTINFO
_HEAD: Final = struct.Struct("@Nii")  # length of all, level, type
_INFO: Final = struct.Struct("=4sI")  # address, interface
_INFO6: Final = struct.Struct("=16sI")
_HEAD_ALIGNMENT: Final = 8
_ANYWHERE: Final = ("0.0.0.0", "::", "::ffff:0.0.0.0")
_SPACE: Final = 128  # bytes; a socket for both protocols may get both
_NAME: Final = struct.Struct("=H2s4s8x")  # family, port, address
_NAME6: Final = struct.Struct("=H2s4s16sI")  # family, port, flow, address, scope

_SOCKET: Final = ctypes.c_size_t


class _Buffer(ctypes.Structure):
    _fields_ = [("length", wintypes.ULONG), ("place", ctypes.c_char_p)]


class _Message(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("name_length", ctypes.c_int),
        ("buffers", ctypes.POINTER(_Buffer)),
        ("buffer_count", wintypes.DWORD),
        ("control", _Buffer),
        ("flags", wintypes.DWORD),
    ]


_sockets: Final = ctypes.WinDLL("ws2_32", use_last_error=True)
_ioctl: Final[Any] = _sockets.WSAIoctl
_ioctl.restype = ctypes.c_int
_ioctl.argtypes = (
    _SOCKET, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD,
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
)  # fmt: skip
_send: Final[Any] = _sockets.WSASendMsg
_send.restype = ctypes.c_int
_send.argtypes = (
    _SOCKET, ctypes.c_void_p, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
)  # fmt: skip
_Receive: Final = ctypes.WINFUNCTYPE(
    ctypes.c_int, _SOCKET, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
    use_last_error=True,
)  # fmt: skip


def bind_datagrams(host: str, port: int, shared: bool, ipv4_compat: bool = False) -> socket.socket:
    sock = open_socket(host, socket.SOCK_DGRAM, ipv4_compat)
    bind_to(sock, host, port)
    sock.setblocking(False)
    # Else receiving fails whenever a client that was answered has gone.
    _control(sock, _SIO_UDP_CONNRESET, bytes(4), 0)
    return sock


def _control(sock: socket.socket, code: int, given: bytes, size: int) -> bytes:
    """Ask the socket for ``size`` bytes, or tell it something. Raises OSError."""
    answer = ctypes.create_string_buffer(size)
    got = wintypes.DWORD()
    failed = _ioctl(sock.fileno(), code, given, len(given), answer, size, ctypes.byref(got), None, None)
    if failed:
        raise ctypes.WinError(ctypes.get_last_error())
    return answer.raw[: got.value]


class Datagrams:
    """At one address the answer's sender is clear."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self._data: Final = memoryview(bytearray(_LONGEST))  # what does not fit would be an error
        sock.setblocking(False)

    def receive(self, size: int) -> tuple[bytes, Any, bytes]:
        while True:
            try:
                count, peer = self._sock.recvfrom_into(self._data)
            except OSError as error:
                if error.winerror in _OF_SENT_ONES:
                    continue
                raise
            return bytes(self._data[: min(count, size)]), peer, b""

    def send(self, data: bytes, peer: Any, sender: bytes) -> None:
        self._sock.sendto(data, peer)


class AnywhereDatagrams:
    """At all addresses: where a datagram has arrived is asked for, and said when it is answered."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self._number: Final = sock.fileno()
        self._family: Final = sock.family
        sock.setblocking(False)
        for level in _levels(sock):
            sock.setsockopt(level, _PKTINFO, 1)
        pointer = _control(sock, _SIO_GET_EXTENSION_FUNCTION_POINTER, _WSARECVMSG, 8)
        self._receive: Final[Any] = _Receive(int.from_bytes(pointer, "little"))
        self._data: Final = ctypes.create_string_buffer(_LONGEST)
        self._name: Final = ctypes.create_string_buffer(_NAME6.size)
        self._beside: Final = ctypes.create_string_buffer(_SPACE)
        self._count: Final = wintypes.DWORD()
        self._message: Final = _Message(
            name=_place(self._name),
            buffers=ctypes.pointer(_Buffer(_LONGEST, _place(self._data))),
            buffer_count=1,
            control=_Buffer(_SPACE, _place(self._beside)),
        )

    def receive(self, size: int) -> tuple[bytes, Any, bytes]:
        message, count = self._message, self._count
        while True:
            message.name_length = _NAME6.size
            message.control.length = _SPACE
            message.flags = 0
            if not self._receive(self._number, ctypes.byref(message), ctypes.byref(count), None, None):
                break
            code = ctypes.get_last_error()
            if code not in _OF_SENT_ONES:
                raise ctypes.WinError(code)
        data = ctypes.string_at(self._data, min(count.value, size))
        return data, _peer(self._name.raw), _sender(self._beside.raw[: message.control.length])

    def send(self, data: bytes, peer: Any, sender: bytes) -> None:
        if not sender:
            self._sock.sendto(data, peer)
            return
        name = _name(self._family, peer)
        beside = _beside(sender)
        message = _Message(
            name=name,
            name_length=len(name),
            buffers=ctypes.pointer(_Buffer(len(data), data)),
            buffer_count=1,
            control=_Buffer(len(beside), beside),
        )
        if _send(self._number, ctypes.byref(message), 0, ctypes.byref(self._count), None, None):
            raise ctypes.WinError(ctypes.get_last_error())


def _levels(sock: socket.socket) -> list[int]:
    """The protocols whose datagrams a socket takes."""
    if sock.family != socket.AF_INET6:
        return [socket.IPPROTO_IP]
    if sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return [socket.IPPROTO_IPV6]
    return [socket.IPPROTO_IPV6, socket.IPPROTO_IP]


def _place(buffer: "ctypes.Array[ctypes.c_char]") -> ctypes.c_char_p:
    return ctypes.cast(buffer, ctypes.c_char_p)


def _peer(name: bytes) -> tuple[Any, ...]:
    """As Python has an address in a sockaddr."""
    family, port, flow, address, scope = _NAME6.unpack(name)
    number = int.from_bytes(port, "big")
    if family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, address), number, int.from_bytes(flow, "big"), scope
    return socket.inet_ntop(socket.AF_INET, flow), number  # the address is where the other has its flow


def _name(family: int, peer: Any) -> bytes:
    """The sockaddr of that."""
    address, port = socket.inet_pton(family, peer[0]), peer[1].to_bytes(2, "big")
    if family == socket.AF_INET6:
        return _NAME6.pack(family, port, peer[2].to_bytes(4, "big"), address, peer[3])
    return _NAME.pack(family, port, address)


def _sender(beside: bytes) -> bytes:
    """What lets an answer come from where a datagram has arrived, by whatever interface leads to its peer."""
    found = b""
    position = 0
    while position + _HEAD.size < len(beside):
        length, level, kind = _HEAD.unpack_from(beside, position)
        start = position + _HEAD.size
        if kind == _PKTINFO and level == socket.IPPROTO_IP:  # of a mapped address, too, the one that counts
            address, _ = _INFO.unpack_from(beside, start)
            return _INFO.pack(address, 0)
        if kind == _PKTINFO and level == socket.IPPROTO_IPV6:
            address, interface = _INFO6.unpack_from(beside, start)
            link_local = address[0] == 0xFE and address[1] & 0xC0 == 0x80  # there is one on each interface
            found = _INFO6.pack(address, interface if link_local else 0)
        position += _aligned(length)
    return found


def _beside(sender: bytes) -> bytes:
    """What goes with an answer to say that."""
    level = socket.IPPROTO_IP if len(sender) == _INFO.size else socket.IPPROTO_IPV6
    length = _HEAD.size + len(sender)
    return (_HEAD.pack(length, level, _PKTINFO) + sender).ljust(_aligned(length), b"\0")


def _aligned(length: int) -> int:
    return -(-length // _HEAD_ALIGNMENT) * _HEAD_ALIGNMENT


def datagrams(sock: socket.socket) -> "Datagrams | AnywhereDatagrams":
    anywhere = sock.getsockname()[0] in _ANYWHERE
    return AnywhereDatagrams(sock) if anywhere else Datagrams(sock)
