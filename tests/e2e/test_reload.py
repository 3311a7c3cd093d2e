"""No connection is lost over reloads, whatever changes."""

import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import HOLDING, StartProxyd, config, rewrite
from tests.e2e.load import Load, reload_under_load
from tests.e2e.origin import Origin


@pytest.mark.timeout(180)  # twenty generations, one after the other, beside whatever else runs
def test_twenty_reloads_under_load_fail_no_request(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "2")
    sent = reload_under_load(proxyd, times=20, requests=5)
    assert proxyd.counter("cluster.backend.upstream_rq_completed") == sent


def test_reload_changes_the_number_of_workers_under_load(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "3")
    port = proxyd.port()
    with Load(port, keep_alive=False) as fresh, Load(port, keep_alive=True) as kept:
        for workers in (1, 4, 2):
            fresh.wait_for(50)
            kept.wait_for(50)
            proxyd.command("reload", "--workers", str(workers))
            assert len(proxyd.workers()) == workers
        fresh.wait_for(100)
        kept.wait_for(100)
    assert fresh.failures == []
    assert kept.failures == []


def test_reload_adds_and_removes_listeners_and_keeps_the_others(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address))
    port = proxyd.port()
    with Load(port, keep_alive=False) as load:
        rewrite(proxyd, config(origin.address, listeners={"http": "127.0.0.1:0", "other": "127.0.0.1:0"}))
        proxyd.command("reload")
        other = proxyd.port("other")
        with Load(other, keep_alive=False) as second:
            second.wait_for(10)
        assert second.failures == []
        rewrite(proxyd, config(origin.address))
        proxyd.command("reload", "--wait")
        load.wait_for(20)
    assert load.failures == []
    assert proxyd.port() == port
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", other)) != 0


def test_a_request_under_way_is_finished_by_the_old_generation(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address, routes=HOLDING))
    with socket.create_connection(("127.0.0.1", proxyd.port()), 30) as client:
        client.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
        assert origin.holding.wait(30)
        assert "1 connection" in proxyd.command("reload").stdout
        origin.release()
        answer = b""
        while data := client.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"held")


def test_a_bad_configuration_changes_nothing(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address))
    port = proxyd.port()
    before = proxyd.workers()
    bad = config(origin.address)
    bad["static_resources"]["clusters"][0]["connect_timout"] = "1s"
    rewrite(proxyd, bad)
    with Load(port, keep_alive=True) as load:
        refused = proxyd.command("reload", check=False)
        load.wait_for(10)
    assert refused.returncode == 1
    assert "did you mean 'connect_timeout'" in refused.stderr.replace('"', "'")
    assert load.failures == []
    assert [worker["pid"] for worker in proxyd.workers()] == [worker["pid"] for worker in before]
    assert proxyd.status()["generation"] == 1


def test_an_address_in_use_refuses_the_reload(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        rewrite(proxyd, config(origin.address, listeners={"http": "127.0.0.1:0", "b": address}))
        refused = proxyd.command("reload", check=False)
    assert refused.returncode == 1
    assert address in refused.stderr
    assert "in use" in refused.stderr
    assert proxyd.status()["generation"] == 1


def test_sighup_reloads(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address))
    proxyd.process.send_signal(signal.SIGHUP)
    proxyd.until(lambda: bool(proxyd.status()["generation"] == 2), "generation 2")


def test_counters_never_go_back_over_reloads(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    proxyd = start(config(origin.address))
    port = proxyd.port()
    seen = 0
    for _ in range(3):
        with Load(port, keep_alive=True, connections=2) as load:
            load.wait_for(20)
        proxyd.command("reload", "--wait")
        seen += load.answered
        assert proxyd.counter("http.ingress.downstream_rq_completed") == seen
