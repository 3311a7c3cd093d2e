"""Who listens on a port, on Windows.

Windows has a table of the sockets that listen beside the one of all connections, which psutil asks for: of a
busy proxy that one has tens of thousands of rows, and Wine looks through all its processes for each of them.
"""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import ctypes
import socket
import struct
from collections.abc import Iterator
from ctypes import wintypes
from typing import Final

_ip_helper: Final = ctypes.WinDLL("iphlpapi")
_tcp_table: Final = _ip_helper.GetExtendedTcpTable
_tcp_table.restype = wintypes.DWORD
_tcp_table.argtypes = (
    ctypes.c_void_p, ctypes.c_void_p, wintypes.BOOL, wintypes.ULONG, ctypes.c_int, wintypes.ULONG,
)  # fmt: skip

_LISTENERS_WITH_PROCESSES: Final = 3  # TCP_TABLE_OWNER_PID_LISTENER
_ERROR_INSUFFICIENT_BUFFER: Final = 122
_COUNT: Final = struct.Struct("=I")
# state, address, port, address and port of the other side, process
_ROW: Final = struct.Struct("=I4s2s10xI")
# address, its scope, port, the same of the other side, state, process
_ROW_6: Final = struct.Struct("=16s4x2s2x16s4x4x4xI")


def listening_processes(port: int, udp: bool) -> list[tuple[str, int]]:
    if udp:
        import psutil

        return [
            (each.laddr.ip, each.pid or 0)
            for each in psutil.net_connections("udp")
            if each.laddr and each.laddr.port == port
        ]
    return [(ip, pid) for ip, number, pid in _listeners() if number == port]


def _listeners() -> Iterator[tuple[str, int, int]]:
    table = _table(socket.AF_INET)
    for _, address, number, pid in _ROW.iter_unpack(table):
        yield socket.inet_ntop(socket.AF_INET, address), int.from_bytes(number, "big"), pid
    table = _table(socket.AF_INET6)
    for address, number, _, pid in _ROW_6.iter_unpack(table):
        yield socket.inet_ntop(socket.AF_INET6, address), int.from_bytes(number, "big"), pid


def _table(family: int) -> bytes:
    """Its rows. Raises OSError."""
    size = wintypes.DWORD(0)
    buffer = ctypes.create_string_buffer(1)
    while True:
        failed = _tcp_table(buffer, ctypes.byref(size), False, family, _LISTENERS_WITH_PROCESSES, 0)
        if not failed:
            break
        if failed != _ERROR_INSUFFICIENT_BUFFER:
            raise ctypes.WinError(failed)
        buffer = ctypes.create_string_buffer(size.value)
    (rows,) = _COUNT.unpack_from(buffer.raw)
    length = rows * (_ROW if family == socket.AF_INET else _ROW_6).size
    return buffer.raw[_COUNT.size : _COUNT.size + length]
