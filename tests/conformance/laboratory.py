"""Plays all cases on both proxies at once and keeps what was observed."""

import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance.bootstrap import bootstrap
from tests.conformance.case import Case
from tests.conformance.client import Played, play
from tests.conformance.compare import Observed, observe
from tests.conformance.http2 import Http2Case, play_http2
from tests.conformance.http2_origin import Http2Origin
from tests.conformance.origin import Origin, Received
from tests.conformance.proxies import Proxy


@contextmanager
def full_address() -> Iterator[int]:
    """A port of 127.0.0.1 where connecting takes for ever: its queue is full and nobody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        yield port
        for sock in waiting:
            sock.close()


class Laboratory:
    """What Envoy and proxyd did with each case, by its name."""

    def __init__(
        self,
        cases: Iterable[Case],
        listeners: Mapping[str, str],
        clusters: str,
        directory: Path,
        stats: str = "",
    ) -> None:
        """``stats``: a pattern of those that are read at the end, or nothing."""
        self._stats = stats
        self._cases = list(cases)
        self._listeners = listeners
        self._clusters = clusters
        self._directory = directory
        self._wrong: dict[str, BaseException] = {}
        self.observed: dict[str, dict[str, Observed]] = {}
        self.stats: dict[str, str] = {}  # as text, those of all cases together
        threads = [threading.Thread(target=self._guarded, args=(kind,)) for kind in ("envoy", "proxyd")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in self._wrong.values():
            raise error

    def _guarded(self, kind: str) -> None:
        try:
            self.observed[kind] = self._run(kind)
        except BaseException as error:  # noqa: BLE001 - raised again where the thread is joined
            self._wrong[kind] = error

    def _run(self, kind: str) -> dict[str, Observed]:
        directory = self._directory / kind
        log = directory / "access.log"
        seen: list[tuple[Case, Played, list[Received], dict[int, str]]] = []
        used: set[int] = set()
        with full_address() as full, Origin() as origin, Http2Origin() as newer:
            text = bootstrap(self._listeners, self._clusters, origin.port, full, log, newer.port)
            with Proxy(kind, directory, text) as proxy:
                for case in self._cases:
                    port = proxy.ports[case.listener]
                    origin.script(case.answers)
                    address = ("127.0.0.1", port)
                    received: list[Received] = []
                    if isinstance(case, Http2Case):
                        newer.script(case.replies)
                        asked = newer if case.replies else origin
                        if case.asks:
                            played = play_http2(case, address, asked, used)
                        else:
                            played = play(case, address, origin, used)
                        received = newer.received()
                    else:
                        played = play(case, address, origin, used)
                    ports = {origin.port: "origin", port: "listener", played.port: "client", full: "full"}
                    ports[newer.port] = "newer"
                    seen.append((case, played, origin.received() + received, ports))
                if self._stats:
                    self.stats[kind] = proxy.settled_stats(self._stats)
        lines = read_log(log)
        for case, played, received, _ in seen:
            if isinstance(case, Http2Case) and len(case.asks) > 1:  # which goes and ends first is chance
                lines.get(played.port, []).sort(key=lambda line: str(line.get("path")))
                received.sort(key=_target)
        return {
            case.name: observe(case, played, received, lines.get(played.port, []), ports)
            for case, played, received, ports in seen
        }


def _target(request: Received) -> bytes:
    return b"" if request.message is None else request.message.first[1]


def read_log(path: Path) -> dict[int, list[dict[str, Any]]]:
    """The lines by the client's port, without those of probes."""
    found: dict[int, list[dict[str, Any]]] = {}
    for text in path.read_text("utf-8", "surrogateescape").splitlines() if path.exists() else []:
        if text.startswith("{"):
            line = json.loads(text)
        else:
            port, _, rest = text.partition(" ")
            line = {"port": int(port), "text": rest}
        if line.get("authority") != "probe.test" and "probe.test" not in line.get("text", ""):
            found.setdefault(line["port"], []).append(line)
    return found
