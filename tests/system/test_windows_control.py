"""Clients of the control channel on Windows that come and go as they like."""

import asyncio
import time
from pathlib import Path

import pytest

from proxyd.system import native
from tests import windows

if not windows.HERE:
    pytest.skip(windows.WINDOWS, allow_module_level=True)

import _winapi

import win32security

from proxyd.system import _windows_api, _windows_control
from proxyd.system._windows_control import PipeListener


def test_a_client_that_leaves_before_it_is_waited_for_deafens_nobody(tmp_path: Path) -> None:
    """As whoever looks whether an instance runs does: Windows tells of it by an error (ERROR_NO_DATA)."""
    path = tmp_path / "control.sock"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(2))
        await writer.drain()
        writer.close()

    async def main() -> None:
        listener = PipeListener(str(path))
        _winapi.CloseHandle(_windows_control._connect(listener.name))
        server = await native.serve_control(listener, serve)
        try:
            assert await asyncio.get_running_loop().run_in_executor(None, _echoed, str(path)) == b"hi"
        finally:
            server.close()

    with asyncio.Runner(loop_factory=native.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))


def _echoed(path: str) -> bytes:
    with native.connect_control(path, 20.0) as connection:
        connection.sendall(b"hi")
        return connection.recv(2)


def test_a_pipe_that_is_busy_is_waited_for_as_long_as_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "control.sock"
    listener = PipeListener(str(path))
    taken = _windows_control._connect(listener.name)
    # It comes back at once when the pipe is free for a moment.
    monkeypatch.setattr(_winapi, "WaitNamedPipe", lambda name, milliseconds: None)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="is busy"):
        native.connect_control(str(path), 0.5)
    assert time.monotonic() - began >= 0.5
    _winapi.CloseHandle(taken)


def test_the_pipe_is_for_its_user_the_system_and_administrators(tmp_path: Path) -> None:
    listener = PipeListener(str(tmp_path / "control.sock"))
    client = _windows_control._connect(listener.name)
    try:
        found = win32security.GetSecurityInfo(
            client, win32security.SE_KERNEL_OBJECT, win32security.DACL_SECURITY_INFORMATION
        )
        access = found.GetSecurityDescriptorDacl()
        entries = [access.GetAce(index) for index in range(access.GetAceCount())]
        allowed = {win32security.ConvertSidToStringSid(sid) for (kind, _), _, sid in entries if kind == 0}
        assert len(allowed) == len(entries)
        assert allowed == {_windows_api.OwnerOnly().user, "S-1-5-18", "S-1-5-32-544"}
    finally:
        _winapi.CloseHandle(client)
