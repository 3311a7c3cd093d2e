"""Addresses of sockets as Envoy writes them."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from proxyd.codec.proxy_protocol import write_header
from proxyd.config.core import PIPE
from proxyd.config.scalars import ipv4_mapped
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.system import native

_MAPPED: Final = "::ffff:"  # RFC 4291, section 2.5.5.2


def format_address(host: str, port: int) -> str:
    """``ip:port``, brackets around an IPv6 address; the path of a Unix domain socket."""
    if port == PIPE:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def note_addresses(info: ConnectionInfo, transport: asyncio.Transport) -> None:
    """Note both ends of a client's connection, unless that has been done."""
    if info.local_address:
        return
    remote_ip, remote_port = end_of(transport, "peername")
    local_ip, local_port = end_of(transport, "sockname")
    if remote_port != PIPE:
        info.remote_ip = remote_ip
    info.remote_address = info.direct_remote_address = format_address(remote_ip, remote_port)
    info.local_address = info.direct_local_address = format_address(local_ip, local_port)


def end_of(transport: asyncio.Transport, which: str) -> tuple[str, int]:
    """IP and port of ``peername`` or ``sockname``; of a Unix domain socket its path, or nothing, and PIPE."""
    name: Any = transport.get_extra_info(which)
    if isinstance(name, tuple):
        return plain_ip(name[0]), name[1]
    if isinstance(name, bytes):  # in the abstract namespace
        return "@" + name[1:].decode("utf-8", "replace"), PIPE
    return name or "", PIPE


def plain_ip(ip: str) -> str:
    """As in Envoy, an IPv4 address is one also where a socket takes both protocols: ``::ffff:10.0.0.1``."""
    if ip.startswith(_MAPPED) and "." in ip:
        return ip[len(_MAPPED) :]
    return ip


def connectable_ip(ip: str) -> str:
    """Of an IPv4-mapped address the IPv4 one: on Windows a socket for IPv6 does not go there."""
    return ipv4_mapped(ip) or ip if ":" in ip else ip


async def connect(
    loop: asyncio.AbstractEventLoop, protocol: Callable[[], Any], host: str, port: int
) -> asyncio.Transport:
    """A connection to an IP address or to a Unix domain socket. Raises OSError."""
    if port == PIPE:
        return await native.connect_pipe(loop, protocol, host)
    transport: asyncio.Transport = (await loop.create_connection(protocol, connectable_ip(host), port))[0]
    return transport


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
