"""The pools of a host for whom not every connection is as good as another.

Requests choose the name that is asked for in TLS (``auto_sni``), the version of HTTP is the client's own
(``use_downstream_protocol_config``), or the addresses of their own connection stand in the PROXY header that
one to the host begins with.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

from proxyd.net.addresses import proxy_header
from proxyd.net.http2_pool import Http2Pool
from proxyd.net.pool import Pool, PoolOwner
from proxyd.net.stream import Stream, UpstreamStream
from proxyd.snapshot.upstream_protocol import AUTO, DOWNSTREAM, HTTP2

if TYPE_CHECKING:
    from proxyd.net.host import Host


class PoolKey(NamedTuple):
    """What the connections of a pool are made with."""

    name: str
    preface: bytes
    http2: bool


class PoolSet(Pool):
    """One pool for each name, each PROXY header and each version of HTTP that is asked for.

    A connection that was made with one name, and perhaps validated for it, carries no request to another; nor
    one that was made for a client a request of another.
    """

    def __init__(self, cluster: PoolOwner, host: "Host") -> None:
        super().__init__(cluster, host)
        self._tls: Final = cluster.config.tls
        self._proxy_protocol: Final = cluster.config.proxy_protocol
        self._protocol: Final[int] = cluster.config.protocol
        self._pools: Final[dict[PoolKey, Pool]] = {}

    def lease(self, stream: Stream, fresh: bool) -> UpstreamStream | None:
        preface = proxy_header(self._proxy_protocol, stream.connection)
        key = PoolKey(self._name_of(stream), preface, self._speaks_http2(stream))
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._new_pool(key)
        lease = pool.lease(stream, fresh)
        if lease is None:
            pool.forget_if_empty()  # where it was refused
        return lease

    def _new_pool(self, key: PoolKey) -> Pool:
        if key.http2:
            auto = self._protocol == AUTO
            return Http2Pool(self._cluster, self._host, key.name, key.preface, self, auto)
        return Pool(self._cluster, self._host, key.name, key.preface, self)

    def _name_of(self, stream: Stream) -> str:
        """The request's authority without its port, or the header that stands for it."""
        tls = self._tls
        if tls is None or not tls.by_request:
            return self._host.server_name
        text = stream.request_headers.get(tls.header) if tls.header else None
        return host_of(stream.authority if text is None else text)

    def _speaks_http2(self, stream: Stream) -> bool:
        if self._protocol == DOWNSTREAM:
            return stream.protocol == "HTTP/2"
        return self._protocol in (HTTP2, AUTO)

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

    def on_empty(self, pool: Pool) -> None:
        """Clients choose the names: none is kept without a connection."""
        for key in [key for key, each in self._pools.items() if each is pool]:
            del self._pools[key]
        if self._closed:
            self._tell_drained()

    def _is_empty(self) -> bool:
        return not self._pools


def new_pool(cluster: PoolOwner, host: "Host") -> Pool:
    """The pool of a host as its cluster wants it: one for all requests, or several for different ones."""
    config = cluster.config
    by_request = config.tls is not None and config.tls.by_request
    if config.proxy_protocol or by_request or config.protocol == DOWNSTREAM:
        return PoolSet(cluster, host)
    if config.protocol in (HTTP2, AUTO):
        return Http2Pool(cluster, host, host.server_name, auto=config.protocol == AUTO)
    return Pool(cluster, host, host.server_name)


def host_of(authority: bytes) -> str:
    """The host in an authority, in lower case, without port, brackets and final dot."""
    host, colon, port = authority.rpartition(b":")
    if not colon or not port.isdigit():
        host = authority
    return host.decode("latin-1").lower().removeprefix("[").removesuffix("]").removesuffix(".")
