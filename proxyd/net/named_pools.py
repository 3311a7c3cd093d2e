"""The pools of a host for whom not every connection is as good as another.

Requests choose the name that is asked for in TLS (``auto_sni``), or the addresses of their own connection
stand in the PROXY header that one to the host begins with.
"""

from typing import TYPE_CHECKING, Final

from proxyd.net.addresses import proxy_header
from proxyd.net.pool import Pool, PoolOwner
from proxyd.net.stream import Stream
from proxyd.net.upstream import Http1Upstream

if TYPE_CHECKING:
    from proxyd.net.host import Host


class NamedPools(Pool):
    """One pool for each name and each PROXY header.

    A connection that was made with one name, and perhaps validated for it, carries no request to another; nor
    one that was made for a client a request of another.
    """

    def __init__(self, cluster: PoolOwner, host: "Host") -> None:
        super().__init__(cluster, host)
        self._tls: Final = cluster.config.tls
        self._proxy_protocol: Final = cluster.config.proxy_protocol
        self._pools: Final[dict[tuple[str, bytes], _NamedPool]] = {}

    def lease(self, stream: Stream, fresh: bool) -> Http1Upstream | None:
        key = self._name_of(stream), proxy_header(self._proxy_protocol, stream.connection)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _NamedPool(self._cluster, self._host, key, self)
        connection = pool.lease(stream, fresh)
        if connection is None:
            pool.forget_if_empty()  # where it was refused
        return connection

    def _name_of(self, stream: Stream) -> str:
        """The request's authority without its port, or the header that stands for it."""
        tls = self._tls
        if tls is None or not tls.by_request:
            return self._host.server_name
        text = stream.request_headers.get(tls.header) if tls.header else None
        return host_of(stream.authority if text is None else text)

    def cancel(self, stream: Stream) -> None:
        for pool in list(self._pools.values()):
            pool.cancel(stream)

    def close(self) -> None:
        self._closed = True
        for pool in list(self._pools.values()):
            pool.close()
        self._tell_drained()

    def abort(self) -> None:
        self._closed = True
        for pool in list(self._pools.values()):
            pool.abort()

    def on_empty(self, pool: "_NamedPool") -> None:
        """Clients choose the names: none is kept without a connection."""
        if self._pools.get(pool.key) is pool:
            del self._pools[pool.key]
        if self._closed:
            self._tell_drained()

    def _tell_drained(self) -> None:
        if self._closed and not self._pools:
            self._cluster.on_drained(self._host)


class _NamedPool(Pool):
    """The connections to one host that were made with one name and one header."""

    def __init__(self, cluster: PoolOwner, host: "Host", key: tuple[str, bytes], owner: NamedPools) -> None:
        super().__init__(cluster, host, *key)
        self.key: Final = key
        self._owner: Final = owner

    def forget_if_empty(self) -> None:
        """Nobody waits and nothing is open or being opened."""
        self._tell_drained()

    def _tell_drained(self) -> None:
        if not self._all and not self._attempts and not self._waiting:
            self._owner.on_empty(self)


def host_of(authority: bytes) -> str:
    """The host in an authority, in lower case, without port, brackets and final dot."""
    host, colon, port = authority.rpartition(b":")
    if not colon or not port.isdigit():
        host = authority
    return host.decode("latin-1").lower().removeprefix("[").removesuffix("]").removesuffix(".")
