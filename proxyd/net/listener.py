"""What the connections of one listener share, and how many of them there are."""

from typing import TYPE_CHECKING, Final

from proxyd.net.limits import ConnectionLimit
from proxyd.net.stream import StreamFactory
from proxyd.net.timers import TimerWheel
from proxyd.snapshot.http_connection_manager import HttpConnectionOptions
from proxyd.stats.scopes import HttpStats, ListenerStats

if TYPE_CHECKING:
    from proxyd.net.downstream import Http1Downstream


class HttpListener:
    """A listener that speaks HTTP: admits connections, counts them, and knows whether it drains."""

    def __init__(
        self,
        options: HttpConnectionOptions,
        factory: StreamFactory,
        stats: ListenerStats,
        http_stats: HttpStats,
        wheel: TimerWheel,
        limit: ConnectionLimit,
    ) -> None:
        self.options: Final = options
        self.factory: Final = factory
        self.stats: Final = stats
        self.http_stats: Final = http_stats
        self.wheel: Final = wheel
        self.connections: Final[set[Http1Downstream]] = set()
        self.drain_close: bool = False  # every response ends its connection
        self.accepted: int = 0
        self.limit: Final = limit

    def admit(self, connection: "Http1Downstream") -> bool:
        """Take a new connection in, or refuse it because the limit is reached."""
        stats = self.stats
        if not self.limit.admits():
            stats.downstream_cx_overflow.value += 1
            return False
        self.accepted += 1
        self.connections.add(connection)
        self.limit.opened()
        connection.info.id = self.accepted
        stats.downstream_cx_total.value += 1
        stats.downstream_cx_active.value += 1
        stats.worker_downstream_cx_total.value += 1
        stats.worker_downstream_cx_active.value += 1
        http = self.http_stats
        http.downstream_cx_total.value += 1
        http.downstream_cx_active.value += 1
        http.downstream_cx_http1_total.value += 1
        http.downstream_cx_http1_active.value += 1
        return True

    def forget(self, connection: "Http1Downstream", local: bool, busy: bool, seconds: float) -> None:
        """A connection has closed, by our doing (``local``) or the client's, perhaps amid a request."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self.limit.closed()
        length = int(seconds * 1e6)
        stats = self.stats
        stats.downstream_cx_active.value -= 1
        stats.downstream_cx_destroy.value += 1
        stats.worker_downstream_cx_active.value -= 1
        stats.downstream_cx_length_ms.record(length)
        http = self.http_stats
        http.downstream_cx_active.value -= 1
        http.downstream_cx_http1_active.value -= 1
        http.downstream_cx_destroy.value += 1
        http.downstream_cx_length_ms.record(length)
        if local:
            http.downstream_cx_destroy_local.value += 1
        else:
            http.downstream_cx_destroy_remote.value += 1
        if busy:
            http.downstream_cx_destroy_active_rq.value += 1
            if local:
                http.downstream_cx_destroy_local_active_rq.value += 1
            else:
                http.downstream_cx_destroy_remote_active_rq.value += 1
        self.on_closed()

    def on_closed(self) -> None:
        """A connection less; a worker that drains looks whether it was the last."""
