"""Real proxyd processes for end-to-end tests: started by the command line, spoken to as an operator would."""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from proxyd.supervisor.commands import Status, Stop
from proxyd.supervisor.instance import Instance, InstanceError, candidates, find
from tests import windows
from tests.e2e.origin import Origin

_DEADLINE = 90.0  # seconds; several processes start, on a machine that does other things as well

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
# For requests that the origin holds: without the fifteen seconds that a route gives.
HOLDING: list[dict[str, Any]] = [
    {"match": {"path": "/hold"}, "route": {"cluster": "backend", "timeout": "0s"}}
]
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)


def _address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def config(
    *upstreams: str,
    listeners: dict[str, str] | None = None,
    access_log: Path | None = None,
    routes: list[dict[str, Any]] | None = None,
    **manager: Any,
) -> dict[str, Any]:
    """A bootstrap: ``listeners`` name to address, all to one cluster ``backend`` of ``upstreams``."""
    manager_config: dict[str, Any] = {
        "@type": HCM,
        "stat_prefix": "ingress",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [*(routes or []), {"match": {"prefix": "/"}, "route": {"cluster": "backend"}}],
                }
            ]
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        **manager,
    }
    if access_log is not None:
        manager_config["access_log"] = [
            {"name": "file", "typed_config": {"@type": FILE_LOG, "path": str(access_log)}}
        ]
    return {
        "admin": {"address": _address("127.0.0.1:0")},
        "static_resources": {
            "listeners": [
                {
                    "name": name,
                    "address": _address(address),
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager_config,
                                }
                            ]
                        }
                    ],
                }
                for name, address in (listeners or {"http": "127.0.0.1:0"}).items()
            ],
            "clusters": [
                {
                    "name": "backend",
                    "load_assignment": {
                        "cluster_name": "backend",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {"endpoint": {"address": _address(upstream)}} for upstream in upstreams
                                ]
                            }
                        ],
                    },
                }
            ],
        },
    }


class Proxyd:
    """One running instance. ``log`` is what it wrote to standard error so far, a line each."""

    def __init__(
        self,
        directory: Path,
        arguments: list[str],
        stderr: int = subprocess.PIPE,
        launcher: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
        python: str = sys.executable,
    ) -> None:
        """``launcher`` is a command that becomes proxyd, with the descriptors ``pass_fds``."""
        self.directory = directory
        self.name = arguments[arguments.index("--name") + 1] if "--name" in arguments else "default"
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [*launcher, python, "-m", "proxyd", "start", "--run-dir", str(directory), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            cwd=directory,
            pass_fds=pass_fds,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.log.append(line.rstrip("\n"))
            self._lines.put(line)
        self._lines.put(None)

    def wait_for_log(self, text: str) -> str:
        """The first line containing ``text`` among those not waited for yet."""
        while True:
            try:
                line = self._lines.get(timeout=_DEADLINE)
            except queue.Empty:
                raise AssertionError(f"never logged {text!r}:\n" + "\n".join(self.log)) from None
            assert line is not None, f"ended without {text!r}:\n" + "\n".join(self.log)
            if text in line:
                return line

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``proxyd <arguments>`` against this instance."""
        done = subprocess.run(
            [sys.executable, "-m", "proxyd", arguments[0], "--run-dir", str(self.directory), *arguments[1:]],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr + "\n".join(self.log)
        return done

    def status(self, name: str | None = None) -> Any:
        """What ``proxyd status --json`` prints, without a process for each look."""
        return msgspec.to_builtins(find(name, str(self.directory)).call(Status()))

    def port(self, listener: str = "http") -> int:
        for entry in self.status()["listeners"]:
            if entry["name"] == listener:
                return int(entry["addresses"][0].rpartition(":")[2])
        raise AssertionError(f"no listener {listener}")

    def workers(self) -> list[Any]:
        """Those in service: state ready, by slot."""
        ready = [worker for worker in self.status()["workers"] if worker["state"] == "ready"]
        return sorted(ready, key=lambda worker: worker["worker"])

    def admin(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body of the admin API's answer."""
        request = urllib.request.Request(f"http://{self.status()['admin']}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=_DEADLINE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def counter(self, name: str) -> int:
        status, text = self.admin(f"/stats?filter=^{name.replace('.', '[.]')}$")
        assert status == 200
        assert text.startswith(f"{name}: "), text
        return int(text.split(": ")[1])

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Ask again and again, bounded; between two questions stands a round trip to the instance."""
        deadline = time.monotonic() + _DEADLINE
        while time.monotonic() < deadline:
            if condition():
                return
            self.status()
        raise AssertionError(f"never: {what}\n" + "\n".join(self.log))

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything it started."""
        root = psutil.Process(self.process.pid)
        if windows.HERE:  # Wine knows no parents
            reports = [msgspec.to_builtins(each.call(Status())) for each in self._instances()]
            pids = [worker["pid"] for report in reports for worker in report["workers"]]
            pids += [report["pid"] for report in reports if report["pid"] != root.pid]
            found = [root]
            for pid in pids:
                with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since
                    found.append(psutil.Process(pid))
            return found
        return [root, *root.children(recursive=True)]

    def stop(self) -> None:
        """What SIGTERM asks for, or where there are no signals the command."""
        if not windows.HERE:
            self.process.send_signal(signal.SIGTERM)
            return
        for each in self._instances():
            threading.Thread(target=_stop, args=(each,), daemon=True).start()

    def _instances(self) -> list[Instance]:
        """This one, where it runs: the process that was started, or one that has taken over from it."""
        return [each for each in candidates(str(self.directory)) if each.name == self.name and each.pid]

    def end(self) -> int:
        """Stop, wait, and return the exit code."""
        if self.process.poll() is None:
            self.stop()
        code = self.process.wait(_DEADLINE)
        self._reader.join(_DEADLINE)
        return code


def _stop(instance: Instance) -> None:
    with contextlib.suppress(InstanceError):  # it ends, whether or not it can still say so
        instance.call(Stop())


StartProxyd = Callable[..., Proxyd]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartProxyd]:
    """Start an instance on a configuration (a dict) and wait until it serves; the test's end ends all."""
    started: list[Proxyd] = []

    def start_one(
        bootstrap: dict[str, Any] | None = None,
        *arguments: str,
        wait: bool = True,
        stderr: int = subprocess.PIPE,
        launcher: tuple[str, ...] = (),
        pass_fds: tuple[int, ...] = (),
    ) -> Proxyd:
        given = list(arguments)
        if bootstrap is not None:
            path = tmp_path / "proxyd.json"
            path.write_text(json.dumps(bootstrap))
            given += ["-c", str(path)]
        proxyd = Proxyd(tmp_path, given, stderr, launcher, pass_fds)
        started.append(proxyd)
        if wait:
            proxyd.wait_for_log("serving")
        return proxyd

    yield start_one
    for proxyd in started:
        family = proxyd.family() if proxyd.process.poll() is None else []
        proxyd.end()
        _, left = psutil.wait_procs(family, timeout=10)
        for process in left:
            process.kill()
        assert not left, f"still running: {left}"
        if proxyd.process.stderr is not None:
            proxyd.process.stderr.close()


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as served:
        yield served


def rewrite(proxyd: Proxyd, bootstrap: dict[str, Any]) -> None:
    """Replace the configuration file, whole or not at all."""
    path = proxyd.directory / "proxyd.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(bootstrap))
    windows.replace(new, path)
