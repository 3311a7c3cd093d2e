"""Which requests an access log is told of."""

from collections.abc import Callable

import msgspec
import pytest

from proxyd import errors
from proxyd.codec.headers import Headers
from proxyd.config.access_log_filter import AccessLogFilter
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.access_log_filter import compile_filter
from proxyd.snapshot.runtime import Runtime


def passes(source: dict[str, object], info: StreamInfo, runtime: Runtime | None = None) -> bool:
    return compile_filter(msgspec.convert(source, AccessLogFilter), runtime or Runtime([])).passes(info)


def made(change: Callable[[StreamInfo], object] = lambda _: None) -> StreamInfo:
    info = StreamInfo()
    info.request_headers = Headers([(b"x-a", b"1")])
    info.start, info.end = 10.0, 10.25
    change(info)
    return info


def comparison(op: int, value: int, key: str = "k") -> dict[str, object]:
    return {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": key}}}


STATUS = "status_code_filter"
HEADER = {"header_filter": {"header": {"name": "x-a", "string_match": {"exact": "1"}}}}
NO_HEADER = {"header_filter": {"header": {"name": "x-b", "present_match": True}}}


@pytest.mark.parametrize(("op", "expected"), [(0, "010"), (1, "011"), (2, "110"), (3, "101")])
def test_comparisons(op: int, expected: str) -> None:
    for status, wanted in zip((199, 200, 201), expected, strict=True):
        info = made(lambda info, status=status: setattr(info, "response_code", status))  # type: ignore[misc]
        assert passes({STATUS: comparison(op, 200)}, info) is (wanted == "1")


def test_the_runtime_has_another_value() -> None:
    info = made(lambda info: setattr(info, "response_code", 404))
    assert passes({STATUS: comparison(0, 200, "a.b")}, info, Runtime([{"a": {"b": 404}}]))
    assert not passes({STATUS: comparison(0, 200, "a.b")}, info)


def test_durations_are_milliseconds() -> None:
    assert passes({"duration_filter": comparison(0, 250)}, made())
    assert not passes({"duration_filter": comparison(1, 251)}, made())


def test_flags() -> None:
    info = made(lambda info: setattr(info, "response_flags", errors.UF | errors.URX))
    assert passes({"response_flag_filter": {"flags": ["NR", "UF"]}}, info)
    assert not passes({"response_flag_filter": {"flags": ["NR", "UH"]}}, info)
    assert passes({"response_flag_filter": {}}, info)
    assert not passes({"response_flag_filter": {}}, made())


def test_headers_and_combinations() -> None:
    assert passes(HEADER, made())
    assert not passes(NO_HEADER, made())
    assert passes({"or_filter": {"filters": [NO_HEADER, HEADER]}}, made())
    assert not passes({"and_filter": {"filters": [HEADER, NO_HEADER]}}, made())
    assert passes(
        {"and_filter": {"filters": [HEADER, {"or_filter": {"filters": [NO_HEADER, HEADER]}}]}}, made()
    )


def test_a_sample_goes_by_the_request_id() -> None:
    half = {"runtime_filter": {"runtime_key": "k", "percent_sampled": {"numerator": 50}}}
    low = made(lambda info: setattr(info, "request_id", b"00000031-0000-4000-8000-000000000000"))
    high = made(lambda info: setattr(info, "request_id", b"00000032-0000-4000-8000-000000000000"))
    assert passes(half, low)
    assert not passes(half, high)
    assert passes(half, high, Runtime([{"k": 51}]))
    assert not passes({"runtime_filter": {"runtime_key": "k"}}, low)
    chance = {"runtime_filter": half["runtime_filter"] | {"use_independent_randomness": True}}
    assert {passes(chance, low) for _ in range(200)} == {True, False}
    nobody = made(lambda info: setattr(info, "request_id", b"not-a-uuid"))
    assert {passes(half, nobody) for _ in range(200)} == {True, False}
