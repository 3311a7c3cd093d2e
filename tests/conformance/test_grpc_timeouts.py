"""gRPC's own timeouts: which the proxy heeds, what it makes of them, and what it tells the host."""

from typing import Any

import pytest

from tests.conformance.case import Case
from tests.conformance.conftest import Agree
from tests.conformance.http2 import Ask, Http2Case, fields, http2, reply
from tests.conformance.test_http2_upstream import CLUSTERS

__all__ = ["CLUSTERS"]

_ROUTES = {
    "max": "max_stream_duration: {grpc_timeout_header_max: 2s}",
    "short": "max_stream_duration: {grpc_timeout_header_max: 0.2s}",
    "any": "max_stream_duration: {grpc_timeout_header_max: 0s}",
    "offset": "max_stream_duration: {grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 0.3s}",
    "both": "max_stream_duration: {grpc_timeout_header_max: 2s, grpc_timeout_header_offset: 0.5s}",
    "alone": "max_stream_duration: {grpc_timeout_header_offset: 0.5s}",
    "all": "max_stream_duration: {max_stream_duration: 3s, grpc_timeout_header_max: 2s}",
    "only": "max_stream_duration: {max_stream_duration: 3s}",
    "zero": "max_stream_duration: {max_stream_duration: 0s}",
    "nothing": "max_stream_duration: {}",
    "with": "max_stream_duration: {grpc_timeout_header_max: 2s}, timeout: 1s",
    "plain": "timeout: 5s",
    "old": "max_grpc_timeout: 2s",
    "old-any": "max_grpc_timeout: 0s",
    "old-short": "max_grpc_timeout: 0.2s",
    "old-offset": "max_grpc_timeout: 0s, grpc_timeout_offset: 0.3s",
    "old-both": "max_grpc_timeout: 2s, grpc_timeout_offset: 0.5s",
    "old-alone": "grpc_timeout_offset: 0.5s",
    "old-and-new": "max_grpc_timeout: 2s, max_stream_duration: {max_stream_duration: 3s}",
}

_TABLE = "route_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes:\n" + "".join(
    f"    - {{match: {{prefix: /{name}/}}, route: {{cluster: newer, {text}}}}}\n"
    for name, text in _ROUTES.items()
)

LISTENERS = {
    "grpc-times": _TABLE,
    "grpc-times-inside": _TABLE
    + "internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.2, prefix_len: 32}]}\n",
    "grpc-times-lasting": _TABLE + "common_http_protocol_options: {max_stream_duration: 4s}\n",
}

_GRPC = ("content-type", "application/grpc")
_OK = reply(_GRPC, trailers=(("grpc-status", "0"),), body=(b"\0\0\0\0\1x",))


def call(
    route: str, timeout: str | None = "1S", *more: tuple[str, str], kind: str = "grpc", **rest: Any
) -> Http2Case:
    times = () if timeout is None else (("grpc-timeout", timeout),)
    types = (_GRPC,) if kind == "grpc" else ()
    ask = Ask(fields(f"/{route}/S/M", *types, *times, *more, method="POST"), (b"\0\0\0\0\1x",))
    listener = rest.pop("listener", "grpc-times")
    label = rest.pop("label", "")
    name = "-".join(
        filter(
            None,
            ("times", listener.removeprefix("grpc-times").strip("-"), route, kind, timeout or "none", label),
        )
    )
    rest.setdefault("replies", (_OK,))
    return http2(name, ask, listener=listener, **rest)


_TEXTS = (
    "2S",
    "500m",
    "100000000m",
    "1H",
    "99999999H",
    "99999999S",
    "99999999m",
    "900000u",
    "900001u",
    "1M",
    "2M",
    "1",
    "S",
    "",
    "x",
    "1x",
    "+1S",
    "-1S",
    "1 S",
    "1.5S",
)

_COMMAND = ("x-envoy-upstream-rq-timeout-ms", "700")
_TRY = ("x-envoy-upstream-rq-per-try-timeout-ms", "700")
_FROM_INSIDE = ("x-forwarded-for", "127.0.0.2")
_SILENT: dict[str, Any] = {"replies": (reply(waits=True),), "label": "waits"}

CASES = (
    *(call(route, timeout) for route in _ROUTES for timeout in ("1S", "3S", None)),
    *(call(route, timeout, kind="other") for route in ("any", "only", "old") for timeout in ("1S", None)),
    *(call("any", text, label="text") for text in _TEXTS),
    *(call("old-any", text, label="text") for text in ("0S", "99999999H", "99999999S", "x", "2S")),
    call("any", "200m", **_SILENT),
    call("any", "90000001n", **_SILENT),
    call("old-offset", "250m"),
    call("short", "1S", **_SILENT),
    call("short", "1S", kind="other", **_SILENT),
    call("old-short", "1S", **_SILENT),
    call("offset", "500m", **_SILENT),
    call("old-any", "200m", **_SILENT),
    *(
        call(route, timeout, listener="grpc-times-lasting")
        for route in ("max", "zero", "nothing", "old")
        for timeout in ("1S", None)
    ),
    *(
        call(route, "1S", _FROM_INSIDE, _COMMAND, listener="grpc-times-inside")
        for route in ("max", "only", "old", "old-any", "old-both")
    ),
    *(
        call(route, "1S", _FROM_INSIDE, _TRY, listener="grpc-times-inside", label="try")
        for route in ("max", "old", "old-any")
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
