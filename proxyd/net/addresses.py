"""Addresses of sockets as Envoy writes them."""

import asyncio
from typing import Any

from proxyd.codec.proxy_protocol import write_header
from proxyd.filters.connection_info import ConnectionInfo


def format_address(host: str, port: int) -> str:
    """``ip:port``, brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def note_addresses(info: ConnectionInfo, transport: asyncio.Transport) -> None:
    """Note both ends of a client's connection, unless that has been done."""
    if info.local_address:
        return
    peer: Any = transport.get_extra_info("peername")
    if peer:
        info.remote_ip = peer[0]
        info.remote_address = info.direct_remote_address = format_address(peer[0], peer[1])
    local: Any = transport.get_extra_info("sockname")
    if local:
        info.local_address = info.direct_local_address = format_address(local[0], local[1])


def parse_address(address: str) -> tuple[str, int] | None:
    """IP and port of ``ip:port``; None for what is none."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


def proxy_header(version: int, info: ConnectionInfo) -> bytes:
    """The PROXY header that tells of a client's connection; empty for version 0."""
    if not version:
        return b""
    return write_header(version, parse_address(info.remote_address), parse_address(info.local_address))
