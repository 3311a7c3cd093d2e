"""proxyd's own log: whatever becomes of its sink, the instance serves, reloads and ends."""

import os
import shutil
import signal
import time
from pathlib import Path

from proxyd.supervisor.instance import InstanceError
from proxyd.system import native
from tests import windows
from tests.e2e.conftest import Proxyd, StartProxyd, config
from tests.e2e.origin import Origin


def test_a_log_that_cannot_be_reopened_is_told_and_kills_nothing(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    proxyd = start(
        config(origin.address, access_log=folder / "access.log"),
        *(
            "--workers",
            "2",
            "--log-path",
            str(folder / "px.log"),
            "--admin-address-path",
            str(tmp_path / "a"),
        ),
        wait=False,
    )
    _until_serving(proxyd, tmp_path)
    kept = open(folder / "px.log", opener=native.open_to_read)  # noqa: SIM115 - it is closed below
    shutil.rmtree(folder)
    if not windows.HERE:
        proxyd.process.send_signal(signal.SIGUSR1)
    done = proxyd.command("reopen-logs", check=False)
    assert done.returncode == 1
    for name in ("px.log", "access.log"):
        assert f"cannot open {folder / name}: No such file or directory" in done.stderr
    assert "(worker 0, worker 1)" in done.stderr
    status, text = proxyd.admin("/reopen_logs", "POST")
    assert status == 500
    assert f"cannot open {folder / 'access.log'}: No such file" in text
    folder.mkdir()
    proxyd.command("reopen-logs")
    assert "logs reopened" in (folder / "px.log").read_text()
    assert proxyd.end() == 0
    assert "not all logs were reopened: cannot open" in kept.read()
    kept.close()


def test_a_log_that_nobody_reads_holds_up_nothing(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    proxyd = start(
        config(origin.address),
        *("--log-path", str(fifo), "--log-level", "trace", "--admin-address-path", str(tmp_path / "a")),
        wait=False,
    )
    assert str(fifo) in proxyd.wait_for_log("nobody reads")
    _until_serving(proxyd, tmp_path)
    proxyd.command("reload")
    assert proxyd.end() == 0


def test_a_full_pipe_as_standard_error_holds_up_nothing(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    proxyd = start(
        config(origin.address), "--admin-address-path", str(tmp_path / "a"), wait=False, stderr=writer
    )
    os.close(writer)
    try:
        _until_serving(proxyd, tmp_path)
        proxyd.command("reload")
        assert proxyd.end() == 0
    finally:
        os.close(reader)


def _until_serving(proxyd: Proxyd, directory: Path) -> None:
    """Where the log cannot say it: the admin address is written once the first generation serves."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if (directory / "a").exists() and proxyd.status()["state"] == "LIVE":
                return
        except InstanceError:
            pass
        time.sleep(0.02)
    raise AssertionError("does not serve")
