"""Route tables of Envoy's own tests with the answers that Envoy 1.40 gave.

The corpus lies beside the repository where there is one; PROXYD_CORPORA names its directory.
"""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxyd.codec.headers import Headers
from proxyd.config.route import RedirectResponseCode, Route, RouteConfiguration
from proxyd.snapshot.route import REDIRECT
from proxyd.snapshot.route import ROUTE as TO_CLUSTER
from proxyd.snapshot.router import compile_router

CORPORA = os.environ.get("PROXYD_CORPORA", "")

pytestmark = pytest.mark.skipif(not CORPORA, reason="PROXYD_CORPORA does not name the corpora's directory")


def entries() -> list[dict[str, Any]]:
    if not CORPORA:
        return []
    return list(json.loads((Path(CORPORA) / "routing.json").read_bytes()))


class Reduced:
    """A route table without what is not supported; ``lost`` says which clusters it therefore may miss."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.lost: set[str] = set()
        self.redirects_lost = False
        self.hosts_lost = False
        self.rewrites_lost = False
        hosts = []
        for host in table.get("virtual_hosts", ()):
            if "matcher" in host or "require_tls" in host:
                self.hosts_lost = True
            routes = [kept for route in host.get("routes", ()) for kept in self._route(route)]
            hosts.append({"name": host["name"], "domains": host["domains"], "routes": routes})
        known = {"virtual_hosts": hosts}
        if "ignore_port_in_host_matching" in table:
            known["ignore_port_in_host_matching"] = table["ignore_port_in_host_matching"]
        self.table = msgspec.convert(known, RouteConfiguration)

    def _route(self, route: dict[str, Any]) -> list[dict[str, Any]]:
        kept = {key: value for key, value in route.items() if key in ("name", "match", "redirect")}
        action = route.get("route")
        if action is not None:
            self.rewrites_lost |= any("rewrite" in key and key not in KEPT_OF_ACTION for key in action)
            kept["route"] = {key: value for key, value in action.items() if key in KEPT_OF_ACTION}
        code = kept.get("redirect", {}).get("response_code")
        if code is not None:
            kept["redirect"] = {**kept["redirect"], "response_code": RedirectResponseCode[code]}
        try:
            msgspec.convert(kept, Route)
        except msgspec.ValidationError:
            self.redirects_lost |= action is None
            self.lost |= clusters_of(action or {})
            return []
        return [kept]


KEPT_OF_ACTION = ("cluster", "prefix_rewrite", "host_rewrite_literal")


def clusters_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value[key] for key in ("cluster", "name") if isinstance(value.get(key), str)}
        return found.union(*(clusters_of(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(clusters_of(item) for item in value))
    return set()


@pytest.mark.parametrize("entry", entries())
def test_routes_are_chosen_as_envoy_chose_them(entry: dict[str, Any]) -> None:
    reduced = Reduced(entry["hcm"]["route_config"])
    router = compile_router(reduced.table)
    checked = 0
    for case in entry["cases"]:
        request, want = case["request"], case["want"]
        cluster, location = want.get("cluster"), want.get("location")
        if reduced.hosts_lost or cluster in reduced.lost:
            continue
        if cluster is None and (reduced.redirects_lost or reduced.lost or want["status"] == 400):
            continue
        headers = {name.lower(): value for name, value in request["headers"]}
        proto = headers.get("x-forwarded-proto", "http").encode()
        authority, path = request["authority"].encode(), request["path"].encode()
        route = router.match(
            authority,
            path,
            request["method"].encode(),
            proto,
            Headers([(name.encode(), value.encode()) for name, value in headers.items()]),
        )
        if cluster is None and location is None:
            assert (route is None) == (want["status"] == 404), request
            checked += 1
            continue
        assert route is not None, request
        if cluster is not None:
            assert (route.action, route.cluster) == (TO_CLUSTER, cluster), request
            if not reduced.rewrites_lost:
                assert route.rewrite_path(path) == want["path"].encode(), request
                assert (route.host_rewrite or authority) == want["host"].encode(), request
        else:
            assert (route.action, route.status) == (REDIRECT, want["status"]), request
            assert route.redirect_location(proto, authority, path) == location.encode(), request
        checked += 1
    if not checked:
        pytest.skip("every case of this table needs what is not supported")
