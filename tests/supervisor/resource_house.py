"""Rounds of reading files of resources, without a supervisor."""

import json
from pathlib import Path
from typing import Any

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.supervisor.resource_round import assemble
from proxyd.supervisor.resources import Assembly, Key, State
from tests.e2e.resource_files import ResourceFile, bootstrap, cluster, source
from tests.net.certificates import Pair

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


class House:
    """A bootstrap with a file of listeners and one of clusters, and what is known of them."""

    def __init__(self, directory: Path, *listeners: dict[str, Any], **static: Any) -> None:
        self.lds = ResourceFile(directory / "lds.json", *listeners)
        self.cds = ResourceFile(directory / "cds.json", cluster("127.0.0.1:1"))
        made = bootstrap(lds=self.lds.path, cds=self.cds.path)
        if static:
            made["static_resources"] = static
        self.bootstrap = load_text(Text("test", json.dumps(made)))
        self.known: dict[Key, State] = {}
        self.first = self.round()

    def round(self, *touched: Path, allow_empty: bool = False) -> Assembly:
        files = frozenset(map(str, touched)) if touched else None
        assembly = assemble(self.bootstrap, self.known, files, allow_empty)
        self.known = dict(assembly.states)
        return assembly


def names(assembly: Assembly) -> tuple[list[str], list[str]]:
    resources = assembly.bootstrap.static_resources
    return [each.name for each in resources.listeners], [each.name for each in resources.clusters]


def told(assembly: Assembly) -> list[tuple[str, str]]:
    return [(outcome.key.kind, outcome.result) for outcome in assembly.outcomes]


def state_of(assembly: Assembly, kind: str) -> State:
    """What is known of the one subscription of a kind."""
    (state,) = [state for key, state in assembly.states.items() if key.kind == kind]
    return state


def with_tls(listener: dict[str, Any], **common: Any) -> dict[str, Any]:
    """The listener with a TLS context of these common parts."""
    listener["filter_chains"][0]["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": f"{_TLS}DownstreamTlsContext", "common_tls_context": common},
    }
    return listener


def secret_in(path: Path, name: str = "served") -> dict[str, Any]:
    """A reference to a secret in a file."""
    return {"name": name, "sds_config": source(path)}


def secret(name: str = "served", **fields: Any) -> dict[str, Any]:
    return {"@type": f"{_TLS}Secret", "name": name, **fields}


class PairFiles:
    """A certificate and its key in two files."""

    def __init__(self, directory: Path, pair: Pair) -> None:
        directory.mkdir(exist_ok=True)
        self.crt = directory / "crt"
        self.key = directory / "key"
        self.write(pair)

    def write(self, pair: Pair) -> None:
        self.crt.write_text(pair.chain)
        self.key.write_text(pair.key)

    @property
    def config(self) -> dict[str, Any]:
        return {
            "certificate_chain": {"filename": str(self.crt)},
            "private_key": {"filename": str(self.key)},
        }


def as_static(listener: dict[str, Any]) -> dict[str, Any]:
    """As it stands among static resources, whatever clusters there are."""
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["validate_clusters"] = False
    return {name: value for name, value in listener.items() if name != "@type"}
