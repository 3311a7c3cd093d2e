"""What is compiled, when, and always to the same bytes. It is done with two modules here, with all of them by
scripts/wheels.py. That they work is seen by scripts/compiled.py."""

import os
import time
from pathlib import Path

import pytest

hatchling = pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")

import compiled  # noqa: E402 - from scripts/

import hatch_build  # noqa: E402 - needs hatchling
from proxyd.net import exchange  # noqa: E402

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


# -- the same bytes

_ONE = """\
from typing import Final

from mypy_extensions import trait

KNOWN: Final = frozenset(("alpha", "beta", "gamma"))


@trait
class Named:
    def name(self) -> str:
        return "one"


class One(Named):
    def __init__(self) -> None:
        self.number = 1

    def knows(self, word: str) -> bool:
        return word in KNOWN or word in {"delta", "epsilon", self.name()}
"""
_TWO = """\
from proxyd.one import KNOWN, One


def two(one: One) -> int:
    assert one.knows("delta"), "never"
    return one.number + len(KNOWN)
"""
_MODULES = {"__init__.py": "", "one.py": _ONE, "two.py": _TWO}


def _compiled(root: Path, scratch: Path, age: float) -> dict[str, bytes]:
    """What these modules are compiled to, by their places in a wheel."""
    (root / "proxyd").mkdir(parents=True)
    scratch.mkdir(parents=True)
    for name, text in _MODULES.items():
        path = root / "proxyd" / name
        path.write_text(text)
        os.utime(path, (age, age))
    made = hatch_build.compile_modules(root, scratch)
    return {place: Path(path).read_bytes() for path, place in made.items()}


@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(compiled.missing_tools()), reason="nothing can be compiled here")
@pytest.mark.skipif(
    exchange.__file__.endswith(".py"), reason="compiled in the run on the compiled wheel alone"
)
def test_the_same_sources_are_compiled_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere, from files of another age, and with all cores, whichever is ready first."""
    monkeypatch.setattr(hatch_build, "DATA_PLANE", ("proxyd/one.py", "proxyd/two.py"))
    monkeypatch.delenv("PROXYD_MYPYC_ALSO", raising=False)
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    first = _compiled(tmp_path / "here", tmp_path / "scratch", time.time())
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    second = _compiled(tmp_path / "somewhere" / "else", tmp_path / "another" / "scratch", 1e9)
    names = {place.partition(".")[0] for place in first}
    assert {"proxyd/one", "proxyd/two"} < names  # and the library of both
    assert first == second
