"""What `scripts/demo.py --auto` tries: each thing the demonstration tells a person to try, and its answer."""

import http.client
import json
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple

from demo_numbers import read_admin

Command = Callable[[str], list[str]]


class Reply(NamedTuple):
    """An answer that has arrived whole."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One keep-alive connection to the demonstration's listener."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Reply:
        """Send a request; underscores in the names of headers stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, named)
        response = self._connection.getresponse()
        return Reply(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )

    def stream(self, path: str) -> list[float]:
        """The moments at which the lines of a streamed answer arrive."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        return [time.monotonic() for _ in response]


def run_checks(port: int, admin_port: int, command: Command) -> bool:
    """Try everything and say how each went; whether all went well."""
    failed = 0
    for name, check in (
        ("the cat and the dog answer in turn", _round_robin),
        ("an origin sees what a proxy adds", _forwarded),
        ("a body of 1 MiB arrives whole", _large_body),
        ("a header chooses the route", _header_route),
        ("a host name chooses the origin", _host_route),
        ("a stream arrives piece by piece", _stream),
        ("a direct response", _direct_response),
        ("a redirect", _redirect),
        ("no route: 404", _no_route),
        ("too slow for its route: 504", _too_slow),
        ("nobody listens there: 503", _down),
    ):
        failed += not _passes(name, check, Client(port))
    failed += not _passes("the admin pages", _admin, admin_port)
    failed += not _passes("proxyd status and stats", _commands, command)
    failed += not _passes("proxyd reload", _reload, port, command)
    print(f"{'FAILED: ' + str(failed) + ' of the checks' if failed else 'OK: all checks'}", flush=True)
    return not failed


def _passes(name: str, check: Callable[..., None], *arguments: object) -> bool:
    try:
        check(*arguments)
    except (AssertionError, OSError, http.client.HTTPException, ValueError, KeyError) as error:
        print(f"  FAILED  {name}: {error or type(error).__name__}", flush=True)
        return False
    print(f"  ok      {name}", flush=True)
    return True


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, expected {wanted!r}")


def _round_robin(client: Client) -> None:
    animals = [client.ask("/").headers["x-origin"] for _ in range(6)]
    _expect("the set of origins", sorted(set(animals)), ["cat", "dog"])
    _expect("the turn", all(animals[i] != animals[i + 1] for i in range(5)), True)


def _forwarded(client: Client) -> None:
    seen = json.loads(client.ask("/api/echo").body)["headers"]
    _expect("x-forwarded-proto", seen["x-forwarded-proto"], "http")
    _expect("the length of x-request-id", len(seen["x-request-id"]), 36)
    _expect("x-forwarded-for is there", "x-forwarded-for" in seen, True)


def _large_body(client: Client) -> None:
    reply = client.ask("/api/echo", "POST", b"x" * (1 << 20))
    _expect("status", reply.status, 200)
    _expect("received bytes", json.loads(reply.body)["body_bytes"], 1 << 20)


def _header_route(client: Client) -> None:
    animals = {client.ask("/api/echo", x_animal="dog").headers["x-origin"] for _ in range(4)}
    _expect("the origins", animals, {"dog"})


def _host_route(client: Client) -> None:
    animals = {client.ask("/", host="cat.localhost:80").headers["x-origin"] for _ in range(4)}
    _expect("the origins", animals, {"cat"})


def _stream(client: Client) -> None:
    arrivals = client.stream("/stream?count=5&interval=0.1")
    _expect("lines", len(arrivals), 5)
    _expect("spread over more than 0.2 s", arrivals[-1] - arrivals[0] > 0.2, True)


def _direct_response(client: Client) -> None:
    _expect("the answer", client.ask("/hello")[::2], (200, b"Hello from proxyd itself.\n"))


def _redirect(client: Client) -> None:
    reply = client.ask("/old")
    _expect("status", reply.status, 301)
    _expect("path of the location", reply.headers["location"].partition("//")[2].partition("/")[2], "")


def _no_route(client: Client) -> None:
    _expect("status", client.ask("/nowhere").status, 404)


def _too_slow(client: Client) -> None:
    _expect("the answer", client.ask("/slow?seconds=3")[::2], (504, b"upstream request timeout"))


def _down(client: Client) -> None:
    reply = client.ask("/down")
    _expect("status", reply.status, 503)
    _expect("the reason", reply.body.endswith(b"reset reason: remote connection failure"), True)


def _admin(port: int) -> None:
    for path in (
        "/",
        "/help",
        "/ready",
        "/server_info",
        "/clusters",
        "/listeners",
        "/config_dump",
        "/workers",
    ):
        _expect(f"{path} answers", read_admin(port, path) is not None, True)
    counted = read_admin(port, "/stats?filter=%5Ehttp%5C.demo%5C.downstream_rq_total$") or ""
    _expect("requests were counted", int(counted.rpartition(":")[2] or 0) > 20, True)


def _commands(command: Command) -> None:
    _expect("the state", json.loads(_run(command("status --json")))["state"], "LIVE")
    _expect("stats are printed", "http.demo.downstream_rq_total: " in _run(command("stats")), True)


def _reload(port: int, command: Command) -> None:
    client = Client(port)
    _expect("status before", client.ask("/hello").status, 200)
    _run(command("reload --wait"))
    _expect("status after", Client(port).ask("/hello").status, 200)
    _expect("the generation", json.loads(_run(command("status --json")))["generation"], 2)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
