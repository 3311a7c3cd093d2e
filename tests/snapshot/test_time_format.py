import pytest

from proxyd.snapshot.time_format import DEFAULT_LOCAL_TIME, DEFAULT_TIME, TimeFormat

# 2026-11-22T21:34:09.334585Z, and what Envoy 1.40 made of it.
MOMENT = 1795383249.334585


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (DEFAULT_TIME, "2026-11-22T21:34:09.334Z"),
        ("%s.%3f", "1795383249.334"),
        ("%f", "334585000"),
        ("%1f %6f %9f", "3 334585 334585000"),
        ("%Y/%m/%dT%H:%M:%S%z %s", "2026/11/22T21:34:09+0000 1795383249"),
        ("%E3S", "09.334"),
        ("%E0S", "09"),
        ("%E*S", "09.334585"),
        ("%E2f|%E*f", "33|334585"),
        ("%E4Y%ET%Ez %E*z", "2026T+00:00 +00:00:00"),
        ("%Z", "UTC"),
        ("%e|%b|%j", "22|Nov|326"),
        ("100%%", "100%"),
        ("plain", "plain"),
    ],
)
def test_formats_as_envoy_writes_them(spec: str, text: str) -> None:
    assert TimeFormat(spec).format(MOMENT) == text


def test_seconds_follow_the_clock() -> None:
    times = TimeFormat(DEFAULT_TIME)
    assert times.format(0.9994) == "1970-01-01T00:00:00.999Z"
    assert times.format(1.0) == "1970-01-01T00:00:01.000Z"
    assert times.format(59.9999999) == "1970-01-01T00:01:00.000Z"
    assert TimeFormat("%E*S").format(5.0) == "05"
    assert TimeFormat("%E*f").format(5.0) == "0"


def test_local_time_has_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    try:
        assert TimeFormat(DEFAULT_LOCAL_TIME, True).format(MOMENT) == "2026-11-23T03:04:09.334+0530"
        assert TimeFormat("%Ez", True).format(MOMENT) == "+05:30"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("spec", ["%Q", "%", "%E", "%E3Q", "%-d"])
def test_unknown_specifiers_are_named(spec: str) -> None:
    with pytest.raises(ValueError, match="is no time specifier"):
        TimeFormat(spec)
