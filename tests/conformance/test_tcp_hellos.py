"""How the TLS inspector takes a ClientHello: its limit, and what is none though it begins like one."""

from typing import Final

import pytest

from tests.conformance.conftest import AgreeTcp
from tests.conformance.tcp.case import Do, Step, TcpCase, tcp
from tests.conformance.tcp.laboratory import TcpLaboratory

_INSPECTOR = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
_LIMITED = "max_client_hello_size: 300"
_CLOSES = "close_connection_on_client_hello_parsing_errors: true"
_OF_TLS = "filter_chain_match: {transport_protocol: tls}"
_NAMED = "filter_chain_match: {server_names: [origin.example.com]}"
_CLOSED = ("client.end",)  # whether what has come was read when it was closed
_NAME: Final = b"origin.example.com"
_MAX_RECORD: Final = 16384


def _vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _message(filling: int = 0, name: bytes = _NAME) -> bytes:
    """The message without records: as a client of TLS 1.2 would begin, with an extension that fills it up."""
    extensions = b"\0\0" + _vector(2, _vector(2, b"\0" + _vector(2, name)))
    extensions += b"\0\x0a" + _vector(2, _vector(2, b"\0\x17"))
    extensions += b"\0\x0d" + _vector(2, _vector(2, b"\x04\x03"))
    extensions += b"\0\x15" + _vector(2, bytes(filling))
    body = b"\x03\x03" + bytes(32) + b"\0" + _vector(2, b"\xc0\x2b") + b"\1\0" + _vector(2, extensions)
    return b"\1" + _vector(3, body)


def _records(message: bytes, size: int = _MAX_RECORD) -> bytes:
    parts = [message[begin : begin + size] for begin in range(0, len(message), size)]
    return b"".join(b"\x16\x03\1" + _vector(2, part) for part in parts)


def _hello(size: int) -> bytes:
    """In one record; ``size`` bytes with its head."""
    made = _records(_message(size - len(_records(_message()))))
    assert len(made) == size
    return made


def _inspected(*fields: str) -> str:
    more = "".join(f", {field}" for field in fields)
    return f'listener_filters: [{{name: tls, typed_config: {{"@type": {_INSPECTOR}{more}}}}}]'


def _passes(name: str, hello: bytes, *fields: str, chain: str = _NAMED) -> TcpCase:
    """It comes through to the host, and back."""
    return tcp(name, hello, len(hello), Do.SHUT, Do.READ, listener=_inspected(*fields), chain=chain)


def _ends(name: str, *steps: Step, fields: tuple[str, ...] = (), chain: str = "") -> TcpCase:
    return tcp(name, *steps, Do.READ, listener=_inspected(*fields), chain=chain, ignored=_CLOSED)


def _pieces(data: bytes, size: int) -> list[Step]:
    steps: list[Step] = []
    for begin in range(0, len(data), size):
        steps += [data[begin : begin + size], 0.02]
    return steps


_BROKEN: Final = {
    "short": _records(b"\1\0\0\x10" + bytes(16)),
    "huge": _records(b"\1\xff\xff\xff" + bytes(16)),
    "name": _records(_message().replace(_vector(2, _NAME), b"\x7f\x00" + _NAME)),
    "other-message": _records(b"\2" + _message()[1:]),
    "two-kinds": _records(_message()[:50]) + b"\x17\x03\3\0\1x",
    "http": b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
    "nothing": b"\0\1\2\3\4\5\6\7",
    "old": b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes(37),
    "version": b"\x16\x02\0" + _records(_message())[3:],
    "alert": b"\x15\x03\1\0\2\2\x28",
}

_NAMES: Final = {
    "upper": b"ORIGIN.example.com",
    "space": b"a b.example.com",
    "lf": b"a\nb.example.com",
    "nul": b"a\0b.example.com",
    "utf8": "caf\u00e9.example.com".encode(),
    "latin1": b"caf\xe9.example.com",
    "final-dot": b"origin.example.com.",
    "all": bytes(range(33, 127)),
    "longer": b"a." * 150 + b"com",
    "empty": b"",
}

CASES = (
    _passes("hello-limit-exactly", _hello(300), _LIMITED),
    _passes("hello-limit-exactly-and-more", _hello(300) + b"more", _LIMITED),
    _ends("hello-limit-over", _hello(301), fields=(_LIMITED,)),
    _ends("hello-limit-over-named", _hello(301), fields=(_LIMITED,), chain=_NAMED),
    _ends("hello-limit-over-by-far", _hello(2000), fields=(_LIMITED,)),
    _ends("hello-limit-over-in-pieces", *_pieces(_hello(400), 130), fields=(_LIMITED,)),
    _ends("hello-limit-told-only", _hello(2000)[:100], 0.05, Do.SHUT, fields=(_LIMITED,)),
    _ends("hello-limit-over-closes", _hello(301), fields=(_LIMITED, _CLOSES)),
    _passes("hello-limit-records", _records(_message(100), 60), _LIMITED),
    _ends("hello-limit-over-records", _records(_message(185), 60), fields=(_LIMITED,)),
    _passes("hello-large", _hello(16384)),
    _ends("hello-too-large", _hello(16385)),
    _ends("hello-larger", _records(_message(16300))),
    _passes("hello-large-closes", _hello(16384), _CLOSES),
    _ends("hello-too-large-closes", _records(_message(16300)), fields=(_CLOSES,)),
    _passes("hello-in-records", _records(_message(), 20)),
    _passes("hello-empty-record", b"\x16\x03\1\0\0" + _records(_message()), chain=""),
    *(
        _passes(f"hello-name-{name}", _records(_message(name=data)), chain="")
        for name, data in _NAMES.items()
    ),
    *(_passes(f"hello-broken-{name}", data, chain="") for name, data in _BROKEN.items()),
    *(_ends(f"hello-broken-{name}-tls", data, chain=_OF_TLS) for name, data in _BROKEN.items()),
    *(_ends(f"hello-broken-{name}-closes", data, fields=(_CLOSES,)) for name, data in _BROKEN.items()),
)


def test_those_that_are_too_large_are_counted(tcp_laboratory: TcpLaboratory) -> None:
    assert tcp_laboratory.too_large["proxyd"] == tcp_laboratory.too_large["envoy"] > 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: TcpCase, agree_tcp: AgreeTcp) -> None:
    agree_tcp(case)
