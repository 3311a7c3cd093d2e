"""gRPC through proxyd, by grpcio on both sides: all four kinds of calls, deadlines, cancellation, errors."""

import concurrent.futures
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Proxyd, StartProxyd, config

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MANY = 10_000


class Service:
    """Speaks bytes; ``cancelled`` is set when a call that waits is given up."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.waiting = threading.Event()
        handlers = {
            "Echo": grpc.unary_unary_rpc_method_handler(self._echo),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Sum": grpc.stream_unary_rpc_method_handler(self._sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Wait": grpc.unary_unary_rpc_method_handler(self._wait),
            "Endless": grpc.stream_stream_rpc_method_handler(self._endless),
        }
        self.server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(8),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Test", handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _echo(self, message: bytes, context: Any) -> bytes:
        metadata = dict(context.invocation_metadata())
        context.set_trailing_metadata((("x-heard", metadata.get("x-said", "")),))
        return message

    def _count(self, message: bytes, context: Any) -> Iterator[bytes]:
        for number in range(int(message)):
            yield b"%d" % number

    def _sum(self, messages: Iterator[bytes], context: Any) -> bytes:
        return b"%d" % sum(int(message) for message in messages)

    def _chat(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for message in messages:
            yield message.upper()

    def _fail(self, message: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100%")
        return b""

    def _wait(self, message: bytes, context: Any) -> bytes:
        ended = threading.Event()
        context.add_callback(ended.set)
        self.waiting.set()
        ended.wait(20)
        self.cancelled.set()
        return b""

    def _endless(self, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Answers the first message again and again, until nobody listens, or as often as that says."""
        message = next(messages)
        context.add_callback(self.cancelled.set)
        number = 0
        while context.is_active():
            number += 1
            if message == b"%d" % number:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
            yield message


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.stop(None).wait()


def bootstrap(port: int) -> dict[str, Any]:
    """The host at a port is spoken to in HTTP/2, and given all the time it wants."""
    made = config(f"127.0.0.1:{port}")
    manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["routes"][-1]["route"]["timeout"] = "0s"
    made["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = {
        _OPTIONS: {
            "@type": f"type.googleapis.com/{_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    return made


@pytest.fixture(scope="module")
def proxyd(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxyd]:
    directory = tmp_path_factory.mktemp("grpc")
    path = directory / "proxyd.json"
    path.write_text(json.dumps(bootstrap(service.port)))
    running = Proxyd(directory, ["--workers", "1", "-c", str(path)])
    running.wait_for_log("serving")
    yield running
    running.end()
    assert running.process.stderr is not None
    running.process.stderr.close()


@pytest.fixture(scope="module")
def channel(proxyd: Proxyd) -> Iterator[Any]:
    with open_channel(proxyd) as channel:
        yield channel


def open_channel(proxyd: Proxyd) -> Any:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    return grpc.insecure_channel(f"127.0.0.1:{proxyd.port()}", options=options)


def test_a_call_and_its_metadata(channel: Any, proxyd: Proxyd) -> None:
    answer, call = channel.unary_unary("/t.Test/Echo").with_call(
        b"hello", timeout=20, metadata=(("x-said", "this"),)
    )
    assert answer == b"hello"
    assert dict(call.trailing_metadata())["x-heard"] == "this"
    assert call.code() is grpc.StatusCode.OK
    proxyd.until(lambda: proxyd.counter("http.ingress.downstream_rq_http2_total") > 0, "the request")
    assert proxyd.counter("cluster.backend.upstream_cx_http2_total") == 1


def test_a_large_message(channel: Any) -> None:
    message = bytes(range(256)) * 40_000
    assert channel.unary_unary("/t.Test/Echo")(message, timeout=30) == message


def test_many_messages_come(channel: Any) -> None:
    answers = channel.unary_stream("/t.Test/Count")(b"%d" % _MANY, timeout=40)
    assert [int(answer) for answer in answers] == list(range(_MANY))


def test_many_messages_go(channel: Any) -> None:
    numbers = (b"%d" % number for number in range(_MANY))
    answer = channel.stream_unary("/t.Test/Sum")(numbers, timeout=40)
    assert int(answer) == sum(range(_MANY))


def test_messages_go_and_come(channel: Any) -> None:
    said = [f"message {number}".encode() for number in range(_MANY)]
    assert list(channel.stream_stream("/t.Test/Chat")(iter(said), timeout=40)) == [
        message.upper() for message in said
    ]


def test_many_calls_at_once_share_a_connection(channel: Any, proxyd: Proxyd) -> None:
    echo = channel.unary_unary("/t.Test/Echo")
    calls = [echo.future(b"%d" % number, timeout=30) for number in range(200)]
    assert [int(call.result()) for call in calls] == list(range(200))
    assert proxyd.counter("cluster.backend.upstream_cx_total") == 1


def test_an_error_keeps_its_status_and_its_words(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/t.Test/Fail")(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION  # type: ignore[attr-defined]
    assert caught.value.details() == "not today: 100%"  # type: ignore[attr-defined]


def test_a_method_that_nobody_has(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/t.Test/Nothing")(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_a_deadline_reaches_the_service(channel: Any, service: Service) -> None:
    service.cancelled.clear()
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/t.Test/Wait")(b"", timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert service.cancelled.wait(20)


def test_a_call_that_is_cancelled_is_cancelled_at_the_service(channel: Any, service: Service) -> None:
    service.cancelled.clear()
    service.waiting.clear()
    call = channel.unary_unary("/t.Test/Wait").future(b"")
    assert service.waiting.wait(20)
    call.cancel()
    assert service.cancelled.wait(20)


def test_a_deadline_ends_a_stream_under_way(channel: Any, service: Service) -> None:
    service.cancelled.clear()
    call = channel.stream_stream("/t.Test/Endless")(iter([b"on"]), timeout=0.5)
    assert next(call) == b"on"
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert service.cancelled.wait(20)


def test_a_stream_that_is_cancelled_ends_at_the_service(channel: Any, service: Service) -> None:
    """And takes no other along: the connection to the service is the same."""
    service.cancelled.clear()
    call = channel.stream_stream("/t.Test/Endless")(iter([b"on"]))
    assert [next(call) for _ in range(100)] == [b"on"] * 100
    other = channel.unary_unary("/t.Test/Echo").future(b"other", timeout=20)
    call.cancel()
    assert service.cancelled.wait(20)
    assert other.result() == b"other"
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() is grpc.StatusCode.CANCELLED  # type: ignore[attr-defined]


def test_a_stream_that_the_service_ends_amid_messages(channel: Any) -> None:
    heard: list[bytes] = []
    with pytest.raises(grpc.RpcError) as caught:
        heard.extend(channel.stream_stream("/t.Test/Endless")(iter([b"100"]), timeout=20))
    assert heard == [b"100"] * 99
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    assert caught.value.details() == "enough"  # type: ignore[attr-defined]


def test_a_service_that_is_gone_is_unavailable(start: StartProxyd) -> None:
    service = Service()
    with open_channel(start(bootstrap(service.port), "--workers", "1")) as channel:
        assert channel.unary_unary("/t.Test/Echo")(b"x", timeout=20) == b"x"
        service.server.stop(None).wait()
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/t.Test/Echo")(b"x", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
