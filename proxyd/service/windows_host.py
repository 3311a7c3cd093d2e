"""The process of a Windows service: an instance whose life is told to, and ruled by, the service manager.

``sc control NAME 128`` (or ``paramchange``) reloads, ``sc control NAME 129`` reopens logs. Words behind the name
in ``sc start NAME ...`` are more options of ``proxyd start``.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import pywintypes
import servicemanager
import win32service
import win32serviceutil
import winerror

from proxyd.service.contract import Service, ServiceError
from proxyd.service.windows import run_directory
from proxyd.supervisor.commands import Command, Reload, ReopenLogs, Stop
from proxyd.supervisor.instance import InstanceError, NotRunning, find
from proxyd.system import native

RELOAD: Final = 128  # the first number that services may give a meaning to
REOPEN_LOGS: Final = 129

_FAILED: Final = 1  # exit codes of proxyd, which the service has as its own
_START_HINT: Final = 60_000  # milliseconds that the manager waits for the next sign of life
_STOP_HINT: Final = 10_000
_COMMAND_LIMIT: Final = 60.0  # seconds until an instance that starts can be spoken to
_RETRY: Final = 0.1  # seconds
_ACCEPTED: Final = (
    win32service.SERVICE_ACCEPT_STOP
    | win32service.SERVICE_ACCEPT_PARAMCHANGE
    | win32service.SERVICE_ACCEPT_PRESHUTDOWN
)
_ENDS: Final = (
    win32service.SERVICE_CONTROL_STOP,
    win32service.SERVICE_CONTROL_SHUTDOWN,
    win32service.SERVICE_CONTROL_PRESHUTDOWN,
)
_COMMANDS: Final[dict[int, Command]] = {
    win32service.SERVICE_CONTROL_PARAMCHANGE: Reload(),
    RELOAD: Reload(),
    REOPEN_LOGS: ReopenLogs(),
}

Run = Callable[[Sequence[str]], int]


class Reports:
    """What the supervisor tells the manager: see ``system.Notifier``."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self._tell: Final = tell
        self._stopping = False

    @property
    def watchdog(self) -> float | None:
        return None

    def ready(self, status: str) -> None:
        if not self._stopping:
            self._tell(win32service.SERVICE_RUNNING, 0)

    def reloading(self) -> None:
        pass

    def stopping(self) -> None:
        self._stopping = True
        self._tell(win32service.SERVICE_STOP_PENDING, _STOP_HINT)

    def status(self, text: str) -> None:
        if self._stopping:
            self._tell(win32service.SERVICE_STOP_PENDING, _STOP_HINT)  # with the next checkpoint

    def alive(self) -> None:
        pass

    def main_process(self, pid: int) -> None:
        pass


class Host(win32serviceutil.ServiceFramework):  # type: ignore[misc]  # pywin32 has no types
    """One service. pywin32 makes it, on the thread of the service, from a class without arguments."""

    service: Service
    run: Run

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__(arguments)
        self._more: Final = list(arguments[1:])
        self._ended = threading.Event()

    def GetAcceptedControls(self) -> int:  # noqa: N802 - pywin32's name
        return _ACCEPTED

    def SvcRun(self) -> None:  # noqa: N802 - pywin32's name
        self.ReportServiceStatus(win32service.SERVICE_START_PENDING, waitHint=_START_HINT)
        native.notify_by(Reports(lambda state, hint: self.ReportServiceStatus(state, waitHint=hint)))
        try:
            code = type(self).run(self._more)
        except ServiceError as error:
            servicemanager.LogErrorMsg(str(error))
            code = _FAILED
        except Exception as error:
            servicemanager.LogErrorMsg(f"bug: {type(error).__name__}: {error}")
            raise
        finally:
            self._ended.set()
        failed = winerror.ERROR_SERVICE_SPECIFIC_ERROR if code else winerror.NO_ERROR
        self.ReportServiceStatus(win32service.SERVICE_STOPPED, win32ExitCode=failed, svcExitCode=code)

    def ServiceCtrlHandlerEx(self, control: int, event_type: int, data: Any) -> int:  # noqa: N802
        """What the manager wants; answered at once, done on a thread."""
        if control in _ENDS:
            self.ReportServiceStatus(win32service.SERVICE_STOP_PENDING, waitHint=_STOP_HINT)
            self._command(Stop())
        elif control in _COMMANDS:
            self._command(_COMMANDS[control])
        elif control != win32service.SERVICE_CONTROL_INTERROGATE:
            return int(winerror.ERROR_CALL_NOT_IMPLEMENTED)
        return int(winerror.NO_ERROR)

    def _command(self, command: Command) -> None:
        threading.Thread(target=self._carry_out, args=(command,), daemon=True).start()

    def _carry_out(self, command: Command) -> None:
        """By the control channel, as everybody; while the instance starts, nobody may listen there yet."""
        deadline = time.monotonic() + _COMMAND_LIMIT
        while not self._ended.is_set():
            try:
                find(type(self).service.instance, run_directory()).call(command)
                return
            except NotRunning:
                if time.monotonic() > deadline:
                    return
                time.sleep(_RETRY)
            except InstanceError as error:
                if not self._ended.is_set():
                    servicemanager.LogErrorMsg(str(error))
                return


def host(service: Service, run: Run) -> int:
    """Be the service; returns when it has ended. Raises ServiceError where no manager has started this."""
    _have_streams()
    Host._svc_name_ = service.name
    Host.service, Host.run = service, staticmethod(run)  # type: ignore[assignment]
    servicemanager.Initialize(service.name, None)
    servicemanager.PrepareToHostSingle(Host)
    try:
        servicemanager.StartServiceCtrlDispatcher()
    except pywintypes.error as error:
        if error.winerror == winerror.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT:
            raise ServiceError(
                "proxyd: this is for the service manager; use 'proxyd start' or 'proxyd service start'"
            ) from None
        raise
    return 0


def _have_streams() -> None:
    """A service has no standard streams; what is written there goes nowhere, rather than into another file."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
