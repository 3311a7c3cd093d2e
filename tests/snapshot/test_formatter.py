import json

import pytest

from proxyd import errors
from proxyd.codec.headers import Headers
from proxyd.config.core import DataSource, SubstitutionFormatString
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.formatter import (
    DEFAULT_FORMAT,
    DefaultFormatter,
    FormatError,
    TextFormatter,
    compile_format,
    compile_json,
    compile_text,
)


def request() -> StreamInfo:
    info = StreamInfo()
    info.method = b"GET"
    info.path = b"/new?a=b%20c&e=&a=2"
    info.original_path = b"/old?a=b%20c&e=&a=2"
    info.authority = b"Host.x"
    info.protocol = "HTTP/1.1"
    info.request_headers = Headers(
        [(b"h", b"hello"), (b"q", b'a"b\\c'), (b"b", b"\xe9\xff"), (b"u", "é\t1".encode()), (b"e", b"")]
    )
    info.response_headers = Headers([(b"content-type", b"text/plain")])
    info.request_id = b"id-1"
    info.response_code = 200
    info.response_code_details = "via_upstream"
    info.bytes_received = 3
    info.bytes_sent = 11
    info.start_time = 1795383249.334585
    info.start = 100.0
    info.request_end = 100.001
    info.upstream_first_tx = 100.002
    info.upstream_last_tx = 100.0025
    info.response_start = 100.004
    info.response_end = 100.006
    info.end = 100.0075
    info.upstream_host = "127.0.0.1:9000"
    info.upstream_cluster = "c"
    info.upstream_local_address = "127.0.0.1:5000"
    info.route_name = "r1"
    info.downstream_remote_address = "[::1]:43808"
    info.connection = ConnectionInfo()
    info.connection.remote_address = info.connection.direct_remote_address = "127.0.0.2:7"
    info.connection.local_address = "127.0.0.1:80"
    info.connection.id = 7
    info.attempt_count = 1
    return info


def text(format_string: str, info: StreamInfo | None = None) -> bytes:
    return compile_text(format_string).format(request() if info is None else info)


def value(format_string: str, info: StreamInfo | None = None) -> object:
    line = compile_json({"v": format_string}).format(request() if info is None else info)
    return json.loads(line)["v"]


# operator → its JSON value for ``request()``; text is the same without quotes, "-" for None
VALUES = [
    ("START_TIME", "2026-11-22T21:34:09.334Z"),
    ("START_TIME(%s.%3f)", "1795383249.334"),
    ("REQ(H)", "hello"),
    ("REQ(nope)", None),
    ("REQ(nope?h)", "hello"),
    ("REQ(h):3", "hel"),
    ("REQ(e)", ""),
    ("REQ(HOST)", "Host.x"),
    ("REQ(:AUTHORITY)", "Host.x"),
    ("REQ(:SCHEME)", "http"),
    ("REQ(:METHOD)", "GET"),
    ("REQ(:PATH):4", "/new"),
    ("REQ(X-ENVOY-ORIGINAL-PATH?:PATH):4", "/old"),
    ("REQ(X-REQUEST-ID)", "id-1"),
    ("REQ(q)", 'a"b\\c'),
    ("RESP(Content-Type)", "text/plain"),
    ("RESP(:STATUS):2", "20"),
    ("RESP(x?y)", None),
    ("PROTOCOL", "HTTP/1.1"),
    ("RESPONSE_CODE", 200),
    ("RESPONSE_CODE_DETAILS", "via_upstream"),
    ("RESPONSE_FLAGS", "-"),
    ("RESPONSE_FLAGS_LONG", "-"),
    ("CONNECTION_TERMINATION_DETAILS", None),
    ("BYTES_RECEIVED", 3),
    ("BYTES_SENT", 11),
    ("DURATION", 7),
    ("REQUEST_DURATION", 1),
    ("REQUEST_TX_DURATION", 2),
    ("RESPONSE_DURATION", 4),
    ("RESPONSE_TX_DURATION", 3),
    ("COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)", 4000),
    ("COMMON_DURATION(US_TX_BEG:US_RX_BEG:ms)", 2),
    ("UPSTREAM_HOST", "127.0.0.1:9000"),
    ("UPSTREAM_CLUSTER", "c"),
    ("UPSTREAM_LOCAL_ADDRESS", "127.0.0.1:5000"),
    ("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "127.0.0.1"),
    ("UPSTREAM_LOCAL_PORT", 5000),
    ("UPSTREAM_REMOTE_ADDRESS", "127.0.0.1:9000"),
    ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "127.0.0.1"),
    ("UPSTREAM_REMOTE_PORT", 9000),
    ("UPSTREAM_TRANSPORT_FAILURE_REASON", None),
    ("UPSTREAM_REQUEST_ATTEMPT_COUNT", 1),
    ("DOWNSTREAM_REMOTE_ADDRESS", "[::1]:43808"),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "::1"),
    ("DOWNSTREAM_REMOTE_PORT", 43808),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "127.0.0.2:7"),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "127.0.0.2"),
    ("DOWNSTREAM_DIRECT_REMOTE_PORT", 7),
    ("DOWNSTREAM_LOCAL_ADDRESS", "127.0.0.1:80"),
    ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "127.0.0.1"),
    ("DOWNSTREAM_LOCAL_PORT", 80),
    ("ROUTE_NAME", "r1"),
    ("LOCAL_REPLY_BODY", ""),
    ("QUERY_PARAM(a)", "b c"),
    ("QUERY_PARAM(a):1", "b"),
    ("QUERY_PARAM(e)", ""),
    ("QUERY_PARAM(nope)", None),
    ("QUERY_PARAMS", "a=b%20c&e=&a=2"),
    ("PATH", "/old?a=b%20c&e=&a=2"),
    ("PATH(NQ:PATH)", "/new"),
    ("PATH(NQ:ORIG):2", "/o"),
    ("CONNECTION_ID", 7),
    ("ACCESS_LOG_TYPE", "DownstreamEnd"),
]


@pytest.mark.parametrize(("operator", "expected"), VALUES)
def test_operators(operator: str, expected: object) -> None:
    assert value(f"%{operator}%") == expected
    assert text(f"%{operator}%") == (b"-" if expected is None else str(expected).encode())


def test_sentences_become_one_word() -> None:
    info = request()
    info.response_code_details = "delayed connect error"
    info.upstream_transport_failure_reason = "Connection refused"
    assert text("%RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%", info) == (
        b"delayed_connect_error Connection_refused"
    )
    assert text("%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", info) == b"delayed connect error"


def test_flags_have_short_and_long_names() -> None:
    info = request()
    info.response_flags = errors.UF | errors.URX
    assert text("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", info) == (
        b"UF,URX UpstreamConnectionFailure,UpstreamRetryLimitExceeded"
    )
    info.response_flags = (1 << len(errors.FLAG_NAMES)) - 1
    assert text("%RESPONSE_FLAGS_LONG%", info).count(b",") == len(errors.FLAG_NAMES) - 1


def test_the_environment_is_read_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "here")
    formatter = compile_text("%ENVIRONMENT(PLACE)% %ENVIRONMENT(PLACE):2% %ENVIRONMENT(NOWHERE_SET)%")
    monkeypatch.setenv("PLACE", "there")
    assert formatter.format(request()) == b"here he -"


def test_unique_ids_differ() -> None:
    first, second = text("%UNIQUE_ID% %UNIQUE_ID%").split()
    assert len(first) == 36
    assert first != second


def test_the_default_format_by_hand_equals_the_parsed_one() -> None:
    by_hand = compile_text(DEFAULT_FORMAT)
    parsed = compile_text(DEFAULT_FORMAT + "%%")
    assert isinstance(by_hand, DefaultFormatter)
    assert isinstance(parsed, TextFormatter)
    full = request()
    full.request_headers.add(b"x-forwarded-for", b"9.9.9.9")
    full.request_headers.add(b"user-agent", b"\xe9\xff ")
    full.request_headers.add(b"user-agent", b"second")
    full.response_headers.add(b"x-envoy-upstream-service-time", b"1")
    full.response_flags = errors.NR
    client_id = request()
    client_id.request_id = b""
    client_id.request_headers.add(b"x-request-id", b"own")
    empty = StreamInfo()
    empty.start_time = 0.0009996
    for info in (full, request(), client_id, empty):
        assert by_hand.format(info) + b"%" == parsed.format(info)
        assert by_hand.format_line(info) == by_hand.format(info)


def test_a_host_that_was_not_reached_has_no_address() -> None:
    info = request()
    info.upstream_first_tx = 0.0
    assert value("%UPSTREAM_REMOTE_ADDRESS%", info) is None
    assert value("%COMMON_DURATION(US_TX_BEG:US_RX_BEG:ms)%", info) is None
    assert value("%UPSTREAM_HOST%", info) == "127.0.0.1:9000"


def test_the_default_line() -> None:
    assert text(DEFAULT_FORMAT) == (
        b'[2026-11-22T21:34:09.334Z] "GET /old?a=b%20c&e=&a=2 HTTP/1.1" 200 - 3 11 7 - "-" "-" "id-1" '
        b'"Host.x" "127.0.0.1:9000"\n'
    )


@pytest.mark.parametrize("format_string", [DEFAULT_FORMAT, "%REQ(user-agent)% end\n", "%REQ(user-agent)%"])
def test_no_value_breaks_a_line(format_string: str) -> None:
    info = request()
    info.request_headers.add(b"user-agent", b"a\r\nforged \x00line")
    line = compile_text(format_string).format_line(info)
    assert b"a\\x0d\\x0aforged \\x00line" in line
    assert line.count(b"\n") == format_string.count("\n")


def test_json_keys_are_sorted_and_lone_operators_typed() -> None:
    fields = {
        "z": "%RESPONSE_CODE%",
        "mixed": "a%REQ(nope)%b%RESPONSE_CODE%",
        "nest": {"l": ["%RESPONSE_CODE%", {"x": "%REQ(nope)%"}, 5, True, None, ""]},
        "fl": 1.5,
        "pct": "100%%",
        'ué"': 'é"\n',
    }
    assert (
        compile_json(fields).format(request())
        == (
            '{"fl":1.5,"mixed":"a-b200","nest":{"l":[200,{"x":null},5,true,null,""]},"pct":"100%",'
            '"ué\\"":"é\\"\\n","z":200}\n'
        ).encode()
    )


def test_json_takes_bytes_that_are_no_text() -> None:
    assert value("%REQ(b)%") == "éÿ"
    assert value("%REQ(u)%x") == "é\t1x"


def test_empty_values_are_omitted_when_asked() -> None:
    fields = {
        "a": "%REQ(nope)%",
        "b": {"c": "%REQ(nope)%"},
        "d": ["%REQ(nope)%", "%REQ(nope)%x", "%REQ(h)%%REQ(nope)%"],
        "e": "%REQ(e)%",
        "f": "",
        "g": "x%REQ(nope)%",
    }
    assert compile_json(fields, True).format(request()) == b'{"d":["x","hello"],"e":"","f":"","g":"x"}\n'
    assert compile_json({"a": "%REQ(nope)%"}, True).format(request()) == b"{}\n"
    line = compile_text("[%REQ(nope)%|%REQ(h)%]%RESPONSE_FLAGS% %PROTOCOL%\n", True)
    assert line.format(request()) == b"[|hello]- HTTP/1.1\n"


@pytest.mark.parametrize(
    ("format_string", "message"),
    [
        ("%RESPONSE_CODES%", r"%RESPONSE_CODES% is no operator; did you mean %RESPONSE_CODE%\?"),
        ("%XYZZY%", "%XYZZY% is no operator$"),
        ("%DOWNSTREAM_HEADER_BYTES_SENT%", "%DOWNSTREAM_HEADER_BYTES_SENT% is not supported by proxyd"),
        ("%UPSTREAM_CONNECTION_ID%", "%UPSTREAM_CONNECTION_ID% is not supported by proxyd"),
        ("%DURATION:2%", "%DURATION% takes neither a parameter nor a length"),
        ("%PROTOCOL(x)%", "%PROTOCOL% takes neither a parameter nor a length"),
        ("%REQ%", "must name one header"),
        ("%REQ(a?b?c)%", "must name one header"),
        ("%START_TIME(%Q)%", r"%START_TIME\(%Q\)%: %Q is no time specifier"),
        ("%START_TIME:3%", "takes no length"),
        ("%PATH(XQ)%", "expected WQ or NQ"),
        ("%QUERY_PARAM%", "must name a query parameter"),
        ("%ENVIRONMENT%", "must name a variable"),
        ("%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:ms)%", "the moment DS_TX_BEG is not supported by proxyd"),
        ("%COMMON_DURATION(DS_RX_BEG)%", "expected two moments"),
        ("50% off", "no operator at position 2"),
        ("%lower%", "no operator at position 0"),
    ],
)
def test_mistakes_name_the_operator(format_string: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        compile_text(format_string)
    with pytest.raises(FormatError, match=message):
        compile_json({"a": ["", {"b": format_string}]})


def test_a_configured_format_is_compiled() -> None:
    info = request()
    assert compile_format(None).format(info) == text(DEFAULT_FORMAT)
    assert compile_format(SubstitutionFormatString()).format(info) == text(DEFAULT_FORMAT)
    source = SubstitutionFormatString(text_format_source=DataSource(inline_string="%PROTOCOL%"))
    assert compile_format(source).format(info) == b"HTTP/1.1"
    source = SubstitutionFormatString(json_format={"a": "%REQ(nope)%"}, omit_empty_values=True)
    assert compile_format(source).format(info) == b"{}\n"


def grpc(content_type: bytes = b"application/grpc") -> StreamInfo:
    info = StreamInfo()
    info.request_headers = Headers([(b"content-type", content_type)])
    info.response_code = 200
    return info


def test_a_grpc_status_comes_from_trailers_then_headers_then_http() -> None:
    forms = "%GRPC_STATUS% %GRPC_STATUS(CAMEL_STRING)% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)%"
    formatter = compile_text(forms + " %GRPC_STATUS_NUMBER%")
    info = grpc()
    assert formatter.format(info) == b"Unknown Unknown UNKNOWN 2 2"
    info.response_code = 503
    assert formatter.format(info) == b"Unavailable Unavailable UNAVAILABLE 14 14"
    info.response_headers = Headers([(b"grpc-status", b"1")])
    assert formatter.format(info) == b"Canceled Canceled CANCELLED 1 1"
    info.response_trailers = [(b"grpc-status", b"17")]
    assert formatter.format(info) == b"17 17 17 17 17"
    info.response_trailers = [(b"grpc-status", b"x")]
    assert formatter.format(info) == b"-1 -1 -1 -1 -1"
    assert formatter.format(grpc(b"application/grpc-web")) == b"- - - - -"


def test_trailers_and_sizes() -> None:
    info = StreamInfo()
    formatter = compile_text("%TRAILER(X-T)% %TRAILER(a?x-t):1% %TRAILER(b)% %RESPONSE_TRAILERS_BYTES%")
    assert formatter.format(info) == b"- - - 0"
    info.response_trailers = [(b"x-t", b"value")]
    assert formatter.format(info) == b"value v - 8"
    info.method, info.path, info.authority = b"GET", b"/direct", b"h.example"
    info.request_headers = Headers([(b"x-request-id", b"rid"), (b"x-forwarded-proto", b"http")])
    assert compile_text("%REQUEST_HEADERS_BYTES%").format(info) == b"88"
