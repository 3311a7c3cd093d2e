"""Every request is in the log once, whoever wrote it and whatever happened to the file meanwhile."""

import os
import signal
from pathlib import Path

from tests.e2e.conftest import StartProxyd, config
from tests.e2e.load import Load
from tests.e2e.origin import Origin


def test_rotation_under_load_loses_no_line(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    proxyd = start(config(origin.address, access_log=log), "--workers", "2")
    rotated = []
    with Load(proxyd.port(), keep_alive=True) as load:
        for turn in range(4):
            load.wait_for(200)
            rotated.append(tmp_path / f"access.log.{turn}")
            log.rename(rotated[-1])
            if turn % 2:
                proxyd.command("reopen-logs")
            else:
                assert proxyd.admin("/reopen_logs", "POST") == (200, "OK\n")
        load.wait_for(200)
    assert load.failures == []
    assert proxyd.end() == 0
    lines = [line for path in [*rotated, log] for line in path.read_text().splitlines()]
    assert len(lines) == load.answered
    assert all('"GET /name HTTP/1.1" 200 - 0 6 ' in line for line in lines)
    assert len({line.rsplit('"', 6)[1] for line in lines}) > 0


def test_logs_are_rotated_by_their_size_and_lose_no_line(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    rotation = ("--log-rotate-size", "4K", "--log-rotate-keep", "1000")
    proxyd = start(config(origin.address, access_log=log), "--workers", "2", *rotation)
    with Load(proxyd.port(), keep_alive=True) as load:
        proxyd.until((tmp_path / "access.log.2").exists, "rotated twice")
    assert load.failures == []
    assert proxyd.end() == 0
    kept = sorted(tmp_path.glob("access.log*"))
    assert sum(len(path.read_text().splitlines()) for path in kept) == load.answered
    assert all(path.stat().st_size >= 4096 for path in kept if path != log)


def test_sigusr1_reopens(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    proxyd = start(config(origin.address, access_log=log), "--workers", "2")
    log.rename(tmp_path / "old.log")
    proxyd.process.send_signal(signal.SIGUSR1)
    proxyd.until(log.exists, "a new log file")


def test_a_full_disk_costs_lines_and_no_request(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address, access_log=Path("/dev/full")))
    with Load(proxyd.port(), keep_alive=True) as load:
        load.wait_for(300)
    assert load.failures == []
    proxyd.until(lambda: proxyd.counter("filesystem.write_failed") > 0, "failed writes counted")


def test_a_pipe_nobody_reads_blocks_no_request(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    fifo = tmp_path / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        proxyd = start(config(origin.address, access_log=fifo))
        with Load(proxyd.port(), keep_alive=True) as load:
            load.wait_for(2000)
        assert load.failures == []
        assert proxyd.end() == 0
    finally:
        os.close(reader)
