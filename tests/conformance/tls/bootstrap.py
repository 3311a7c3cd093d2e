"""One bootstrap from the TLS listeners and clusters that the modules of cases declare."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.bootstrap import FILE_LOG, HTTP, LOG_FORMAT, OPTIONS, ROUTER, endpoints

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_INSPECTOR = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"

TLS_LOG = {
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "chain": "%FILTER_CHAIN_NAME%",
    "subject": "%DOWNSTREAM_PEER_SUBJECT%",
    "issuer": "%DOWNSTREAM_PEER_ISSUER%",
    "serial": "%DOWNSTREAM_PEER_SERIAL%",
    "fingerprint": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
    "fingerprint1": "%DOWNSTREAM_PEER_FINGERPRINT_1%",
    "dns": "%DOWNSTREAM_PEER_DNS_SAN%",
    "uri": "%DOWNSTREAM_PEER_URI_SAN%",
    "starts": "%DOWNSTREAM_PEER_CERT_V_START%",
    "ends": "%DOWNSTREAM_PEER_CERT_V_END%",
    "local": "%DOWNSTREAM_LOCAL_SUBJECT%",
    "local_dns": "%DOWNSTREAM_LOCAL_DNS_SAN%",
    "upstream_tls": "%UPSTREAM_TLS_VERSION%",
    "upstream_subject": "%UPSTREAM_PEER_SUBJECT%",
}


def certificate(name: str) -> str:
    """An entry of tls_certificates."""
    chain, key = (f"{{filename: $certs/{name}.{kind}}}" for kind in ("crt", "key"))
    return f"{{certificate_chain: {chain}, private_key: {key}}}"


@dataclass(frozen=True)
class Chain:
    """A filter chain, in YAML: its match, the DownstreamTlsContext ("" for none), the manager's fields."""

    tls: str = ""
    match: str = ""
    manager: str = ""
    name: str = ""


@dataclass(frozen=True)
class TlsListener:
    """``inspect`` puts the TLS inspector in front; ``fields`` are YAML of further fields of the listener."""

    chains: tuple[Chain, ...]
    default: Chain | None = None
    inspect: bool = False
    fields: str = ""


@dataclass(frozen=True)
class TlsCluster:
    """In YAML: ``tls`` the UpstreamTlsContext, None for none; ``http`` the upstream_http_protocol_options."""

    origin: str
    tls: str | None = ""
    http: str = ""
    fields: str = ""


@dataclass
class Scene:
    """What all modules declare together."""

    listeners: dict[str, TlsListener] = field(default_factory=dict)
    clusters: dict[str, TlsCluster] = field(default_factory=dict)


def _chain(place: str, chain: Chain, log: Path) -> dict[str, Any]:
    manager = {
        "@type": f"{HTTP}.HttpConnectionManager",
        "stat_prefix": place,
        "delayed_close_timeout": "0.05s",
        "access_log": [
            {
                "name": "log",
                "typed_config": {
                    "@type": FILE_LOG,
                    "path": str(log),
                    "log_format": {"json_format": {**LOG_FORMAT, **TLS_LOG}},
                },
            }
        ],
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        "route_config": {
            "name": "routes",
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "origin"}}],
                }
            ],
        },
        **(yaml.safe_load(chain.manager) or {}),
    }
    made: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if chain.match:
        made["filter_chain_match"] = yaml.safe_load(chain.match)
    if chain.name:
        made["name"] = chain.name
    if chain.tls:
        made["transport_socket"] = _socket("DownstreamTlsContext", chain.tls)
    return made


def _socket(kind: str, text: str) -> dict[str, Any]:
    context = {"@type": f"{_TLS}.{kind}", **(yaml.safe_load(text) or {})}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _listener(name: str, listener: TlsListener, log: Path) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "stat_prefix": name,
        "filter_chains": [_chain(name, chain, log) for chain in listener.chains],
        **(yaml.safe_load(listener.fields) or {}),
    }
    if listener.default is not None:
        made["default_filter_chain"] = _chain(name, listener.default, log)
    if listener.inspect:
        made["listener_filters"] = [
            {"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": _INSPECTOR}}
        ]
    return made


def _cluster(name: str, cluster: TlsCluster, ports: Mapping[str, int]) -> dict[str, Any]:
    fresh = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"max_requests_per_connection": 1},
    }
    if cluster.http:
        fresh["upstream_http_protocol_options"] = yaml.safe_load(cluster.http)
    made: dict[str, Any] = {
        "name": name,
        "connect_timeout": "2s",
        "load_assignment": endpoints(name, ("127.0.0.1", ports[cluster.origin])),
        "typed_extension_protocol_options": {OPTIONS: fresh},
        **(yaml.safe_load(cluster.fields) or {}),
    }
    if cluster.tls is not None:
        made["transport_socket"] = _socket("UpstreamTlsContext", cluster.tls)
    return made


def bootstrap(scene: Scene, ports: Mapping[str, int], words: Mapping[str, str], log: Path) -> str:
    """The YAML. ``ports`` are the origins', ``words`` what stands for ``$word`` in the texts."""
    routes = [
        {"match": {"path": f"/{name}"}, "route": {"cluster": name, "timeout": "4s"}}
        for name in scene.clusters
        if name != "origin"
    ]
    asked = Chain(manager=json.dumps({"route_config": {"name": "upstreams", "virtual_hosts": [
        {"name": "all", "domains": ["*"], "routes": routes}]}}))  # fmt: skip
    listeners = {"upstreams": TlsListener((asked,))} if routes else {}
    text = json.dumps(
        {
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {
                "listeners": [
                    _listener(name, listener, log)
                    for name, listener in {**scene.listeners, **listeners}.items()
                ],
                "clusters": [
                    _cluster(name, cluster, ports)
                    for name, cluster in {"origin": TlsCluster("origin", None), **scene.clusters}.items()
                ],
            },
        },
        indent=1,
    )
    for word, value in words.items():
        text = text.replace(f"${word}", value)
    return text
