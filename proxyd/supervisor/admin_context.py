"""What the admin API asks, answered from the supervisor (``admin.context.AdminContext``)."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from proxyd import __version__
from proxyd.admin.context import (
    ClusterView,
    DynamicView,
    ErrorView,
    HostView,
    ListenerView,
    MemoryView,
    RuntimeLayer,
    ServerView,
    WorkerView,
)
from proxyd.config.canonical import to_proto_json
from proxyd.snapshot.clusters import logical_host
from proxyd.stats.view import StatsView
from proxyd.supervisor.operations import Operations
from proxyd.supervisor.options import StartOptions
from proxyd.supervisor.resources import CDS, LDS, SDS, STATIC_KEY, Problem
from proxyd.supervisor.supervisor import Supervisor
from proxyd.supervisor.vitals import flatten
from proxyd.supervisor.worker_views import worker_views
from proxyd.workers.logs import COMPONENTS


class SupervisorContext:
    """Reads are of what is known already; changes are the supervisor's operations."""

    def __init__(self, supervisor: Supervisor, operations: Operations) -> None:
        self._supervisor: Final = supervisor
        self._operations: Final = operations

    def stats(self) -> StatsView:
        return self._supervisor.totals.read()

    def workers(self) -> Sequence[WorkerView]:
        return worker_views(self._supervisor)

    def listeners(self) -> Sequence[ListenerView]:
        return [ListenerView(name, addresses) for name, addresses in self._supervisor.listening()]

    def clusters(self) -> Sequence[ClusterView]:
        generation = self._supervisor.current
        if generation is None:
            return []
        written = self._supervisor.configuration
        static = {each.name for each in written.written.static_resources.clusters} if written else set()
        return [
            ClusterView(
                name=names.cluster.name,
                hosts=[HostView(*entry, counted_as=logical_host(names.cluster)) for entry in names.hosts],
                observability_name=names.cluster.alt_stat_name,
                added_via_api=names.cluster.name not in static,
            )
            for names in generation.hosts.names.values()
        ]

    def certificates(self) -> Sequence[Mapping[str, object]]:
        present = self._supervisor.configuration
        now = time.time()
        return [] if present is None else [context.to_json(now) for context in present.tls_contexts]

    def bootstrap(self) -> Mapping[str, object]:
        present = self._supervisor.configuration
        return present.proto_json if present is not None else {}

    def dynamic(self) -> Sequence[DynamicView]:
        found: list[DynamicView] = []
        for key, state in self._supervisor.updates.states.items():
            if key == STATIC_KEY:
                found += map(_static_error, state.problems.items())
                continue
            for name in dict.fromkeys((*state.resources, *state.problems)):
                resource, problem = state.resources.get(name), state.problems.get(name)
                found.append(
                    DynamicView(
                        kind=key.kind,
                        name=name or key.file,
                        version_info=resource.version_info if resource is not None else "",
                        message=to_proto_json(resource.message) if resource is not None else None,
                        updated=resource.updated if resource is not None else 0.0,
                        error=_error_view(problem),
                    )
                )
        return found

    def dynamic_versions(self) -> Mapping[str, str]:
        states = self._supervisor.updates.states.items()
        return {key.kind: state.version_info for key, state in states if key.kind in (LDS, CDS)}

    def config_loaded_at(self) -> float:
        return self._supervisor.loaded_at

    def server(self) -> ServerView:
        supervisor = self._supervisor
        now = time.monotonic()
        current = supervisor.current
        node = self.bootstrap().get("node")
        return ServerView(
            version=__version__,
            state=supervisor.state,
            generation=current.number if current is not None else 0,
            uptime_current_epoch=now - (current.born if current is not None else supervisor.born),
            uptime_all_epochs=now - supervisor.born,
            command_line_options=self._command_line(supervisor.options),
            node=node if isinstance(node, dict) else {},
        )

    def _command_line(self, options: StartOptions) -> Mapping[str, object]:
        """Envoy's CommandLineOptions, as far as they exist here."""
        supervisor = self._supervisor
        current = supervisor.current
        return {
            "concurrency": current.roster.size if current is not None else supervisor.workers_wanted or 0,
            "config_path": supervisor.sources.config_path or "",
            "config_yaml": supervisor.sources.config_yaml or "",
            "admin_address_path": options.admin_address_path or "",
            "log_level": options.log_level,
            "component_log_level": ",".join(
                f"{name}:{level}" for name, level in options.component_log_levels
            ),
            "log_format": options.log_format,
            "log_path": options.log_path or "",
            "drain_time": f"{options.drain_time_s:g}s",
            "mode": "Serve",
        }

    def memory(self) -> MemoryView:
        supervisor = self._supervisor
        pids = [os.getpid(), *(worker.pid for worker in self.workers())]
        physical = sum(supervisor.vitals.usage(pid).memory for pid in pids)
        return MemoryView(allocated=physical, heap_size=physical, physical=physical)

    def log_levels(self) -> Mapping[str, str]:
        levels = self._supervisor.log.levels
        return {name: levels.get(name, levels[""]) for name in COMPONENTS}

    def runtime_layers(self) -> Sequence[RuntimeLayer]:
        supervisor = self._supervisor
        if supervisor.configuration is None or supervisor.configuration.written.layered_runtime is None:
            return []
        layers: list[RuntimeLayer] = []
        for layer in supervisor.configuration.written.layered_runtime.layers:
            if layer.admin_layer is not None:
                layers.append(RuntimeLayer(layer.name, supervisor.runtime, admin=True))
            else:
                values = flatten(layer.static_layer) if layer.static_layer else {}
                layers.append(RuntimeLayer(layer.name, {key: _text(value) for key, value in values.items()}))
        return layers

    def allowed_hosts(self) -> Sequence[str]:
        return ()

    async def set_log_levels(self, levels: Mapping[str, str]) -> None:
        await self._operations.set_log_levels(levels)

    async def runtime_modify(self, values: Mapping[str, str]) -> None:
        await self._operations.modify_runtime(values)

    async def drain_listeners(self, graceful: bool, skip_exit: bool, inbound_only: bool) -> None:
        await self._operations.drain_listeners(graceful, skip_exit, inbound_only)

    async def healthcheck_fail(self) -> None:
        await self._operations.set_health(healthy=False)

    async def healthcheck_ok(self) -> None:
        await self._operations.set_health(healthy=True)

    async def reset_counters(self) -> None:
        self._supervisor.totals.reset_counters()

    async def reopen_logs(self) -> Sequence[str]:
        return await self._operations.reopen_logs()

    async def quit(self) -> None:
        self._supervisor.stop(now=False)


# As what the error of a static resource is shown: Envoy's dump has a place for those of dynamic ones alone.
_KINDS: Final = {"listeners": LDS, "clusters": CDS, "secrets": SDS}


def _static_error(problem: tuple[str, Problem]) -> DynamicView:
    """Files of a static resource have changed and cannot be used. ``listeners[0]`` is its place."""
    place, why = problem
    kind = _KINDS.get(place.partition("[")[0], LDS)
    name = f"static_resources.{place}" if place else "static_resources"
    return DynamicView(kind, name, "", None, 0.0, _error_view(why))


def _error_view(problem: Problem | None) -> ErrorView | None:
    if problem is None:
        return None
    message = to_proto_json(problem.message) if problem.message is not None else None
    return ErrorView("\n".join(problem.reasons), problem.when, problem.version_info, message)


def _text(value: object) -> str:
    """A runtime value as Envoy prints it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
