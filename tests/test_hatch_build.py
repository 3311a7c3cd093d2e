"""What is compiled, and when. That it compiles and works is seen by scripts/compiled.py."""

from pathlib import Path

import pytest

hatchling = pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")

import hatch_build  # noqa: E402 - needs hatchling

ROOT = Path(__file__).resolve().parent.parent


def test_the_whole_data_plane_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROXYD_MYPYC_ALSO", raising=False)
    modules = hatch_build.modules(ROOT)
    assert len(set(modules)) == len(modules)
    assert all((ROOT / module).is_file() for module in modules)
    assert {"proxyd/errors.py", "proxyd/net/exchange.py", "proxyd/codec/http1_requests.py"} <= set(modules)


def test_what_else_is_to_be_compiled_is_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXYD_MYPYC_ALSO", "tests/net/alarm.py tests/codec/recorder.py")
    assert hatch_build.modules(ROOT)[-2:] == ["tests/net/alarm.py", "tests/codec/recorder.py"]


def test_the_wheel_is_plain_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROXYD_MYPYC", raising=False)
    assert not hatch_build.wanted()
    monkeypatch.setenv("PROXYD_MYPYC", "0")
    assert not hatch_build.wanted()
    monkeypatch.setenv("PROXYD_MYPYC", "1")
    assert hatch_build.wanted()
