"""A supervisor that does nothing but remember what it was asked to do."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from proxyd.admin.api import handle
from proxyd.admin.context import (
    LIVE,
    ClusterView,
    DynamicView,
    HostView,
    ListenerView,
    MemoryView,
    RuntimeLayer,
    ServerView,
    Thresholds,
    WorkerView,
)
from proxyd.admin.messages import AdminReply, AdminRequest
from proxyd.stats.metrics import Registry
from proxyd.stats.totals import Totals
from proxyd.stats.view import StatsView

Ask = Callable[..., AdminReply]


class FakeContext:
    """An AdminContext. Tests change its attributes and read ``calls``."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.not_reopened: list[str] = []
        self.registry = Registry()
        self.totals = Totals(self.registry)
        self.registry.gauge("server.concurrency").value = 2
        self.state = LIVE
        self.hosts: list[str] = []
        self.used_certificates: list[dict[str, object]] = []
        self.layers: list[RuntimeLayer] = []
        self.levels = {"admin": "info", "supervisor": "info"}
        self.dynamic_views: list[DynamicView] = []
        self.worker_views = [
            WorkerView(
                pid=4242, generation=1, slot=0, state="ready", connections=3, requests_active=1,
                requests_total=70, cpu_seconds=1.25, cpu_percent=12.5, memory=64 << 20, loop_lag=0.0004,
                loop_lag_max=0.02, heartbeat_age=0.05, uptime=61.0,
            )
        ]  # fmt: skip
        self.cluster_views = [
            ClusterView("backend", [HostView("127.0.0.1", 9001, "localhost"), HostView("::1", 9002, "six")])
        ]
        self.config: dict[str, object] = {
            "node": {"id": "edge-1"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}},
            "static_resources": {
                "listeners": [
                    {
                        "name": "front",
                        "filter_chains": [
                            {
                                "filters": [
                                    {"name": "hcm", "typed_config": {"route_config": {"name": "local"}}}
                                ]
                            }
                        ],
                    }
                ],
                "clusters": [{"name": "backend", "type": "STATIC"}, {"name": "other", "type": "STATIC"}],
            },
        }

    def stats(self) -> StatsView:
        return self.totals.read()

    def workers(self) -> list[WorkerView]:
        return self.worker_views

    def listeners(self) -> list[ListenerView]:
        return [ListenerView("front", [("127.0.0.1", 8080), ("::1", 8081)])]

    def clusters(self) -> list[ClusterView]:
        return self.cluster_views

    def certificates(self) -> list[dict[str, object]]:
        return self.used_certificates

    def bootstrap(self) -> Mapping[str, object]:
        return self.config

    def dynamic(self) -> list[DynamicView]:
        return self.dynamic_views

    def dynamic_versions(self) -> Mapping[str, str]:
        return {"lds": "7", "cds": "8"} if self.dynamic_views else {}

    def config_loaded_at(self) -> float:
        return 1795374160.255

    def server(self) -> ServerView:
        return ServerView("proxyd/1.0", self.state, 2, 5.7, 13.2, {"concurrency": 2}, {"id": "edge-1"})

    def memory(self) -> MemoryView:
        return MemoryView(allocated=100, heap_size=150, physical=200)

    def log_levels(self) -> Mapping[str, str]:
        return self.levels

    def runtime_layers(self) -> list[RuntimeLayer]:
        return self.layers

    def allowed_hosts(self) -> list[str]:
        return self.hosts

    async def set_log_levels(self, levels: Mapping[str, str]) -> None:
        self.calls.append(("set_log_levels", dict(levels)))

    async def runtime_modify(self, values: Mapping[str, str]) -> None:
        self.calls.append(("runtime_modify", dict(values)))

    async def drain_listeners(self, graceful: bool, skip_exit: bool, inbound_only: bool) -> None:
        self.calls.append(("drain_listeners", graceful, skip_exit, inbound_only))

    async def healthcheck_fail(self) -> None:
        self.calls.append(("healthcheck_fail",))

    async def healthcheck_ok(self) -> None:
        self.calls.append(("healthcheck_ok",))

    async def reset_counters(self) -> None:
        self.calls.append(("reset_counters",))

    async def reopen_logs(self) -> list[str]:
        self.calls.append(("reopen_logs",))
        return self.not_reopened

    async def quit(self) -> None:
        self.calls.append(("quit",))


ENVOYS_LIMITS = Thresholds(1024, 1024, 1024, 3)


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


@pytest.fixture
def ask(context: FakeContext) -> Ask:
    """ask("/path?query", method="GET", body=b"", **headers): underscores in header names are hyphens."""

    def send(target: str, method: str = "GET", body: bytes = b"", **headers: str) -> AdminReply:
        path, _, query = target.partition("?")
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return asyncio.run(handle(context, AdminRequest(method, path, query, body, fields)))

    return send
