"""Starting: what an operator sees when it works, and the one line he gets when it cannot."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Proxyd, StartProxyd, config, rewrite
from tests.e2e.origin import Origin


def _get(port: int, path: str = "/name", host: str = "x") -> bytes:
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        answer = b""
        while data := client.recv(65536):
            answer += data
        return answer


def _refused(proxyd: Proxyd) -> str:
    assert proxyd.process.wait(90) == 1
    proxyd.end()
    text = "\n".join(proxyd.log)
    assert "Traceback" not in text
    return text


def test_without_a_file(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(None, "--listen", "127.0.0.1:0", "--upstream", origin.address, "--admin", "127.0.0.1:0")
    (listener,) = proxyd.status()["listeners"]
    assert _get(int(listener["addresses"][0].rpartition(":")[2])).endswith(b"origin")


def test_round_robin_over_two_upstreams(start: StartProxyd) -> None:
    with Origin("dog") as dog, Origin("cat") as cat:
        proxyd = start(config(dog.address, cat.address), "--workers", "1")
        port = proxyd.port()
        names = [_get(port).rpartition(b"\r\n\r\n")[2] for _ in range(6)]
    assert sorted(names) == [b"cat"] * 3 + [b"dog"] * 3
    assert names[0] != names[1]


def test_every_mistake_is_reported_and_nothing_starts(start: StartProxyd, tmp_path: Path) -> None:
    bad = config("127.0.0.1:9")
    bad["static_resources"]["clusters"][0]["nme"] = "x"
    bad["static_resources"]["listeners"][0]["adress"] = {}
    proxyd = start(bad, wait=False)
    text = _refused(proxyd)
    assert f"{tmp_path / 'proxyd.json'}:1:" in text
    assert "nme" in text
    assert "adress" in text


def test_a_port_in_use_is_one_clear_line(start: StartProxyd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = _refused(start(config("127.0.0.1:9", listeners={"http": address}), wait=False))
    assert address in text
    assert "in use" in text


def test_a_second_instance_of_the_same_name_is_refused(start: StartProxyd) -> None:
    first = start(config("127.0.0.1:9"))
    text = _refused(start(config("127.0.0.1:9"), wait=False))
    assert str(first.process.pid) in text
    named = start(config("127.0.0.1:9"), "--name", "second")
    two = named.command("status", check=False)
    assert two.returncode == 1
    assert "second" in two.stderr
    assert named.command("status", "--name", "second").returncode == 0


def _start_under(tmp_path: Path, *wrapper: str, listen: str) -> subprocess.CompletedProcess[str]:
    """Run ``proxyd start`` under a command that takes something away from it, until it gives up."""
    command = (
        f"{sys.executable} -m proxyd start --run-dir {tmp_path} --listen {listen} --upstream 127.0.0.1:9"
    )
    done = subprocess.run(
        [*wrapper, *command.split()], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_privileged_port_without_permission_is_one_clear_line(tmp_path: Path) -> None:
    taken_away = ("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")
    done = _start_under(tmp_path, *taken_away, listen="127.0.0.1:80")
    assert "127.0.0.1:80" in done.stderr
    assert "CAP_NET_BIND_SERVICE" in done.stderr


def test_too_low_a_descriptor_limit_is_said(tmp_path: Path) -> None:
    done = _start_under(tmp_path, "sh", "-c", 'ulimit -n 32; exec "$@"', "sh", listen="127.0.0.1:0")
    assert "descriptor" in done.stderr


def test_two_thousand_idle_connections(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(config(origin.address), "--workers", "2")
    port = proxyd.port()
    clients = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(2000)]
    try:
        proxyd.until(
            lambda: proxyd.counter("http.ingress.downstream_cx_active") == 2000, "2,000 connections counted"
        )
        for client in clients[::100]:
            client.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\n\r\n")
            assert client.recv(65536).endswith(b"origin")
    finally:
        for client in clients:
            client.close()
    proxyd.until(lambda: proxyd.counter("http.ingress.downstream_cx_active") == 0, "all closed")


def test_environment_variables_reach_the_configuration(
    start: StartProxyd, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_PORT", str(origin.port))
    bootstrap = config("127.0.0.1:1")
    endpoint = bootstrap["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]
    endpoint["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] = "${UPSTREAM_PORT}"
    proxyd = start(bootstrap)
    assert _get(proxyd.port()).endswith(b"origin")


def test_strict_dns_resolves_localhost(start: StartProxyd, origin: Origin) -> None:
    bootstrap = config(f"localhost:{origin.port}")
    bootstrap["static_resources"]["clusters"][0] |= {"type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY"}
    proxyd = start(bootstrap)
    assert _get(proxyd.port()).endswith(b"origin")
    assert proxyd.counter("cluster.backend.membership_total") == 1
    rewrite(proxyd, bootstrap)
    proxyd.command("reload")
    assert _get(proxyd.port()).endswith(b"origin")
    assert proxyd.counter("cluster.backend.membership_total") == 1


@pytest.mark.parametrize(("workers", "limit"), [(1, 3), (8, 20)])
def test_the_connection_limit_holds_over_all_workers(
    start: StartProxyd, origin: Origin, workers: int, limit: int
) -> None:
    bootstrap = config(origin.address)
    bootstrap["layered_runtime"] = {
        "layers": [
            {
                "name": "static",
                "static_layer": {
                    "envoy": {"resource_limits": {"listener": {"http": {"connection_limit": limit}}}}
                },
            }
        ]
    }
    proxyd = start(bootstrap, "--workers", str(workers))
    port = proxyd.port()
    held = []
    for _ in range(limit):
        client = socket.create_connection(("127.0.0.1", port), 30)
        held.append(client)
        client.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(65536).endswith(b"origin")
    with socket.create_connection(("127.0.0.1", port), 30) as refused:
        refused.settimeout(30)
        try:
            assert refused.recv(1) == b""
        except ConnectionResetError:
            pass
    for client in held:
        client.close()
    proxyd.until(
        lambda: proxyd.counter("listener.127.0.0.1_0.downstream_cx_overflow") == 1, "the refusal counted"
    )
