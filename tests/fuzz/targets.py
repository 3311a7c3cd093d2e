"""What is fuzzed: for each target, inputs of every kind and what must hold for all of them.

Inputs are put together from pieces that mean something to the reader under test, from pieces that nearly do,
and from noise, so that most get past the first look.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from proxyd.codec.headers import Headers
from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.sources import Text
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.build import SnapshotError, compile_snapshot
from proxyd.snapshot.formatter import compile_text
from proxyd.snapshot.operators import FormatError
from proxyd.stats.metrics import Registry
from tests.codec.recorder import Requests, Responses, join

ROOT = Path(__file__).resolve().parent.parent.parent


class Target(NamedTuple):
    """Inputs and the check they must all pass."""

    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


# -- codec ---------------------------------------------------------------------------------------------------

_FIELDS = [
    b"host: h\r\n", b"Host: a.b:80\r\n", b"host:\r\n", b"content-length: 3\r\n", b"content-length: 0\r\n",
    b"Content-Length: 3, 3\r\n", b"content-length: +3\r\n", b"content-length: 99999999999999999999\r\n",
    b"transfer-encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"transfer-encoding:\r\n",
    b"transfer-encoding: identity\r\n", b"connection: close\r\n", b"connection: keep-alive, upgrade\r\n",
    b"connection: te, x-a\r\n", b"upgrade: websocket\r\n", b"upgrade: h2c\r\n", b"expect: 100-continue\r\n",
    b"te: trailers\r\n", b"keep-alive: 5\r\n", b"x-a: 1\r\n", b"x_a: 1\r\n", b" folded\r\n", b"x-a : 1\r\n",
    b"x-a\r\n", b": v\r\n", b"x: \x00\r\n", b"x: \xff\r\n", b"x: a\nb: c\r\n", b"x: a\rb: c\r\n",
]  # fmt: skip
_BODIES = [
    b"abc", b"3\r\nabc\r\n", b"3;x=y\r\nabc\r\n", b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"-1\r\n",
    b"ffffffffffffffff\r\n", b"3\nabc\n", b"3\r\nabcd\r\n", b"\r\n", b"\n", b"\r", b"",
]  # fmt: skip
_REQUEST_LINES = [
    b"GET / HTTP/1.1\r\n", b"POST /p HTTP/1.1\r\n", b"HEAD /a?b HTTP/1.0\r\n", b"OPTIONS * HTTP/1.1\r\n",
    b"CONNECT h:443 HTTP/1.1\r\n", b"GET http://h/p HTTP/1.1\r\n", b"GET //h HTTP/1.1\r\n",
    b"GET /\x80 HTTP/1.1\r\n", b"GET / HTTP/2.0\r\n", b"GET / HTTP/1.1\n", b"GET  / HTTP/1.1\r\n",
    b"get / HTTP/1.1\r\n", b"GET /\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]  # fmt: skip
_STATUS_LINES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 304 \r\n",
    b"HTTP/1.1 100 Continue\r\n", b"HTTP/1.1 101 Switching Protocols\r\n", b"HTTP/1.1 999 X\r\n",
    b"HTTP/1.1 20 X\r\n", b"HTTP/1.1 2000 X\r\n", b"HTTP/2 200\r\n", b"ICY 200 OK\r\n", b"HTTP/1.1 200\r\n",
    b"HTTP/1.1 200 OK\n",
]  # fmt: skip


def _messages(first_lines: list[bytes]) -> st.SearchStrategy[bytes]:
    noise = st.binary(max_size=6)
    fields = st.lists(st.sampled_from(_FIELDS) | noise, max_size=6).map(b"".join)
    bodies = st.lists(st.sampled_from(_BODIES) | noise, max_size=4).map(b"".join)
    one = st.tuples(
        st.sampled_from(first_lines) | noise, fields, st.sampled_from([b"\r\n", b"\n", b""]), bodies
    )
    return st.lists(one.map(b"".join), min_size=1, max_size=3).map(b"".join)


def _chunked(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[bytes, list[int]]]:
    return st.tuples(messages, st.lists(st.integers(1, 40), max_size=12))


def _cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


def _check_request(given: tuple[bytes, list[int]]) -> None:
    data, sizes = given
    whole, pieces = Requests(http_10=True, trailers=True), Requests(http_10=True, trailers=True)
    whole.read(data)
    pieces.read(*_cut(data, sizes))
    assert join(pieces.events) == join(whole.events)
    assert (pieces.failed is None) == (whole.failed is None)
    for head in whole.heads:
        for name, value in head.headers:
            assert name == name.lower().strip()
            assert not set(value) & set(b"\r\n\0")


def _check_response(given: tuple[bytes, list[int]]) -> None:
    data, sizes = given
    for method in (b"GET", b"HEAD"):
        whole, pieces = Responses(method), Responses(method)
        whole.read(data)
        pieces.read(*_cut(data, sizes))
        assert join(pieces.events) == join(whole.events)
        assert pieces.failed == whole.failed


# -- configuration -------------------------------------------------------------------------------------------

_SEEDS = [
    path.read_text("utf-8").splitlines()
    for folder in ("conf", "tests/config/cases/valid", "tests/config/cases/invalid")
    for path in sorted((ROOT / folder).glob("*.yaml"))
]
_WORDS = [
    "null", "~", "{}", "[]", "-1", "1e999", ".nan", "true", "''", "'*'", "1s", "-1s", "0.0000000001s",
    "${X}", "${", "&a", "*a", "<<: *a", "!!python/object:os.system x", "{match: {prefix: /}}", "- - -",
    "? x", "|", "\t", "...", "---", "'%REQ('", "safe_regex: {regex: '(a+)+$'}", "4294967296", "@type: x",
]  # fmt: skip


def _mutated(given: tuple[list[str], list[tuple[int, int, str]]]) -> str:
    lines = list(given[0])
    for place, kind, word in given[1]:
        index = place % max(1, len(lines))
        line = lines[index] if lines else ""
        if kind == 0:
            del lines[index : index + 1]
        elif kind == 1:
            lines.insert(index, line)
        elif kind == 2:
            lines[index : index + 1] = [line.partition(":")[0] + ": " + word]
        elif kind == 3:
            lines[index : index + 1] = ["  " + line]
        else:
            lines.insert(index, " " * (len(line) - len(line.lstrip())) + word)
    return "\n".join(lines) + "\n"


def _configurations() -> st.SearchStrategy[str]:
    word = st.sampled_from(_WORDS) | st.text(max_size=8)
    change = st.tuples(st.integers(0, 200), st.integers(0, 4), word)
    return st.tuples(st.sampled_from(_SEEDS), st.lists(change, min_size=1, max_size=5)).map(_mutated)


def _check_configuration(text: str) -> None:
    try:
        bootstrap = load_text(Text("fuzz", text))
    except ConfigErrors:
        return
    try:
        compile_snapshot(bootstrap, Registry(), 0)
    except SnapshotError:
        pass


# -- formats -------------------------------------------------------------------------------------------------

_OPERATORS = [
    "%REQ(:PATH)%", "%REQ(X-A?:AUTHORITY):3%", "%RESP(a)%", "%START_TIME%", "%START_TIME(%Y-%3f %s)%",
    "%PROTOCOL%", "%RESPONSE_CODE%", "%DURATION%", "%UPSTREAM_HOST%", "%%", "%", "%REQ(", "%REQ()%", "%X%",
    ")%", ":0%", "?", "\n", "%START_TIME(%", "%REQ(a):99999999999999999999%", "%RESPONSE_FLAGS%",
    "%ENVIRONMENT(PATH)%", "%HOSTNAME%",
]  # fmt: skip


def _request(path: bytes, value: bytes) -> StreamInfo:
    info = StreamInfo()
    info.method, info.path, info.authority = b"GET", path, b"h"
    info.request_headers = Headers([(b"x-a", value)])
    info.response_headers = Headers([(b"a", value)])
    info.response_code = 200
    return info


def _check_format(given: tuple[str, bytes, bytes]) -> None:
    text, path, value = given
    try:
        formatter = compile_text(text)
    except FormatError:
        return
    line = formatter.format_line(_request(path, value))
    assert line.count(b"\n") <= text.count("\n"), "a client wrote a line of its own"


_FORMATS = st.tuples(
    st.lists(st.sampled_from(_OPERATORS) | st.text(max_size=4), max_size=6).map("".join),
    st.binary(max_size=12),
    st.binary(max_size=12),
)

TARGETS = {
    "requests": Target(_chunked(_messages(_REQUEST_LINES)), _check_request),
    "responses": Target(_chunked(_messages(_STATUS_LINES)), _check_response),
    "configurations": Target(_configurations(), _check_configuration),
    "formats": Target(_FORMATS, _check_format),
}
