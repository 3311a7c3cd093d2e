"""Files of resources beside an instance's configuration, and the ways in which operators replace them."""

import json
import os
from pathlib import Path
from typing import Any

from tests import windows
from tests.e2e.conftest import _address, config
from tests.net.certificates import Authority

_ENVOY = "type.googleapis.com/envoy."
LISTENER = _ENVOY + "config.listener.v3.Listener"
CLUSTER = _ENVOY + "config.cluster.v3.Cluster"
ROUTES = _ENVOY + "config.route.v3.RouteConfiguration"
ASSIGNMENT = _ENVOY + "config.endpoint.v3.ClusterLoadAssignment"
SECRET = _ENVOY + "extensions.transport_sockets.tls.v3.Secret"


def listener(name: str = "http", address: str = "127.0.0.1:0", **manager: Any) -> dict[str, Any]:
    """A listener in front of the cluster ``backend``; ``rds`` takes the place of its own routes."""
    (made,) = config("127.0.0.1:1", listeners={name: address}, **manager)["static_resources"]["listeners"]
    if "rds" in manager:
        del made["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]
    return {"@type": LISTENER, **made}


def cluster(*upstreams: str, name: str = "backend", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"@type": CLUSTER, "name": name, **fields}
    if upstreams:
        made["load_assignment"] = {k: v for k, v in assignment(*upstreams, name=name).items() if k != "@type"}
    return made


def assignment(*upstreams: str, name: str = "backend") -> dict[str, Any]:
    hosts = [{"endpoint": {"address": _address(upstream)}} for upstream in upstreams]
    return {"@type": ASSIGNMENT, "cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]}


def answers(status: int, name: str = "routes") -> dict[str, Any]:
    """A route table that answers everything itself."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": status}}
    return {
        "@type": ROUTES,
        "name": name,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
    }


def forwarding(number: int) -> dict[str, Any]:
    """A route table that leads all but ``/number`` to the cluster ``backend``."""
    made = answers(404)
    made["virtual_hosts"][0]["routes"] = [
        {"match": {"path": f"/{number}"}, "direct_response": {"status": 200}},
        {"match": {"prefix": "/"}, "route": {"cluster": "backend"}},
    ]
    return made


def served_secret(authority: Authority, **fields: Any) -> dict[str, Any]:
    """The secret ``served``: a new certificate for localhost; ``fields`` take the place of its own."""
    pair = authority.issue("localhost").config | fields
    return {"@type": SECRET, "name": "served", "tls_certificate": pair}


def source(path: Path) -> dict[str, Any]:
    return {"path_config_source": {"path": str(path)}}


def response(*resources: dict[str, Any], version: str = "") -> str:
    return json.dumps({"version_info": version, "resources": resources})


class ResourceFile:
    """One file; made whole at first, then replaced in one of three ways."""

    def __init__(self, path: Path, *resources: dict[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(exist_ok=True)
        path.write_text(response(*resources))

    def move(self, text: str) -> None:
        """Another file from another directory takes its place."""
        elsewhere = self.path.parent / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        new = elsewhere / self.path.name
        new.write_text(text)
        os.utime(new, (0, 0))  # it has been there for a while
        windows.replace(new, self.path)

    def write(self, text: str) -> None:
        """Written over in place, as an editor may do it."""
        with self.path.open("r+") as file:
            file.write(text)
            file.truncate()


def bootstrap(**dynamic: Path) -> dict[str, Any]:
    """A configuration with resources in files: ``lds`` and ``cds``."""
    return {
        "admin": {"address": _address("127.0.0.1:0")},
        "dynamic_resources": {f"{kind}_config": source(path) for kind, path in dynamic.items()},
    }
