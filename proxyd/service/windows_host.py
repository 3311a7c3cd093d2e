"""The process of a Windows service: an instance whose life is told to, and ruled by, the service manager.

``sc control NAME paramchange`` (or 128) reloads, ``sc control NAME 129`` reopens logs. Words behind the name
in ``sc start NAME ...`` are more options of ``proxyd start``.

The manager gives a process half a minute to answer, which a machine that is just starting may need for its
imports alone. So this file imports pywin32 and nothing of proxyd before it has answered.
"""

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import pywintypes
import servicemanager
import win32service
import win32serviceutil
import winerror

if TYPE_CHECKING:
    from proxyd.supervisor.commands import Command

RELOAD: Final = 128  # the first number that services may give a meaning to
REOPEN_LOGS: Final = 129

# The command line is above this room: by name. It runs ``proxyd start`` with these words and returns the exit
# code, or raises SystemExit with what the operator is to be told.
_COMMAND_LINE: Final = "proxyd.cli"

_FAILED: Final = 1
_START_HINT: Final = 60_000  # milliseconds that the manager waits for the next sign of life
_STOP_HINT: Final = 10_000
_TELL_INTERVAL: Final = 2.0  # seconds
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


class Reports:
    """What the supervisor tells the manager: see ``system.Notifier``.

    When that has been taken over from, the process that the manager knows stays until the instance ends.
    Nobody tells of its draining then, so this does.
    """

    def __init__(self, tell: Callable[[int, int], None], ended: threading.Event) -> None:
        self._tell: Final = tell
        self._ended: Final = ended
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
        """Also to be called when the manager asks for it."""
        self._stopping = True
        self._tell(win32service.SERVICE_STOP_PENDING, _STOP_HINT)

    def status(self, text: str) -> None:
        if self._stopping:
            self._tell(win32service.SERVICE_STOP_PENDING, _STOP_HINT)  # with the next checkpoint

    def alive(self) -> None:
        pass

    def main_process(self, pid: int) -> None:
        threading.Thread(target=self._go_on_telling, daemon=True).start()

    def _go_on_telling(self) -> None:
        while not self._ended.wait(_TELL_INTERVAL):
            self.status("")


class Host(win32serviceutil.ServiceFramework):
    """The one service of this process. pywin32 makes it, on the service's own thread, when it is started."""

    _svc_name_: str  # where pywin32 looks for it
    instance: str  # its name
    run_directory: str
    words: Sequence[str]  # options of `proxyd start`

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__(arguments)
        self._more: Final = list(arguments[1:])
        self._ended: Final = threading.Event()
        self._telling: Final = threading.Lock()
        self._reports: Final = Reports(self._tell, self._ended)

    def GetAcceptedControls(self) -> int:  # noqa: N802 - pywin32's name
        return _ACCEPTED

    def SvcRun(self) -> None:  # noqa: N802 - pywin32's name
        self.ReportServiceStatus(win32service.SERVICE_START_PENDING, waitHint=_START_HINT)
        try:
            code = self._serve()
        except SystemExit as ended:
            servicemanager.LogErrorMsg(str(ended.code))
            code = _FAILED
        except Exception as error:
            servicemanager.LogErrorMsg(f"bug: {type(error).__name__}: {error}")
            raise
        finally:
            with self._telling:  # nothing else is told after the end
                self._ended.set()
        failed = winerror.ERROR_SERVICE_SPECIFIC_ERROR if code else winerror.NO_ERROR
        self.ReportServiceStatus(win32service.SERVICE_STOPPED, win32ExitCode=failed, svcExitCode=code)
        if code:
            os._exit(code)  # else pywin32 reports the end once more, without the code

    def _tell(self, state: int, hint: int) -> None:
        with self._telling:
            if not self._ended.is_set():
                self.ReportServiceStatus(state, waitHint=hint)

    def _serve(self) -> int:
        from proxyd.system import native

        native.notify_by(self._reports)
        where = ["--name", self.instance, "--run-dir", self.run_directory]
        return int(importlib.import_module(_COMMAND_LINE).run_start([*self.words, *where, *self._more]))

    def ServiceCtrlHandlerEx(self, control: int, event_type: int, data: Any) -> int:  # noqa: N802
        """What the manager wants; answered at once, done on a thread."""
        if control in _ENDS:
            self._reports.stopping()
        elif control == win32service.SERVICE_CONTROL_INTERROGATE:
            return int(winerror.NO_ERROR)
        elif control not in (win32service.SERVICE_CONTROL_PARAMCHANGE, RELOAD, REOPEN_LOGS):
            return int(winerror.ERROR_CALL_NOT_IMPLEMENTED)
        threading.Thread(target=self._carry_out, args=(control,), daemon=True).start()
        return int(winerror.NO_ERROR)

    def _carry_out(self, control: int) -> None:
        """By the control channel, as everybody; while the instance starts, nobody may listen there yet."""
        from proxyd.supervisor.instance import InstanceError, NotRunning, find

        deadline = time.monotonic() + _COMMAND_LIMIT
        while not self._ended.is_set():
            try:
                find(self.instance, self.run_directory).call(_command(control))
                return
            except NotRunning:
                if time.monotonic() > deadline:
                    return
                time.sleep(_RETRY)
            except InstanceError as error:
                if not self._ended.is_set():
                    servicemanager.LogErrorMsg(str(error))
                return


def _command(control: int) -> "Command":
    from proxyd.supervisor.commands import Reload, ReopenLogs, Stop

    if control in _ENDS:
        return Stop()
    return ReopenLogs() if control == REOPEN_LOGS else Reload()


def main() -> None:
    """``... windows_host SERVICE INSTANCE RUN_DIRECTORY [OPTIONS OF proxyd start]``: be that service."""
    service, Host.instance, Host.run_directory, *Host.words = sys.argv[1:]
    _have_streams()
    Host._svc_name_ = service
    servicemanager.Initialize(service, None)
    servicemanager.PrepareToHostSingle(Host)
    try:
        servicemanager.StartServiceCtrlDispatcher()  # type: ignore[no-untyped-call]
    except pywintypes.error as error:
        if error.winerror == winerror.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT:
            sys.exit("proxyd: this is for the service manager; use 'proxyd start' or 'proxyd service start'")
        raise


def _have_streams() -> None:
    """A service has no standard streams; what is written there goes nowhere, not into another file."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
