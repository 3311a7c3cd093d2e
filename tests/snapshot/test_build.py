import json
from typing import Any

import msgspec
import pytest

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.errors import REQUEST_TIMEOUT
from proxyd.snapshot.build import Snapshot, SnapshotError, compile_snapshot
from proxyd.snapshot.http_connection_manager import APPEND_IF_ABSENT, OVERWRITE
from proxyd.stats.metrics import Registry
from tests.net.playbook import BACKEND, FILE_LOG, HCM, ROUTER


def address(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def listener(port: int, manager: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    config = {
        "@type": HCM,
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [BACKEND]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        **(manager or {}),
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]
    return {"address": address("127.0.0.1", port), "filter_chains": [{"filters": filters}], **fields}


def build(*listeners: dict[str, Any], runtime: list[dict[str, Any]] | None = None) -> Snapshot:
    assignment = {
        "cluster_name": "backend",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address("10.0.0.1", 80)}}]}],
    }
    bootstrap: dict[str, Any] = {
        "static_resources": {
            "listeners": list(listeners),
            "clusters": [{"name": "backend", "load_assignment": assignment}],
        }
    }
    if runtime is not None:
        layers = [{"name": f"l{index}", "static_layer": layer} for index, layer in enumerate(runtime)]
        bootstrap["layered_runtime"] = {"layers": layers}
    text = Text("test", json.dumps(bootstrap))
    return compile_snapshot(load_text(text), Registry(), 0)


def test_nothing_configured_is_nothing_to_run() -> None:
    snapshot = compile_snapshot(load_text(Text("test", "{}")), Registry(), 0)
    assert (snapshot.listeners, snapshot.clusters) == ([], {})


def test_listeners_keep_their_order_and_clusters_their_names() -> None:
    snapshot = build(listener(81, name="b"), listener(80), listener(82, name="a"))
    assert [made.name for made in snapshot.listeners] == ["b", "127.0.0.1:80", "a"]
    assert [made.address for made in snapshot.listeners] == ["127.0.0.1:81", "127.0.0.1:80", "127.0.0.1:82"]
    assert list(snapshot.clusters) == ["backend"]


def test_an_ipv6_address_has_brackets() -> None:
    made = build({**listener(80), "address": address("::1", 80)}).listeners[0]
    assert made.address == "[::1]:80"


def test_what_is_not_said_has_envoys_defaults() -> None:
    made = build(listener(80)).listeners[0]
    assert (made.buffer_limit, made.connection_limit) == (1024 * 1024, -1)
    manager = made.chains[0].terminal
    assert (manager.server_name, manager.server_header, manager.stream_idle_timeout) == (
        b"envoy",
        OVERWRITE,
        300.0,
    )
    assert (manager.request_timeout, manager.max_stream_duration) == (0.0, 0.0)
    assert manager.forwarding.generate_request_id
    options = manager.connection
    assert (options.max_header_bytes, options.max_header_count, options.accept_http_10) == (61440, 100, False)
    assert (options.idle_timeout, options.delayed_close_timeout) == (3600.0, 1.0)
    assert (options.max_requests_per_connection, options.max_connection_duration) == (0, 0.0)


def test_what_is_said_is_kept() -> None:
    manager = {
        "server_name": "me",
        "server_header_transformation": "APPEND_IF_ABSENT",
        "stream_idle_timeout": "0s",
        "request_timeout": "1.5s",
        "request_headers_timeout": "2s",
        "delayed_close_timeout": "0s",
        "max_request_headers_kb": 8,
        "generate_request_id": False,
        "via": "v",
        "use_remote_address": True,
        "xff_num_trusted_hops": 2,
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "d"},
        "common_http_protocol_options": {
            "idle_timeout": "0s",
            "max_headers_count": 7,
            "max_connection_duration": "9s",
            "max_stream_duration": "8s",
            "max_requests_per_connection": 3,
        },
        "access_log": [
            {"name": "f", "typed_config": {"@type": FILE_LOG, "path": "/x"}},
            {
                "name": "s",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
                },
            },
        ],
    }
    made = build(listener(80, manager, per_connection_buffer_limit_bytes=9)).listeners[0]
    compiled = made.chains[0].terminal
    assert (compiled.server_name, compiled.server_header, compiled.via) == (b"me", APPEND_IF_ABSENT, b"v")
    assert (compiled.stream_idle_timeout, compiled.request_timeout, compiled.max_stream_duration) == (
        0.0,
        1.5,
        8.0,
    )
    assert (compiled.forwarding.edge, compiled.forwarding.trusted_hops) == (True, 2)
    assert not compiled.forwarding.generate_request_id
    assert [(log.path, log.standard) for log in compiled.access_logs] == [("/x", 0), ("", 1)]
    options = compiled.connection
    assert (options.buffer_limit, options.max_header_bytes, options.max_header_count) == (9, 8192, 7)
    assert (options.accept_http_10, options.default_host_for_http_10) == (True, b"d")
    assert (options.idle_timeout, options.max_connection_duration) == (0.0, 9.0)
    assert (options.head_timeout, options.head_timeout_failure) == (1.5, REQUEST_TIMEOUT)
    assert (options.delayed_close_timeout, options.max_requests_per_connection) == (0.0, 3)


LIMIT = "envoy.resource_limits.listener.front.connection_limit"


@pytest.mark.parametrize(
    ("runtime", "limit"),
    [
        ([{LIMIT: 10}], 10),
        ([{LIMIT: 0}], 0),
        ([{"envoy": {"resource_limits": {"listener": {"front": {"connection_limit": 10}}}}}], 10),
        ([{LIMIT: 10}, {LIMIT: 6}], 6),
        ([{"envoy.resource_limits.listener.other.connection_limit": 1}], -1),
    ],
)
def test_the_runtime_limits_a_listeners_connections(runtime: list[dict[str, Any]], limit: int) -> None:
    assert build(listener(80, name="front"), runtime=runtime).listeners[0].connection_limit == limit


def test_a_listener_without_a_name_has_no_limit() -> None:
    runtime = [{"envoy.resource_limits.listener..connection_limit": 1}]
    assert build(listener(80), runtime=runtime).listeners[0].connection_limit == -1


@pytest.mark.parametrize("value", ["many", "", [1], True, 1.5, -1])
def test_a_connection_limit_is_a_whole_number(value: object) -> None:
    with pytest.raises(SnapshotError, match=r"front\.connection_limit is .*, not a whole number"):
        build(listener(80, name="front"), runtime=[{LIMIT: value}])


def test_text_may_stand_for_a_number() -> None:
    assert build(listener(80, name="front"), runtime=[{LIMIT: "12"}]).listeners[0].connection_limit == 12


def test_a_table_that_cannot_be_compiled_names_its_listener() -> None:
    hosts = [{"name": name, "domains": ["a"], "routes": [BACKEND]} for name in ("one", "two")]
    broken = listener(80, {"route_config": {"virtual_hosts": hosts}}, name="front")
    bootstrap = msgspec.convert({"static_resources": {"listeners": [broken]}}, Bootstrap)
    with pytest.raises(SnapshotError, match=r"^listener front: "):
        compile_snapshot(bootstrap, Registry(), 0)


def test_compiling_twice_counts_in_the_same_stats() -> None:
    registry = Registry()
    text = Text(
        "test",
        json.dumps(
            {"static_resources": {"clusters": [{"name": "c", "load_assignment": {"cluster_name": "c"}}]}}
        ),
    )
    first = compile_snapshot(load_text(text), registry, 0)
    again = compile_snapshot(load_text(text), registry, 0)
    assert first.clusters["c"].stats.upstream_rq_total is again.clusters["c"].stats.upstream_rq_total
