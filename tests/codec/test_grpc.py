"""What gRPC says of its timeouts in headers, as Envoy reads and writes them (test_grpc_timeouts.py)."""

import pytest

from proxyd.codec.grpc import grpc_timeout_of, grpc_timeout_text
from proxyd.codec.headers import Headers


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"2S", b"2000m"),
        (b"500m", b"500m"),
        (b"1H", b"3600000m"),
        (b"2M", b"120000m"),
        (b"99999999m", b"99999999m"),
        (b"99999999S", b"99999999S"),
        (b"99999999H", b"99999999H"),
        (b"900001u", b"901m"),
        (b"90000001n", b"91m"),
        (b"+1S", b"1000m"),
        (b"1 S", b"1000m"),
        (b"-0S", b"0m"),
    ],
)
def test_a_timeout_is_read_and_written(text: bytes, told: bytes) -> None:
    timeout = grpc_timeout_of(Headers([(b"grpc-timeout", text)]))
    assert grpc_timeout_text(timeout) == told


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"1",
        b"S",
        b"x",
        b"1x",
        b"-1S",
        b"1.5S",
        b"100000000m",
        b"900000000n",
        b"1_0S",
        b"9" * 5000 + b"S",
    ],
)
def test_what_is_no_timeout(text: bytes) -> None:
    assert grpc_timeout_of(Headers([(b"grpc-timeout", text)])) == -1


def test_two_timeouts_are_none() -> None:
    assert grpc_timeout_of(Headers([(b"grpc-timeout", b"1S"), (b"grpc-timeout", b"1S")])) == -1
    assert grpc_timeout_of(Headers()) == -1
