"""A connection manager at work: its compiled form with the clusters, logs and clock of this process.

Also what it does to the headers of every request and response before anything else sees them.
"""

import time
from email.utils import formatdate
from typing import Final

from proxyd.codec.headers import Headers
from proxyd.filters.stream_info import StreamInfo
from proxyd.net.access_log import AccessLogger
from proxyd.net.cluster import Cluster
from proxyd.net.request_id import RequestIds
from proxyd.snapshot.http_connection_manager import OVERWRITE, PASS_THROUGH, ConnectionManagerSnapshot

# Request headers that the manager treats itself.
_DROP: Final = 1
_REQUEST_ID: Final = 2
_FORWARDED_PROTO: Final = 3
_FORWARDED_FOR: Final = 4
_EXTERNAL_ADDRESS: Final = 5
_VIA: Final = 6

# x-envoy-* ones command the proxy: from a client that is not configured as internal they mean nothing.
_MANAGED: Final[dict[bytes, int]] = {
    b"x-request-id": _REQUEST_ID,
    b"x-forwarded-proto": _FORWARDED_PROTO,
    b"x-forwarded-for": _FORWARDED_FOR,
    b"x-forwarded-client-cert": _DROP,
    b"x-envoy-internal": _DROP,
    b"x-envoy-external-address": _EXTERNAL_ADDRESS,
    b"via": _VIA,
    b"x-envoy-retry-on": _DROP,
    b"x-envoy-retry-grpc-on": _DROP,
    b"x-envoy-max-retries": _DROP,
    b"x-envoy-retriable-status-codes": _DROP,
    b"x-envoy-retriable-header-names": _DROP,
    b"x-envoy-upstream-alt-stat-name": _DROP,
    b"x-envoy-upstream-rq-timeout-ms": _DROP,
    b"x-envoy-upstream-rq-per-try-timeout-ms": _DROP,
    b"x-envoy-upstream-rq-timeout-alt-response": _DROP,
    b"x-envoy-expected-rq-timeout-ms": _DROP,
    b"x-envoy-force-trace": _DROP,
    b"x-envoy-ip-tags": _DROP,
    b"x-envoy-original-url": _DROP,
    b"x-envoy-hedge-on-per-try-timeout": _DROP,
}

# prepare_response's service_time_ms: the header with the upstream's time is as it should be.
AS_IT_IS: Final = -2

_SCHEMES: Final = frozenset((b"http", b"https"))


class HttpDate:
    """The ``date`` header, written once a second."""

    def __init__(self) -> None:
        self._second: int = 0
        self._text: bytes = b""

    def text(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text


class ConnectionManager:
    """Shared by all requests of one listener."""

    def __init__(
        self,
        config: ConnectionManagerSnapshot,
        clusters: dict[str, Cluster],
        access_loggers: list[AccessLogger],
        request_ids: RequestIds,
        date: HttpDate,
    ) -> None:
        self.config: Final = config
        self.clusters: Final = clusters
        self.access_loggers: Final = access_loggers
        self._request_ids: Final = request_ids
        self._date: Final = date

    def prepare_request(self, info: StreamInfo, remote_ip: str) -> None:
        """Set ``x-forwarded-*`` and ``x-request-id`` and drop what a client may not say (Envoy's order)."""
        config = self.config
        edge = config.use_remote_address
        request_id: bytes = b""
        proto: bytes = b""
        forwarded_for: bytes = b""
        external: bytes = b""
        via: bytes = b""
        managed = False
        items = info.request_headers.items
        for item in items:
            kind = _MANAGED.get(item[0], 0)
            if kind == 0:
                continue
            managed = True
            if kind == _REQUEST_ID:
                request_id = item[1]
            elif kind == _FORWARDED_PROTO:
                proto = item[1]
            elif kind == _FORWARDED_FOR:
                forwarded_for = forwarded_for + b"," + item[1] if forwarded_for else item[1]
            elif kind == _EXTERNAL_ADDRESS:
                external = item[1]
            elif kind == _VIA:
                via = via + b", " + item[1] if via else item[1]
        if managed:
            items = [item for item in items if item[0] not in _MANAGED]
            info.request_headers.items = items
        if forwarded_for and not edge:
            self._take_remote_address(info, forwarded_for)
        if edge and not config.skip_xff_append:
            address = remote_ip.encode()
            forwarded_for = forwarded_for + b"," + address if forwarded_for else address
        if forwarded_for:
            items.append((b"x-forwarded-for", forwarded_for))
        if edge and (config.xff_num_trusted_hops == 0 or not proto):
            proto = b""
        if proto not in _SCHEMES:
            proto = b"http"
        info.scheme = proto
        items.append((b"x-forwarded-proto", proto))
        if edge:
            external = remote_ip.encode()
            if not config.preserve_external_request_id:
                request_id = b""
        if external:
            items.append((b"x-envoy-external-address", external))
        if not request_id and config.generate_request_id:
            request_id = self._request_ids.next()
        if request_id:
            info.request_id = request_id
            items.append((b"x-request-id", request_id))
        if config.via:
            via = via + b", " + config.via if via else config.via
        if via:
            items.append((b"via", via))

    def _take_remote_address(self, info: StreamInfo, forwarded_for: bytes) -> None:
        """The client as the trusted proxy in front names it: the last address, or one further left."""
        addresses = forwarded_for.split(b",")
        place = len(addresses) - 1 - self.config.xff_num_trusted_hops
        if place >= 0:
            address = addresses[place].strip().decode("latin-1")
            if address:
                info.downstream_remote_address = f"[{address}]:0" if ":" in address else f"{address}:0"

    def prepare_response(self, headers: Headers, service_time_ms: int) -> list[tuple[bytes, bytes]]:
        """Set ``server``, ``date`` and the upstream's time (unless negative) on a response from a host."""
        config = self.config
        transformation = config.server_header
        items: list[tuple[bytes, bytes]] = []
        has_date = False
        has_server = False
        via: bytes = b""
        for item in headers.items:
            name = item[0]
            if name == b"server":
                if transformation == OVERWRITE:
                    continue
                has_server = True
            elif name == b"date":
                has_date = True
            elif name == b"x-envoy-upstream-service-time":
                if service_time_ms != AS_IT_IS:
                    continue
            elif name == b"via" and config.via:
                via = via + b", " + item[1] if via else item[1]
                continue
            items.append(item)
        if service_time_ms >= 0:
            items.append((b"x-envoy-upstream-service-time", b"%d" % service_time_ms))
        if not has_date:
            items.append((b"date", self._date.text()))
        if not has_server and transformation != PASS_THROUGH:
            items.append((b"server", config.server_name))
        if config.via:
            items.append((b"via", via + b", " + config.via if via else config.via))
        return items

    def local_headers(self, body: bytes) -> list[tuple[bytes, bytes]]:
        """The headers of a response that this proxy gives itself."""
        items: list[tuple[bytes, bytes]] = []
        if body:
            items.append((b"content-length", b"%d" % len(body)))
            items.append((b"content-type", b"text/plain"))
        items.append((b"date", self._date.text()))
        items.append((b"server", self.config.server_name))
        if self.config.via:
            items.append((b"via", self.config.via))
        return items

    def complete_local_headers(self, headers: Headers, body: bytes) -> list[tuple[bytes, bytes]]:
        """The same for a response whose route has put ``headers`` there or taken them away."""
        if body:
            headers.set(b"content-length", b"%d" % len(body))
            if headers.get(b"content-type") is None:
                headers.add(b"content-type", b"text/plain")
        return self.prepare_response(headers, AS_IT_IS)


def set_service_time(headers: Headers, service_time_ms: int) -> None:
    """Put the upstream's time, unless it is negative, in place of what a host may have said."""
    headers.remove(b"x-envoy-upstream-service-time")
    if service_time_ms >= 0:
        headers.add(b"x-envoy-upstream-service-time", b"%d" % service_time_ms)
