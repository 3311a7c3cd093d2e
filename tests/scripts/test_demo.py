import json
import socket
import subprocess
import sys
from pathlib import Path

import demo
import demo_numbers
import environment
import pytest


def test_a_free_port_is_taken_and_a_taken_one_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = demo._free_port(port)
        assert other != port
        assert capsys.readouterr().out == f"port {port} is taken, using {other} instead\n"
    assert demo._free_port(other) == other


def test_numbers_without_a_terminal_are_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pages(monkeypatch, requests=1200)
    demo_numbers.Panel(1).show(in_place=False)
    out = capsys.readouterr().out
    assert out.startswith("requests 1,200 (")
    assert "worker 0 (pid 7, generation 1, ready)" in out
    assert "\x1b" not in out


def test_numbers_on_a_terminal_replace_the_last_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pages(monkeypatch, requests=1)
    panel = demo_numbers.Panel(1)
    panel.show(in_place=True)
    assert "\x1b[2F" not in capsys.readouterr().out
    panel.show(in_place=True)
    assert capsys.readouterr().out.startswith("\x1b[2F\x1b[J")


def test_numbers_wait_for_an_admin_api_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_numbers, "read_admin", lambda *_: None)
    demo_numbers.Panel(1).show(in_place=False)
    assert capsys.readouterr().out == ""


def _pages(monkeypatch: pytest.MonkeyPatch, requests: int) -> None:
    """An admin API with one worker."""
    worker = {
        "worker": 0, "pid": 7, "generation": 1, "state": "ready", "connections": 1,
        "requests_total": requests, "cpu_percent": 1.5, "memory_bytes": 50 << 20,
    }  # fmt: skip
    stats = {"stats": [{"name": "http.demo.downstream_rq_total", "value": requests}, {"histograms": {}}]}

    def read_admin(port: int, path: str) -> str:
        return json.dumps({"workers": [worker]} if path.startswith("/workers") else stats)

    monkeypatch.setattr(demo_numbers, "read_admin", read_admin)


@pytest.mark.e2e
def test_everything_the_demo_says_is_true(tmp_path: Path) -> None:
    """The whole demonstration, in this Python's environment, on ports of its own."""
    script = environment.ROOT / "scripts" / "demo.py"
    code = (
        "import sys, pathlib, environment, demo\n"
        "environment.prepare = lambda: environment.Environment(pathlib.Path(sys.prefix))\n"
        "sys.exit(demo.main(['--auto', '--port', '0', '--admin-port', '0']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=script.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "OK: all checks\n" in done.stdout
    assert done.stdout.endswith("stopped, nothing is left running\n")
