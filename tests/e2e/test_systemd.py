"""proxyd as a service of a real systemd, which runs in namespaces of this machine (see ``systemd_machine``).

What this cannot show: a journal; services of a user (`systemd --user`); and Type=notify-reload where the
systemd here is older than 253, unless PROXYD_SYSTEMD names a newer one. All of it has passed on 254 that way,
Debian 12's backport. In ``test_service_reports`` a stand-in takes the place of systemd.
"""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import proxyd
from proxyd.service import systemd
from proxyd.service.contract import Installation, Service, ServiceError
from proxyd.service.systemd import definition, install
from proxyd.service.systemd_unit import units
from tests.e2e.conftest import config
from tests.e2e.systemd_machine import CannotRunError, Machine

pytestmark = pytest.mark.skipif(
    any(path.startswith(("/tmp/", "/var/tmp/")) for path in (sys.prefix, proxyd.__file__)),
    reason="proxyd is below /tmp here, which no service sees",
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    try:
        booted = Machine(tmp_path_factory.mktemp("machine"))
    except CannotRunError:
        pytest.skip("no systemd can be started here")
    yield booted
    booted.close()


def _configure(machine: Machine, **listeners: str) -> None:
    """The system's configuration: these listeners, which answer everything themselves."""
    routes = [
        {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "well"}}}
    ]
    folder = machine.etc / "proxyd"
    folder.mkdir(exist_ok=True)
    text = json.dumps(config("127.0.0.1:9", listeners=listeners, routes=routes))
    (folder / "proxyd.yaml").write_text(text)


def _shown(machine: Machine, prop: str, unit: str = "proxyd.service") -> str:
    return machine.run("systemctl", "show", unit, f"--property={prop}", "--value").stdout.strip()


def _status(machine: Machine) -> Any:
    return json.loads(machine.proxyd("status", "--json").stdout)


@pytest.fixture
def installed(machine: Machine) -> Iterator[Machine]:
    """With `proxyd service install --workers 2` behind it; what it says goes to /run/proxyd.log."""
    _configure(machine, low="127.0.0.1:80")
    machine.proxyd("service", "install", "--workers", "2")
    drop_in = machine.etc / "systemd/system/proxyd.service.d"
    drop_in.mkdir()
    (drop_in / "log.conf").write_text("[Service]\nStandardError=append:/run/proxyd.log\n")
    machine.run("systemctl", "daemon-reload")
    yield machine
    shutil.rmtree(drop_in)
    machine.proxyd("service", "uninstall")
    assert not (machine.etc / "systemd/system/proxyd.service").exists()
    assert _shown(machine, "LoadState") == "not-found"


@pytest.mark.timeout(300)
def test_a_life_from_start_to_stop(installed: Machine) -> None:
    machine = installed
    assert machine.proxyd("service", "status", check=False).returncode == 1
    assert machine.proxyd("service", "start").stdout == "proxyd serves\n"
    assert _shown(machine, "ActiveState") == "active"
    version = re.match(r"systemd (\d+)", machine.run("systemctl", "--version").stdout)
    assert version
    assert _shown(machine, "Type") == ("notify-reload" if int(version[1]) >= 253 else "notify")
    # A port below 1024, and yet it is not root.
    assert machine.get(80).endswith("well")
    pid = int(_shown(machine, "MainPID"))
    status = machine.run("cat", f"/proc/{pid}/status").stdout
    assert "\nUid:\t0\t" not in status
    assert "\nNoNewPrivs:\t1\n" in status
    assert "\nSeccomp:\t2\n" in status

    said = machine.proxyd("service", "status").stdout
    assert re.search(r"says +2 workers, \d+ connections?, \d+ requests/s, generation 1\n", said)
    _configure(machine, low="127.0.0.1:80", high="127.0.0.1:8080")
    assert "reloaded: generation 2" in machine.proxyd("service", "reload").stdout
    assert machine.get(8080).endswith("well")
    (machine.etc / "proxyd/proxyd.yaml").write_text("nothing: {}")
    refused = machine.proxyd("service", "reload", check=False)
    assert refused.returncode == 1
    assert _shown(machine, "ActiveState") == "active"
    assert machine.get(80).endswith("well")

    assert machine.proxyd("service", "stop").stdout == "proxyd has stopped\n"
    assert _shown(machine, "Result") == "success"
    assert _shown(machine, "ActiveState") == "inactive"
    log = machine.run("cat", "/run/proxyd.log").stdout
    assert log.rstrip().endswith("ended")
    assert machine.run("ls", "/run/proxyd").stdout == ""


@pytest.mark.timeout(300)
def test_an_upgrade_and_what_follows_when_it_dies(installed: Machine) -> None:
    machine = installed
    machine.proxyd("service", "start")
    before = int(_shown(machine, "MainPID"))
    said = machine.proxyd("upgrade", "--wait").stdout
    after = int(_shown(machine, "MainPID"))
    assert f"(pid {after}) has taken over" in said
    assert before != after
    assert _shown(machine, "ActiveState") == "active"
    assert machine.get(80).endswith("well")
    assert "reloaded: generation 3" in machine.proxyd("service", "reload").stdout
    # systemd notices the end of a process that it has not started itself, a while later.
    machine.run("kill", "-KILL", str(after))
    deadline = time.monotonic() + 60
    while _shown(machine, "NRestarts") != "1":
        assert time.monotonic() < deadline, "systemd has not noticed"
    machine.run("systemctl", "start", "proxyd")  # returns when what Restart= brings serves
    machine.proxyd("upgrade")
    machine.proxyd("service", "stop")
    assert _shown(machine, "Result") == "success"


@pytest.mark.timeout(300)
def test_sockets_are_activated_by_the_names_of_listeners(machine: Machine) -> None:
    _configure(machine, http="127.0.0.1:1", low="127.0.0.1:80")
    machine.proxyd("service", "install", "--workers", "2", "--socket", "http=127.0.0.1:8080", "--no-enable")
    try:
        machine.run("systemctl", "start", "proxyd.http.socket")
        assert _shown(machine, "ActiveState") == "inactive"
        assert machine.get(8080).endswith("well")  # the connection starts the service
        listeners = {each["name"]: each["addresses"] for each in _status(machine)["listeners"]}
        assert listeners == {"http": ["127.0.0.1:8080"], "low": ["127.0.0.1:80"]}
        machine.proxyd("upgrade", "--wait")
        machine.proxyd("reload")
        assert [machine.get(8080)[-4:] for _ in range(6)] == ["well"] * 6
        machine.proxyd("service", "stop")
        assert machine.get(8080).endswith("well")  # systemd has kept the sockets
    finally:
        machine.run("systemctl", "stop", "proxyd.http.socket", check=False)
        machine.proxyd("service", "uninstall")
    assert not list((machine.etc / "systemd/system").glob("proxyd*"))


@pytest.mark.timeout(300)
def test_root_can_start_it_as_another_user(machine: Machine) -> None:
    """Without a service manager; here since on this machine everybody can read proxyd."""
    _configure(machine, first="127.0.0.1:80")
    command = [sys.executable, "-m", "proxyd", "start", "--user", "nobody", "--workers", "1"]
    with subprocess.Popen(machine.command(*command), stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        log = []
        for line in started.stderr:
            log.append(line)
            if "serving" in line:
                break
        assert "serving" in log[-1], log
        assert machine.get(80).endswith("well")
        _configure(machine, first="127.0.0.1:80", second="127.0.0.1:81")
        machine.proxyd("reload")  # binds another low port
        machine.proxyd("upgrade", "--wait")
        _configure(machine, first="127.0.0.1:80", third="127.0.0.1:82")
        machine.proxyd("reload")
        assert machine.get(82).endswith("well")
        report = _status(machine)
        capabilities = {}
        for pid in (report["pid"], report["workers"][0]["pid"]):
            fields = dict(
                line.split(":\t", 1)
                for line in machine.run("cat", f"/proc/{pid}/status").stdout.splitlines()
                if ":\t" in line
            )
            assert "0" not in fields["Uid"].split()
            capabilities[pid] = int(fields["CapEff"], 16)
        assert list(capabilities.values()) == [1 << 10, 0]  # CAP_NET_BIND_SERVICE, and nothing
        machine.proxyd("stop")
        started.communicate()
    assert started.returncode == 0


# -- the unit files


def _text(version: int, **wanted: Any) -> str:
    service = Service(per_user=wanted.pop("per_user", False))
    made = units(Installation(service=service, **wanted), version, ["/opt/proxyd/bin/proxyd"], 2)
    return "".join(unit.text for unit in made)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("per_user", [False, True])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, per_user: bool) -> None:
    start = ("-c", "/etc/proxyd/proxyd.yaml", "--config-yaml", 'node: {id: "100% $HOME"}')
    wanted = Installation(
        service=Service(per_user=per_user), start=start, sockets=("http=127.0.0.1:8080", "tls=[::1]:8443")
    )
    made = units(wanted, 252, [shutil.which("true") or "/bin/true"], 2)
    for unit in made:
        (tmp_path / unit.name).write_text(unit.text)
    scope = ["--user"] if per_user else []
    command = ["systemd-analyze", *scope, "--man=no", "verify", *(str(tmp_path / unit.name) for unit in made)]
    environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_service_is_confined(tmp_path: Path) -> None:
    (tmp_path / "proxyd.service").write_text(_text(252))
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager"]
    done = subprocess.run(
        [*command, str(tmp_path / "proxyd.service")], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"Overall exposure level for proxyd.service: ([0-9.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) < 2.0


def test_from_253_on_systemd_reloads_by_signal() -> None:
    assert "\nType=notify-reload\n" in _text(253)
    assert "ExecReload" not in _text(253)
    assert "\nType=notify\n" in _text(252)
    assert "\nExecReload=/opt/proxyd/bin/proxyd reload --name default\n" in _text(252)


@pytest.mark.parametrize(
    ("version", "kind"),
    [("252 (252.38-1~deb12u1)", "notify"), ("253", "notify-reload"), ("257.9-1", "notify-reload")],
)
def test_the_unit_is_for_the_systemd_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, kind: str
) -> None:
    """A program that only says its version stands for later ones, which read no unit here.

    That a reload by signal is told as they want it is in `test_service_reports`.
    """
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\necho 'systemd {version}'\necho '+PAM +AUDIT'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"\nType={kind}\n" in definition(Installation(service=Service()))


def test_without_systemctl_the_unit_is_for_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "\nType=notify\n" in definition(Installation(service=Service()))


@pytest.mark.parametrize(
    "text",
    [
        "http",
        "http=",
        "http=8080",
        "http=localhost:80",
        "http=0.0.0.0:0",
        "http=0.0.0.0:65536",
        "http=::1:80",
    ],
)
def test_what_systemd_could_not_bind_is_no_socket(text: str) -> None:
    with pytest.raises(ServiceError, match="expected LISTENER=ADDRESS:PORT"):
        _text(252, sockets=(text,))


def test_an_account_that_there_is_not_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_folder", lambda service: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # nor is systemctl asked for anything
    with pytest.raises(ServiceError, match="there is no user 'nobody-here' on this machine"):
        install(Installation(service=Service(), run_as="nobody-here"))
    with pytest.raises(ServiceError, match="--run-as: a service of a user runs as that user"):
        install(Installation(service=Service(per_user=True), run_as="nobody"))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_told_as_such_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str, encoding: str) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ServiceError, match=r"proxyd\.service cannot be written: No space left on device$"):
        install(Installation(service=Service(root=str(tmp_path))))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_service_of_a_user_asks_for_nothing_that_only_root_may() -> None:
    text = _text(252, per_user=True)
    assert "User=" not in text
    assert "Capabilit" not in text
    assert "WantedBy=default.target" in text
    assert "Environment=PROXYD_RUN_DIR=%t/proxyd" in text
