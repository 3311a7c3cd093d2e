"""What can be said to an instance whose first generation is not there yet."""

from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from proxyd.supervisor import main
from proxyd.supervisor.commands import Done, Refused, Reload, Status, StatusReport, Stop
from proxyd.supervisor.handover import HandingOver
from proxyd.supervisor.instance import RunDirectory, find
from proxyd.supervisor.options import StartOptions
from proxyd.workers.control import LogSettings


def test_an_instance_that_still_starts_answers_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = anyio.Event()

    async def never(*_: object) -> None:
        begun.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(HandingOver, "run", never)
    options = StartOptions(name="slow", run_dir=str(tmp_path))
    life = main.Life()
    life.directory = RunDirectory.claim("slow", str(tmp_path))
    ended: list[object] = []

    async def run() -> None:
        await main._begin(life, options, LogSettings(None, "%v", {"": "info"}), [])
        ended.append(life.failure)

    async def live() -> None:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(run)
                await begun.wait()
                instance = await anyio.to_thread.run_sync(find, "slow", str(tmp_path))
                status = await anyio.to_thread.run_sync(instance.call, Status())
                assert isinstance(status, StatusReport)
                assert (status.state, status.generation, status.workers) == ("INITIALIZING", 0, ())
                refused = await anyio.to_thread.run_sync(instance.call, Reload())
                assert isinstance(refused, Refused)
                assert "still starting" in refused.reasons[0]
                assert await anyio.to_thread.run_sync(instance.call, Stop()) == Done()

    try:
        anyio.run(live)
    finally:
        life.directory.close()
    assert ended == [None]
