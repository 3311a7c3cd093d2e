"""How long the router takes to find a route: `python router_match.py COUNT` prints µs for 1 and COUNT."""

import sys
import time
from pathlib import Path

from configurations import Task, envoy

from proxyd.codec.headers import Headers
from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.snapshot.build import compile_snapshot
from proxyd.snapshot.http_connection_manager import ConnectionManagerSnapshot
from proxyd.snapshot.router import Router
from proxyd.stats.metrics import Registry

_TURNS = 20_000


def main(count: int) -> None:
    """Least of nine looks at each table."""
    print(*(f"{_microseconds(_router(routes)):.3f}" for routes in (1, count)))


def _router(routes: int) -> Router:
    text = envoy(8080, 8081, Task(routes=routes), Path("/nowhere"))
    snapshot = compile_snapshot(load_text(Text("benchmark", text)), Registry(), 0)
    manager = snapshot.listeners[0].chains[0].terminal
    assert isinstance(manager, ConnectionManagerSnapshot)
    return manager.router


def _microseconds(router: Router) -> float:
    headers = Headers([(b"accept", b"*/*"), (b"user-agent", b"x")])
    match = router.match
    best = float("inf")
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(_TURNS):
            match(b"127.0.0.1:8080", b"/r999/page?id=1", b"GET", b"http", headers)
        best = min(best, time.perf_counter() - began)
    return best / _TURNS * 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]))
