"""One Envoy bootstrap from the listeners that the modules of cases declare."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.client import PROBE_BODY

HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# A line for each request; the client's port says to which connection it belongs.
LOG_FORMAT = {
    "port": "%DOWNSTREAM_DIRECT_REMOTE_PORT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "authority": "%REQ(:AUTHORITY)%",
    "protocol": "%PROTOCOL%",
    "code": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "host": "%UPSTREAM_HOST%",
    "route": "%ROUTE_NAME%",
    "why": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}

_PROBED = {
    "name": "probe",
    "domains": ["probe.test"],
    "routes": [
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": PROBE_BODY.decode()}},
        }
    ],
}

# Clusters for everybody. `origin` takes a fresh connection for each request, so that no case depends on what
# the one before it left behind; `kept` keeps them.
CLUSTERS = """
origin: {load_assignment: $origin, typed_extension_protocol_options: $fresh}
kept: {load_assignment: $origin}
refused: {load_assignment: $refused}
full: {connect_timeout: 0.2s, load_assignment: $full}
empty: {load_assignment: $none}
"""


def endpoints(name: str, *addresses: tuple[str, int], weights: tuple[int, ...] = ()) -> dict[str, Any]:
    endpoints: list[dict[str, Any]] = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
        for host, port in addresses
    ]
    for endpoint, weight in zip(endpoints, weights, strict=False):
        endpoint["load_balancing_weight"] = weight
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def _clusters(text: str, origin: int, full: int, newer: int) -> list[dict[str, Any]]:
    fresh = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"max_requests_per_connection": 1},
    }
    made = []
    for name, fields in yaml.safe_load(text).items():
        cluster: dict[str, Any] = {"name": name, "connect_timeout": "2s", **fields}
        three = [(f"127.0.0.{number}", origin) for number in (11, 12, 13)]
        where = {
            "$origin": endpoints(name, ("127.0.0.1", origin)),
            "$refused": endpoints(name, ("127.0.0.1", 1)),
            "$newer": endpoints(name, ("127.0.0.1", newer)),
            "$full": endpoints(name, ("127.0.0.1", full)),
            "$localhost": endpoints(name, ("localhost", origin)),
            "$three": endpoints(name, *three),
            "$weighted": endpoints(name, *three, weights=(1, 3, 6)),
            "$none": {"cluster_name": name},
        }
        if "load_assignment" in cluster:
            cluster["load_assignment"] = where[cluster["load_assignment"]]
        options = cluster.get("original_dst_lb_config", {})
        if options.get("upstream_port_override") == "$origin":
            options["upstream_port_override"] = origin
        if cluster.get("typed_extension_protocol_options") == "$fresh":
            cluster["typed_extension_protocol_options"] = {OPTIONS: fresh}
        made.append(cluster)
    return made


def _listener(name: str, text: str, log: Path) -> dict[str, Any]:
    manager = yaml.safe_load(text)
    extra = manager.pop("log", {})
    log_filter = manager.pop("log_filter", None)
    manager["route_config"].setdefault("name", f"{name}-routes")
    manager["route_config"]["virtual_hosts"].append(_PROBED)
    log_format: dict[str, Any]
    if isinstance(extra, str):
        log_format = {"text_format_source": {"inline_string": f"%DOWNSTREAM_DIRECT_REMOTE_PORT% {extra}\n"}}
    else:
        log_format = {"json_format": {**LOG_FORMAT, **extra}}
    logger = {"@type": FILE_LOG, "path": str(log), "log_format": log_format}
    defaults = {
        "@type": f"{HTTP}.HttpConnectionManager",
        "stat_prefix": name,
        "delayed_close_timeout": "0.05s",
        "access_log": [{"name": "log", "filter": log_filter, "typed_config": logger}],
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }
    http = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {**defaults, **manager},
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [http]}],
    }


def bootstrap(
    listeners: Mapping[str, str], clusters: str, origin: int, full: int, log: Path, newer: int = 1
) -> str:
    """The YAML; all ports are chosen by the system. ``origin``, ``full`` and ``newer`` (an origin that speaks
    HTTP/2) are ports of 127.0.0.1.

    A listener's text is the connection manager's YAML. Two of its keys are not Envoy's: ``log``, further
    fields of the access log or a format in text, and ``log_filter``, which requests it tells of.
    """
    return json.dumps(  # YAML too, and every reader of YAML takes its strings alike
        {
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {
                "listeners": [_listener(name, text, log) for name, text in listeners.items()],
                "clusters": _clusters(CLUSTERS + clusters, origin, full, newer),
            },
        },
        indent=1,
    )
