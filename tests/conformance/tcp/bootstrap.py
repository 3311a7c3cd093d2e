"""One bootstrap of all TCP cases: a listener, a filter chain and a cluster for each."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.bootstrap import FILE_LOG, endpoints
from tests.conformance.tcp.case import TcpCase

TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"

LOG = {
    "flags": "%RESPONSE_FLAGS%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "protocol": "%PROTOCOL%",
    "code": "%RESPONSE_CODE%",
    "code_details": "%RESPONSE_CODE_DETAILS%",
    "details": "%CONNECTION_TERMINATION_DETAILS%",
    "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "host": "%UPSTREAM_HOST%",
    "peer": "%UPSTREAM_REMOTE_ADDRESS%",
    "upstream_protocol": "%UPSTREAM_PROTOCOL%",
    "upstream_tls": "%UPSTREAM_TLS_VERSION%",
    "upstream_local": "%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "local": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "remote": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "direct_remote": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "chain": "%FILTER_CHAIN_NAME%",
    "type": "%ACCESS_LOG_TYPE%",
    "wire_received": "%DOWNSTREAM_WIRE_BYTES_RECEIVED%",
    "wire_sent": "%DOWNSTREAM_WIRE_BYTES_SENT%",
    "upstream_wire_received": "%UPSTREAM_WIRE_BYTES_RECEIVED%",
    "upstream_wire_sent": "%UPSTREAM_WIRE_BYTES_SENT%",
    "authority": "%REQ(:AUTHORITY)%",
    "request_duration": "%REQUEST_DURATION%",
    "first_upstream": "%COMMON_DURATION(DS_RX_BEG:US_TX_BEG)%",
}


def log_of(directory: Path, case: str, kind: str = "") -> Path:
    """Where the lines of a case go; ``kind`` is ``listener`` for the log of its listener."""
    return directory / f"{case}.{kind}log"


def _logger(path: Path) -> list[dict[str, Any]]:
    config = {"@type": FILE_LOG, "path": str(path), "log_format": {"json_format": LOG}}
    return [{"name": "log", "typed_config": config}]


def _listener(case: TcpCase, directory: Path) -> dict[str, Any]:
    proxy = {
        "@type": TCP_PROXY,
        "stat_prefix": case.name,
        "cluster": case.name,
        "access_log": _logger(log_of(directory, case.name)),
        **(yaml.safe_load(case.proxy) or {}),
    }
    if "weighted_clusters" in proxy:
        del proxy["cluster"]
    filters = yaml.safe_load(case.filters) or []
    if not case.only:
        filters.append({"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy})
    chain = {"filters": filters, **(yaml.safe_load(case.chain) or {})}
    return {
        "name": case.name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "stat_prefix": case.name,
        "access_log": _logger(log_of(directory, case.name, "listener")),
        "filter_chains": [chain, *(yaml.safe_load(case.chains) or [])],
        **(yaml.safe_load(case.listener) or {}),
    }


def _cluster(case: TcpCase, port: int) -> dict[str, Any]:
    fields = yaml.safe_load(case.cluster) or {}
    if fields.get("type") != "ORIGINAL_DST":
        fields.setdefault("load_assignment", endpoints(case.name, ("127.0.0.1", port)))
    return {"name": case.name, "connect_timeout": "2s", **fields}


def bootstrap(cases: Iterable[TcpCase], ports: Mapping[str, int], directory: Path, pki: Path) -> str:
    """The YAML. ``ports`` are the hosts' by the names of the cases."""
    cases = list(cases)
    config = {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": [_filled(_listener(case, directory), case, ports[case.name]) for case in cases],
            "clusters": [_filled(_cluster(case, ports[case.name]), case, ports[case.name]) for case in cases],
        },
    }
    return json.dumps(config, indent=1).replace("$certs", str(pki))


def _filled(made: dict[str, Any], case: TcpCase, port: int) -> Any:
    text = json.dumps(made).replace("$case", case.name).replace('"$port"', str(port))
    return json.loads(text)
