"""What the console says to proxyd and to its workers. Its events are played: only Ctrl-C can be made to come,
which the service that NSSM runs shows."""

import asyncio
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxyd.system import native
from tests import windows

if not windows.HERE:
    pytest.skip(windows.WINDOWS, allow_module_level=True)

from proxyd.system import _windows_api, _windows_guardian, _windows_process, _windows_sockets

CTRL_C, CTRL_BREAK, CLOSE, LOGOFF, SHUTDOWN, NONE_OF_THEM = 0, 1, 2, 5, 6, 3

Handler = Callable[[int], bool]


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> list[Handler]:
    made: list[Handler] = []
    monkeypatch.setattr(_windows_api, "handle_console_events", made.append)
    return made


def answers(handle: Handler, event: int) -> list[bool]:
    """What the handler tells Windows: nothing as long as it lets Windows wait."""
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(handle(event)), daemon=True)
    thread.start()
    thread.join(0.2)
    return said


def heard(handlers: list[Handler], event: int) -> tuple[list[bool], list[tuple[str, str, float | None]]]:
    async def main() -> tuple[list[bool], list[tuple[str, str, float | None]]]:
        told: list[tuple[str, str, float | None]] = []
        native.hear_operator(asyncio.get_running_loop(), lambda *words: told.append(words))
        (handle,) = handlers
        said = await asyncio.to_thread(answers, handle, event)
        await asyncio.sleep(0)
        return said, told

    return asyncio.run(main())


@pytest.mark.parametrize(("event", "name"), [(CTRL_C, "Ctrl-C"), (CTRL_BREAK, "Ctrl-Break")])
def test_keys_ask_for_a_stop(handlers: list[Handler], event: int, name: str) -> None:
    assert heard(handlers, event) == ([True], [("stop", name, None)])


@pytest.mark.parametrize(
    ("event", "name"), [(CLOSE, "console closed"), (LOGOFF, "logoff"), (SHUTDOWN, "shutdown")]
)
def test_the_end_of_the_session_asks_for_one_in_time_and_waits_for_it(
    handlers: list[Handler], event: int, name: str
) -> None:
    # Windows ends a process as soon as it has its answer, or after five seconds.
    assert heard(handlers, event) == ([], [("stop", name, 4.0)])


@pytest.mark.parametrize("event", [LOGOFF, SHUTDOWN])
def test_a_service_outlives_sessions(
    handlers: list[Handler], event: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_windows_process, "is_service", lambda: True)
    assert heard(handlers, event) == ([True], [])


def test_a_successor_hears_ctrl_c_from_its_guardian_and_nothing_twice(handlers: list[Handler]) -> None:
    async def main() -> list[str]:
        heard: asyncio.Queue[str] = asyncio.Queue()
        native.hear_operator(
            asyncio.get_running_loop(), lambda word, came_as, limit: heard.put_nowait(came_as)
        )
        native.pass_on("Ctrl-Break", os.getpid())  # which it hears itself
        native.pass_on("Ctrl-C", os.getpid())
        native.pass_on("Ctrl-C", 1)  # nobody
        return [await asyncio.wait_for(heard.get(), 30)]

    assert asyncio.run(main()) == ["Ctrl-C"]


def test_a_stranger_s_event_is_not_obeyed_and_no_reason_not_to_start(
    handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_windows_guardian, "_hearers", [])
    monkeypatch.setattr(_windows_guardian, "_name", lambda pid: f"Local\\proxyd-test-{pid}")
    stranger = _windows_api.create_event(f"Local\\proxyd-test-{os.getpid()}", _windows_api.OwnerOnly())

    async def main() -> list[str]:
        heard: list[str] = []
        native.hear_operator(asyncio.get_running_loop(), lambda *words: heard.append(words[1]))
        before = threading.active_count()
        native.pass_on("Ctrl-C", os.getpid())
        assert threading.active_count() == before  # nobody waits for it
        return heard

    try:
        assert asyncio.run(main()) == []
    finally:
        _windows_api.close(stranger)


def test_a_guardian_ends_as_the_last_one_ends_and_passes_on_ctrl_c(
    handlers: list[Handler], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def child(code: int) -> "subprocess.Popen[bytes]":
        program = f"import sys; sys.stdin.read(); sys.exit({code})"
        return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)

    passed_on: queue.Queue[tuple[str, int]] = queue.Queue()
    monkeypatch.setattr(_windows_guardian, "pass_on", lambda *words: passed_on.put(words))
    monkeypatch.setattr(_windows_guardian, "_came", [])
    pid_file = tmp_path / "pid"
    codes: queue.Queue[int] = queue.Queue()
    with child(3) as second, child(4) as third:
        pid_file.write_text(f"{second.pid}\n")
        monkeypatch.setitem(_windows_sockets.processes, second.pid, int(second._handle))  # type: ignore[attr-defined]
        native.hold_operator_signals()
        (handle,) = handlers
        assert handle(CTRL_C)  # nobody stays yet: it waits
        assert not handle(CLOSE)
        guardian = threading.Thread(
            target=lambda: codes.put(native.stay_for(second.pid, str(pid_file))), daemon=True
        )
        guardian.start()
        assert passed_on.get(timeout=30) == ("Ctrl-C", second.pid)
        pid_file.write_text(f"{third.pid}\n")
        second.communicate()
        assert handle(CTRL_C)
        assert passed_on.get(timeout=30) == ("Ctrl-C", third.pid)
        assert codes.empty()
        third.communicate()
        assert codes.get(timeout=30) == 4


def test_other_events_are_for_others(handlers: list[Handler]) -> None:
    assert heard(handlers, NONE_OF_THEM) == ([False], [])


def test_workers_leave_all_of_them_to_the_supervisor(handlers: list[Handler]) -> None:
    native.ignore_operator_signals()
    (handle,) = handlers
    said = {event: answers(handle, event) for event in (CTRL_C, CTRL_BREAK, CLOSE, LOGOFF, NONE_OF_THEM)}
    assert said == {CTRL_C: [True], CTRL_BREAK: [True], CLOSE: [], LOGOFF: [], NONE_OF_THEM: [False]}


def test_the_python_behind_a_virtual_environment_is_the_one_that_counts(tmp_path: Path) -> None:
    launcher = tmp_path / "env" / "Scripts" / "python.exe"
    assert _windows_process._interpreter(str(launcher)) == str(launcher)
    launcher.parent.mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").write_text("home = C:\\Python312\nversion = 3.12.1\n")
    assert _windows_process._interpreter(str(launcher)) == "C:\\Python312\\python.exe"
