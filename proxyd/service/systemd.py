"""systemd as the service manager: unit files are written, everything else is left to systemctl(1)."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from proxyd.service.contract import Installation, Service, ServiceError
from proxyd.service.systemd_unit import MARK, RUN_DIRECTORY, Unit, units
from proxyd.supervisor.commands import Status, StatusReport
from proxyd.supervisor.instance import InstanceError, find
from proxyd.system import native

_PROPERTIES: Final = (
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "SubState",
    "MainPID",
    "StatusText",
    "NRestarts",
    "ActiveEnterTimestamp",
)


def definition(wanted: Installation) -> str:
    return "\n".join(f"# {unit.name}\n{unit.text}" for unit in _units(wanted))


def install(wanted: Installation) -> list[str]:
    service = wanted.service
    folder = _folder(service)
    _refuse_account(wanted)
    if service.root is None and not service.per_user and wanted.run_as is None:
        _refuse_closed()
    made = _units(wanted)
    for unit in made:
        _refuse_foreign(folder / unit.name)
    told: list[str] = []
    for unit in made:
        _write(folder / unit.name, unit.text)
        told.append(f"{folder / unit.name} written")
    running = service.root is None and _manager_runs(service)
    if running:
        _systemctl(service, "daemon-reload")
    if wanted.enable:
        _systemctl(service, "enable", *(unit.name for unit in made))
        told.append(f"{service.name} starts with the {'session' if service.per_user else 'machine'}")
    if wanted.now:
        if not running:
            raise ServiceError("\n".join([*told, f"proxyd: {service.name} is not started: {_NOT_BOOTED}"]))
        told += start(service)
    elif running:
        told.append(f"start it with: proxyd service start{_options(service)}")
    return told


def uninstall(service: Service) -> list[str]:
    folder = _folder(service)
    names = [path.name for path in _files(service, folder)]
    if not names:
        raise ServiceError(f"proxyd: there is no {folder / service.name}.service")
    for name in names:
        _refuse_foreign(folder / name)
    running = service.root is None and _manager_runs(service)
    _systemctl(service, "disable", *(["--now"] if running else []), *names)
    for name in names:
        (folder / name).unlink()
    if running:
        _systemctl(service, "daemon-reload")
        _systemctl(service, "reset-failed", *names, check=False)
    return [f"{folder / name} removed" for name in names]


def start(service: Service) -> list[str]:
    _control(service, "start")
    return [f"{service.name} serves"]


def stop(service: Service) -> list[str]:
    _control(service, "stop")
    return [f"{service.name} has stopped"]


def reload(service: Service) -> list[str]:
    _control(service, "reload")
    # Type=notify-reload has no word for a reload that was refused.
    outcome = _report(service).last_reload
    if outcome.startswith("refused"):
        raise ServiceError(f"proxyd: the reload was {outcome}")
    return [f"reloaded: {outcome}"]


def status(service: Service) -> tuple[bool, list[str]]:
    if service.root is None and not _manager_runs(service):
        raise ServiceError(f"proxyd: {_NOT_BOOTED}")
    shown = _systemctl(service, "show", f"{service.name}.service", f"--property={','.join(_PROPERTIES)}")
    facts = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if facts.get("LoadState") == "not-found":
        raise ServiceError(
            f"proxyd: there is no service {service.name}; proxyd service install{_options(service)} makes it"
        )
    active = facts.get("ActiveState", "") in ("active", "reloading")
    lines = [
        f"service   {service.name} ({facts.get('UnitFileState') or 'not enabled'})",
        f"state     {facts.get('ActiveState')} ({facts.get('SubState')})"
        + (f" since {facts['ActiveEnterTimestamp']}" if active and facts.get("ActiveEnterTimestamp") else ""),
    ]
    if active:
        lines += [f"pid       {facts.get('MainPID')}", f"says      {facts.get('StatusText')}"]
    if facts.get("NRestarts", "0") != "0":
        lines.append(f"restarts  {facts['NRestarts']}")
    return active, lines


# -- files


def _units(wanted: Installation) -> list[Unit]:
    return units(wanted, _version(), _command(), wanted.workers or native.cpu_count())


def _command() -> list[str]:
    """How to run this proxyd from anywhere."""
    script = os.path.join(os.path.dirname(sys.executable), "proxyd")
    if os.access(script, os.X_OK):
        return [script]
    return [sys.executable, "-P", "-m", "proxyd"]


def _folder(service: Service) -> Path:
    if service.per_user:
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return Path(base, "systemd", "user")
    return Path(service.root or "/", "etc/systemd/system")


def _files(service: Service, folder: Path) -> list[Path]:
    """The service's own, and its sockets."""
    found = [folder / f"{service.name}.service", *sorted(folder.glob(f"{service.name}.*.socket"))]
    return [path for path in found if path.exists()]


def _refuse_foreign(path: Path) -> None:
    try:
        written = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise ServiceError(f"proxyd: {path} cannot be read: {error.strerror}") from None
    if not written.startswith(MARK):
        raise ServiceError(f"proxyd: {path} was not written by proxyd; move it away first")


def _refuse_account(wanted: Installation) -> None:
    account = wanted.run_as
    if account is None:
        return
    if wanted.service.per_user:
        raise ServiceError("proxyd: --run-as: a service of a user runs as that user")
    known = account.isdigit() or os.path.expanduser(f"~{account}") != f"~{account}"
    if wanted.service.root is None and not known:
        raise ServiceError(f"proxyd: --run-as: there is no user {account!r} on this machine")


def _refuse_closed() -> None:
    """Raise ServiceError where the account that the service gets could not run this proxyd."""
    for path in (sys.executable, os.path.realpath(sys.executable), sys.base_prefix, __file__):
        for folder in reversed(Path(os.path.abspath(path)).parents):
            if not folder.stat().st_mode & 0o001:
                raise ServiceError(
                    f"proxyd: {folder} is closed to other users, and {path} in it is what the service "
                    "would run; install proxyd where all may read it, for example in /opt/proxyd, or name an "
                    "account with --run-as"
                )


def _write(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, "utf-8")
        new.chmod(0o644)
        os.replace(new, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        told = f"proxyd: {path} cannot be written: {error.strerror}"
        if isinstance(error, PermissionError):
            told += (
                "; services of the machine are root's, `proxyd service install --user` makes one of your own"
            )
        raise ServiceError(told) from None


# -- systemctl

_NOT_BOOTED: Final = "systemd does not run here; the service starts when a system boots with it"


def _manager_runs(service: Service) -> bool:
    if not os.path.isdir("/run/systemd/system"):
        return False
    return not service.per_user or bool(os.environ.get("XDG_RUNTIME_DIR"))


def _version() -> int:
    """The version of systemd; without any the oldest that proxyd knows how to speak to."""
    program = shutil.which("systemctl")
    if program is None:
        return 0
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.match(r"systemd (\d+)", done.stdout)
    return int(found[1]) if found else 0


def _control(service: Service, verb: str) -> None:
    if service.root is not None or not _manager_runs(service):
        raise ServiceError(f"proxyd: {_NOT_BOOTED}")
    try:
        _systemctl(service, verb, f"{service.name}.service")
    except ServiceError as error:
        journal = "journalctl --user-unit" if service.per_user else "journalctl -u"
        raise ServiceError(f"{error}\nwhy: {journal} {service.name} -n 20") from None


def _systemctl(service: Service, verb: str, *words: str, check: bool = True) -> str:
    program = shutil.which("systemctl")
    if program is None:
        raise ServiceError("proxyd: there is no systemctl here: services need systemd")
    options = ["--user"] if service.per_user else []
    if service.root is not None:
        options.append(f"--root={service.root}")
    done = subprocess.run(  # noqa: S603
        [program, *options, verb, *words], capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise ServiceError(f"proxyd: systemctl {verb}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _options(service: Service) -> str:
    """The options by which the service's commands find it."""
    name = "" if service.name == "proxyd" else f" --name {service.instance}"
    return name + (" --user" if service.per_user else "")


def _report(service: Service) -> StatusReport:
    base = os.environ.get("XDG_RUNTIME_DIR", "") if service.per_user else "/run"
    try:
        report = find(service.instance, os.path.join(base, RUN_DIRECTORY)).call(Status())
    except InstanceError as error:
        raise ServiceError(f"proxyd: {error}") from None
    assert isinstance(report, StatusReport)
    return report
