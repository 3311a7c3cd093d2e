"""One listening socket lent to all workers: as always on Windows, elsewhere without ``enable_reuse_port``."""

from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Proxyd, StartProxyd, config
from tests.e2e.load import Load, reload_under_load
from tests.e2e.origin import Origin

WORKERS = 4


def one_socket(origin: Origin) -> dict[str, Any]:
    bootstrap = config(origin.address)
    bootstrap["static_resources"]["listeners"][0]["enable_reuse_port"] = False
    return bootstrap


def other_pids(proxyd: Proxyd, old: set[int]) -> bool:
    pids = {worker["pid"] for worker in proxyd.workers()}
    return len(pids) == WORKERS and not pids & old


@pytest.mark.timeout(1000)  # ten generations of four processes, beside whatever else runs
def test_ten_reloads_of_four_workers_under_load_fail_no_request(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(one_socket(origin), "--workers", str(WORKERS))
    reload_under_load(proxyd, times=10, requests=20)


@pytest.mark.timeout(500)
def test_each_of_four_workers_may_die_under_load(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(one_socket(origin), "--workers", str(WORKERS))
    victims = {worker["pid"] for worker in proxyd.workers()}
    with Load(proxyd.port(), keep_alive=False, connections=16) as load:
        for pid in victims:
            load.wait_for(20)
            psutil.Process(pid).kill()
        proxyd.until(lambda: other_pids(proxyd, victims), "four other workers")
        lost = len(load.failures)
        load.wait_for(50)
    # What a worker had accepted when it died is lost, nothing that waited in the socket.
    assert all("Reset" in why or "IncompleteRead" in why for why in load.failures), load.failures
    assert len(load.failures) == lost
