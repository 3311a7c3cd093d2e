"""Route tables of Envoy's own tests with the answers that Envoy 1.40 gave.

The corpus lies beside the repository where there is one; PROXYD_CORPORA names its directory.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from proxyd.codec.headers import Headers
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.sources import Text
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.route import ROUTE, Route
from proxyd.snapshot.router import Router, compile_router

CORPORA = os.environ.get("PROXYD_CORPORA", "")

pytestmark = pytest.mark.skipif(not CORPORA, reason="PROXYD_CORPORA does not name the corpora's directory")

# Options that proxyd refuses and that change neither what these cases match nor what is sent.
HARMLESS_WORDS = """
    cors decorator early_data_policy grpc_timeout_offset hedge_policy include_is_timeout_retry_header
    internal_only_headers internal_redirect_policy metadata priority request_body_buffer_limit
    request_mirror_policies retry_policy stat_prefix upgrade_configs virtual_clusters
"""
HARMLESS = frozenset(HARMLESS_WORDS.split())
HCM = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config."


def entries() -> list[Any]:
    if not CORPORA:
        return []
    corpus = json.loads((Path(CORPORA) / "routing.json").read_bytes())
    return [pytest.param(entry, id=f"table{number}") for number, entry in enumerate(corpus)]


def clusters_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value[key] for key in ("cluster", "name") if isinstance(value.get(key), str)}
        return found.union(*(clusters_of(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(clusters_of(item) for item in value))
    return set()


def bootstrap_of(manager: dict[str, Any]) -> Bootstrap:
    """The table loaded as an operator's; harmless options that are not supported are left out of it."""
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters = [{"name": name} for name in sorted(clusters_of(manager["route_config"])) if name]
    while True:
        text = json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}})
        try:
            return load_text(Text("corpus", text))
        except ConfigErrors as errors:
            paths = [mistake.path for mistake in errors.mistakes]
            refused = {path.rpartition(".")[2] for path in paths} - HARMLESS
            if refused:
                pytest.skip(f"the table needs {', '.join(sorted(refused))}")
            for path in paths:
                remove(manager, path.removeprefix(HCM))


def remove(manager: Any, path: str) -> None:
    *parents, last = re.findall(r"[^.\[\]]+", path)
    for name in parents:
        manager = manager[int(name) if name.isdigit() else name]
    del manager[last]


@pytest.mark.parametrize("entry", entries())
def test_requests_are_routed_as_envoy_routed_them(entry: dict[str, Any]) -> None:
    bootstrap = bootstrap_of(entry["hcm"])
    manager = bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config
    router = compile_router(manager.route_config)
    for case in entry["cases"]:
        request, want = case["request"], case["want"]
        if want["status"] == 400:
            continue  # no request that a router sees
        info = stream_info(request)
        found = route_of(router, info)
        if found is None:
            assert want["status"] == 404, request
        elif found.action == ROUTE:
            assert found.cluster_name(info) == want["cluster"], request
            found.finalize_request(info)
            assert info.path == want["path"].encode(), request
            assert info.authority == want["host"].encode(), request
            for name, value in want["req_headers"].items():
                values = [value] if isinstance(value, str) else value
                sent = [each.decode() for each in info.request_headers.get_all(name.encode())]
                assert sent == values, (name, request)
        else:
            assert found.status == want["status"], request
            assert found.take_location(info) == (want["location"] or "").encode(), request


def stream_info(request: dict[str, Any]) -> StreamInfo:
    info = StreamInfo()
    info.method, info.path = request["method"].encode(), request["path"].encode()
    info.authority = request["authority"].encode()
    info.request_headers = Headers(
        [(name.lower().encode(), value.encode()) for name, value in request["headers"]]
    )
    info.scheme = info.request_headers.get(b"x-forwarded-proto") or b"http"
    # A client's word that it is inside counts for nothing.
    info.request_headers.remove(b"x-envoy-internal")
    return info


def route_of(router: Router, info: StreamInfo) -> Route | None:
    return router.match(info.authority, info.path, info.method, info.scheme, info.request_headers)
