"""Windows' service control manager: ``proxyd service`` there, through pywin32 (the extra ``windows``).

The manager starts ``windows_host``, which is the service. Its run directory is below ``%ProgramData%``, where
commands look for instances as well as in their user's own.
"""

import os
import site
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pywintypes
import servicemanager
import win32evtlogutil
import win32service
import winerror

import proxyd
from proxyd.service.contract import Installation, Service, ServiceError
from proxyd.supervisor.commands import Refused, Reload, Reloaded
from proxyd.supervisor.instance import InstanceError, find
from proxyd.system import native

DEFAULT_ACCOUNT: Final = "NT AUTHORITY\\LocalService"  # rights of a plain user, and it may listen on any port
START_LIMIT: Final = 120.0  # seconds for a service to serve
GRACE: Final = 15.0  # seconds beyond its drain time for a service to end
_POLL: Final = 0.1  # seconds between two looks at a service's state
_RESTARTS: Final = (
    1_000,
    5_000,
    30_000,
)  # milliseconds before the first, second, later restart after a crash
_RESET_PERIOD: Final = 24 * 60 * 60  # seconds without a crash after which it counts as the first again

_EVENT_LOG: Final = "Application"

_STATES: Final = {
    win32service.SERVICE_STOPPED: "stopped",
    win32service.SERVICE_START_PENDING: "starting",
    win32service.SERVICE_STOP_PENDING: "draining",
    win32service.SERVICE_RUNNING: "running",
    win32service.SERVICE_CONTINUE_PENDING: "continuing",
    win32service.SERVICE_PAUSE_PENDING: "pausing",
    win32service.SERVICE_PAUSED: "paused",
}


def run_directory() -> str:
    """The base of the run directories of services."""
    return native.run_bases()[-1]


def log_path(service: Service) -> str:
    """Where a service logs that was not told where: it has no standard error."""
    return os.path.join(os.path.dirname(run_directory()), "logs", f"{service.name}.log")


def definition(wanted: Installation) -> str:
    """What is registered, as ``sc.exe`` would be told."""
    _refuse_what_is_not_here(wanted)
    lines = [
        f"name:      {wanted.service.name}",
        f"account:   {wanted.run_as or DEFAULT_ACCOUNT}",
        f"start:     {'automatic' if wanted.enable else 'manual'}",
        f"recovery:  restart after {', '.join(f'{delay / 1000:g} s' for delay in _RESTARTS)}",
        f"command:   {_command_line(wanted)}",
    ]
    return "\n".join(lines) + "\n"


def install(wanted: Installation) -> list[str]:
    _refuse_what_is_not_here(wanted)
    service = wanted.service
    for directory in (run_directory(), os.path.dirname(log_path(service))):
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError as error:
            raise ServiceError(f"proxyd: {directory} cannot be made: {error.strerror}") from None
    with _told(service), _manager(win32service.SC_MANAGER_CREATE_SERVICE) as manager:
        there = _exists(manager, service)
        with _changed(manager, wanted) if there else _created(manager, wanted) as handle:
            _describe(handle, wanted)
        # Else the Event Log has no text for what it is told; the service itself may not do that.
        win32evtlogutil.AddSourceToRegistry(service.name, servicemanager.__file__, _EVENT_LOG)
    done = [f"service {service.name} {'changed' if there else 'installed'}"]
    return [*done, *start(service)] if wanted.now else done


def uninstall(service: Service) -> list[str]:
    with _told(service), _opened(service, win32service.SERVICE_ALL_ACCESS) as handle:
        if _state(handle) != win32service.SERVICE_STOPPED:
            _stop(handle, service)
        win32service.DeleteService(handle)
        _forget_source(service)
    with _told(service), _manager(win32service.SC_MANAGER_CONNECT) as manager:
        _until(lambda: not _exists(manager, service), GRACE, f"service {service.name} does not go away")
    return [f"service {service.name} uninstalled; configuration and logs stay"]


def _forget_source(service: Service) -> None:
    try:
        win32evtlogutil.RemoveSourceFromRegistry(service.name, _EVENT_LOG)
    except pywintypes.error as error:
        if error.winerror != winerror.ERROR_FILE_NOT_FOUND:
            raise


def start(service: Service) -> list[str]:
    with _told(service), _opened(service, win32service.SERVICE_ALL_ACCESS) as handle:
        win32service.StartService(handle, None)
        settled = (win32service.SERVICE_RUNNING, win32service.SERVICE_STOPPED)
        _until(lambda: _state(handle) in settled, START_LIMIT, f"service {service.name} does not serve")
        if _state(handle) == win32service.SERVICE_STOPPED:
            found = _query(handle)
            raise ServiceError(
                f"proxyd: service {service.name} could not start{_exit_code(found)}; why is in the Event Log "
                f"(source {service.name}) and in its log"
            )
    return [f"service {service.name} serves"]


def stop(service: Service) -> list[str]:
    access = win32service.SERVICE_STOP | win32service.SERVICE_QUERY_STATUS
    with _told(service), _opened(service, access) as handle:
        _stop(handle, service)
    return [f"service {service.name} stopped"]


def reload(service: Service) -> list[str]:
    _refuse_users_and_roots(service)
    try:
        reply = find(service.instance, run_directory()).call(Reload())
    except InstanceError as error:
        raise ServiceError(f"proxyd: {error}") from None
    if isinstance(reply, Refused):
        raise ServiceError("\n".join(reply.reasons))
    assert isinstance(reply, Reloaded)
    return [f"service {service.name} reloaded: generation {reply.generation} has taken over"]


def status(service: Service) -> tuple[bool, list[str]]:
    with _told(service), _opened(service, win32service.SERVICE_QUERY_STATUS) as handle:
        found = _query(handle)
    state = found["CurrentState"]
    line = f"service {service.name}: {_STATES.get(state, state)}"
    if found["ProcessId"]:
        line += f", pid {found['ProcessId']}"
    elif found["Win32ExitCode"] == winerror.ERROR_SERVICE_SPECIFIC_ERROR:
        line += f", exit code {found['ServiceSpecificExitCode']}"
    return state == win32service.SERVICE_RUNNING, [line]


# -- how


def _refuse_what_is_not_here(wanted: Installation) -> None:
    _refuse_users_and_roots(wanted.service)
    if wanted.sockets:
        raise ServiceError("proxyd: --socket: Windows' service manager binds no sockets for services")


def _refuse_users_and_roots(service: Service) -> None:
    if service.per_user:
        raise ServiceError("proxyd: --user: Windows' services belong to the machine")
    if service.root is not None:
        raise ServiceError("proxyd: --root: services of another Windows cannot be installed from here")


def _command_line(wanted: Installation) -> str:
    """Of the interpreter, not a virtual environment's launcher: the manager knows its child by its pid."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(proxyd.__file__)))
    # As for workers: this proxyd behind the standard library, before whatever is installed.
    code = (
        f"import site, sys; [site.addsitedir(each) for each in {site.getsitepackages()}]; "
        "at = next((i for i, p in enumerate(sys.path) if p.endswith('-packages')), len(sys.path)); "
        f"sys.path.insert(at, {root!r}); from proxyd.service.windows_host import main; main()"
    )
    start = list(wanted.start)
    if not any(word.partition("=")[0] == "--log-path" for word in start):
        start += ["--log-path", log_path(wanted.service)]
    words = [wanted.service.name, wanted.service.instance, run_directory(), *start]
    line = subprocess.list2cmdline(
        [getattr(sys, "_base_executable", sys.executable), "-P", "-c", code, *words]
    )
    if "%" in line:
        raise ServiceError(
            "proxyd: a service's command line must not contain '%', which Windows would expand"
        )
    return line


@contextmanager
def _told(service: Service) -> Iterator[None]:
    _refuse_users_and_roots(service)
    try:
        yield
    except pywintypes.error as error:
        if error.winerror == winerror.ERROR_SERVICE_DOES_NOT_EXIST:
            raise ServiceError(f"proxyd: there is no service {service.name}") from None
        if error.winerror == winerror.ERROR_ACCESS_DENIED:
            raise ServiceError("proxyd: only an administrator may do that") from None
        if error.winerror == winerror.ERROR_SERVICE_ALREADY_RUNNING:
            raise ServiceError(f"proxyd: service {service.name} runs already") from None
        if error.winerror == winerror.ERROR_SERVICE_NOT_ACTIVE:
            raise ServiceError(f"proxyd: service {service.name} does not run") from None
        raise ServiceError(f"proxyd: service {service.name}: {error.funcname}: {error.strerror}") from None


@contextmanager
def _closing(handle: Any) -> Iterator[Any]:
    try:
        yield handle
    finally:
        win32service.CloseServiceHandle(handle)


def _manager(access: int) -> Any:
    return _closing(win32service.OpenSCManager(None, None, access))


@contextmanager
def _opened(service: Service, access: int) -> Iterator[Any]:
    with (
        _manager(win32service.SC_MANAGER_CONNECT) as manager,
        _closing(win32service.OpenService(manager, service.name, access)) as handle,
    ):
        yield handle


def _exists(manager: Any, service: Service) -> bool:
    try:
        handle = win32service.OpenService(manager, service.name, win32service.SERVICE_QUERY_STATUS)
    except pywintypes.error as error:
        if error.winerror == winerror.ERROR_SERVICE_DOES_NOT_EXIST:
            return False
        raise
    win32service.CloseServiceHandle(handle)
    return True


def _start_type(wanted: Installation) -> int:
    return win32service.SERVICE_AUTO_START if wanted.enable else win32service.SERVICE_DEMAND_START


def _display_name(service: Service) -> str:
    return f"proxyd ({service.instance})"


def _created(manager: Any, wanted: Installation) -> Any:
    return _closing(
        win32service.CreateService(
            manager,
            wanted.service.name,
            _display_name(wanted.service),
            win32service.SERVICE_ALL_ACCESS,
            win32service.SERVICE_WIN32_OWN_PROCESS,
            _start_type(wanted),
            win32service.SERVICE_ERROR_NORMAL,
            _command_line(wanted),
            None,
            False,
            ["Tcpip"],
            wanted.run_as or DEFAULT_ACCOUNT,
            None,
        )
    )


@contextmanager
def _changed(manager: Any, wanted: Installation) -> Iterator[Any]:
    service = win32service.OpenService(manager, wanted.service.name, win32service.SERVICE_ALL_ACCESS)
    with _closing(service) as handle:
        win32service.ChangeServiceConfig(
            handle,
            win32service.SERVICE_WIN32_OWN_PROCESS,
            _start_type(wanted),
            win32service.SERVICE_ERROR_NORMAL,
            _command_line(wanted),
            None,
            False,
            ["Tcpip"],
            wanted.run_as or DEFAULT_ACCOUNT,
            None,
            _display_name(wanted.service),
        )
        yield handle


def _describe(handle: Any, wanted: Installation) -> None:
    change = win32service.ChangeServiceConfig2
    text = f"Proxies HTTP and TCP as Envoy configuration says; proxyd {proxyd.__version__}."
    change(handle, win32service.SERVICE_CONFIG_DESCRIPTION, text)
    change(
        handle,
        win32service.SERVICE_CONFIG_FAILURE_ACTIONS,
        {
            "ResetPeriod": _RESET_PERIOD,
            "RebootMsg": "",
            "Command": "",
            "Actions": [(win32service.SC_ACTION_RESTART, delay) for delay in _RESTARTS],
        },
    )
    # Before the machine goes down it is told first, and waited for as long as it may drain.
    limit = int((wanted.drain_time_s + GRACE) * 1000)
    change(handle, win32service.SERVICE_CONFIG_PRESHUTDOWN_INFO, limit)


def _query(handle: Any) -> dict[str, int]:
    found: Any = win32service.QueryServiceStatusEx(handle)  # whose types say that it is a tuple
    return dict(found)


def _exit_code(found: Mapping[str, int]) -> str:
    """`` (exit code 1)`` where it is proxyd's, else what Windows itself has to say of it."""
    code = found["Win32ExitCode"]
    if code == winerror.ERROR_SERVICE_SPECIFIC_ERROR:
        return f" (exit code {found['ServiceSpecificExitCode']})"
    return f" (error {code} of Windows)" if code else ""


def _state(handle: Any) -> int:
    return _query(handle)["CurrentState"]


def _stop(handle: Any, service: Service) -> None:
    """Ask it to stop and wait as long as it makes progress: it counts checkpoints while it drains."""
    if _state(handle) != win32service.SERVICE_STOP_PENDING:
        win32service.ControlService(handle, win32service.SERVICE_CONTROL_STOP)
    progress = -1
    deadline = 0.0
    while True:
        found = _query(handle)
        if found["CurrentState"] == win32service.SERVICE_STOPPED:
            return
        if found["CheckPoint"] != progress:
            progress, deadline = found["CheckPoint"], time.monotonic() + GRACE
        if time.monotonic() > deadline:
            raise ServiceError(f"proxyd: service {service.name} does not stop")
        time.sleep(_POLL)


def _until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceError(f"proxyd: {otherwise} within {seconds:g} s")
        time.sleep(_POLL)
