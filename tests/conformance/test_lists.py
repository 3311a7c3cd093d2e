"""The lists of differences name cases that exist, each once."""

import importlib
from pathlib import Path

from tests.conformance.case import Case
from tests.conformance.intended import INTENDED
from tests.conformance.owed import OWED
from tests.conformance.tls.case import TlsCase
from tests.conformance.updates.step import Step


def _cases() -> list[Case | TlsCase | Step]:
    modules = [
        importlib.import_module(f"tests.conformance.{path.stem}")
        for path in sorted(Path(__file__).parent.glob("test_*.py"))
    ]
    return [case for module in modules for case in getattr(module, "CASES", ())]


def test_every_difference_belongs_to_one_case() -> None:
    listed = [*(case for entry in INTENDED for case in entry.cases), *OWED]
    assert len(set(listed)) == len(listed)
    assert set(listed) <= {case.name for case in _cases()}


def test_names_are_unique_and_there_are_many() -> None:
    names = [case.name for case in _cases()]
    assert len(set(names)) == len(names)
    assert len(names) >= 300
