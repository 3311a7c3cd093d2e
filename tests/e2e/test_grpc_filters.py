"""gRPC's filters between real peers: grpcio's service and client, a browser's calls and those of HTTP/1."""

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Proxyd

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

from tests.e2e.test_grpc import Service, bootstrap, open_channel  # noqa: E402 - they need grpc

_TYPES = "type.googleapis.com/envoy.extensions.filters.http"
_CHAIN = [
    {"name": "web", "typed_config": {"@type": f"{_TYPES}.grpc_web.v3.GrpcWeb"}},
    {
        "name": "bridge",
        "typed_config": {"@type": f"{_TYPES}.grpc_http1_bridge.v3.Config", "upgrade_protobuf_to_grpc": True},
    },
    {
        "name": "stats",
        "typed_config": {"@type": f"{_TYPES}.grpc_stats.v3.FilterConfig", "stats_for_all_methods": True},
    },
    {"name": "envoy.filters.http.router"},
]


@pytest.fixture(scope="module")
def proxyd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxyd]:
    service = Service()
    made = bootstrap(service.port)
    manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = _CHAIN
    directory = tmp_path_factory.mktemp("grpc")
    path = directory / "proxyd.json"
    path.write_text(json.dumps(made))
    running = Proxyd(directory, ["--workers", "1", "-c", str(path)])
    running.wait_for_log("serving")
    yield running
    running.end()
    assert running.process.stderr is not None
    running.process.stderr.close()
    service.server.stop(None).wait()


def _message(content: bytes) -> bytes:
    return b"\0" + len(content).to_bytes(4, "big") + content


def _post(proxyd: Proxyd, method: str, body: bytes, **headers: str) -> http.client.HTTPResponse:
    client = http.client.HTTPConnection("127.0.0.1", proxyd.port(), timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    client.request("POST", f"/t.Test/{method}", body, named)
    answer = client.getresponse()
    answer.read_all = answer.read()  # type: ignore[attr-defined]
    client.close()
    return answer


def _body(answer: Any) -> bytes:
    return bytes(answer.read_all)


def test_grpc_itself_passes_and_is_counted(proxyd: Proxyd) -> None:
    with open_channel(proxyd) as channel:
        assert channel.unary_unary("/t.Test/Echo")(b"hello", timeout=20) == b"hello"
        said = [b"%d" % number for number in range(300)]
        assert list(channel.stream_stream("/t.Test/Chat")(iter(said), timeout=20)) == said
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/t.Test/Fail")(b"", timeout=20)
    assert caught.value.details() == "not today: 100%"  # type: ignore[attr-defined]
    counted = "cluster.backend.grpc.t.Test."
    proxyd.until(lambda: proxyd.counter(f"{counted}Fail.9") == 1, "the count of what failed")
    assert proxyd.counter(f"{counted}Chat.request_message_count") == 300
    assert proxyd.counter(f"{counted}Chat.response_message_count") == 300
    assert proxyd.counter(f"{counted}Echo.success") == 1


def test_a_browser_s_call(proxyd: Proxyd) -> None:
    answer = _post(proxyd, "Count", _message(b"3"), content_type="application/grpc-web+proto")
    assert answer.getheader("content-type") == "application/grpc-web+proto"
    messages, _, trailers = _body(answer).partition(b"\x80")
    assert messages == b"".join(_message(b"%d" % number) for number in range(3))
    assert b"grpc-status:0\r\n" in trailers


def test_a_browser_s_call_as_text(proxyd: Proxyd) -> None:
    kind = "application/grpc-web-text"
    body = base64.b64encode(_message(b"hello"))
    answer = _post(proxyd, "Echo", body, content_type=kind, accept=kind)
    assert _body(answer).startswith(base64.b64encode(_message(b"hello")))
    assert answer.getheader("content-type") == f"{kind}+proto"


def test_calls_of_http_1(proxyd: Proxyd) -> None:
    answer = _post(proxyd, "Echo", _message(b"hello"), content_type="application/grpc", te="trailers")
    assert (answer.status, answer.getheader("grpc-status")) == (200, "0")
    assert _body(answer) == _message(b"hello")
    answer = _post(proxyd, "Fail", _message(b""), content_type="application/grpc", te="trailers")
    assert (answer.status, answer.getheader("grpc-status")) == (
        200,
        "9",
    )  # all in its head, as the host told it
    assert answer.getheader("grpc-message") == "not today: 100%25"


def test_a_message_without_its_frame(proxyd: Proxyd) -> None:
    answer = _post(proxyd, "Echo", b"hello", content_type="application/x-protobuf", te="trailers")
    assert (answer.status, answer.getheader("grpc-status")) == (200, "0")
    assert _body(answer) == b"hello"
