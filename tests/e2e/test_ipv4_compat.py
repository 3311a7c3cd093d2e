"""One listener for IPv6 and IPv4, over real processes."""

import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Origin, Proxyd, StartProxyd, config
from tests.e2e.test_udp_proxy import listener as udp_listener
from tests.net.datagrams import DatagramClient, DatagramHost

_LINE = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%\n"

_MAPPED = "::ffff:127.0.0.1"


def _bootstrap(origin: Origin, host: DatagramHost, log: Path) -> dict[str, Any]:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    bootstrap = config(
        origin.address.replace("127.0.0.1", _MAPPED), listeners={"both": ":::0"}, access_log=log
    )
    resources = bootstrap["static_resources"]
    (listener,) = resources["listeners"]
    (written,) = listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"]
    written["typed_config"]["log_format"] = {"text_format_source": {"inline_string": _LINE}}
    datagrams = udp_listener("hosts")
    resources["listeners"].append(datagrams)
    for each in (listener, datagrams):
        each["address"]["socket_address"] |= {"address": "::", "ipv4_compat": True}
    place = {"socket_address": {"address": _MAPPED, "port_value": host.port, "ipv4_compat": True}}
    assignment = {
        "cluster_name": "hosts",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": place}}]}],
    }
    resources["clusters"].append({"name": "hosts", "load_assignment": assignment})
    return bootstrap


def _ask(proxyd: Proxyd) -> None:
    for ip in ("127.0.0.1", "::1"):
        with socket.create_connection((ip, proxyd.port("both")), 30) as client:
            client.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            answer = b""
            while data := client.recv(65536):
                answer += data
            assert answer.endswith(b"origin")
        with DatagramClient(proxyd.port("udp"), ip) as client:
            assert client.ask(b"a") == [b"echo:a"]


_SEEN = ["127.0.0.1 127.0.0.1", "::1 ::1"]


@pytest.mark.parametrize("command", ["reload", "upgrade"])
def test_clients_of_both_are_served_before_and_after(
    start: StartProxyd, origin: Origin, tmp_path: Path, command: str
) -> None:
    log = tmp_path / "log"
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(DatagramHost())
        proxyd = start(_bootstrap(origin, host, log), "--workers", "2")
        ports = proxyd.port("both"), proxyd.port("udp")
        _ask(proxyd)
        proxyd.command(command)
        assert (proxyd.port("both"), proxyd.port("udp")) == ports
        _ask(proxyd)
        proxyd.command("stop")
    assert sorted(log.read_text().splitlines()) == sorted(_SEEN * 2)
