"""What a service manager hears of an instance, and the sockets it gives, by a stand-in (``service_manager``).

``test_systemd`` has the same with a real systemd, where one can run.
"""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import StartProxyd, config, rewrite
from tests.e2e.load import Load
from tests.e2e.origin import Origin
from tests.e2e.service_manager import ServiceManager, launcher, suspended

pytestmark = pytest.mark.timeout(300)  # on a machine that is busy with more than this


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    made = ServiceManager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", made.address)
    yield made
    made.close()


def _monotonic_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_ready_reloading_and_stopping(start: StartProxyd, origin: Origin, manager: ServiceManager) -> None:
    good = config(origin.address)
    instance = start(good, "--workers", "2")
    first = manager.wait_for("READY", "1")
    assert first["STATUS"] == "2 workers, 0 connections, 0 requests/s, generation 1"

    before = _monotonic_us()
    instance.process.send_signal(signal.SIGHUP)
    message = manager.wait_for("RELOADING", "1")
    assert before <= int(message["MONOTONIC_USEC"]) <= _monotonic_us()
    assert "generation 2" in manager.wait_for("READY", "1")["STATUS"]

    bad = config(origin.address)
    bad["static_resources"]["clusters"][0]["nme"] = "x"
    rewrite(instance, bad)
    assert instance.command("reload", check=False).returncode == 1
    manager.wait_for("RELOADING", "1")
    assert "generation 2" in manager.wait_for("READY", "1")["STATUS"]

    instance.process.send_signal(signal.SIGTERM)
    manager.wait_for("STOPPING", "1")
    assert instance.process.wait(90) == 0
    assert not any("READY" in message for message in manager.pending())


def test_nothing_is_ready_that_does_not_serve(
    start: StartProxyd, manager: ServiceManager, origin: Origin
) -> None:
    bad = config(origin.address)
    bad["static_resources"]["clusters"][0]["nme"] = "x"
    instance = start(bad, wait=False)
    assert instance.process.wait(90) == 1
    assert manager.pending() == []


def test_the_status_has_live_numbers(start: StartProxyd, origin: Origin, manager: ServiceManager) -> None:
    instance = start(config(origin.address), "--workers", "1")
    manager.wait_for("READY")
    with Load(instance.port(), keep_alive=True, connections=3):
        status = manager.wait_for("STATUS", "3 connections")["STATUS"]
        while " 0 requests/s" in status:
            status = manager.wait_for("STATUS", "3 connections")["STATUS"]
    assert re.fullmatch(r"1 worker, 3 connections, \d+ requests/s, generation 1", status)
    manager.wait_for("STATUS", "1 worker, 0 connections")


def test_signs_of_life_come_from_the_workers(
    start: StartProxyd, origin: Origin, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    instance = start(config(origin.address), "--workers", "2")
    manager.wait_for("WATCHDOG", "1")
    one, other = (worker["pid"] for worker in instance.workers())
    with suspended([one]):
        told = instance.status()["uptime_s"]
        instance.until(lambda: instance.status()["uptime_s"] > told + 2.5, "its heartbeat is old")
        manager.pending()
        manager.wait_for("WATCHDOG", "1")  # the other one serves
    with suspended([one, other]):
        manager.wait_for("STATUS", "no worker serves")
        told = instance.status()["uptime_s"]
        instance.until(lambda: instance.status()["uptime_s"] > told + 2.5, "signs were due")
        assert not any("WATCHDOG" in message for message in manager.pending())
    manager.wait_for("WATCHDOG", "1")


def test_a_watchdog_of_another_process_is_not_ours(
    start: StartProxyd, origin: Origin, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    instance = start(config(origin.address), "--workers", "1")
    with Load(instance.port(), keep_alive=True):
        manager.wait_for("STATUS", "8 connections")
    assert not any("WATCHDOG" in message for message in manager.heard)


def test_after_an_upgrade_the_new_process_speaks(
    start: StartProxyd, origin: Origin, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    instance = start(config(origin.address), "--workers", "1")
    manager.wait_for("READY", "1")
    instance.command("upgrade", "--wait")
    manager.wait_for("RELOADING", "1")
    new = int(manager.wait_for("MAINPID")["MAINPID"])
    assert "generation 2" in manager.wait_for("READY", "1")["STATUS"]
    assert instance.status()["pid"] == new
    assert instance.process.wait(90) == 0  # nobody has to stay for who waits for it
    manager.pending()
    manager.wait_for("WATCHDOG", "1")
    os.kill(new, signal.SIGTERM)
    manager.wait_for("STOPPING", "1")


# -- socket activation


class Sockets:
    """Listening sockets of the manager; a test closes them where only the instance's own are to count."""

    def __init__(self) -> None:
        self.all: list[socket.socket] = []

    def listen(self, address: str = "127.0.0.1:0", reuse_port: bool = False) -> str:
        """One more; the address that it has got."""
        host, _, port = address.rpartition(":")
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.all.append(sock)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, int(port)))
        sock.listen(128)
        host, port = sock.getsockname()
        return f"{host}:{port}"

    def listen_on_both(self) -> int:
        """One for IPv4 and IPv6, as `ListenStream=80` makes it; its port."""
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.all.append(sock)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        sock.listen(128)
        port: int = sock.getsockname()[1]
        return port

    def given(self, names: str) -> dict[str, tuple[object, ...]]:
        """What an instance is started with, so that it gets them."""
        descriptors = tuple(sock.fileno() for sock in self.all)
        return {"launcher": launcher(names, *self.all), "pass_fds": descriptors}

    def close(self) -> None:
        for sock in self.all:
            sock.close()


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets()
    yield made
    made.close()


def _get(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 30) as client:
        client.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer


def test_sockets_belong_to_listeners_by_name_and_by_address(
    start: StartProxyd, origin: Origin, sockets: Sockets
) -> None:
    nobodys, unnamed, named = sockets.listen(), sockets.listen(), sockets.listen()
    listeners = {"by-name": "127.0.0.1:1", "by-address": unnamed, "own": "127.0.0.1:0"}
    instance = start(
        config(origin.address, listeners=listeners),
        "--workers",
        "3",
        **sockets.given("proxyd.socket:proxyd.socket:by-name"),
    )
    found = {each["name"]: each["addresses"] for each in instance.status()["listeners"]}
    assert list(found["by-name"]) == [named]
    assert list(found["by-address"]) == [unnamed]
    said = f"'proxyd.socket' of the service manager ({nobodys}) belongs to no listener"
    assert said in "".join(instance.log)
    sockets.close()
    for address in (named, unnamed, *found["own"]):
        assert _get(address).endswith(b"origin")
    instance.command("reload", "--workers", "1")
    instance.command("upgrade")
    for address in (named, unnamed):
        assert _get(address).endswith(b"origin")


def test_one_socket_is_shared_and_several_are_shared_out(
    start: StartProxyd, origin: Origin, sockets: Sockets
) -> None:
    first = sockets.listen(reuse_port=True)
    sockets.listen(first, reuse_port=True)
    sockets.listen(first, reuse_port=True)
    sockets.listen()
    instance = start(
        config(origin.address, listeners={"three": "127.0.0.1:1", "one": "127.0.0.1:2"}),
        "--workers",
        "2",
        **sockets.given("three:three:three:one"),
    )
    three, alone = instance.port("three"), instance.port("one")
    sockets.close()
    # Connections come to every one of the three: on one that nobody serves they would never be answered.
    with Load(three, keep_alive=False, connections=4) as load:
        load.wait_for(200)
        instance.command("reload", "--workers", "4")
        load.wait_for(200)
    assert load.failures == []
    with Load(alone, keep_alive=False) as load:
        load.wait_for(100)
    assert load.failures == []


def test_clients_of_a_socket_for_both_protocols_have_their_own_addresses(
    start: StartProxyd, origin: Origin, sockets: Sockets, tmp_path: Path
) -> None:
    """As with Envoy's `ipv4_compat`, whose clients of IPv4 are no ::ffff:a.b.c.d either."""
    try:
        port = sockets.listen_on_both()
    except OSError:
        pytest.skip("no IPv6 here")
    line = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS%\n"
    bootstrap = config(origin.address, listeners={"both": ":::1"}, access_log=tmp_path / "log")
    (listener,) = bootstrap["static_resources"]["listeners"]
    (log,) = listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"]
    log["typed_config"]["log_format"] = {"text_format_source": {"inline_string": line}}
    instance = start(bootstrap, "--workers", "1", **sockets.given("both"))
    assert _get(f"127.0.0.1:{port}").endswith(b"origin")
    assert _get(f"::1:{port}").endswith(b"origin")
    instance.command("stop")
    assert (tmp_path / "log").read_text().splitlines() == [
        f"127.0.0.1 127.0.0.1:{port}",
        f"::1 [::1]:{port}",
    ]


def test_variables_of_another_process_are_not_ours(
    start: StartProxyd, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    instance = start(config(origin.address), "--workers", "1")
    assert not any("service manager" in line for line in instance.log)
