"""Plays all TLS cases on both proxies at once and keeps what was observed."""

import base64
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.conformance.compare import Observed, observe
from tests.conformance.laboratory import read_log
from tests.conformance.origin import Origin, Received
from tests.conformance.proxies import Proxy
from tests.conformance.tls.bootstrap import Scene, bootstrap
from tests.conformance.tls.case import TlsCase
from tests.conformance.tls.client import Shaken, play
from tests.conformance.tls.origins import TlsOrigins
from tests.conformance.tls.pki import Pki

_STAT = re.compile(r"(?:listener|cluster)\.(.+)\.ssl\.(\w+)")
# What is counted of a handshake by name depends on what the libraries prefer.
_COUNTED = (
    "handshake",
    "connection_error",
    "no_certificate",
    "session_reused",
    "fail_verify_error",
    "fail_verify_san",
    "fail_verify_no_cert",
    "fail_verify_cert_hash",
)


class TlsLaboratory:
    """What Envoy and proxyd did with each case, and what they counted of each listener and cluster."""

    def __init__(self, cases: Iterable[TlsCase], scene: Scene, directory: Path) -> None:
        self._cases = list(cases)
        self._scene = scene
        self._directory = directory
        self.pki = directory / "pki"
        self.pki.mkdir()
        made = Pki(self.pki)
        self._words = {"certs": str(self.pki)}
        for name, signed in made.signed.items():
            self._words[f"spki({name})"] = base64.b64encode(signed.spki).decode()
            self._words[f"hash({name})"] = signed.fingerprint
        self._wrong: dict[str, BaseException] = {}
        self.observed: dict[str, dict[str, Observed]] = {}
        self.counted: dict[str, dict[str, dict[str, int]]] = {}
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
        log = directory / "access.log"
        seen: list[tuple[TlsCase, Shaken, list[Received], dict[int, str]]] = []
        used: set[int] = set()
        with Origin() as origin, TlsOrigins(self.pki) as origins:
            targets = {"origin": origin.port, **origins.ports}
            text = bootstrap(self._scene, targets, self._words, log)
            names = {port: name for name, port in targets.items()}
            with Proxy(kind, directory, text) as proxy:
                for case in self._cases:
                    port = proxy.ports[case.listener]
                    origin.script(())
                    played = play(case, ("127.0.0.1", port), self.pki, used)
                    ports = {**names, port: "listener", played.port: "client"}
                    seen.append((case, played, origin.received(), ports))
                self.counted[kind] = _counters(proxy.settled_stats())
        lines = read_log(log)
        self.observed[kind] = {
            case.name: _observe(case, played, received, lines.get(played.port, []), ports)
            for case, played, received, ports in seen
        }


def _observe(
    case: TlsCase,
    played: Shaken,
    received: list[Received],
    log: list[dict[str, Any]],
    ports: dict[int, str],
) -> Observed:
    found = observe(case, played, received, log, ports)
    return found | {f"tls.{key}": value for key, value in played.tls.items()}


def _counters(text: str) -> dict[str, dict[str, int]]:
    """Listener or cluster to the name of a counter to its value, of TLS."""
    found: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        match = _STAT.fullmatch(name)
        if match and match[2] in _COUNTED:
            found.setdefault(match[1], {})[match[2]] = int(value)
    return found
