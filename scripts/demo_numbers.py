"""The demonstration's live numbers, read from proxyd's admin API."""

import http.client
import json
import time
from typing import Any

_STATS = "/stats?format=json&filter=%5Ehttp%5C.demo%5C.downstream_(rq%7Ccx)"
_PREFIX = "http.demo.downstream_"


def read_admin(port: int, path: str) -> str | None:
    """The body of an admin page, None while there is none (starting, or not status 200)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if response.status == 200 else None


class Panel:
    """Prints the numbers, over its own last print where asked to."""

    def __init__(self, admin_port: int) -> None:
        self._port = admin_port
        self._lines_shown = 0
        self._requests = 0
        self._read_at = time.monotonic()

    def show(self, in_place: bool) -> None:
        """Read and print; nothing happens while the admin API does not answer."""
        numbers, workers = self._read()
        if not numbers:
            return
        lines = [self._totals(numbers), *map(_worker_line, workers)]
        if in_place:
            up = f"\x1b[{self._lines_shown}F" if self._lines_shown else ""
            print(f"{up}\x1b[J" + "\n".join(lines), flush=True)
            self._lines_shown = len(lines)
        else:
            print("; ".join(line.strip() for line in lines), flush=True)

    def _read(self) -> tuple[dict[str, int], list[dict[str, Any]]]:
        stats = read_admin(self._port, _STATS)
        workers = read_admin(self._port, "/workers?format=json")
        if stats is None or workers is None:
            return {}, []
        numbers = {
            stat["name"].removeprefix(_PREFIX): stat["value"]
            for stat in json.loads(stats)["stats"]
            if "value" in stat
        }
        return numbers, json.loads(workers)["workers"]

    def _totals(self, numbers: dict[str, int]) -> str:
        now, requests = time.monotonic(), numbers.get("rq_total", 0)
        rate = max(0, requests - self._requests) / max(now - self._read_at, 0.001)
        self._requests, self._read_at = requests, now
        kinds = "  ".join(f"{kind} {numbers.get(f'rq_{kind}', 0):,}" for kind in ("2xx", "3xx", "4xx", "5xx"))
        connections = numbers.get("cx_active", 0)
        return f"  requests {requests:,} ({rate:,.0f}/s)  {kinds}  open connections {connections:,}"


def _worker_line(worker: dict[str, Any]) -> str:
    who = f"pid {worker['pid']}, generation {worker['generation']}, {worker['state']}"
    memory = worker["memory_bytes"] / (1 << 20)
    return (
        f"  worker {worker['worker']} ({who})  connections {worker['connections']:,}"
        f"  requests {worker['requests_total']:,}  cpu {worker['cpu_percent']:.0f} %  memory {memory:.0f} MiB"
    )
