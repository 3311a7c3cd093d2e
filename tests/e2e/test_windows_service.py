"""A service of Windows: from its installation to its end, by proxyd's own command and by NSSM."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

import proxyd
from proxyd.service.contract import Installation, Service, ServiceError
from proxyd.supervisor.commands import Status, Upgrade, Upgraded
from proxyd.supervisor.instance import InstanceError, find
from proxyd.system import native
from tests import windows
from tests.e2e.conftest import HOLDING, config
from tests.e2e.nssm_script import NssmScript
from tests.e2e.origin import Origin

if not windows.HERE:
    pytest.skip(windows.WINDOWS, allow_module_level=True)

import winreg

import win32service

from proxyd.service import windows as manager

pytestmark = pytest.mark.timeout(500)  # each of its processes starts anew

DEADLINE = 120.0


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service(instance=f"test-{uuid.uuid4().hex[:8]}")
    yield made
    try:
        manager.uninstall(made)
    except ServiceError as error:
        assert "there is no service" in str(error)  # noqa: PT017 - the test has uninstalled it


def installation(service: Service, path: Path, bootstrap: dict[str, Any]) -> Installation:
    path.write_text(json.dumps(bootstrap))
    return Installation(service=service, start=("-c", str(path), "--workers", "1"), enable=False)


def report(service: Service) -> Any:
    return msgspec.to_builtins(find(service.instance, manager.run_directory()).call(Status()))


def port(service: Service) -> int:
    return int(report(service)["listeners"][0]["addresses"][0].rpartition(":")[2])


def upgrade(service: Service) -> Upgraded:
    root = str(Path(proxyd.__file__).resolve().parent.parent)
    command = Upgrade(executable=sys.executable, root=root, wait=True)
    done = find(service.instance, manager.run_directory()).call(command)
    assert isinstance(done, Upgraded), done
    return done


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except InstanceError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"never: {what}")


def stop_amid_a_request(service: Service, origin: Origin, stop: Callable[[], object]) -> bytes:
    """The answer to a request that was under way when the service was told to stop."""
    with socket.create_connection(("127.0.0.1", port(service)), 60) as client:
        client.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
        assert origin.holding.wait(60)
        stopping = threading.Thread(target=stop)
        stopping.start()
        until(lambda: report(service)["state"] == "DRAINING", "drains")
        origin.release()
        answer = b""
        while data := client.recv(65536):
            answer += data
    stopping.join(DEADLINE)
    assert not stopping.is_alive()
    return answer


def net_stop(service: Service) -> None:
    """What an operator types; it goes by what the manager tells, and may come back before the end."""
    done = subprocess.run(
        ["net", "stop", service.name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def stops_by_command(service: Service) -> None:
    assert manager.stop(service) == [f"service {service.name} stopped"]


@pytest.mark.parametrize("stop", [stops_by_command, net_stop])
def test_from_install_to_uninstall(
    service: Service, origin: Origin, tmp_path: Path, stop: Callable[[Service], None]
) -> None:
    wanted = installation(service, tmp_path / "proxyd.json", config(origin.address, routes=HOLDING))
    assert manager.install(wanted) == [f"service {service.name} installed"]
    assert manager.status(service)[0] is False
    assert manager.start(service) == [f"service {service.name} serves"]  # not before its workers do
    assert report(service)["state"] == "LIVE"
    assert manager.status(service)[0] is True
    with pytest.raises(ServiceError, match="runs already"):
        manager.start(service)
    assert "generation 2 has taken over" in manager.reload(service)[0]
    answer = stop_amid_a_request(service, origin, lambda: stop(service))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"held")
    stopped = (False, [f"service {service.name}: stopped"])
    until(lambda: manager.status(service) == stopped, "stopped")
    manager.uninstall(service)
    with pytest.raises(ServiceError, match="there is no service"):
        manager.status(service)


def test_an_upgraded_service_still_is_the_manager_s(service: Service, origin: Origin, tmp_path: Path) -> None:
    """The process that the manager knows stays, passes on what that wants, and ends with the instance."""
    wanted = installation(service, tmp_path / "proxyd.json", config(origin.address, routes=HOLDING))
    manager.install(wanted)
    manager.start(service)
    first = report(service)["pid"]
    done = upgrade(service)
    assert done.pid != first
    until(lambda: report(service)["predecessor"] == 0, "the old process has drained")
    assert manager.status(service) == (True, [f"service {service.name}: running, pid {first}"])
    assert "generation 3 has taken over" in manager.reload(service)[0]
    answer = stop_amid_a_request(service, origin, lambda: stops_by_command(service))
    assert answer.endswith(b"held")
    assert manager.status(service) == (False, [f"service {service.name}: stopped"])
    assert not psutil.pid_exists(done.pid)


def test_a_service_whose_new_process_dies_has_failed(
    service: Service, origin: Origin, tmp_path: Path
) -> None:
    manager.install(installation(service, tmp_path / "proxyd.json", config(origin.address)))
    manager.start(service)
    done = upgrade(service)
    until(lambda: report(service)["predecessor"] == 0, "the old process has drained")
    psutil.Process(done.pid).kill()
    failed = (False, [f"service {service.name}: stopped, exit code {signal.SIGTERM}"])
    until(lambda: manager.status(service) == failed, "failed")


def test_the_event_log_has_a_text_for_what_it_says(service: Service, tmp_path: Path) -> None:
    """That of pywin32, which is all that it is given; Wine shows no Event Log to look into."""
    manager.install(installation(service, tmp_path / "proxyd.json", config("127.0.0.1:9")))
    source = rf"SYSTEM\CurrentControlSet\Services\EventLog\Application\{service.name}"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, source) as key:
        assert os.path.isfile(winreg.QueryValueEx(key, "EventMessageFile")[0])
    manager.uninstall(service)
    with pytest.raises(FileNotFoundError):
        winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, source)


def test_the_manager_itself_can_do_all_that(service: Service, origin: Origin, tmp_path: Path) -> None:
    """As `sc start NAME OPTIONS` and `sc control NAME NUMBER` would."""
    wanted = installation(service, tmp_path / "proxyd.json", config(origin.address))
    log = tmp_path / "log"
    manager.install(msgspec.structs.replace(wanted, start=(*wanted.start, "--log-path", str(log))))
    scm = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_CONNECT)
    handle = win32service.OpenService(scm, service.name, win32service.SERVICE_ALL_ACCESS)
    try:
        win32service.StartService(handle, ["--workers", "2"])
        until(lambda: report(service)["state"] == "LIVE", "started")
        assert len(report(service)["workers"]) == 2
        for generation, control in ((2, win32service.SERVICE_CONTROL_PARAMCHANGE), (3, 128)):
            win32service.ControlService(handle, control)
            until(lambda wanted=generation: report(service)["generation"] == wanted, "reloaded")
        log.rename(tmp_path / "log.1")
        win32service.ControlService(handle, 129)
        until(log.exists, "logs reopened")
    finally:
        win32service.CloseServiceHandle(handle)
        win32service.CloseServiceHandle(scm)


def test_the_manager_is_told_how_to_recover_and_how_long_to_wait(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told it is; Wine's heeds neither, and does not say what it has been told."""
    told: dict[int, Any] = {}
    monkeypatch.setattr(
        win32service, "ChangeServiceConfig2", lambda _, level, info: told.update({level: info})
    )
    wanted = installation(service, tmp_path / "proxyd.json", config("127.0.0.1:9"))
    manager.install(msgspec.structs.replace(wanted, drain_time_s=5.0))
    restart = win32service.SC_ACTION_RESTART
    actions = [(restart, 1_000), (restart, 5_000), (restart, 30_000)]
    assert told[win32service.SERVICE_CONFIG_FAILURE_ACTIONS]["Actions"] == actions
    assert told[win32service.SERVICE_CONFIG_PRESHUTDOWN_INFO] == 20_000


def test_what_keeps_it_from_starting_is_its_exit_code(service: Service, tmp_path: Path) -> None:
    bootstrap = config("127.0.0.1:9")
    bootstrap["static_resources"]["clusters"][0]["nme"] = "x"
    manager.install(installation(service, tmp_path / "proxyd.json", bootstrap))
    with pytest.raises(ServiceError, match=r"could not start \(exit code 1\)"):
        manager.start(service)
    assert manager.status(service) == (False, [f"service {service.name}: stopped, exit code 1"])


def test_what_there_is_not_on_windows_is_refused_by_name() -> None:
    with pytest.raises(ServiceError, match="--user"):
        manager.status(Service(per_user=True))
    with pytest.raises(ServiceError, match="--root"):
        manager.status(Service(root="D:\\"))
    with pytest.raises(ServiceError, match="--socket"):
        manager.install(Installation(service=Service(), sockets=("http=0.0.0.0:80",)))


def nssm(*arguments: str, check: bool = True) -> None:
    """NSSM's own command."""
    nowhere = subprocess.DEVNULL  # the service would hold a pipe as long as it runs
    command = [os.environ["PROXYD_NSSM"], *arguments]
    done = subprocess.run(
        command, stdin=nowhere, stdout=nowhere, stderr=nowhere, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0 or not check, arguments


@pytest.mark.skipif("PROXYD_NSSM" not in os.environ, reason="PROXYD_NSSM does not name nssm.exe")
@pytest.mark.parametrize("upgraded", [False, True], ids=["as started", "upgraded"])
def test_nssm_drains_on_stop(service: Service, origin: Origin, tmp_path: Path, upgraded: bool) -> None:
    """As scripts/install-nssm.ps1 sets it up, which cannot run itself: there is no PowerShell under Wine."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    path = folder / "proxyd.json"
    path.write_text(json.dumps(config(origin.address, routes=HOLDING)))
    name = service.name
    script = NssmScript.read()
    nssm("install", name, sys.executable)
    words = script.words(
        configPath=str(path), Name=service.instance, runDirectory=native.run_bases()[-1], DrainSeconds="30"
    )
    quoted = " ".join(f'"{word}"' for word in [*words, "--workers", "1"])
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, script.key(name), access=winreg.KEY_SET_VALUE) as key:
        winreg.SetValueEx(key, script.value, 0, winreg.REG_SZ, quoted)
    for setting in script.settings(service=name, DrainSeconds=30):
        nssm("set", name, *setting)
    nssm("start", name, check=False)  # it fails where its service takes more than 2.75 s to come up
    until(lambda: report(service)["state"] == "LIVE", "serves")
    if upgraded:  # then the Ctrl-C is passed on
        upgrade(service)
        until(lambda: report(service)["predecessor"] == 0, "the old process has drained")
    answer = stop_amid_a_request(service, origin, lambda: nssm("stop", name))
    assert answer.endswith(b"held")
    nssm("remove", name, "confirm")
