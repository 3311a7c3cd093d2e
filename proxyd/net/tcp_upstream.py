"""One connection to a host that bytes are carried over as they are: its making, its flow, its end."""

import asyncio
import time
from typing import Final

from mypy_extensions import trait

from proxyd.config.core import PIPE
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.tls_info import TlsInfo
from proxyd.net.addresses import connect, end_of, format_address, proxy_header
from proxyd.net.bugs import report_bug
from proxyd.net.cluster import Cluster, Host
from proxyd.net.pool import NOT_READY, error_text
from proxyd.net.timers import Timed
from proxyd.net.tls_client import TlsClient
from proxyd.net.upstream_connection import ConnectionMaker, UpstreamConnection
from proxyd.snapshot.tls import ClientTls
from proxyd.stats.scopes import ClusterStats
from proxyd.system import native

# What is left of its life.
_CONNECTING: Final = 0
_OPEN: Final = 1
_FLUSHING: Final = 2  # closed once everything written has gone out
_CLOSED: Final = 3


@trait
class TcpUpstreamUser:
    """Whom a connection to a host is for. ``now`` is the monotonic clock."""

    __slots__ = ()

    def on_upstream_connected(self, upstream: "TcpUpstream", now: float) -> None:
        raise NotImplementedError

    def on_connect_failure(self, upstream: "TcpUpstream", reason: str, now: float) -> None:
        """It was not made; ``reason`` is why, empty where it took too long."""
        raise NotImplementedError

    def on_upstream_data(self, data: bytes) -> None:
        raise NotImplementedError

    def on_upstream_eof(self) -> None:
        """The host sends nothing more, but may still take."""
        raise NotImplementedError

    def on_upstream_lost(self, reset: bool, now: float) -> None:
        """A connection that was made has gone, broken off by the host or not."""
        raise NotImplementedError

    def on_upstream_blocked(self) -> None:
        """More than the buffer limit waits to be written to the host."""
        raise NotImplementedError

    def on_upstream_writable(self) -> None:
        """The host has taken enough of it."""
        raise NotImplementedError

    def on_bug(self) -> None:
        """An exception that nobody expected: give everything up."""
        raise NotImplementedError


class TcpUpstream(Timed, ConnectionMaker, UpstreamConnection):
    """A protocol of the event loop by shape. It is connected to one host, once."""

    __slots__ = (
        "_broken", "_cluster", "_flush_timeout", "_given_up", "_host", "_local_close", "_paused", "_phase",
        "_preface", "_reason", "_start", "_stats", "_task", "_timed_out", "_unsent", "_user", "address",
        "tls", "transport",
    )  # fmt: skip

    def __init__(self, cluster: Cluster, host: Host, user: TcpUpstreamUser, info: ConnectionInfo) -> None:
        """``info`` is of the client's connection that it is for."""
        super().__init__()
        self._cluster: Final = cluster
        self._host: Final = host
        self._user: Final = user
        self._preface: Final = proxy_header(cluster.config.proxy_protocol, info)
        self._stats: Final[ClusterStats] = cluster.stats
        self._task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport | None = None
        self._phase: int = _CONNECTING
        self._reason: str = ""  # why it could not be connected
        self._timed_out: bool = False
        self._given_up: bool = False  # while it was being connected
        self._local_close: bool = False
        self._broken: OSError | None = None  # how the connection has, where splicing met it
        self._paused: bool = False
        self._start: float = 0.0
        self._flush_timeout: float = 0.0
        self._unsent: int = 0  # bytes in the transport at the last look, while flushing
        self.address: Final[str] = host.address
        self.tls: TlsInfo | None = None

    # -- connecting: the one place that makes a task

    def connect(self) -> None:
        """Begin; the user hears how it ended, in a later turn of the loop."""
        cluster = self._cluster
        stats = self._stats
        host = self._host.stats
        self._start = time.monotonic()
        cluster.count_connection()
        cluster.count_pending()
        stats.upstream_cx_total.value += 1
        stats.upstream_cx_active.value += 1
        host.cx_total.value += 1
        host.cx_active.value += 1
        cluster.wheel.arm(self, self._start + cluster.config.connect_timeout)
        self._task = cluster.loop.create_task(self._run())
        self._task.add_done_callback(self._on_connected)  # of one that was cancelled before it began, too

    async def _run(self) -> None:
        cluster = self._cluster
        config = cluster.config
        host = self._host
        try:
            if config.waits is not None:
                config.waits.secrets_not_ready.value += 1
                self._reason = NOT_READY
            elif config.tls is None:
                await connect(cluster.loop, lambda: self, host.ip, host.port)
            else:
                self._reason = await self._connect_tls(config.tls)
        except OSError as error:
            self._reason = error_text(error)
        except Exception as unforeseen:  # noqa: BLE001 - whatever it is, a client waits
            report_bug(cluster.loop, unforeseen, f"connecting to {self.address}")

    def _on_connected(self, _: "asyncio.Task[None]") -> None:
        """Connecting has ended; ``connection_made`` has told of it where it ended well."""
        self._task = None
        if self._phase == _CONNECTING or self._given_up:
            try:
                self._connect_failed(time.monotonic())
            except Exception as bug:  # noqa: BLE001 - one broken connection must not take others with it
                report_bug(self._cluster.loop, bug, "connecting")
                self._user.on_bug()

    def make(self, protocol: str) -> UpstreamConnection:
        return self

    def take_tls(self, info: TlsInfo) -> None:
        self.tls = info

    def is_closing(self) -> bool:
        return self._phase >= _FLUSHING

    async def _connect_tls(self, tls: ClientTls) -> str:
        """Connect and shake hands; why that failed, empty where it did not."""
        cluster = self._cluster
        host = self._host
        layer = TlsClient(cluster.loop, self, tls, host.server_name, self._preface)
        try:
            await connect(cluster.loop, lambda: layer, host.ip, host.port)
            failure = await layer.done
        except BaseException:
            layer.abort()
            raise
        return "" if failure is None else failure.words

    def _connect_failed(self, now: float) -> None:
        self._phase = _CLOSED
        cluster = self._cluster
        cluster.wheel.disarm(self)
        cluster.discount_pending()
        stats = self._stats
        if self._given_up:
            stats.upstream_rq_cancelled.value += 1
        else:
            stats.upstream_cx_connect_fail.value += 1
            self._host.stats.cx_connect_fail.value += 1
            stats.upstream_rq_pending_failure_eject.value += 1
        if self._timed_out:
            stats.upstream_cx_connect_timeout.value += 1
        self._count_end(self._timed_out or self._given_up, now)
        if not self._given_up:
            self._user.on_connect_failure(self, self._reason, now)

    def _count_end(self, local: bool, now: float) -> None:
        stats = self._stats
        self._cluster.discount_connection()
        stats.upstream_cx_active.value -= 1
        stats.upstream_cx_destroy.value += 1
        if local:
            stats.upstream_cx_destroy_local.value += 1
        else:
            stats.upstream_cx_destroy_remote.value += 1
        self._host.stats.cx_active.value -= 1
        stats.upstream_cx_length_ms.record(int((now - self._start) * 1e6))

    def on_deadline(self, now: float) -> None:
        if self._phase == _CONNECTING:
            self._timed_out = True
            if self._task is not None:
                self._task.cancel()
        elif self._phase == _FLUSHING and self.transport is not None:
            unsent = self.transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._unsent = unsent
                self._cluster.wheel.arm(self, now + self._flush_timeout)
            else:
                self.transport.abort()

    # -- the event loop's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        """It is connected, hands shaken where it is TLS. What the host has to say may follow at once."""
        if self._phase != _CONNECTING:  # given up
            transport.abort()
            return
        self.transport = transport
        self._phase = _OPEN
        now = time.monotonic()
        cluster = self._cluster
        cluster.wheel.disarm(self)
        cluster.discount_pending()
        config = cluster.config
        if self._preface and config.tls is None:
            transport.write(self._preface)
        self._stats.upstream_cx_tx_bytes_total.value += len(self._preface)
        transport.set_write_buffer_limits(config.buffer_limit)
        probes = config.keep_alive
        if probes is not None and self._host.port != PIPE:
            native.keep_alive(transport.get_extra_info("socket"), probes.probes, probes.time, probes.interval)
        stats = self._stats
        stats.upstream_cx_connect_ms.record(int((now - self._start) * 1e6))
        stats.upstream_rq_total.value += 1
        stats.upstream_rq_active.value += 1
        self._host.stats.rq_total.value += 1
        self._host.stats.rq_active.value += 1
        try:
            self._user.on_upstream_connected(self, now)
        except Exception as error:  # noqa: BLE001 - one broken connection must not take others with it
            report_bug(cluster.loop, error, "connecting")
            self._user.on_bug()

    def data_received(self, data: bytes) -> None:
        self._stats.upstream_cx_rx_bytes_total.value += len(data)
        if self._phase == _OPEN:
            try:
                self._user.on_upstream_data(data)
            except Exception as error:  # noqa: BLE001 - one broken connection must not take others with it
                report_bug(self._cluster.loop, error, "reading from a host")
                self._user.on_bug()

    def eof_received(self) -> bool:
        if self._phase != _OPEN:
            return False
        try:
            self._user.on_upstream_eof()
        except Exception as error:  # noqa: BLE001 - as in data_received
            report_bug(self._cluster.loop, error, "closing a connection")
            self._user.on_bug()
            return False
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._phase == _CONNECTING or self._phase == _CLOSED:
            return  # given up: counted where the connecting ends
        local = self._local_close
        now = time.monotonic()
        self._phase = _CLOSED
        self._cluster.wheel.disarm(self)
        stats = self._stats
        stats.upstream_rq_active.value -= 1
        self._host.stats.rq_active.value -= 1
        self._count_end(local, now)
        stats.upstream_cx_destroy_with_active_rq.value += 1
        if local:
            stats.upstream_cx_destroy_local_with_active_rq.value += 1
        else:
            stats.upstream_cx_destroy_remote_with_active_rq.value += 1
        try:
            self._user.on_upstream_lost(isinstance(self._broken or error, ConnectionResetError), now)
        except Exception as bug:  # noqa: BLE001 - as in data_received
            report_bug(self._cluster.loop, bug, "closing a connection")
            self._user.on_bug()

    def pause_writing(self) -> None:
        self._stats.upstream_flow_control_backed_up_total.value += 1
        self._user.on_upstream_blocked()

    def resume_writing(self) -> None:
        self._stats.upstream_flow_control_drained_total.value += 1
        self._user.on_upstream_writable()

    # -- the user's side

    def write(self, data: bytes) -> None:
        self._stats.upstream_cx_tx_bytes_total.value += len(data)
        if self.transport is not None:
            self.transport.write(data)

    def pass_on(self, rest: bytes) -> None:
        """Write what has been counted already."""
        if rest and self.transport is not None and not self.transport.is_closing():
            self.transport.write(rest)

    def write_eof(self) -> None:
        """Nothing more goes to the host; what comes from it still counts."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the host has gone; the loop does not know yet
                transport.abort()

    def pause(self) -> None:
        """Stop reading."""
        transport = self.transport
        if transport is not None and not self._paused and not transport.is_closing():
            self._paused = True
            self._stats.upstream_flow_control_paused_reading_total.value += 1
            transport.pause_reading()

    def resume(self) -> None:
        transport = self.transport
        if transport is not None and self._paused and not transport.is_closing():
            self._paused = False
            self._stats.upstream_flow_control_resumed_reading_total.value += 1
            transport.resume_reading()

    # -- splicing: the user's bytes pass the transport by

    def is_bare(self) -> bool:
        """Whether bytes go to the host as they are, over a socket."""
        transport = self.transport
        return (
            self._cluster.config.tls is None
            and transport is not None
            and transport.get_extra_info("socket") is not None
        )

    def on_spliced(self, upward: bool, count: int) -> None:
        stats = self._stats
        if upward:
            stats.upstream_cx_tx_bytes_total.value += count
        else:
            stats.upstream_cx_rx_bytes_total.value += count

    def on_splice_blocked(self, upward: bool) -> None:
        if upward:
            self._stats.upstream_flow_control_backed_up_total.value += 1
        else:
            self._stats.upstream_flow_control_paused_reading_total.value += 1

    def on_splice_writable(self, upward: bool) -> None:
        if upward:
            self._stats.upstream_flow_control_drained_total.value += 1
        else:
            self._stats.upstream_flow_control_resumed_reading_total.value += 1

    def carry_on(self, rest: bytes) -> None:
        """What comes from the client is written by the transport again; ``rest`` is counted already."""
        if self.transport is not None:
            self.transport.set_write_buffer_limits(self._cluster.config.buffer_limit)
            self.pass_on(rest)

    def read_on(self, blocked: bool) -> None:
        """What the host sends is read by the transport again, unless the client takes nothing."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._paused != blocked:
            self._paused = blocked
            if blocked:
                self._stats.upstream_flow_control_paused_reading_total.value += 1
            else:
                self._stats.upstream_flow_control_resumed_reading_total.value += 1
        if not blocked:
            transport.resume_reading()

    def break_off(self, error: OSError) -> None:
        """Writing to the host, or reading, has failed so."""
        self._broken = error
        if self.transport is not None:
            self.transport.abort()

    # -- its end

    def close(self, timeout: float, local: bool) -> bool:
        """Close once everything written has gone out; whether something is still to go.

        It counts as our doing (``local``) or the host's. A host that takes nothing for ``timeout`` seconds
        (0.0: however long) gets no more.
        """
        transport = self.transport
        if transport is None or self._phase != _OPEN:
            return False
        self._phase = _FLUSHING
        self._local_close = local
        self._unsent = transport.get_write_buffer_size()
        transport.close()
        if self._unsent and timeout > 0.0:
            self._flush_timeout = timeout
            self._cluster.wheel.arm(self, time.monotonic() + timeout)
        return self._unsent > 0

    def abort(self) -> None:
        """Close at once; also while it is being connected, and then the user hears no more of it."""
        if self._phase == _CONNECTING:
            self._phase = _CLOSED
            self._given_up = True
            if self._task is not None:
                self._task.cancel()
        elif self.transport is not None:
            self._local_close = True
            self.transport.abort()

    def reset(self) -> None:
        """Pass on to the host that the client has broken off."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            native.reset_when_closed(transport.get_extra_info("socket"))
        self.abort()

    def local_address(self) -> str:
        """``ip:port`` of this side."""
        return "" if self.transport is None else format_address(*end_of(self.transport, "sockname"))
