"""The files of all stories: what stands in them, and how a step changes it.

Words like $origin are ports and directories; the laboratory puts them in.
"""

import json
from typing import Any

from tests.conformance.bootstrap import HTTP, ROUTER, endpoints

_LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
_CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"

# An address for each: two listeners that let the system choose their ports on one would share them in Envoy.
_ADDRESSES = {
    name: f"127.0.0.{number}"
    for number, name in enumerate(("http", "routed", "served", "more", "other-name"), 21)
}


def file(*resources: dict[str, Any]) -> str:
    """A file with these resources."""
    return json.dumps({"resources": resources}, indent=1)


def source(path: str) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": f"$files/{path}"}}


def routes(
    said: str, cluster: str = "first", name: str = "routes", status: int = 200, **more: Any
) -> dict[str, Any]:
    """A route configuration: ``/said`` is answered at once, all else goes to ``cluster``."""
    return {
        "name": name,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [
                    {
                        "match": {"path": "/said"},
                        "direct_response": {"status": status, "body": {"inline_string": said}},
                    },
                    {"match": {"prefix": "/"}, "route": {"cluster": cluster}},
                ],
            }
        ],
        **more,
    }


def listener(
    name: str,
    said: str = "one",
    cluster: str = "first",
    *,
    port: Any = 0,
    manager: dict[str, Any] | None = None,
    tls: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    http = {
        "@type": f"{HTTP}.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        **(manager if manager is not None else {"route_config": routes(said, cluster)}),
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": http}]
    }
    if tls is not None:
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": _TLS, **tls},
        }
    return {
        "@type": _LISTENER,
        "name": name,
        "address": {"socket_address": {"address": _ADDRESSES[name], "port_value": port}},
        "filter_chains": [chain],
        **more,
    }


def routed() -> dict[str, Any]:
    """A listener whose routes are in rds.yaml."""
    return listener(
        "routed", manager={"rds": {"route_config_name": "routes", "config_source": source("rds.yaml")}}
    )


def served() -> dict[str, Any]:
    """A listener whose certificate is in sds.yaml."""
    secret = {"name": "served", "sds_config": source("sds.yaml")}
    return listener("served", tls={"common_tls_context": {"tls_certificate_sds_secret_configs": [secret]}})


def with_certificate(crt: str, key: str) -> dict[str, Any]:
    """A TLS context of two files in $certs."""
    files = {"certificate_chain": {"filename": f"$certs/{crt}"}, "private_key": {"filename": f"$certs/{key}"}}
    return {"common_tls_context": {"tls_certificates": [files]}}


def cluster(name: str, port: Any = "$origin", **more: Any) -> dict[str, Any]:
    return {
        "@type": _CLUSTER,
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": endpoints(name, ("127.0.0.1", port)),
        **more,
    }


def discovered() -> dict[str, Any]:
    """A cluster whose endpoints are in eds.yaml."""
    return {
        "@type": _CLUSTER,
        "name": "discovered",
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": source("eds.yaml")},
    }


def rds(*configurations: dict[str, Any]) -> str:
    return file(*({"@type": _ROUTES, **one} for one in configurations))


def eds(*ports: Any, name: str = "discovered", host: str = "127.0.0.1") -> str:
    return file({"@type": _ENDPOINTS, **endpoints(name, *((host, port) for port in ports))})


def secret(crt: str, key: str, name: str = "served") -> dict[str, Any]:
    files = {"certificate_chain": {"filename": f"$certs/{crt}"}, "private_key": {"filename": f"$certs/{key}"}}
    return {"@type": _SECRET, "name": name, "tls_certificate": files}


def trust(authority: str, name: str = "served") -> dict[str, Any]:
    """A secret that says whom to trust."""
    return {
        "@type": _SECRET,
        "name": name,
        "validation_context": {"trusted_ca": {"filename": f"$certs/{authority}"}},
    }


def bootstrap() -> str:
    return json.dumps(
        {
            "node": {"id": "updates", "cluster": "conformance"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "dynamic_resources": {"lds_config": source("lds.yaml"), "cds_config": source("cds.yaml")},
        }
    )


# What every story begins with.
BEGINNING = {
    "lds.yaml": file(listener("http"), routed()),
    "cds.yaml": file(cluster("first"), cluster("second", "$other"), discovered()),
    "rds.yaml": rds(routes("routed", "discovered")),
    "eds.yaml": eds("$origin"),
    "sds.yaml": file(secret("one.crt", "one.key")),
}
# What a story begins with that is about secrets.
SECRETS = BEGINNING | {"lds.yaml": file(listener("http"), routed(), served())}
