"""A connection to a host while it is being made, when it may not be known yet what will be spoken on it."""

import asyncio

from mypy_extensions import trait

from proxyd.filters.tls_info import TlsInfo


@trait
class UpstreamConnection:
    """Whoever uses the connection when it is there: a protocol of the event loop by shape."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.Transport) -> None:
        raise NotImplementedError

    def take_tls(self, info: TlsInfo) -> None:
        """What is known of its TLS, before ``connection_made``."""
        raise NotImplementedError

    def is_closing(self) -> bool:
        """Whether it is of no use any more."""
        raise NotImplementedError


@trait
class ConnectionMaker:
    """Who knows what to make of a connection."""

    __slots__ = ()

    def make(self, protocol: str) -> UpstreamConnection:
        """The user of the connection, on which ``protocol`` was agreed by ALPN; empty for none."""
        raise NotImplementedError
