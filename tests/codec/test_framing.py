import pytest

from proxyd.codec.framing import may_nominate, nominated, parse_length


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"0", 0), (b"007", 7), (b"999999999999999999", 999999999999999999), (b"9999999999999999999", -1),
        (b"", -1), (b"-1", -1), (b"+1", -1), (b"1 ", -1), (b"1_0", -1), (b"0x1", -1), (b"1,1", -1),
        ("\u0663".encode(), -1), (b"\xb2", -1),
    ],
)  # fmt: skip
def test_a_length_is_digits(value: bytes, length: int) -> None:
    assert parse_length(value) == length


def test_nominated_names() -> None:
    assert nominated(b"Close, X-A ,,\tx-b") == [b"close", b"x-a", b"x-b"]
    assert nominated(b"Content-Length, te, cookie") == [b"cookie"]
    assert may_nominate([b"x"] * 9)
    assert not may_nominate([b"x"] * 10)
    assert not may_nominate([b"x-forwarded-proto"])
