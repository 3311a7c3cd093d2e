"""Plays each story on both proxies, all at once, and keeps what could be seen after each step."""

import json
import os
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.conformance.case import answer, response
from tests.conformance.compare import Observed
from tests.conformance.origin import Origin
from tests.conformance.proxies import Proxy
from tests.conformance.tls.pki import Pki
from tests.conformance.updates.scene import BEGINNING, SECRETS, bootstrap
from tests.conformance.updates.step import COUNTED, SCOPES, Step

_DEADLINE = 15.0  # seconds for a file to be noticed
# What drains is counted until the drain time has passed, in Envoy ten minutes.
_OPTIONS = ("--allow-empty-updates", "--drain-time-s", "600")
_PATHS = ("/said", "/")
# Counted of every step, beside the updates of its file.
_MANAGERS = (
    "cluster_manager.cds.config_reload",
    "http.routed.rds.routes.config_reload",
    "listener_manager.listener_added",
    "listener_manager.listener_modified",
    "listener_manager.listener_removed",
    "listener_manager.listener_in_place_updated",
    "cluster_manager.cluster_added",
    "cluster_manager.cluster_modified",
    "cluster_manager.cluster_removed",
    "listener.127.0.0.23_0.server_ssl_socket_factory.ssl_context_update_by_sds",
)
_GAUGES = (
    "listener_manager.total_listeners_active",
    "listener_manager.total_listeners_draining",
    "listener_manager.total_filter_chains_draining",
    "cluster_manager.active_clusters",
    "cluster.discovered.membership_total",
)


class UpdateLaboratory:
    """What Envoy and proxyd showed after each step, by the step's name."""

    def __init__(self, stories: Mapping[str, Sequence[Step]], directory: Path) -> None:
        self._directory = directory
        certs = directory / "certs"
        certs.mkdir()
        Pki(certs)
        self.observed: dict[str, dict[str, Observed]] = {"envoy": {}, "proxyd": {}}
        self._wrong: list[BaseException] = []
        threads = [
            threading.Thread(target=self._guarded, args=(kind, story, steps, certs))
            for story, steps in stories.items()
            for kind in self.observed
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in self._wrong:
            raise error

    def _guarded(self, kind: str, story: str, steps: Sequence[Step], certs: Path) -> None:
        try:
            _Run(self._directory / f"{kind}-{story}", kind, certs).play(steps, self.observed[kind])
        except BaseException as error:  # noqa: BLE001 - raised again where the thread is joined
            self._wrong.append(error)


class _Run:
    """One story on one proxy."""

    def __init__(self, directory: Path, kind: str, certs: Path) -> None:
        self._kind = kind
        self._directory = directory
        self._files = directory.with_name(f"{directory.name}-files")
        self._certs = certs
        self._words: dict[str, str] = {}

    def play(self, steps: Sequence[Step], observed: dict[str, Observed]) -> None:
        self._files.mkdir()
        with Origin() as origin, Origin() as other:
            other.script((answer(response(200, body="other")),) * 1000)
            self._words = {
                '"$origin"': str(origin.port),
                '"$other"': str(other.port),
                "$files": str(self._files),
                "$certs": str(self._certs),
            }
            beginning = SECRETS if any(step.file == "sds.yaml" for step in steps) else BEGINNING
            for name, text in beginning.items():
                self._put(name, text)
            with Proxy(self._kind, self._directory, self._with_words(bootstrap()), _OPTIONS) as proxy:
                for step in steps:
                    before = _stats(proxy)
                    self._put(step.file, step.text)
                    self._await(proxy, step, before)
                    observed[step.name] = self._settled(proxy, step, before)

    def _with_words(self, text: str) -> str:
        for word, value in self._words.items():
            text = text.replace(word, value)
        return text

    def _put(self, name: str, text: str) -> None:
        """Move it there from elsewhere."""
        new = self._files / f"{name}.new"
        new.write_text(self._with_words(text))
        os.utime(new, (0, 0))  # written long ago, so that its being moved can be told from its being written
        os.replace(new, self._files / name)

    def _await(self, proxy: Proxy, step: Step, before: Mapping[str, int]) -> None:
        """Until the file has been noticed, and either taken or not."""
        scope = SCOPES[step.file]
        deadline = time.monotonic() + _DEADLINE
        while True:
            now = _stats(proxy)
            if any(_change(f"{scope}.{name}", before, now) for name in COUNTED[1:]):
                return
            assert time.monotonic() < deadline, f"{self._kind} did not notice {step.name}: {proxy.output()}"
            time.sleep(0.02)

    def _settled(self, proxy: Proxy, step: Step, before: Mapping[str, int]) -> Observed:
        """What is seen when the same has been seen twice."""
        last: Observed = {}
        while (seen := self._look(proxy, step, before)) != last:
            last = seen
            time.sleep(0.05)
        return seen

    def _look(self, proxy: Proxy, step: Step, before: Mapping[str, int]) -> Observed:
        stats = _stats(proxy)
        names = [f"{SCOPES[step.file]}.{name}" for name in COUNTED]
        seen: Observed = {name: _change(name, before, stats) for name in (*names, *_MANAGERS)}
        listeners = json.loads(proxy.admin("/listeners?format=json")).get("listener_statuses", [])
        for name in _GAUGES:
            seen[name] = stats.get(name, 0)
        seen["listeners"] = sorted(status["name"] for status in listeners)
        clusters = json.loads(proxy.admin("/clusters?format=json")).get("cluster_statuses", [])
        seen["clusters"] = sorted(status["name"] for status in clusters)
        for status in listeners:
            address = status["local_address"]["socket_address"]
            address = (address["address"], address["port_value"])
            for path in _PATHS:
                seen[f"answers.{status['name']}{path}"] = _ask(address, path, status["name"] == "served")
            if status["name"] == "served":
                seen["certificate"] = _certificate(address)
        return seen


def _stats(proxy: Proxy) -> dict[str, int]:
    found = {}
    for line in proxy.admin("/stats").decode().splitlines():
        name, _, value = line.partition(": ")
        if value.isdecimal():
            found[name] = int(value)
    return found


def _change(name: str, before: Mapping[str, int], now: Mapping[str, int]) -> int:
    return now.get(name, 0) - before.get(name, 0)


def _ask(address: tuple[str, int], path: str, over_tls: bool) -> str:
    context = ssl._create_unverified_context() if over_tls else None
    url = f"{'https' if over_tls else 'http'}://{address[0]}:{address[1]}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as reply:
            return f"{reply.status} {reply.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read().decode()}"
    except OSError:
        return "nothing"


def _certificate(address: tuple[str, int]) -> str:
    try:
        pem = ssl.get_server_certificate(address, timeout=5)
    except OSError:
        return "none"
    subject = x509.load_pem_x509_certificate(pem.encode()).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
