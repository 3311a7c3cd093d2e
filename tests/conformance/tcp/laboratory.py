"""Plays all TCP cases on both proxies at once and keeps what was observed, and counted."""

import contextlib
import json
import re
import struct
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.conformance.compare import Observed
from tests.conformance.proxies import Proxy
from tests.conformance.tcp.bootstrap import bootstrap, log_of
from tests.conformance.tcp.case import TcpCase
from tests.conformance.tcp.client import Played, hold, play
from tests.conformance.tcp.hosts import Heard, Host
from tests.conformance.tls.pki import Pki

# As the names begin, behind them the case's own; what is told of each host and of memory is not compared.
_COUNTED = re.compile(
    r"(tcp|cluster|listener|connection_limit|local_rate_limit|proxy_proto|http)\.([^.]+)\.(.+)"
    r"|(([^.]+)\.rbac\..+)"
)
_FAMILIES = {
    "http": re.compile(r"downstream_cx_(total|destroy\w*|length_ms|http1_total)|downstream_rq_(total|\dxx)"),
    "cluster": re.compile(r"upstream_(cx|rq|flow_control)_\w+"),
    "listener": re.compile(
        r"downstream_(cx|pre_cx|listener_filter|global_cx)_\w+|no_filter_chain_match|proxy_proto\..+"
    ),
}
_WANTED = "^(tcp|cluster|listener|connection_limit|local_rate_limit|proxy_proto|http)[.]|rbac"
_PATIENCE = 10.0


class TcpLaboratory:
    """What Envoy and proxyd did with each case."""

    def __init__(self, cases: Iterable[TcpCase], directory: Path) -> None:
        self._cases = list(cases)
        self._directory = directory
        self.pki = directory / "pki"
        self.pki.mkdir()
        Pki(self.pki)
        self._wrong: dict[str, BaseException] = {}
        self.observed: dict[str, dict[str, Observed]] = {}
        self.too_large: dict[str, int] = {}  # ClientHellos, of all cases together
        threads = [threading.Thread(target=self._guarded, args=(kind,)) for kind in ("envoy", "proxyd")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in self._wrong.values():
            raise error

    def _guarded(self, kind: str) -> None:
        try:
            self._run(kind)
        except BaseException as error:  # noqa: BLE001 - raised again where the thread is joined
            self._wrong[kind] = error

    def _run(self, kind: str) -> None:
        directory = self._directory / kind
        seen: dict[str, tuple[Played, dict[int, str]]] = {}
        with contextlib.ExitStack() as stack:
            hosts = {case.name: stack.enter_context(Host(case.host, self.pki)) for case in self._cases}
            ports = {name: host.port for name, host in hosts.items()}
            text = bootstrap(self._cases, ports, directory, self.pki)
            with Proxy(kind, directory, text) as proxy:
                for case in self._cases:
                    host = hosts[case.name]
                    port = proxy.ports[case.name]
                    names = {host.port: "host", port: "listener"}
                    held = [hold(port) for _ in range(case.held)]
                    names |= {sock.getsockname()[1]: "held" for sock in held}
                    for _ in range(case.repeat):
                        played = play(case, port, host, self.pki)
                        names[played.port] = "client"
                    for sock in held:
                        sock.close()
                    host.settle()
                    seen[case.name] = (played, names)
                counted = self._counters(proxy)
                # Only now have all been connected whose clients left at once.
                heard = {name: host.settle() for name, host in hosts.items()}
                line = proxy.admin("/stats?filter=client_hello_too_large").decode()
                self.too_large[kind] = int(line.rpartition(": ")[2] or 0)  # absent without TLS inspector
        self.observed[kind] = {
            case.name: self._observe(case, *seen[case.name], heard[case.name], directory)
            | counted.get(case.name, {})
            for case in self._cases
        }

    def _observe(
        self,
        case: TcpCase,
        played: Played,
        ports: dict[int, str],
        heard: list[Heard],
        directory: Path,
    ) -> Observed:
        found: Observed = {"client.end": played.end, "client.data": played.data}
        if played.certificate:
            found["client.certificate"] = played.certificate
        for number, each in enumerate(heard):
            found[f"host[{number}].end"] = each.end
            found[f"host[{number}].data"] = bytes(each.data)
        for kind in ("", "listener"):
            lines = [_named(line, ports) for line in _lines(log_of(directory, case.name, kind))]
            for number, line in enumerate(sorted(lines, key=json.dumps)):  # they come as connections end
                place = f"{kind}log[{number}]"
                found |= {f"{place}.{key}": value for key, value in line.items()}
                if isinstance(flags := line["flags"], str):
                    found[f"{place}.flags"] = sorted(flags.split(","))
        return {
            key: _named(value, ports)
            for key, value in found.items()
            if not any(re.fullmatch(ignored, key) for ignored in case.ignored)
        }

    def _counters(self, proxy: Proxy) -> dict[str, Observed]:
        """By case what has been counted, once that has not changed for longer than publishing takes."""
        deadline = time.monotonic() + _PATIENCE
        before: dict[str, Observed] | None = None
        while (now := self._count(proxy)) != before or _busy(now):
            assert time.monotonic() < deadline, f"{proxy.kind}: something goes on: {_busy(now)}"
            before = now
            time.sleep(0.25)
        return now

    def _count(self, proxy: Proxy) -> dict[str, Observed]:
        cases = {case.name: case for case in self._cases}
        found: dict[str, Observed] = {}
        for line in proxy.admin(f"/stats?filter={_WANTED}").decode().splitlines():
            name, _, value = line.partition(": ")
            match = _COUNTED.fullmatch(name)
            if match is None or not value.isdigit() or value == "0":
                continue
            case = cases.get(match[2] or match[5])
            family = _FAMILIES.get(match[1] or "")
            if case is None or (family is not None and not family.fullmatch(match[3])):
                continue
            counted = f"count.{match[1]}.{match[3]}" if match[1] else f"count.{match[4]}"
            if not any(re.fullmatch(ignored, counted) for ignored in case.ignored):
                found.setdefault(case.name, {})[counted] = int(value)
        return found


def _busy(counted: dict[str, Observed]) -> list[str]:
    return [case for case, counts in counted.items() if any(name.endswith("_active") for name in counts)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _named(value: Any, ports: dict[int, str]) -> Any:
    """Without ports, which are never the same twice."""
    if isinstance(value, dict):
        return {key: _named(inside, ports) for key, inside in value.items()}
    for port, name in ports.items():
        if isinstance(value, bytes):
            value = value.replace(str(port).encode(), f"<{name}>".encode())
            value = value.replace(struct.pack("!H", port), f"<{name}>".encode())
        elif isinstance(value, str):
            value = re.sub(rf":{port}\b", f":<{name}>", value)
    return value
