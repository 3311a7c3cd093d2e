"""Envoy's stats of gRPC calls: ``cluster.<name>.grpc.`` or ``grpc-web.``, and ``<service>.<method>.`` behind.

Names appear when there is something to count, as in Envoy. They come from peers, so there is an end to them.
"""

from typing import Final

from proxyd.stats.metrics import Counter, Histogram, Registry
from proxyd.stats.scopes import Scope, escape

# Names that peers can choose, methods and strange statuses together; and how long they can be.
MOST_NAMES: Final = 1000
_LONGEST: Final = 200

_STATUSES: Final = frozenset(b"%d" % status for status in range(17))


class GrpcMethodStats:
    """The calls of one method, or of all that have no name of their own."""

    __slots__ = (
        "_failure",
        "_names",
        "_requests",
        "_responses",
        "_scope",
        "_statuses",
        "_success",
        "_time",
        "_total",
    )

    def __init__(self, registry: Registry, prefix: str, names: "GrpcStats") -> None:
        self._scope: Final = Scope(registry, prefix)
        self._names: Final = names
        self._statuses: Final[dict[bytes, Counter | None]] = {}
        self._success: Counter | None = None
        self._failure: Counter | None = None
        self._total: Counter | None = None
        self._requests: Counter | None = None
        self._responses: Counter | None = None
        self._time: Histogram | None = None

    def charge_status(self, status: bytes) -> None:
        """A call has ended with this ``grpc-status``."""
        counter = self._statuses.get(status)
        if counter is None and (status in _STATUSES or self._names.take(status)):
            counter = self._statuses[status] = self._scope.counter(status.decode())
        if counter is not None:
            counter.value += 1
        if status == b"0":
            self._success = self._success or self._scope.counter("success")
            self._success.value += 1
        else:
            self._failure = self._failure or self._scope.counter("failure")
            self._failure.value += 1
        self._total = self._total or self._scope.counter("total")
        self._total.value += 1

    def charge_request_messages(self, count: int) -> None:
        self._requests = self._requests or self._scope.counter("request_message_count")
        self._requests.value += count

    def charge_response_messages(self, count: int) -> None:
        self._responses = self._responses or self._scope.counter("response_message_count")
        self._responses.value += count

    def charge_upstream(self, seconds: float) -> None:
        """How long a host took from the end of the request to that of the response."""
        self._time = self._time or self._scope.histogram("upstream_rq_time")
        self._time.record(int(seconds * 1e6))


class GrpcStats:
    """The methods of all clusters, of one filter."""

    def __init__(self, registry: Registry, protocol: str = "grpc") -> None:
        """``protocol``: ``grpc`` or ``grpc-web``, as names have it."""
        self._registry: Final = registry
        self._protocol: Final = protocol
        self._left: int = MOST_NAMES
        self._clusters: Final[dict[str, GrpcMethodStats]] = {}
        self._methods: Final[dict[tuple[str, bytes, bytes], GrpcMethodStats]] = {}

    def cluster(self, cluster: str) -> GrpcMethodStats:
        """What has no method's name, of a cluster by its stat name."""
        stats = self._clusters.get(cluster)
        if stats is None:
            prefix = f"cluster.{escape(cluster)}.{self._protocol}."
            stats = self._clusters[cluster] = GrpcMethodStats(self._registry, prefix, self)
        return stats

    def method(self, cluster: str, service: bytes, method: bytes, bounded: bool = True) -> GrpcMethodStats:
        """Of one method; where the names that peers may choose are used up, `cluster`'s."""
        key = (cluster, service, method)
        stats = self._methods.get(key)
        if stats is None:
            if bounded and not self.take(service + method):
                return self.cluster(cluster)
            prefix = f"cluster.{escape(cluster)}.{self._protocol}.{service.decode()}.{method.decode()}."
            stats = self._methods[key] = GrpcMethodStats(self._registry, prefix, self)
        return stats

    def take(self, name: bytes) -> bool:
        """Whether there may be one more name, this one, that a peer has chosen."""
        if self._left == 0 or len(name) > _LONGEST or not _is_plain(name):
            return False
        self._left -= 1
        return True


def _is_plain(name: bytes) -> bool:
    """Whether it can stand in a line of text by itself."""
    return name.isascii() and name.decode().isprintable() and b" " not in name
