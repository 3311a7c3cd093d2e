"""Changes in place under a whole supervisor, with real workers: what goes wrong, and what follows."""

import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from proxyd.admin.config_dump import config_dump
from proxyd.admin.messages import AdminRequest
from proxyd.config.load import Sources
from proxyd.supervisor import rollout, updates
from proxyd.supervisor.resource_round import assemble
from proxyd.supervisor.rollout import Rollout
from proxyd.supervisor.vitals import Vitals
from tests.e2e.resource_files import ResourceFile, bootstrap, cluster, listener, response
from tests.supervisor.resource_house import as_static, with_tls
from tests.supervisor.test_supervisor import Running, running

LDS = "listener_manager.lds."


class House(Running):
    """A supervisor whose listeners are in a file."""

    lds: ResourceFile
    cds: ResourceFile

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what no event of the supervisor's announces."""
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)

    def number(self, name: str) -> int:
        return self.supervisor.totals.read().counters.get(name, 0)

    def error(self) -> str:
        return self.supervisor.totals.read().texts.get(f"{LDS}update_error", "")

    def names(self) -> list[str]:
        """The listeners that accept."""
        return [name for name, _ in self.supervisor.listening()]

    def attempts(self) -> list[int]:
        return [self.number(f"{LDS}update_{name}") for name in ("attempt", "success", "failure", "rejected")]


@asynccontextmanager
async def house(directory: Path, *static: dict[str, Any]) -> AsyncIterator[House]:
    lds = ResourceFile(directory / "lds.json", listener())
    cds = ResourceFile(directory / "cds.json", cluster("127.0.0.1:1"))
    made = bootstrap(lds=lds.path, cds=cds.path)
    if static:
        made["static_resources"] = {"listeners": list(static)}
    async with running(Sources(config_yaml=json.dumps(made))) as now:
        house = House(now.supervisor)
        house.lds, house.cds = lds, cds
        supervisor = house.supervisor
        await supervisor.reload()
        supervisor.start_soon(supervisor.updates.run)
        try:
            yield house
        finally:
            supervisor.updates.close()
            assert supervisor.admin is not None
            supervisor.admin.close()


def logging_to(path: Path) -> dict[str, Any]:
    """A listener that workers refuse as long as there is no such directory."""
    return listener("new", access_log=str(path))


def test_what_was_refused_for_a_passing_reason_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "TRIES", (0.05,) * 200)
    log = tmp_path / "missing" / "log"

    async def live() -> None:
        async with house(tmp_path) as now:
            now.lds.move(response(listener(), logging_to(log)))
            await now.until(lambda: "No such file" in now.error())
            assert now.names() == ["http"]
            assert now.attempts() == [2, 1, 0, 1]
            # A change of another kind is not held up by it.
            more = cluster("127.0.0.1:1", name="more")
            now.cds.move(response(cluster("127.0.0.1:1"), more))
            await now.until(lambda: now.number("cluster_manager.cluster_added") == 2)
            log.parent.mkdir()
            await now.until(lambda: now.names() == ["http", "new"])
            await now.until(lambda: now.error() == "")
            assert now.attempts() == [3, 2, 0, 1]  # what failed again was no attempt of its own

    anyio.run(live)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process cannot be halted here")
def test_a_worker_that_was_not_ready_in_time_gets_another_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "TRIES", (0.05,) * 200)
    monkeypatch.setattr(rollout, "PREPARE_LIMIT", 0.2)

    async def live() -> None:
        async with house(tmp_path) as now:
            generation = now.supervisor.current
            assert generation is not None
            (worker,) = generation.workers.values()
            os.kill(worker.member.pid, signal.SIGSTOP)
            now.lds.move(response(listener(), listener("new")))
            await now.until(lambda: "not all workers were ready" in now.error())
            assert now.names() == ["http"]
            monkeypatch.setattr(rollout, "PREPARE_LIMIT", 30.0)
            os.kill(worker.member.pid, signal.SIGCONT)
            await now.until(lambda: now.names() == ["http", "new"])
            await now.until(lambda: now.attempts() == [3, 2, 0, 1])

    anyio.run(live)


def test_it_is_tried_a_few_times_and_then_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(updates, "TRIES", (0.01, 0.01, 0.01))
    rounds: list[list[str]] = []
    real = Rollout.run

    async def run(self: Rollout, *arguments: Any) -> Any:
        result = await real(self, *arguments)
        rounds.append([each.name for each in result.assembly.bootstrap.static_resources.listeners])
        return result

    monkeypatch.setattr(Rollout, "run", run)

    async def live() -> None:
        async with house(tmp_path) as now:
            now.lds.move(response(listener(), logging_to(tmp_path / "missing" / "log")))
            await now.until(lambda: "is not tried again" in caplog.text)
            assert rounds == [["http", "new"]] * 4
            (tmp_path / "missing").mkdir()
            assert now.names() == ["http"]
            assert "No such file" in now.error()
            now.lds.move(response(listener(), logging_to(tmp_path / "missing" / "log"), listener("third")))
            await now.until(lambda: now.names() == ["http", "new", "third"])

    anyio.run(live)


def test_an_exception_is_told_and_what_it_kept_out_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "TRIES", (0.05,))
    real = Rollout._prepare
    failures = iter([RuntimeError("out of order")])

    async def prepare(self: Rollout, *arguments: Any) -> str:
        for failure in failures:
            raise failure
        return await real(self, *arguments)

    monkeypatch.setattr(Rollout, "_prepare", prepare)

    async def live() -> None:
        async with house(tmp_path) as now:
            now.lds.move(response(listener(), listener("new")))
            await now.until(lambda: "RuntimeError: out of order" in now.error())
            assert now.operations.status().files[1].result == "rejected"
            await now.until(lambda: now.names() == ["http", "new"])
            await now.until(lambda: now.error() == "")

    anyio.run(live)


def test_an_exception_while_reading_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "TRIES", (0.05,))

    async def live() -> None:
        async with house(tmp_path) as now:
            failures = iter([MemoryError()])

            def assemble_later(*arguments: Any) -> Any:
                for failure in failures:
                    raise failure
                return assemble(*arguments)

            monkeypatch.setattr(updates, "assemble", assemble_later)
            now.lds.move(response(listener(), listener("new")))
            await now.until(lambda: now.names() == ["http", "new"])

    anyio.run(live)


def test_what_follows_a_commit_is_done_whatever_becomes_of_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of order")

    async def live() -> None:
        async with house(tmp_path) as now:
            with monkeypatch.context() as patched:
                patched.setattr(Vitals, "updated", fail)
                patched.setattr(Vitals, "certificates_used", fail)
                patched.setattr(now.supervisor.sockets, "retire", fail)
                now.lds.move(response(listener(), listener("new"), version="2"))
                await now.until(lambda: now.attempts() == [2, 2, 0, 0])
            assert now.names() == ["http", "new"]
            file = now.operations.status().files[1]
            assert (file.version, file.resources, file.reasons) == ("2", 2, ())
            configuration, generation = now.supervisor.configuration, now.supervisor.current
            assert configuration is not None
            assert generation is not None
            assert configuration.bootstrap == generation.bootstrap
            now.lds.move(response(listener(), version="3"))
            await now.until(lambda: now.names() == ["http"])

    anyio.run(live)


def test_runtime_values_leave_the_present_contents_of_static_files(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text("one")
    answer = {"status": 200, "body": {"filename": str(body)}}
    static = as_static(listener("static", routes=[{"match": {"prefix": "/"}, "direct_response": answer}]))

    async def live() -> None:
        async with house(tmp_path, static) as now:
            assert await now.get(now.port()) == "one"
            body.write_text("another")
            await now.until(lambda: now.number("static_resources.update_success") == 1)
            await now.operations.modify_runtime({"a": "1"})
            assert await now.get(now.port()) == "another"

    anyio.run(live)


def test_a_key_in_a_refused_listener_is_told_nowhere(tmp_path: Path) -> None:
    """Of one that is wrong by itself, and of one for which the file as a whole cannot be read."""
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n"

    async def live() -> None:
        async with house(tmp_path) as now:

            async def told() -> str:
                reply = await config_dump(now.context, AdminRequest("GET", "/config_dump", ""))
                return f"{reply.body!r}{now.error()}{now.operations.status().files}"

            named = {"private_key": {"filename": key}, "password": {key: None}}
            now.lds.move(response(listener(), with_tls(listener("tls"), tls_certificates=[named])))
            await now.until(lambda: now.number(f"{LDS}update_rejected") == 1)
            rejected = await told()
            assert "error_state" in rejected
            now.lds.move(
                response(listener(), with_tls(listener("tls"), tls_certificates=[{"password": key}]))
            )
            await now.until(lambda: now.number(f"{LDS}update_failure") == 1)
            failed = await told()
            for text in (rejected, failed):
                assert "tls_certificates[0].p" in text
                assert "PRIVATE KEY" not in text
                assert "MC4CAQ" not in text

    anyio.run(live)


def test_what_is_wrong_with_a_static_resource_is_told_everywhere_until_it_is_mended(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text("one")
    answer = {"status": 200, "body": {"filename": str(body)}}
    static = as_static(listener("static", routes=[{"match": {"prefix": "/"}, "direct_response": answer}]))

    async def live() -> None:
        async with house(tmp_path, static) as now:

            async def told() -> list[str]:
                """By the dump, by the status and by the statistics."""
                reply = await config_dump(now.context, AdminRequest("GET", "/config_dump", ""))
                dumps = json.loads(reply.body)["configs"]
                listeners = [each for dump in dumps for each in dump.get("dynamic_listeners", [])]
                wrong = [each["error_state"]["details"] for each in listeners if "error_state" in each]
                wrong += [why for file in now.operations.status().files for why in file.reasons]
                return [*wrong, now.supervisor.totals.read().texts.get("static_resources.update_error", "")]

            body.write_text("x" * 5000)
            await now.until(lambda: now.number("static_resources.update_rejected") == 1)
            before = await told()
            assert len(before) == 3
            assert all(why.startswith("static_resources.listeners[0]: ") for why in before)
            now.lds.move(response(listener(), listener("more")))
            await now.until(lambda: now.names() == ["static", "http", "more"])
            await now.until(lambda: now.attempts() == [2, 2, 0, 0])
            assert await told() == before
            body.write_text("two")
            await now.until(lambda: now.number("static_resources.update_success") == 1)
            assert await told() == [""]
            assert await now.get(now.port()) == "two"

    anyio.run(live)


def test_what_is_tried_again_is_not_due_until_it_is_refused_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that is stopping makes no more rounds: nothing would ever end that time."""
    monkeypatch.setattr(updates, "TRIES", (0.0, 5.0))

    async def live() -> None:
        refused = updates._Refused()
        assert (refused.due, refused.take()) == (float("inf"), frozenset())
        refused.add(frozenset({"one"}), again=False)
        assert refused.due <= anyio.current_time()
        assert (refused.take(), refused.due) == ({"one"}, float("inf"))
        refused.add(frozenset({"one"}), again=True)
        assert anyio.current_time() < refused.due < float("inf")
        refused.add(frozenset({"two"}), again=False)
        assert refused.files == {"one", "two"}
        refused.forget(frozenset({"one", "three"}))
        assert refused.files == {"two"}
        refused.forget(None)
        assert (refused.due, refused.take()) == (float("inf"), frozenset())

    anyio.run(live)
