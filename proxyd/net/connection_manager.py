"""A connection manager at work: its compiled form with the clusters, logs and clock of this process.

Also what it does to the headers of every response before the client sees them.
"""

import time
from email.utils import formatdate
from typing import Final

from proxyd.codec.decimal import DIGITS, SMALL
from proxyd.codec.headers import HeaderBlock, Headers, write_fields
from proxyd.net.access_log import AccessLogger
from proxyd.net.cluster import Cluster
from proxyd.net.forwarding import Forwarding
from proxyd.net.request_id import RequestIds
from proxyd.snapshot.http_connection_manager import OVERWRITE, PASS_THROUGH, ConnectionManagerSnapshot

_clock: Final = time.time  # looked up once: every response asks

# prepare_response's service_time_ms: the header with the upstream's time is as it should be.
AS_IT_IS: Final = -2


class HttpDate:
    """The ``date`` header, written once a second."""

    def __init__(self) -> None:
        self._second: int = 0
        self._field: tuple[bytes, bytes] = (b"date", b"")

    def field(self) -> tuple[bytes, bytes]:
        second = int(_clock())
        if second != self._second:
            self._second = second
            self._field = (b"date", formatdate(second, usegmt=True).encode())
        return self._field


class _Prepared:
    """What becomes of the headers of responses that begin alike, for one connection manager."""

    __slots__ = ("block", "last", "owner", "wants_date")

    def __init__(
        self,
        owner: "ConnectionManager",
        block: HeaderBlock,
        wants_date: bool,
        last: list[tuple[bytes, bytes]],
    ) -> None:
        self.owner: Final = owner
        self.block: Final = block  # what is left of them
        self.wants_date: Final = wants_date
        self.last: Final = last  # behind the date


class ConnectionManager:
    """Shared by all requests of one listener."""

    def __init__(
        self,
        config: ConnectionManagerSnapshot,
        clusters: dict[str, Cluster],
        access_loggers: list[AccessLogger],
        request_ids: RequestIds,
        date: HttpDate,
        local_address: str,
    ) -> None:
        """``local_address`` is this machine's own, in the place of a loopback peer's."""
        self.config: Final = config
        self.clusters: Final = clusters
        self.access_loggers: Final = access_loggers
        self.forwarding: Final = Forwarding(config.forwarding, request_ids, local_address)
        self._date: Final = date

    def prepare_response(self, headers: Headers, service_time_ms: int) -> Headers:
        """A host's headers with ``server``, ``date`` and the host's time (unless that is negative)."""
        block = headers.block()
        if block is None or len(headers.items) != block.count or service_time_ms == AS_IT_IS:
            prepared = self._prepare(headers.items, service_time_ms == AS_IT_IS)
        else:
            memo = block.memo
            if isinstance(memo, _Prepared) and memo.owner is self:
                prepared = memo
            else:
                prepared = block.memo = self._prepare(headers.items, False)
        known = prepared.block
        items = known.items.copy()
        if service_time_ms >= 0:
            digits = DIGITS[service_time_ms] if service_time_ms < SMALL else b"%d" % service_time_ms
            items.append((b"x-envoy-upstream-service-time", digits))
        if prepared.wants_date:
            items.append(self._date.field())
        items += prepared.last
        return Headers(items, known)

    def _prepare(self, received: list[tuple[bytes, bytes]], keep_time: bool) -> "_Prepared":
        config = self.config
        transformation = config.server_header
        kept: list[tuple[bytes, bytes]] = []
        last: list[tuple[bytes, bytes]] = []
        has_date = False
        has_server = False
        via: bytes = b""
        for item in received:
            name = item[0]
            if name == b"server":
                if transformation == OVERWRITE:
                    continue
                has_server = True
            elif name == b"date":
                has_date = True
            elif name == b"x-envoy-upstream-service-time":
                if not keep_time:
                    continue
            elif name == b"via" and config.via:
                via = via + b", " + item[1] if via else item[1]
                continue
            kept.append(item)
        if not has_server and transformation != PASS_THROUGH:
            last.append((b"server", config.server_name))
        if config.via:
            last.append((b"via", via + b", " + config.via if via else config.via))
        return _Prepared(self, HeaderBlock(kept, write_fields(kept)), not has_date, last)

    def local_headers(self, body: bytes) -> list[tuple[bytes, bytes]]:
        """The headers of a response that this proxy gives itself."""
        items: list[tuple[bytes, bytes]] = []
        if body:
            items.append((b"content-length", b"%d" % len(body)))
            items.append((b"content-type", b"text/plain"))
        items.append(self._date.field())
        if self.config.server_header != PASS_THROUGH:
            items.append((b"server", self.config.server_name))
        if self.config.via:
            items.append((b"via", self.config.via))
        return items


def describe_body(headers: Headers, body: bytes, grpc: bool) -> None:
    """Say of a response of this proxy's own, whose route has put ``headers`` there, what its body is."""
    if body:
        headers.set(b"content-length", b"%d" % len(body))
        if headers.get(b"content-type") is None:
            headers.add(b"content-type", b"text/plain")
    elif not grpc:  # as in Envoy, nothing has no type
        headers.remove(b"content-length")
        headers.remove(b"content-type")


def set_service_time(headers: Headers, service_time_ms: int) -> None:
    """Put the upstream's time, unless it is negative, in place of what a host may have said."""
    headers.remove(b"x-envoy-upstream-service-time")
    if service_time_ms >= 0:
        headers.add(b"x-envoy-upstream-service-time", b"%d" % service_time_ms)
