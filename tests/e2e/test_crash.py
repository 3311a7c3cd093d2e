"""Processes that die or hang hurt what they carried and nothing else."""

import socket

import psutil

from tests import windows
from tests.e2e.conftest import Proxyd, StartProxyd, config
from tests.e2e.load import Load
from tests.e2e.origin import Origin


def _replaced(proxyd: Proxyd, old: int) -> bool:
    pids = [worker["pid"] for worker in proxyd.workers()]
    return len(pids) == 2 and old not in pids


def test_a_killed_worker_loses_only_what_it_carried(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "2")
    port = proxyd.port()
    with Load(port, keep_alive=True, connections=8) as load:
        load.wait_for(100)
        victim = proxyd.workers()[0]["pid"]
        psutil.Process(victim).kill()
        proxyd.until(lambda: _replaced(proxyd, victim), "a new worker")
        load.wait_for(200)
    assert len(load.failures) <= 8  # one request a connection at most
    assert all("IncompleteRead" in why or "Reset" in why for why in load.failures), load.failures
    # What it had not published yet is missing, nothing else, and nothing is counted twice.
    proxyd.until(
        lambda: load.answered * 0.5 < proxyd.counter("http.ingress.downstream_rq_completed") <= load.sent,
        "counters within the unpublished interval",
    )


def test_connections_queued_at_a_killed_worker_are_served(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "1")
    port = proxyd.port()
    victim = psutil.Process(proxyd.workers()[0]["pid"])
    victim.suspend()
    clients = []
    for _ in range(20):
        client = socket.create_connection(("127.0.0.1", port), 30)
        client.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        clients.append(client)
    victim.kill()
    answers = [_answer(client) for client in clients]
    lost = answers.count(b"")
    assert lost <= int(windows.HERE)  # there the one that a worker waits for is its own as soon as it comes
    assert sum(answer.startswith(b"HTTP/1.1 200 OK\r\n") for answer in answers) == 20 - lost


def _answer(client: socket.socket) -> bytes:
    with client:
        try:
            return client.recv(65536)
        except ConnectionError:
            return b""


def test_nothing_is_left_when_the_supervisor_is_killed(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "2")
    family = proxyd.family()
    assert len(family) >= 3
    proxyd.process.kill()
    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []
    again = start(config(origin.address), "--workers", "1")
    assert len(again.workers()) == 1


def test_a_worker_that_hangs_is_replaced(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "2")
    victim = psutil.Process(proxyd.workers()[0]["pid"])
    victim.suspend()
    proxyd.wait_for_log(str(victim.pid))
    _, left = psutil.wait_procs([victim], timeout=30)
    assert left == []
    proxyd.until(lambda: _replaced(proxyd, victim.pid), "a new worker")


def test_a_killed_zygote_is_survived(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "2")
    port = proxyd.port()
    workers = {worker["pid"] for worker in proxyd.workers()}
    (zygote,) = psutil.Process(proxyd.process.pid).children()
    zygote.kill()
    proxyd.until(
        lambda: len(proxyd.workers()) == 2 and not workers & {w["pid"] for w in proxyd.workers()},
        "two new workers",
    )
    with Load(port, keep_alive=False) as load:
        load.wait_for(20)
    assert load.failures == []
