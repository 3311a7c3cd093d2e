"""Another user instead of root, and the right to listen on low ports that goes along."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_NOBODY = 65534

# What a process that is started then may do.
_CHILD = "print(subprocess.run(['cat', '/proc/self/status'], capture_output=True, text=True).stdout)"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def _python(code: str) -> str:
    """Run code in a process of its own, beside proxyd; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _fields(status: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)


def _free_low_port() -> int:
    for port in range(1023, 512, -1):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no low port is free")


@needs_root
def test_the_user_can_bind_low_ports_and_what_he_starts_cannot(tmp_path: Path) -> None:
    code = f"""
import os, socket, subprocess
from proxyd.system import native
native.take_identity("{_NOBODY}", [({str(tmp_path / "base")!r}, "inner")])
assert os.getuid() == os.geteuid() == {_NOBODY} and 0 not in os.getgroups()
socket.create_server(("127.0.0.1", {_free_low_port()})).close()
{_CHILD}
"""
    status = _fields(_python(code))
    assert status["Uid"].split() == [str(_NOBODY)] * 4
    assert {status[name] for name in ("CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert (tmp_path / "base" / "inner").stat().st_uid == _NOBODY
    assert (tmp_path / "base" / "inner").stat().st_mode & 0o777 == 0o700


@needs_root
def test_a_successor_is_lent_the_right() -> None:
    code = f"""
import subprocess
from proxyd.system import _linux_privileges, native
native.take_identity("{_NOBODY}", ())
with _linux_privileges.lending_capabilities():
    {_CHILD}
"""
    status = _fields(_python(code))
    assert int(status["CapEff"], 16) == 1 << 10  # CAP_NET_BIND_SERVICE


@needs_root
def test_whom_there_is_not() -> None:
    code = """
from proxyd.system import native
try:
    native.take_identity("no-such-account", ())
except PermissionError as error:
    print(error)
"""
    assert "no such account here" in _python(code)
