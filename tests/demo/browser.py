"""A headless Chromium, driven over its debugging pipe (the DevTools protocol, messages ended by NUL)."""

import base64
import hashlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_DEADLINE = 40.0  # seconds
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

# The browser has its pipe as descriptors 3 and 4, whatever else these were before.
_EXEC = """
import fcntl, os, sys
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, wanted in zip(ours, (3, 4)):
    os.dup2(number, wanted)
os.execv(sys.argv[3], sys.argv[3:])
"""


def chromium_program() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One tab. Certificates whose keys have one of the ``pins`` (SPKI, SHA-256, base64) are trusted."""

    def __init__(self, profile: Path, *pins: str) -> None:
        self._number = 0
        self._session = ""
        self._data = b""
        program = chromium_program()
        assert program is not None
        read_end, self._write = os.pipe()
        self._read, write_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _EXEC, str(read_end), str(write_end), program, "--headless",
                 "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--remote-debugging-pipe", "--window-size=900,900", f"--user-data-dir={profile}",
                 f"--ignore-certificate-errors-spki-list={','.join(pins)}", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(read_end, write_end),
            )  # fmt: skip
        finally:
            os.close(read_end)
            os.close(write_end)

    def __enter__(self) -> Self:
        try:
            self._attach()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _attach(self) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def open(self, url: str) -> None:
        """Navigate and wait until the page has loaded; AssertionError: what it objects to."""
        answer = self._call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self._event("Page.loadEventFired")

    def reload(self) -> None:
        self._call("Page.reload", ignoreCache=True)
        self._event("Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        return self._call("Runtime.evaluate", expression=expression)["result"].get("value")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _event(self, name: str) -> None:
        while self._message().get("method") != name:
            pass

    def _message(self) -> dict[str, Any]:
        deadline = time.monotonic() + _DEADLINE
        while b"\0" not in self._data:
            ready, _, _ = select.select([self._read], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "Chromium does not answer"
            more = os.read(self._read, 1 << 16)
            assert more, "Chromium has ended"
            self._data += more
        first, _, self._data = self._data.partition(b"\0")
        answer: dict[str, Any] = json.loads(first)
        return answer


def pin_of(path: Path) -> str:
    """What Chromium has to be told so that it trusts a certificate of an authority that it does not know."""
    key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()
