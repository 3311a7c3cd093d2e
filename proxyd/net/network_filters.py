"""Network filters in front of the last one: they look at a connection before that has it."""

import asyncio
import time
from typing import Final

from proxyd.errors import URX
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.network_filter import AT_ONCE, GO_ON, NetworkFilter
from proxyd.net.addresses import note_addresses
from proxyd.net.limits import ConnectionLimit, LimitRow, TokenBucket
from proxyd.net.listener import Chain, Connection, Front
from proxyd.net.raw_downstream import RawDownstream
from proxyd.snapshot.network_filters import (
    ConnectionLimitSnapshot,
    LocalRateLimitSnapshot,
    NetworkFilterSnapshot,
    RbacSnapshot,
    SniClusterSnapshot,
)


class SniCluster(NetworkFilter):
    """The cluster is called like the name asked for in TLS."""

    def on_new_connection(self, info: ConnectionInfo) -> float:
        info.cluster = info.server_name
        return GO_ON


class ConnectionLimitFilter(NetworkFilter):
    """So many connections at a time."""

    def __init__(self, config: ConnectionLimitSnapshot, limit: ConnectionLimit) -> None:
        super().__init__()
        self._config: Final = config
        self._limit: Final = limit

    def on_new_connection(self, info: ConnectionInfo) -> float:
        config = self._config
        if config.enabled and not self._limit.admits():
            config.stats.limited_connections.value += 1
            return config.delay
        self._limit.opened()
        config.stats.active_connections.value += 1
        return GO_ON

    def on_closed(self) -> None:
        self._limit.closed()
        self._config.stats.active_connections.value -= 1


class LocalRateLimit(NetworkFilter):
    """A token for each connection."""

    def __init__(self, config: LocalRateLimitSnapshot, bucket: TokenBucket) -> None:
        super().__init__(URX)
        self._config: Final = config
        self._bucket: Final = bucket

    def on_new_connection(self, info: ConnectionInfo) -> float:
        config = self._config
        if not config.enabled or self._bucket.take(time.monotonic()):
            return GO_ON
        config.stats.rate_limited.value += 1
        return AT_ONCE


class RbacFilter(NetworkFilter):
    """Rules about who may connect, asked when something comes: then the client's certificate is known."""

    def __init__(self, config: RbacSnapshot) -> None:
        super().__init__()
        self._config: Final = config

    def on_data(self, info: ConnectionInfo) -> bool:
        config = self._config
        stats = config.stats
        if config.shadow is not None:
            if config.shadow.allows(config.shadow.find(info)):
                stats.shadow_allowed.value += 1
            else:
                stats.shadow_denied.value += 1
        rules = config.rules
        if rules is None:
            return True
        policy = rules.find(info)
        if rules.allows(policy):
            stats.allowed.value += 1
            return True
        stats.denied.value += 1
        info.termination_details = f"rbac_access_denied_matched_policy[{policy or 'none'}]"
        return False

    def again(self) -> bool:
        return self._config.continuous


def network_filter(config: NetworkFilterSnapshot, limits: LimitRow | None) -> NetworkFilter:
    """A compiled filter at work; without ``limits`` what it limits is this process's own.

    Raises:
        ValueError: there is no room to count what it limits.
    """
    if isinstance(config, ConnectionLimitSnapshot):
        most = config.max_connections
        limit = ConnectionLimit(most) if limits is None else limits.filter_limit(config.name, most)
        return ConnectionLimitFilter(config, limit)
    if isinstance(config, LocalRateLimitSnapshot):
        tokens, rate = config.max_tokens, config.rate
        bucket = TokenBucket(tokens, rate) if limits is None else limits.bucket(config.name, tokens, rate)
        return LocalRateLimit(config, bucket)
    if isinstance(config, RbacSnapshot):
        return RbacFilter(config)
    assert isinstance(config, SniClusterSnapshot)
    return SniCluster()


class RefusedConnection(RawDownstream):
    """A connection that a filter does not let through. As in Envoy it counts, and is logged, all the same."""

    __slots__ = ()

    def refuse(self, transport: asyncio.Transport, delay: float, flags: int) -> None:
        """Close it, so many seconds from now."""
        if not self.begin(transport, "", 0):
            return
        self._stream.response_flags = flags
        if delay > 0.0:
            self._chain.wheel.arm(self, self._stream.start + delay)
        else:
            transport.abort()

    def on_deadline(self, now: float) -> None:
        self.abort()

    def data_received(self, data: bytes) -> None:
        """It is not listened to."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self.finish(time.monotonic()):
            self._chain.connections.on_closed()

    def close_if_idle(self) -> None:
        """It closes by itself."""

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class FilteredConnection(Connection, Front):
    """A protocol of the event loop by shape, in front of the one that the connection is for."""

    __slots__ = ("_asks", "_chain", "_filters", "_next", "_passed")

    def __init__(self, chain: Chain, following: Connection) -> None:
        self._chain: Final = chain
        self._filters: Final = chain.filters
        self._asks: bool = True  # whether the filters want to hear of what comes
        self._next: Connection = following
        self._passed: int = 0  # filters that have let it through
        following.stand_behind(self)

    def connection_made(self, transport: asyncio.Transport) -> None:
        info = self._next.connection_info()
        note_addresses(info, transport)
        for each in self._filters:
            verdict = each.on_new_connection(info)
            if verdict != GO_ON:
                refused = RefusedConnection(self._chain)
                refused.info.take(info)
                self._next = refused
                self._asks = False
                refused.refuse(transport, verdict, each.flags)
                return
            self._passed += 1
        self._next.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._asks or self._ask():
            self._next.data_received(data)

    def _ask(self) -> bool:
        info = self._next.connection_info()
        self._asks = False
        for each in self._filters:
            if not each.on_data(info):
                self._asks = True
                self._next.abort()
                return False
            self._asks |= each.again()
        return True

    def eof_received(self) -> bool:
        if self._asks and not self._ask():
            return False
        return self._next.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        for each in self._filters[: self._passed]:
            each.on_closed()
        self._next.connection_lost(error)

    def pause_writing(self) -> None:
        self._next.pause_writing()

    def resume_writing(self) -> None:
        self._next.resume_writing()

    def put_behind(self, connection: Connection) -> None:
        self._next = connection

    def on_secured(self, alpn: str) -> None:
        self._next.on_secured(alpn)

    def begin_drain(self) -> None:
        self._next.begin_drain()

    def connection_info(self) -> ConnectionInfo:
        return self._next.connection_info()

    def close_if_idle(self) -> None:
        self._next.close_if_idle()

    def abort(self) -> None:
        self._next.abort()


def new_connection(chain: Chain) -> Connection:
    """Who speaks to a client that goes through this chain."""
    made = chain.new_connection()
    return FilteredConnection(chain, made) if chain.filters else made
