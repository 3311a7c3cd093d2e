"""The PROXY protocol, versions 1 and 2: in front of a connection's bytes stands whose they are.

Sans I/O. The source is the specification of HAProxy, "The PROXY protocol", sections 2.1 and 2.2.
"""

import ipaddress
import re
import struct
from typing import Final

# What `ProxyHeaderReader.feed` finds.
MORE: Final = 0  # nothing can be said yet
FOUND: Final = 1
ABSENT: Final = 2  # the bytes begin with something else
BROKEN: Final = 3

_V1_BEGIN: Final = b"PROXY "
_V1_MOST: Final = 107  # bytes, with the line's end
_V2_BEGIN: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD: Final = 16  # bytes: the above, version and command, family, length of what follows

_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPECIFIED: Final = 0x00
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_FAMILY: Final = 0xF0  # beside it stands stream or datagram, which is no matter here
_V4_ADDRESSES: Final = struct.Struct("!4s4sHH")
_V6_ADDRESSES: Final = struct.Struct("!16s16sHH")

_V1_LINE: Final = re.compile(rb"PROXY TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (\d{1,5}) (\d{1,5})\r\n")
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")


class ProxyHeader:
    """What a header tells. Without ``remote_ip`` it tells nothing: the connection is its sender's own."""

    __slots__ = ("local_ip", "local_port", "remote_ip", "remote_port", "version")

    def __init__(self, version: int) -> None:
        self.version: Final = version
        self.remote_ip: str = ""
        self.remote_port: int = 0
        self.local_ip: str = ""
        self.local_port: int = 0


class ProxyHeaderReader:
    """Reads a connection's first bytes. Of ``received``, which is all of them, ``length`` are the header."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # what has come behind ``received`` while ``_needed`` is not there
        self._size: int = 0
        self._needed: int = 0
        self.received: bytes = b""
        self.header: ProxyHeader | None = None
        self.length: int = 0
        self.version: int = 0  # of what has begun; 0 where neither has

    @property
    def rest(self) -> bytes:
        """What has come behind the header."""
        return self.received[self.length :]

    def feed(self, data: bytes) -> int:
        """Take what has been read; one of the constants above."""
        self._parts.append(data)
        self._size += len(data)
        if self._size < self._needed:
            return MORE
        received = self.received = b"".join([self.received, *self._parts])
        self._parts.clear()
        if received.startswith(_V2_BEGIN):
            self.version = 2
            return self._read_v2(received)
        if received.startswith(_V1_BEGIN):
            self.version = 1
            return self._read_v1(received)
        if _V2_BEGIN.startswith(received) or _V1_BEGIN.startswith(received):
            return MORE
        return ABSENT

    def _read_v1(self, received: bytes) -> int:
        end = received.find(b"\n", 0, _V1_MOST) + 1
        if not end:
            return ABSENT if len(received) >= _V1_MOST else MORE
        line = received[:end]
        header = ProxyHeader(1)
        if not _V1_UNKNOWN.fullmatch(line):
            match = _V1_LINE.fullmatch(line)
            if match is None or not _tell_v1(header, match):
                return BROKEN
        self.header = header
        self.length = end
        return FOUND

    def _read_v2(self, received: bytes) -> int:
        if len(received) < _V2_HEAD:
            return MORE
        command = received[12]
        family = received[13]
        if command not in (_LOCAL, _PROXY):
            return BROKEN
        length = received[14] << 8 | received[15]
        header = ProxyHeader(2)
        least = 0
        if command == _PROXY:
            if family & _FAMILY == _TCP4 & _FAMILY:
                least = _V4_ADDRESSES.size
            elif family & _FAMILY == _TCP6 & _FAMILY:
                least = _V6_ADDRESSES.size
            elif family != _UNSPECIFIED:
                return BROKEN
        if length < least:
            return BROKEN
        if len(received) < _V2_HEAD + length:
            self._needed = _V2_HEAD + length
            return MORE
        if least:
            layout = _V4_ADDRESSES if family & _FAMILY == _TCP4 & _FAMILY else _V6_ADDRESSES
            remote, local, remote_port, local_port = layout.unpack_from(received, _V2_HEAD)
            header.remote_ip = str(ipaddress.ip_address(remote))
            header.local_ip = str(ipaddress.ip_address(local))
            header.remote_port = remote_port
            header.local_port = local_port
        self.header = header
        self.length = _V2_HEAD + length
        return FOUND


def _tell_v1(header: ProxyHeader, match: "re.Match[bytes]") -> bool:
    try:
        remote = ipaddress.ip_address(match[2].decode())
        local = ipaddress.ip_address(match[3].decode())
    except ValueError:
        return False
    ports = int(match[4]), int(match[5])
    if {remote.version, local.version} != {int(match[1])} or max(ports) > 65535:
        return False
    header.remote_ip, header.local_ip = str(remote), str(local)
    header.remote_port, header.local_port = ports
    return True


def write_header(version: int, remote: tuple[str, int] | None, local: tuple[str, int] | None) -> bytes:
    """The header of a connection between these two, IP and port each; None where nobody stands behind it."""
    if remote is None or local is None:
        return b"PROXY UNKNOWN\r\n" if version == 1 else _V2_BEGIN + bytes((_LOCAL, _UNSPECIFIED, 0, 0))
    source = ipaddress.ip_address(remote[0].partition("%")[0])
    destination = ipaddress.ip_address(local[0].partition("%")[0])
    if source.version != destination.version:
        return write_header(version, None, None)
    if version == 1:
        line = f"PROXY TCP{source.version} {source} {destination} {remote[1]} {local[1]}\r\n"
        return line.encode()
    layout = _V4_ADDRESSES if source.version == 4 else _V6_ADDRESSES
    family = _TCP4 if source.version == 4 else _TCP6
    head = _V2_BEGIN + bytes((_PROXY, family)) + struct.pack("!H", layout.size)
    return head + layout.pack(source.packed, destination.packed, remote[1], local[1])
