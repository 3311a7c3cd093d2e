"""Words to values."""

import math

import pytest

from proxyd.config import scalars


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("FALSE", False),
        ("yes", "yes"), ("on", "on"),
        ("1", 1), ("-3", -3), ("+3", 3), ("0", 0), ("0x1F", 31), ("0o17", 15),
        ("1.5", 1.5), ("1e3", 1000.0),
        (".5", 0.5),
        ("1:30", "1:30"), ("1_000", "1_000"), ("2020-01-01", "2020-01-01"), ("0x", "0x"),
        ("-.inf", -math.inf),
        ("1" * 5000, "1" * 5000), ("word", "word"),
    ],
)  # fmt: skip
def test_resolve_by_yaml_1_2(word, value):
    found = scalars.resolve(word)
    assert (found, type(found)) == (value, type(value))


def test_nan_is_nan():
    assert math.isnan(scalars.resolve(".nan"))


@pytest.mark.parametrize(
    ("word", "value"),
    [("8080", 8080), ("+5", 5), ("5.0", 5), ("1e2", 100), ("0x10", 16), ("0o10", 8), ("-1", -1), ("0", 0)],
)
@pytest.mark.parametrize("plain", [True, False])
def test_whole_numbers(word, value, plain):
    assert scalars.read_int(word, plain) == value


@pytest.mark.parametrize(
    "word", ["", " 5", "5 ", "1.5", "010", "1_000", "1:30", "x", "true", "1e999", "9" * 500, "٣"]
)
def test_no_whole_numbers(word):
    with pytest.raises(ValueError, match=r"expected a whole number|begins with 0"):
        scalars.read_int(word, True)


@pytest.mark.parametrize(
    ("word", "seconds"),
    [("0s", 0.0), ("5s", 5.0), ("0.25s", 0.25), ("1.123456789s", 1.123456789), ("5.s", 5.0), ("-1.5s", -1.5)],
)
def test_durations(word, seconds):
    assert scalars.read_duration(word, True) == seconds


@pytest.mark.parametrize(
    "word", ["", "5", "5ms", "1m", ".5s", "1e3s", "+5s", "5 s", "5S", "1.0000000001s", "9" * 30 + "s"]
)
def test_no_durations(word):
    with pytest.raises(ValueError, match="expected a duration in seconds"):
        scalars.read_duration(word, True)


@pytest.mark.parametrize("seconds", [0.0, 0.25, 1.5, 60.0, 1e-9, 0.1, 123456789.125])
def test_durations_are_written_as_they_are_read(seconds):
    assert scalars.read_duration(scalars.write_duration(seconds), True) == seconds


def test_booleans():
    assert scalars.read_bool("true", False) is True
    assert scalars.read_bool("off", True) is False
    for word, plain in (("1", True), ("off", False), ("", True), ("truth", True)):
        with pytest.raises(ValueError, match="expected true or false"):
            scalars.read_bool(word, plain)


def test_strings_without_quotes_are_no_numbers():
    assert scalars.read_string("5", False) == "5"
    assert scalars.read_string("no", True) == "no"
    assert scalars.read_string("1.5", True) == "1.5"
    for word in ("5", "true", "0x10"):
        with pytest.raises(ValueError, match="put it in quotes"):
            scalars.read_string(word, True)


@pytest.mark.parametrize("word", ["AAEC_w", "AAEC/w==", "AAEC/w"])
def test_base64_in_both_alphabets(word):
    assert scalars.read_bytes(word, False) == b"\x00\x01\x02\xff"


@pytest.mark.parametrize("word", ["a", "a!b", "ä", "=", "ab=c"])
def test_no_base64(word):
    if word == "=":
        assert scalars.read_bytes(word, False) == b""
        return
    with pytest.raises(ValueError, match="expected base64"):
        scalars.read_bytes(word, False)
