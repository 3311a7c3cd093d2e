"""Limits of heads to the byte and to the field, and what HTTP/1.0 clients get."""

import pytest

from tests.conformance.case import OK, Case, answer, case, get, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /refused}, route: {cluster: refused}}
    - {match: {prefix: /}, route: {cluster: origin}}
"""

LISTENERS = {
    "limits-1-kb": _ROUTES + "max_request_headers_kb: 1\n",
    "limits-default": _ROUTES,
    "limits-one-field": _ROUTES + "common_http_protocol_options: {max_headers_count: 1}\n",
    "limits-many-fields": _ROUTES + "common_http_protocol_options: {max_headers_count: 200}\n",
    "limits-trailers": _ROUTES
    + "http_protocol_options: {enable_trailers: true}\nmax_request_headers_kb: 1\n"
    + "common_http_protocol_options: {max_headers_count: 5}\n",
    "limits-old": _ROUTES + "http_protocol_options: {accept_http_10: true}\n",
}


def _asked(name: str, *sends: str | bytes | float, listener: str = "limits-1-kb", **more: object) -> Case:
    return case(f"limits-{name}", *sends, listener=listener, **more)


def _filled(size: int, start: str = "GET / HTTP/1.1\r\nhost: h.example\r\n", end: str = "") -> str:
    """A head of so many bytes, from the first line to the empty one."""
    lines = start + "x: "
    return lines + "a" * (size - len(lines) - len(end) - 4) + "\r\n" + end + "\r\n"


def _sizes(size: int) -> tuple[Case, ...]:
    post = "POST / HTTP/1.1\r\nhost: h.example\r\ncontent-length: 5\r\nconnection: close\r\n"
    chunked = "transfer-encoding: chunked\r\nconnection: x-y\r\n"
    absolute = "GET http://h.example/ HTTP/1.1\r\nhost: h.example\r\n"
    head = _filled(size)
    return (
        _asked(f"{size}", head),
        _asked(f"second-{size}", _filled(1000) + head, responses=2),
        _asked(f"in-two-{size}", head[:500], 0.02, head[500:]),
        _asked(f"behind-empty-lines-{size}", "\r\n\r\n" + head),
        _asked(f"post-{size}", _filled(size, post) + "abcde"),
        _asked(f"chunked-{size}", _filled(size, end=chunked) + "0\r\n\r\n"),
        _asked(f"absolute-{size}", _filled(size, absolute)),
        _asked(f"target-{size}", f"GET /{'a' * (size - 35)} HTTP/1.1\r\nhost: h.example\r\n\r\n"),
    )


def _response(size: int) -> Case:
    start = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: "
    told = start + b"a" * (size - len(start) - 4) + b"\r\n\r\nok"
    return _asked(f"response-{size}", get("/"), listener="limits-default", upstream=told)


def _trailers(name: str, lines: str) -> Case:
    text = request("POST", "/", "transfer-encoding: chunked", body=f"1\r\na\r\n0\r\n{lines}\r\n")
    return _asked(f"trailers-{name}", text, listener="limits-trailers")


def _old(name: str, *lines: str, **more: object) -> Case:
    head = "\r\n".join(("GET / HTTP/1.0", "host: h.example", *lines, "", ""))
    return _asked(f"old-{name}", head, listener="limits-old", **more)


_KEEP = "connection: keep-alive"
_LINES = "GET / HTTP/1.0\r\nhost: h\r\n"

CASES = (
    *_sizes(1023),
    *_sizes(1024),
    *_sizes(1025),
    _asked("default-61440", _filled(61440), listener="limits-default"),
    _asked("default-61441", _filled(61441), listener="limits-default"),
    *(_response(size) for size in (61441, 81919, 81920, 81921)),
    *(_asked(f"same-{count}", get("/", *["x: y"] * count)) for count in (60, 150, 170)),
    *(_asked(f"empty-{count}", get("/", *["x:"] * count)) for count in (60, 95)),
    _asked("one-field", get("/"), listener="limits-one-field"),
    _asked("one-field-two", get("/", "x: 1"), listener="limits-one-field"),
    _asked("many-fields", get("/", *(f"x{n}: 1" for n in range(199))), listener="limits-many-fields"),
    _asked("too-many-fields", get("/", *(f"x{n}: 1" for n in range(200))), listener="limits-many-fields"),
    _trailers("none", ""),
    _trailers("five", "".join(f"t{n}: 1\r\n" for n in range(5))),
    _trailers("six", "".join(f"t{n}: 1\r\n" for n in range(6))),
    _trailers("long", f"t: {'a' * 800}\r\n"),
    _trailers("too-long", f"t: {'a' * 1100}\r\n"),
    _trailers("twice", "T-Up: A\r\nt: 1\r\nt: 2\r\nu:\r\n"),
    _trailers("forwarded-for", "x-forwarded-for: 1.1.1.1\r\nauthorization: a\r\ncookie: b\r\n"),
    _old("keep-alive-capitals", "Connection: Keep-Alive"),
    _old("keep-alive-and-close", "connection: keep-alive, close"),
    _old("proxy-connection", "proxy-connection: keep-alive"),
    _old("no-content", _KEEP, upstream=b"HTTP/1.1 204 No Content\r\n\r\n"),
    _old("not-modified", _KEEP, upstream=b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    _old("not-modified-length", _KEEP, upstream=b"HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n"),
    _old("interim", _KEEP, upstream=b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
    _old("te", "te: trailers"),
    _old("upgrade", "connection: upgrade", "upgrade: websocket"),
    _old("trailers", upstream=b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-t: 1\r\n\r\n"),
    _asked("old-then-new", f"{_LINES}{_KEEP}\r\n\r\n" + get("/"), listener="limits-old", responses=2),
    _asked("new-then-old", get("/") + f"{_LINES}\r\n", listener="limits-old", responses=2),
    _asked("old-refused", f"GET /refused HTTP/1.0\r\nhost: h\r\n{_KEEP}\r\n\r\n", listener="limits-old"),
    _asked("old-no-host", "GET / HTTP/1.0\r\nhost:\r\n\r\n", listener="limits-old"),
    _asked("old-put", "PUT / HTTP/1.0\r\nhost: h\r\n\r\n", listener="limits-old"),
    _asked("proxy-connection-close", get("/", "proxy-connection: close", _KEEP), listener="limits-default"),
    _asked("response-http10-keeps", get("/"), listener="limits-default",
           answer=answer(response(200, _KEEP).replace(b"HTTP/1.1", b"HTTP/1.0"))),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
