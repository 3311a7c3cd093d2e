"""What the console says to proxyd and to its workers. Its events are played: only Ctrl-C can be made to come,
which the service that NSSM runs shows."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from proxyd.system import native
from tests import windows

if not windows.HERE:
    pytest.skip(windows.WINDOWS, allow_module_level=True)

from proxyd.system import _windows_api, _windows_process

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
    monkeypatch.setattr(_windows_process, "is_managed", lambda: True)
    assert heard(handlers, event) == ([True], [])


def test_other_events_are_for_others(handlers: list[Handler]) -> None:
    assert heard(handlers, NONE_OF_THEM) == ([False], [])


def test_workers_leave_all_of_them_to_the_supervisor(handlers: list[Handler]) -> None:
    native.ignore_operator_signals()
    (handle,) = handlers
    said = {event: answers(handle, event) for event in (CTRL_C, CTRL_BREAK, CLOSE, LOGOFF, NONE_OF_THEM)}
    assert said == {CTRL_C: [True], CTRL_BREAK: [True], CLOSE: [], LOGOFF: [], NONE_OF_THEM: [False]}
