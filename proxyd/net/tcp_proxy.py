"""tcp_proxy at work: a client's connection, and the one to a host that its bytes go through."""

import asyncio
import random
import time
from typing import Final

from proxyd.codec.headers import NO_HEADERS
from proxyd.config.listener import FilterChain
from proxyd.errors import DT, NC, UF, UH, UO, UR, URX
from proxyd.filters.stream_info import WireBytes
from proxyd.net.access_log import AccessLogger
from proxyd.net.bugs import report_bug
from proxyd.net.cluster import Cluster
from proxyd.net.listener import Chain, Connection, Connections
from proxyd.net.raw_downstream import RawDownstream
from proxyd.net.splicing import LARGE, Flow, SplicedConnection
from proxyd.net.tcp_upstream import TcpUpstream, TcpUpstreamUser
from proxyd.net.timers import NEVER, TimerWheel
from proxyd.snapshot.hash_policy import NO_KEY, ip_key
from proxyd.snapshot.tcp_proxy import TcpProxySnapshot
from proxyd.system import native

# What is left of a connection's life.
_OPEN: Final = 0
_CLOSING: Final = 1  # closed once everything written has gone out
_GONE: Final = 2

# What %ACCESS_LOG_TYPE% says of tcp_proxy's own logs.
_CONNECTED: Final = "TcpUpstreamConnected"
_PERIODIC: Final = "TcpPeriodic"


class TcpChain(Chain):
    """One filter chain of a listener that carries bytes to clusters."""

    def __init__(
        self,
        config: TcpProxySnapshot,
        clusters: dict[str, Cluster],
        access_loggers: list[AccessLogger],
        connections: Connections,
        wheel: TimerWheel,
        written: FilterChain | None = None,
    ) -> None:
        super().__init__(connections, wheel, written)
        self.config: Final = config
        self.clusters: Final = clusters
        self.access_loggers: Final = access_loggers

    def new_connection(self) -> Connection:
        return TcpDownstream(self)

    def connection_loggers(self) -> list[AccessLogger]:
        return self.access_loggers

    def admit(self, connection: Connection) -> bool:
        if not super().admit(connection):
            return False
        self.config.stats.downstream_cx_total.value += 1
        return True

    def log_paths(self) -> set[str]:
        return super().log_paths().union(each.path for each in self.access_loggers)


class TcpDownstream(RawDownstream, TcpUpstreamUser, SplicedConnection):
    """A protocol of the event loop by shape.

    What comes before the other side is ready, the host or the client's TLS, waits, and no more is read then.
    """

    __slots__ = (
        "_aborted", "_attempt", "_attempts", "_broken", "_client_blocked", "_close_deadline", "_config",
        "_down", "_duration_deadline", "_for_client", "_for_host", "_heard", "_host_blocked", "_host_done",
        "_log_deadline", "_paused", "_phase", "_proxy", "_received_eof", "_retry_deadline", "_secured",
        "_stats", "_unsent", "_up", "_upstream",
    )  # fmt: skip

    def __init__(self, proxy: TcpChain) -> None:
        super().__init__(proxy)
        self._proxy: Final = proxy
        self._config: Final[TcpProxySnapshot] = proxy.config
        self._stats: Final = proxy.config.stats
        self._upstream: TcpUpstream | None = None
        self._attempt: TcpUpstream | None = None  # being connected
        self._attempts: int = 0
        self._secured: bool = not proxy.config.tls
        self._for_host: list[bytes] = []  # read before there was a host
        self._for_client: list[bytes] = []  # read before its handshake had ended
        self._received_eof: bool = False
        self._host_done: bool = False
        self._client_blocked: bool = False  # it does not take what the host has sent
        self._host_blocked: bool = False
        self._paused: bool = False
        # Once much has come that way: to the host, to the client.
        self._up: Flow | None = None
        self._down: Flow | None = None
        self._broken: OSError | None = None  # how the client's connection has, where splicing met it
        self._phase: int = _OPEN
        self._aborted: bool = False  # what is still to be written is not
        self._heard: float = 0.0  # when the last byte came, from either side
        self._unsent: int = 0  # bytes in the transport at the last look, while closing
        self._duration_deadline: float = NEVER
        self._retry_deadline: float = NEVER
        self._log_deadline: float = NEVER
        self._close_deadline: float = NEVER

    # -- the event loop's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        config = self._config
        if not self.begin(transport, config.filter_chain_name, config.buffer_limit):
            self._phase = _GONE
            return
        now = self._stream.start
        if config.max_duration > 0.0:
            jitter = config.duration_jitter * random.random()
            self._duration_deadline = now + config.max_duration * (1.0 + jitter)
        if config.log_interval > 0.0 and self._proxy.access_loggers:
            self._log_deadline = now + config.log_interval
        self._arm()
        try:
            self._connect(now)
        except Exception as error:  # noqa: BLE001 - one broken connection must not take others with it
            report_bug(self._proxy.wheel.loop, error, "choosing a host")
            self.abort()

    def data_received(self, data: bytes) -> None:
        count = len(data)
        self._stats.downstream_cx_rx_bytes_total.value += count
        if self._phase != _OPEN:
            return
        self._stream.bytes_received += count
        self._heard = time.monotonic()
        upstream = self._upstream
        if upstream is None:
            self._for_host.append(data)
            self._pause()
            return
        try:
            upstream.write(data)
            if count >= LARGE:
                self._on_large(True, count)
        except Exception as error:  # noqa: BLE001 - as in connection_made
            report_bug(self._proxy.wheel.loop, error, "writing to a host")
            self.abort()

    def eof_received(self) -> bool:
        if self._phase != _OPEN:
            return False
        self._received_eof = True
        upstream = self._upstream
        if upstream is not None:
            upstream.write_eof()
            if self._host_done:
                self._close(True)
        return True

    def on_secured(self, alpn: str) -> None:
        self._secured = True
        transport = self._transport
        if transport is None:
            return
        for data in self._for_client:
            transport.write(data)
        self._for_client.clear()
        if self._upstream is not None:
            if not self._client_blocked:
                self._upstream.resume()
            if self._host_done:
                self._write_eof()
        elif self._host_done:
            self._close(True)

    def connection_lost(self, error: Exception | None) -> None:
        now = time.monotonic()
        rest = self._stop_splicing(True)
        self._stop_splicing(False)
        self._up = self._down = None
        self._phase = _GONE
        self._for_host.clear()
        self._for_client.clear()
        if self._attempt is not None:
            self._attempt.abort()
        upstream = self._upstream
        flushes = False
        if upstream is not None:
            if self._aborted:
                upstream.abort()
            elif isinstance(self._broken or error, ConnectionResetError):
                upstream.reset()
            else:
                upstream.pass_on(rest)
                flushes = upstream.close(self._config.idle_timeout, True)
        proxy = self._proxy
        if not self.finish(now):
            return
        if flushes:
            self._stats.upstream_flush_total.value += 1
            self._stats.upstream_flush_active.value += 1
            proxy.members.add(self)
            proxy.connections.flushing.add(self)
        else:
            proxy.connections.on_closed()

    def pause_writing(self) -> None:
        if self._down is not None and self._down.busy:
            return  # nothing is read from the host
        self._client_blocked = True
        if self._upstream is not None:
            self._upstream.pause()

    def resume_writing(self) -> None:
        self._client_blocked = False
        down = self._down
        if down is not None and down.waiting:
            down.start()
        elif self._upstream is not None:
            self._upstream.resume()

    # -- Connection

    def close_if_idle(self) -> None:
        """Nobody knows what is under way: it goes on until either side ends it."""

    def abort(self) -> None:
        self._aborted = True
        self._stop_splicing(True)
        self._stop_splicing(False)
        if self._transport is not None:
            self._phase = _CLOSING
            self._transport.abort()
        elif self._upstream is not None:
            self._upstream.abort()

    def on_bug(self) -> None:
        self.abort()

    def log(self, loggers: list[AccessLogger], kind: str, now: float) -> None:
        if loggers:
            stream = self._stream
            wire = stream.wire = WireBytes()
            wire.downstream_received = stream.bytes_received
            wire.downstream_sent = stream.bytes_sent
            if stream.upstream_local_address:
                wire.upstream_sent = stream.bytes_received
                wire.upstream_received = stream.bytes_sent
        super().log(loggers, kind, now)

    # -- connecting

    def _connect(self, now: float) -> None:
        """Choose a cluster and a host, and connect; a connection that cannot be carried on is closed."""
        config = self._config
        stream = self._stream
        name = self.info.cluster or config.pick(random.random())
        cluster = self._proxy.clusters.get(name)
        if cluster is None:
            self._stats.downstream_cx_no_route.value += 1
            self._give_up(NC)
            return
        stream.upstream_cluster = name
        if cluster.connections >= cluster.config.max_connections:
            cluster.stats.upstream_cx_overflow.value += 1
            self._give_up(UO)
            return
        if self._attempts >= config.max_connect_attempts:
            cluster.stats.upstream_cx_connect_attempts_exceeded.value += 1
            self._give_up(URX)
            return
        hashed = cluster.hashes and config.hashes_source
        host = cluster.choose(self.info, NO_HEADERS, ip_key(self.info.remote_ip) if hashed else NO_KEY)
        if host is None:
            self._give_up(UH)
            return
        self._attempts += 1
        stream.attempt_count = self._attempts
        if cluster.pending >= cluster.config.max_pending_requests:
            cluster.stats.upstream_rq_pending_overflow.value += 1
            self._give_up(URX)
            return
        self._attempt = TcpUpstream(cluster, host, self, self.info)
        self._attempt.connect()

    def _give_up(self, flag: int) -> None:
        """There is no host to carry it on. Who has sent something is told that it has reached nobody."""
        self._stream.response_flags |= flag
        if self._for_host:
            self._reset()
        else:
            self.abort()

    def on_connect_failure(self, upstream: TcpUpstream, reason: str, now: float) -> None:
        self._attempt = None
        stream = self._stream
        stream.upstream_host = upstream.address
        stream.response_flags |= UF
        stream.upstream_transport_failure_reason = reason
        if self._phase != _OPEN:
            return
        backoff = self._config.backoff
        if backoff is None or self._attempts >= self._config.max_connect_attempts:
            self._connect(now)
        else:
            self._retry_deadline = now + backoff.interval(self._attempts - 1, random.random())
            self._arm()

    def on_upstream_connected(self, upstream: TcpUpstream, now: float) -> None:
        self._attempt = None
        if self._phase != _OPEN:
            upstream.abort()
            return
        self._upstream = upstream
        stream = self._stream
        stream.upstream_host = upstream.address
        stream.upstream_local_address = upstream.local_address()
        stream.upstream_tls = upstream.tls
        self._heard = now
        for data in self._for_host:
            upstream.write(data)
        self._for_host.clear()
        if self._received_eof:
            upstream.write_eof()
        self._resume()
        self._arm()
        if self._config.logs_connected:
            self.log(self._proxy.access_loggers, _CONNECTED, now)

    # -- the host's side

    def on_upstream_data(self, data: bytes) -> None:
        count = len(data)
        self._stream.bytes_sent += count
        self._stats.downstream_cx_tx_bytes_total.value += count
        self._heard = time.monotonic()
        if not self._secured:
            self._for_client.append(data)
            if self._upstream is not None:
                self._upstream.pause()
        elif self._transport is not None:
            self._transport.write(data)
            if count >= LARGE and self._upstream is not None:
                self._on_large(False, count)

    def on_upstream_eof(self) -> None:
        self._host_done = True
        if self._received_eof:
            self._close(False)
        elif self._secured:
            self._write_eof()

    def _write_eof(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the client has gone; the loop does not know yet
                transport.abort()

    def on_upstream_lost(self, reset: bool, now: float) -> None:
        self._stop_splicing(True)
        rest = self._stop_splicing(False)
        self._upstream = None
        if self._phase == _OPEN:
            self._host_done = True
            if reset:
                self._stream.response_flags |= UR
                self._reset()
            elif self._secured:
                if rest and self._transport is not None:
                    self._transport.write(rest)
                self._close(True)
        elif self._phase == _GONE and self in self._proxy.connections.flushing:
            chain = self._proxy
            chain.connections.flushing.discard(self)
            chain.members.discard(self)
            self._stats.upstream_flush_active.value -= 1
            chain.connections.on_closed()

    def on_upstream_blocked(self) -> None:
        if self._up is not None and self._up.busy:
            return  # nothing is read from the client
        self._host_blocked = True
        self._stats.downstream_flow_control_paused_reading_total.value += 1
        self._pause()

    def on_upstream_writable(self) -> None:
        if self._host_blocked:
            self._host_blocked = False
            self._stats.downstream_flow_control_resumed_reading_total.value += 1
        up = self._up
        if up is not None and up.waiting:
            up.start()
        else:
            self._resume()

    def _pause(self) -> None:
        transport = self._transport
        if transport is not None and not self._paused and not transport.is_closing():
            self._paused = True
            transport.pause_reading()

    def _resume(self) -> None:
        transport = self._transport
        if transport is not None and self._paused and not self._host_blocked and not transport.is_closing():
            self._paused = False
            transport.resume_reading()

    # -- splicing

    def _on_large(self, upward: bool, count: int) -> None:
        """Much comes this way: let the kernel carry it, where both sides are bare sockets."""
        flow = self._up if upward else self._down
        if flow is None:
            flow = self._new_flow(upward)
        if flow is not None and flow.carried(count):
            flow.prepare()

    def _new_flow(self, upward: bool) -> Flow | None:
        upstream = self._upstream
        client = self._transport
        if upstream is None or client is None or upstream.transport is None:
            return None
        loop = self._proxy.wheel.loop
        if upward:
            flow = self._up = Flow(loop, self, True, client, upstream.transport)
        else:
            flow = self._down = Flow(loop, self, False, upstream.transport, client)
        if self._config.tls or not upstream.is_bare():
            flow.forbid()
        return flow

    def _stop_splicing(self, upward: bool) -> bytes:
        """What is still to be written, and counted already."""
        flow = self._up if upward else self._down
        return b"" if flow is None else flow.stop()

    def on_spliced(self, upward: bool, count: int) -> None:
        stats = self._stats
        stream = self._stream
        upstream = self._upstream
        self._heard = time.monotonic()
        if upward:
            stats.downstream_cx_rx_bytes_total.value += count
            stream.bytes_received += count
        else:
            stats.downstream_cx_tx_bytes_total.value += count
            stream.bytes_sent += count
        if upstream is not None:
            upstream.on_spliced(upward, count)

    def on_splice_blocked(self, upward: bool) -> None:
        if upward:
            self._stats.downstream_flow_control_paused_reading_total.value += 1
        if self._upstream is not None:
            self._upstream.on_splice_blocked(upward)

    def on_splice_writable(self, upward: bool) -> None:
        if upward:
            self._stats.downstream_flow_control_resumed_reading_total.value += 1
        if self._upstream is not None:
            self._upstream.on_splice_writable(upward)

    def on_splice_end(self, upward: bool, rest: bytes) -> None:
        upstream = self._upstream
        transport = self._transport
        if upstream is None or transport is None:
            return
        if upward:
            upstream.carry_on(rest)
            self._paused = True
            self._resume()
        else:
            transport.set_write_buffer_limits(self._config.buffer_limit)
            if rest and not transport.is_closing():
                transport.write(rest)
            upstream.read_on(self._client_blocked)

    def on_splice_failure(self, upward: bool, of_target: bool, error: OSError) -> None:
        if upward == of_target:
            if self._upstream is not None:
                self._upstream.break_off(error)
        elif self._transport is not None:
            self._broken = error
            self._transport.abort()

    # -- deadlines

    def _arm(self) -> None:
        deadline = min(
            self._duration_deadline, self._retry_deadline, self._log_deadline, self._close_deadline
        )
        idle = self._config.idle_timeout
        if idle > 0.0 and self._upstream is not None:
            deadline = min(deadline, self._heard + idle)
        self._proxy.wheel.arm(self, deadline)

    def on_deadline(self, now: float) -> None:
        idle = self._config.idle_timeout
        if self._phase == _CLOSING:
            self._check_closing(now)
        elif self._duration_deadline <= now:
            self._stream.response_flags |= DT
            self._stats.max_downstream_connection_duration.value += 1
            self.abort()
        elif idle > 0.0 and self._upstream is not None and self._heard + idle <= now:
            self._stats.idle_timeout.value += 1
            self.abort()
        else:
            if self._log_deadline <= now:
                self._log_deadline = now + self._config.log_interval
                self.log(self._proxy.access_loggers, _PERIODIC, now)
            if self._retry_deadline <= now:
                self._retry_deadline = NEVER
                self._connect(now)
        if self._transport is not None:
            self._arm()

    # -- closing

    def _close(self, local: bool) -> None:
        """Close both sides once everything written has gone out, for the host by our doing (``local``)."""
        if self._upstream is not None:
            self._upstream.close(self._config.idle_timeout, local)
        transport = self._transport
        self._phase = _CLOSING
        if transport is None:
            return
        self._unsent = transport.get_write_buffer_size()
        transport.close()
        if self._unsent and self._config.idle_timeout > 0.0:
            self._close_deadline = time.monotonic() + self._config.idle_timeout
            self._arm()

    def _reset(self) -> None:
        """Close so that the client sees that something was broken off."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            native.reset_when_closed(transport.get_extra_info("socket"))
        self.abort()

    def _check_closing(self, now: float) -> None:
        """A client that still takes what is left gets as much time again."""
        transport = self._transport
        if transport is None or now < self._close_deadline:
            return
        unsent = transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._unsent = unsent
            self._close_deadline = now + self._config.idle_timeout
        else:
            self.abort()
