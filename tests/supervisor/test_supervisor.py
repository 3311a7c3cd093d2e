"""A whole supervisor in this process, with real zygotes and workers; see tests/e2e for it under load."""

import asyncio
import errno
import json
import os
import socket
import time
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from proxyd.config.load import ConfigErrors, Sources
from proxyd.supervisor.admin_context import SupervisorContext
from proxyd.supervisor.admin_service import AdminService
from proxyd.supervisor.commands import Done, Refused, Reload, Reloaded, ReopenLogs, Stats, StatsPage, Stop
from proxyd.supervisor.generation import Generation
from proxyd.supervisor.operations import Operations
from proxyd.supervisor.options import StartOptions
from proxyd.supervisor.problems import StartError
from proxyd.supervisor.supervisor import Supervisor
from proxyd.system import native
from proxyd.workers import logs
from proxyd.workers.control import LogSettings

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def configuration(body: str, *, port: int = 0, names: tuple[str, ...] = ("web",), **more: object) -> str:
    """A bootstrap whose listeners answer everything with ``body``."""
    manager = {
        "@type": HCM,
        "stat_prefix": "web",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 200, "body": {"inline_string": body}},
                        }
                    ],
                }
            ]
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        **more,
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listeners = [
        {
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": filters}],
        }
        for name in names
    ]
    return json.dumps({"static_resources": {"listeners": listeners}})


def sources(*arguments: str, **named: object) -> Sources:
    return Sources(config_yaml=configuration(*arguments, **named))  # type: ignore[arg-type]


class Running:
    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.operations = Operations(supervisor)
        self.context = SupervisorContext(supervisor, self.operations)
        supervisor.admin = AdminService(supervisor.loop, supervisor.registry, self.context)

    def port(self, index: int = 0) -> int:
        return self.supervisor.listening()[index][1][0][1]

    async def get(self, port: int) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.rpartition(b"\r\n\r\n")[2].decode()


@asynccontextmanager
async def running(first: Sources, **options: object):
    given = StartOptions(**{"workers": 1, "drain_time_s": 5.0, **options})  # type: ignore[arg-type]
    log = LogSettings(None, "%v", {"": "warning"})
    with anyio.fail_after(50):
        async with anyio.create_task_group() as tasks:
            running = Running(Supervisor(given, first, log, tasks))
            tasks.start_soon(running.supervisor.run)
            try:
                yield running
            finally:
                running.supervisor.stop(now=True)
                await running.supervisor.until(lambda: not running.supervisor.generations)
                running.supervisor.sockets.close()
                tasks.cancel_scope.cancel()


def test_a_reload_takes_over_and_a_bad_one_changes_nothing():
    async def live():
        async with running(sources("one")) as now:
            supervisor = now.supervisor
            first = await supervisor.reload()
            port = now.port()
            assert (first.generation, first.workers) == (1, 1)
            assert await now.get(port) == "one"
            second = await supervisor.reload(sources("two"), workers=2)
            assert (second.generation, second.workers) == (2, 2)
            assert now.port() == port
            assert await now.get(port) == "two"
            with pytest.raises(ConfigErrors):
                await supervisor.reload(Sources(config_yaml="static_resources: {lsteners: []}"))
            with (
                socket.create_server(("127.0.0.1", 0)) as taken,
                pytest.raises(StartError, match="already in use"),
            ):
                await supervisor.reload(sources("three", port=taken.getsockname()[1]))
            log = {"@type": FILE_LOG, "path": "/no/such/directory/log"}
            unwritable = sources("three", access_log=[{"name": "file", "typed_config": log}])
            with pytest.raises(StartError, match=r"cannot start: worker \d: .*no/such/directory"):
                await supervisor.reload(unwritable)
            assert await now.get(port) == "two"
            await supervisor.until(lambda: len(supervisor.generations) == 1)
            third = await supervisor.reload()
            assert (third.generation, third.workers) == (3, 2)
            assert await now.get(port) == "two"

    anyio.run(live)


async def broken_reload(*_):
    raise RuntimeError("of ours")


def test_operations(monkeypatch):
    monkeypatch.setattr(logs, "set_levels", lambda levels: None)  # those of the tests stay

    async def live():
        async with running(sources("hello", names=("a", "b"))) as now:
            operations, context = now.operations, now.context
            await now.supervisor.reload()
            reply = await operations.answer(Reload(wait=True, workers=2), context)
            assert isinstance(reply, Reloaded)
            assert (reply.generation, reply.workers, reply.drained) == (2, 2, True)
            refused = await operations.answer(Reload(config_path="/no/such/file"), context)
            assert isinstance(refused, Refused)
            assert "/no/such/file" in refused.reasons[0]
            with monkeypatch.context() as broken:
                broken.setattr(now.supervisor, "reload", broken_reload)
                reason = "reload refused by a bug of proxyd: RuntimeError; nothing has changed"
                assert await operations.reload(Reload()) == Refused((reason,))  # as a signal asks for it
            status = operations.status()
            assert (status.generation, status.state, status.last_reload[:7]) == (2, "LIVE", "refused")
            assert [worker.state for worker in status.workers] == ["ready", "ready"]
            page = await operations.answer(Stats(pattern="concurrency"), context)
            assert page == StatsPage("server.concurrency: 2\n")
            assert await operations.answer(ReopenLogs(), context) == Done()
            await context.set_log_levels({"upstream": "error"})
            assert context.log_levels()["upstream"] == "error"
            assert context.log_levels()["admin"] == "warning"
            await context.healthcheck_fail()
            assert context.server().state == "DRAINING"
            await context.healthcheck_ok()
            assert context.server().state == "LIVE"
            assert [view.name for view in context.listeners()] == ["a", "b"]
            await context.drain_listeners(graceful=False, skip_exit=False, inbound_only=False)
            assert list(context.listeners()) == []
            assert await operations.answer(Stop(), context) == Done()

    anyio.run(live)


def test_a_worker_that_dies_is_replaced():
    async def live():
        async with running(sources("hello")) as now:
            supervisor = now.supervisor
            await supervisor.reload()
            generation = supervisor.current
            assert generation is not None
            (worker,) = generation.workers.values()
            worker.kill()
            assert await supervisor.until(
                lambda: worker.member.worker_id not in generation.workers and generation.serving, 20
            )
            assert await now.get(now.port()) == "hello"

    anyio.run(live)


def test_a_reload_does_not_count_its_waiting_for_another():
    async def live():
        async with running(sources("hello")) as now:
            supervisor = now.supervisor
            await supervisor.reload()
            handovers = []

            async def reload() -> None:
                handovers.append(await supervisor.reload())

            async with anyio.create_task_group() as group, supervisor.changing:
                group.start_soon(reload)
                await anyio.wait_all_tasks_blocked()
                asked = time.monotonic()
                while time.monotonic() < asked + 0.05:
                    await anyio.lowlevel.checkpoint()
                began = time.monotonic()
            assert handovers[0].seconds <= time.monotonic() - began

    anyio.run(live)


def test_a_stop_comes_between_a_reload():
    async def live():
        async with running(sources("hello")) as now:
            supervisor = now.supervisor
            await supervisor.reload()

            async def reload() -> None:
                with pytest.raises(StartError, match="the server is stopping"):
                    await supervisor.reload()

            async with anyio.create_task_group() as group:
                group.start_soon(reload)
                await supervisor.until(lambda: len(supervisor.generations) == 2)
                supervisor.stop(now=False)
            await supervisor.until(lambda: not supervisor.generations)

    anyio.run(live)


@pytest.mark.parametrize("lacking", ["create_sealed_memory", "channel_pair"])
def test_without_a_free_descriptor_a_reload_is_refused(monkeypatch, lacking):
    def refuse(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def live():
        async with running(sources("hello")) as now:
            await now.supervisor.reload()
            with monkeypatch.context() as patched:
                patched.setattr(native, lacking, refuse)
                with pytest.raises(StartError, match="too few file descriptors; raise the limit"):
                    await now.supervisor.reload()
            assert await now.get(now.port()) == "hello"
            assert (await now.supervisor.reload()).generation == 2

    anyio.run(live)


def test_a_graceful_drain_of_the_listeners_ends_with_their_generation():
    async def live():
        async with running(sources("hello"), drain_time_s=0.3) as now:
            supervisor, context = now.supervisor, now.context
            await supervisor.reload()
            first = supervisor.current
            assert first is not None
            await context.drain_listeners(graceful=True, skip_exit=False, inbound_only=False)
            assert context.server().state == "LIVE"
            await supervisor.reload()
            second = supervisor.current
            assert second is not None
            assert (first.leaving, second.leaving) == (True, False)
            await anyio.sleep(0.4)  # longer than the drain time
            assert await now.get(now.port()) == "hello"
            assert not second.stopped_listeners
            await context.drain_listeners(graceful=True, skip_exit=False, inbound_only=False)
            await context.healthcheck_ok()
            assert second.leaving
            assert await supervisor.until(lambda: bool(second.stopped_listeners), 20)

    anyio.run(live)


def test_a_generation_that_failed_and_still_ends_has_its_number_and_drains_nothing(monkeypatch):
    async def live():
        async with running(sources("hello")) as now:
            supervisor = now.supervisor
            await supervisor.reload()
            log = {"@type": FILE_LOG, "path": "/no/such/directory/log"}
            unwritable = sources("hello", access_log=[{"name": "file", "typed_config": log}])
            with monkeypatch.context() as patched:
                # Its end takes long.
                patched.setattr(Generation, "_settle", lambda self: self._around.changed())
                with pytest.raises(StartError, match="no/such/directory"):
                    await supervisor.reload(unwritable)
            failed = supervisor.generations[-1]
            assert (failed.number, failed.over) == (2, False)
            assert supervisor.draining == []
            assert (await supervisor.reload()).generation == 3
            failed._settle()
            assert await supervisor.until(lambda: failed.over and failed not in supervisor.generations, 20)

    anyio.run(live)
