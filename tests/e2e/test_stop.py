"""Ending: requests under way are answered, a second signal ends at once, nothing stays behind."""

import signal
import socket

import psutil
import pytest

from tests.e2e.conftest import StartProxyd, config
from tests.e2e.origin import Origin


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(start: StartProxyd, origin: Origin, sig: signal.Signals) -> None:
    proxyd = start(config(origin.address), "--workers", "2")
    family = proxyd.family()
    port = proxyd.port()
    with (
        socket.create_connection(("127.0.0.1", port), 30) as busy,
        socket.create_connection(("127.0.0.1", port), 30) as idle,
    ):
        idle.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\n\r\n")
        assert idle.recv(65536).endswith(b"origin")
        busy.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
        assert origin.holding.wait(30)
        proxyd.process.send_signal(sig)
        assert idle.recv(1) == b""  # closed: nothing was under way on it
        assert proxyd.process.poll() is None
        origin.release()
        answer = b""
        while data := busy.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"held")
    assert proxyd.process.wait(30) == 0
    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []


def test_a_second_signal_ends_at_once(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address))
    with socket.create_connection(("127.0.0.1", proxyd.port()), 30) as client:
        client.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
        assert origin.holding.wait(30)
        proxyd.process.send_signal(signal.SIGTERM)
        proxyd.wait_for_log("drain")
        proxyd.process.send_signal(signal.SIGTERM)
        proxyd.process.wait(10)


def test_the_drain_time_is_the_limit(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--drain-time-s", "0.2")
    with socket.create_connection(("127.0.0.1", proxyd.port()), 30) as client:
        client.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
        assert origin.holding.wait(30)
        assert proxyd.end() == 0


def test_stop_drains_and_reports(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address))
    proxyd.command("stop")
    assert proxyd.process.wait(30) == 0
    none = proxyd.command("status", check=False)
    assert none.returncode == 1
    assert "no running instance" in none.stderr.lower() or "not running" in none.stderr.lower()


def test_connections_queued_at_the_stop_are_answered(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "1")
    port = proxyd.port()
    worker = psutil.Process(proxyd.workers()[0]["pid"])
    worker.suspend()
    clients = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(5)]
    for client in clients:
        client.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\n\r\n")
    proxyd.stop()
    proxyd.wait_for_log("drain")
    worker.resume()
    for client in clients:
        with client:
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    assert proxyd.process.wait(30) == 0
