"""Options of the connection manager: names, versions, limits, times."""

import pytest

from tests.conformance import basic
from tests.conformance.case import Case, Do, answer, case, cases_of, get, post, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: x}}}
    - {match: {prefix: /refused}, route: {cluster: refused}}
    - {match: {prefix: /own-idle}, route: {cluster: origin, idle_timeout: 1s}}
    - {match: {prefix: /}, route: {cluster: origin}}
"""

LISTENERS = {
    **basic.LISTENERS,
    "named": _ROUTES + "server_name: front\n",
    "server-absent-only": _ROUTES + "server_header_transformation: APPEND_IF_ABSENT\n",
    "server-as-it-is": _ROUTES + "server_header_transformation: PASS_THROUGH\n",
    "old": _ROUTES + "http_protocol_options: {accept_http_10: true}\n",
    "old-with-host": _ROUTES
    + "http_protocol_options: {accept_http_10: true, default_host_for_http_10: d.example}\n",
    "no-absolute": _ROUTES + "http_protocol_options: {allow_absolute_url: false}\n",
    "http1-only": _ROUTES + "codec_type: HTTP1\n",
    "few-fields": _ROUTES + "common_http_protocol_options: {max_headers_count: 10}\n",
    "small-fields": _ROUTES + "max_request_headers_kb: 1\n",
    "two-requests": _ROUTES + "common_http_protocol_options: {max_requests_per_connection: 2}\n",
    "one-request": _ROUTES + "common_http_protocol_options: {max_requests_per_connection: 1}\n",
    "stream-idle": _ROUTES + "stream_idle_timeout: 0.2s\n",
    "request-time": _ROUTES + "request_timeout: 0.2s\n",
    "head-time": _ROUTES + "request_headers_timeout: 0.2s\n",
    "stream-duration": _ROUTES + "common_http_protocol_options: {max_stream_duration: 0.2s}\n",
    "connection-idle": _ROUTES
    + "common_http_protocol_options: {idle_timeout: 0.2s}\ndrain_timeout: 0.05s\n",
    "connection-duration": _ROUTES
    + "common_http_protocol_options: {max_connection_duration: 0.2s}\ndrain_timeout: 0.1s\n",
}  # fmt: skip

_OLD = "HTTP/1.0\r\nhost: h.example\r\n"


def _old(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    until_close = answer(b"HTTP/1.1 200 OK\r\n\r\nall", Do.CLOSE)
    return (
        asked("get", f"GET / {_OLD}\r\n"),
        asked("keep-alive", f"GET / {_OLD}connection: keep-alive\r\n\r\n"),
        asked("close", f"GET / {_OLD}connection: close\r\n\r\n"),
        asked("no-host", "GET / HTTP/1.0\r\n\r\n"),
        asked("absolute", "GET http://abs.example/ HTTP/1.0\r\n\r\n"),
        asked("chunked-response", f"GET / {_OLD}\r\n", upstream=chunked),
        asked("chunked-response-keep-alive", f"GET / {_OLD}connection: keep-alive\r\n\r\n", upstream=chunked),
        asked("until-close", f"GET / {_OLD}\r\n", answer=until_close),
        asked("head", f"HEAD / {_OLD}\r\n", upstream=b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        asked("head-keep-alive", f"HEAD / {_OLD}connection: keep-alive\r\n\r\n", upstream=chunked[:50]),
        asked("post", f"POST / {_OLD}content-length: 3\r\n\r\nabc"),
        asked("post-keep-alive", f"POST / {_OLD}connection: keep-alive\r\ncontent-length: 3\r\n\r\nabc"),
        asked("post-no-length", f"POST / {_OLD}\r\n"),
        asked("direct", f"GET /direct {_OLD}\r\n"),
        asked("direct-keep-alive", f"GET /direct {_OLD}connection: keep-alive\r\n\r\n"),
        asked("refused", f"GET /refused {_OLD}\r\n"),
        asked("expect", f"POST / {_OLD}expect: 100-continue\r\ncontent-length: 3\r\n\r\nabc"),
        asked("interim", f"GET / {_OLD}\r\n", upstream=b"HTTP/1.1 103 Hints\r\n\r\n" + response(200)),
        asked("http09", "GET /\r\n\r\n"),
        asked("chunked-request", f"POST / {_OLD}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        asked("two", f"GET / {_OLD}\r\nGET / {_OLD}\r\n"),
    )


def _fields(count: int) -> str:
    return get("/", *(f"x{number}: a" for number in range(count)))


def _server(listener: str) -> tuple[Case, ...]:
    return (
        case(f"{listener}-theirs", get("/"), listener=listener, upstream=response(200, "server: theirs")),
        case(f"{listener}-none", get("/"), listener=listener),
        case(f"{listener}-direct", get("/direct"), listener=listener),
        case(f"{listener}-malformed", "BLAH\r\n\r\n", listener=listener),
    )


_LONG = answer(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", 0.6)
_LATE = answer(0.6, response(200))
_UNFINISHED = request("POST", "/", "content-length: 6", body="abc")

CASES = (
    *_server("named"),
    *_server("server-absent-only"),
    *_server("server-as-it-is"),
    *_old("old"),
    *_old("old-with-host"),
    *_old("basic"),
    case("no-absolute-absolute", get("http://abs.example/b"), listener="no-absolute"),
    case("no-absolute-origin-form", get("/b"), listener="no-absolute"),
    case("http1-only-get", get("/"), listener="http1-only"),
    case("http1-only-preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", listener="http1-only"),
    case("few-fields-nine", _fields(9), listener="few-fields"),
    case("few-fields-ten", _fields(10), listener="few-fields"),
    case("few-fields-eleven", _fields(11), listener="few-fields"),
    case(
        "few-fields-trailers",
        request("POST", "/", "transfer-encoding: chunked", body="0\r\n" + "x: 1\r\n" * 20 + "\r\n"),
        listener="few-fields",
    ),
    case(
        "few-fields-response",
        get("/"),
        listener="few-fields",
        upstream=response(200, *(f"x{n}: a" for n in range(20))),
    ),
    case("small-fields-fit", get("/", "x: " + "a" * 900), listener="small-fields"),
    case("small-fields-not", get("/", "x: " + "a" * 1100), listener="small-fields"),
    case("small-fields-target", get("/" + "a" * 1100), listener="small-fields"),
    case("two-requests-two", get("/") + get("/"), responses=2, listener="two-requests"),
    case("two-requests-three", get("/") + get("/") + get("/"), responses=2, listener="two-requests"),
    case("two-requests-one", get("/"), listener="two-requests"),
    case("two-requests-direct", get("/direct") + get("/direct"), responses=2, listener="two-requests"),
    case("one-request-one", get("/"), listener="one-request"),
    case("one-request-post", post("/", "abc"), listener="one-request"),
    case("stream-idle-response", get("/"), answer=_LATE, listener="stream-idle"),
    case("stream-idle-in-body", get("/"), answer=_LONG, listener="stream-idle"),
    case("stream-idle-request", _UNFINISHED, listener="stream-idle"),
    case("stream-idle-own", get("/own-idle"), answer=answer(0.4, response(200)), listener="stream-idle"),
    case(
        "stream-idle-moving",
        get("/"),
        answer=answer(
            b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\na",
            *(step for piece in (b"b", b"c", b"d", b"e", b"f") for step in (0.05, piece)),
        ),
        listener="stream-idle",
    ),
    case("stream-idle-no-request", 0.3, get("/"), listener="stream-idle"),
    case("stream-idle-in-head", "GET / HTTP/1.1\r\nhost: a", listener="stream-idle"),
    case("request-time-body", _UNFINISHED, listener="request-time"),
    case(
        "request-time-direct",
        request("POST", "/direct", "content-length: 6", body="abc"),
        listener="request-time",
    ),
    case("request-time-head", "GET / HTTP/1.1\r\nhost: a", listener="request-time"),
    case("request-time-response", get("/"), answer=answer(0.4, response(200)), listener="request-time"),
    case("head-time-head", "GET / HTTP/1.1\r\nhost: a", listener="head-time"),
    case("head-time-line", "GET", listener="head-time"),
    case(
        "head-time-body",
        request("POST", "/", "content-length: 6", body="abc"),
        0.3,
        "def",
        listener="head-time",
    ),
    case("head-time-silence", 0.3, get("/"), listener="head-time"),
    case("stream-duration-response", get("/"), answer=_LATE, listener="stream-duration"),
    case("stream-duration-in-body", get("/"), answer=_LONG, listener="stream-duration"),
    case("stream-duration-request", _UNFINISHED, listener="stream-duration"),
    case("stream-duration-in-time", get("/"), listener="stream-duration"),
    case("connection-idle-first", listener="connection-idle"),
    case("connection-idle-next", get("/"), Do.AWAIT_RESPONSE, responses=2, listener="connection-idle"),
    case("connection-idle-used", get("/"), answer=answer(0.4, response(200)), listener="connection-idle"),
    case("connection-duration-idle", listener="connection-duration"),
    case(
        "connection-duration-used",
        get("/"),
        answer=answer(0.3, response(200)),
        listener="connection-duration",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
