import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import demo_origin
import environment
import pytest


@pytest.fixture
def connection() -> Iterator[http.client.HTTPConnection]:
    origin = demo_origin.Origin("cat", 0)
    thread = threading.Thread(target=origin.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=10)
    yield client
    client.close()
    origin.shutdown()
    thread.join()
    origin.server_close()


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.getheader("x-origin") == "cat"
    return response.status, response.read().decode()


def test_the_page_shows_who_answered(connection: http.client.HTTPConnection) -> None:
    status, page = _get(connection, "/")
    assert status == 200
    assert "<svg" in page
    assert "The cat answered" in page


def test_an_id_cannot_become_markup(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/", headers={"x-request-id": "<script>"})
    assert "&lt;script&gt;" in connection.getresponse().read().decode()


def test_echo_tells_what_arrived_and_the_connection_stays(connection: http.client.HTTPConnection) -> None:
    for size in (3, 0):
        connection.request("POST", "/api/echo", body=b"x" * size, headers={"X-Own": "1"})
        arrived = json.loads(connection.getresponse().read())
        assert (arrived["method"], arrived["body_bytes"]) == ("POST", size)
        assert arrived["headers"]["x-own"] == "1"


def test_a_stream_is_chunked(connection: http.client.HTTPConnection) -> None:
    assert _get(connection, "/stream?count=2&interval=0")[1] == "1 of 2, from the cat\n2 of 2, from the cat\n"
    assert _get(connection, "/slow?seconds=0")[0] == 200
    assert _get(connection, "/nothing")[0] == 404


def test_it_ends_with_its_standard_input() -> None:
    script = environment.ROOT / "scripts" / "demo_origin.py"
    with subprocess.Popen(
        [sys.executable, script, "dog"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.stdin.close()
        assert process.wait(10) == 0
