"""Unix domain sockets for listeners and for hosts, as files and as names in the abstract namespace."""

import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartProxyd, config
from tests.e2e.origin import Origin
from tests.net.certificates import Authority
from tests.net.tls_house import DOWNSTREAM, certificates, client, tls_socket


def pipe(path: str, **more: Any) -> dict[str, Any]:
    return {"pipe": {"path": path, **more}}


def at(path: str, upstream: str, *more: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A bootstrap whose listener is at a path, and whose cluster has these hosts, too."""
    made = config(upstream)
    (listener,) = made["static_resources"]["listeners"]
    listener["address"] = pipe(path, **fields)
    hosts = made["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    hosts += [{"endpoint": {"address": each}} for each in more]
    return made


def get(path: str, target: str = "/name") -> tuple[int, str]:
    """Status and body of a request to a socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        sock.sendall(f"GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        answer = b""
        while data := sock.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12]), body.decode()


@pytest.fixture(params=["file", "abstract"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "listener")
    return f"@proxyd-test-{os.getpid()}-{tmp_path.name}"


@contextlib.contextmanager
def answering(path: str, body: bytes) -> Iterator[None]:
    """A host at a socket that answers every connection's request."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + path[1:] if path.startswith("@") else path)
        server.listen()

        def serve() -> None:
            head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    with sock:
                        if sock.recv(65536):
                            sock.sendall(head + body)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_listener_serves_with_all_workers_and_over_reloads(
    start: StartProxyd, origin: Origin, path: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    made = at(path, origin.address)
    manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["use_remote_address"] = True
    manager["access_log"] = [
        {
            "name": "log",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(log),
                "log_format": {
                    "text_format_source": {"inline_string": "%DOWNSTREAM_LOCAL_ADDRESS% %RESPONSE_CODE%\n"}
                },
            },
        }
    ]
    proxyd = start(made, "--workers", "2")
    for _ in range(3):
        assert all(get(path)[0] == 200 for _ in range(8))
        proxyd.command("reload")
    assert get(path, "/")[1].count("x-forwarded-for") == 0  # nobody has an address
    (status,) = json.loads(proxyd.admin("/listeners?format=json")[1])["listener_statuses"]
    assert status["local_address"] == pipe(path)
    assert proxyd.admin("/listeners")[1] == f"http::{path}\n"
    assert proxyd.status()["listeners"][0]["addresses"] == (path,)
    proxyd.until(lambda: log.exists() and log.read_text() == f"{path} 200\n" * 25, "25 lines")
    assert proxyd.counter(f"listener.{path}.downstream_cx_total") == 25


def test_hosts_are_reached(start: StartProxyd, origin: Origin, path: str) -> None:
    with answering(path, b"unix"):
        made = config(origin.address)
        hosts = made["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
        hosts.append({"endpoint": {"address": pipe(path)}})
        proxyd = start(made, "--workers", "1")
        port = proxyd.port()
        answers = set()
        for _ in range(4):
            with socket.create_connection(("127.0.0.1", port), 20) as sock:
                sock.sendall(b"GET /name HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                answer = b""
                while data := sock.recv(65536):
                    answer += data
            answers.add(answer.rpartition(b"\r\n")[2])
        assert b"unix" in answers
        assert len(answers) == 2
        assert f"backend::{path}::cx_total::" in proxyd.admin("/clusters")[1]


def test_a_file_that_nobody_listens_at_is_replaced(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    path = str(tmp_path / "listener")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    start(at(path, origin.address, mode=0o640))
    assert get(path)[0] == 200
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_a_file_that_somebody_listens_at_is_left_to_them(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    path = str(tmp_path / "listener")
    with answering(path, b"mine"):
        proxyd = start(at(path, origin.address), wait=False)
        assert proxyd.process.wait(30) != 0
        assert get(path)[1] == "mine"
    assert any(path in line and "in use" in line for line in proxyd.log), proxyd.log


def test_tls_and_plain_connections_go_their_ways_at_a_path(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    """A chain is chosen though there is no address to choose by."""
    path = str(tmp_path / "listener")
    made = at(path, origin.address)
    (listener,) = made["static_resources"]["listeners"]
    (plain,) = listener["filter_chains"]
    authority = Authority()
    pair = authority.issue("localhost")
    secured = {
        **plain,
        "filter_chain_match": {"transport_protocol": "tls"},
        "transport_socket": tls_socket(DOWNSTREAM, certificates(pair.config)),
    }
    listener["filter_chains"] = [
        secured,
        {**plain, "filter_chain_match": {"transport_protocol": "raw_buffer"}},
    ]
    start(made)
    assert get(path)[0] == 200
    context = client(authority.certificate)
    context.check_hostname = True
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(path)
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(b"GET /name HTTP/1.1\r\nhost: a\r\n\r\n")
            assert tls.recv(65536).startswith(b"HTTP/1.1 200 OK")
