"""The checks of scripts/test.py on every supported Python, for those who have nox (`nox -s tests-3.13`).

nox is a convenience: scripts/test.py does the same on one Python and needs nothing installed.
"""

import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent / "scripts"))

from environment import requirements
from steps import step

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_missing_interpreters = False


def install(session: nox.Session) -> None:
    """Install proxyd, editable, and the tools of the dependency group "test"."""
    pyproject = nox.project.load_toml("pyproject.toml")
    session.install("--editable", ".", *requirements(pyproject, "test"))


def check(session: nox.Session, *names: str) -> None:
    """Run these steps of scripts/steps.py."""
    for name in names:
        session.run(*step(name).command, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, layout of the code and the layer rules."""
    install(session)
    check(session, "lint", "format", "layers")


@nox.session
def types(session: nox.Session) -> None:
    """mypy strict, as on Linux and as on Windows."""
    install(session)
    check(session, "types", "types-windows")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole test suite; arguments after -- go to pytest."""
    install(session)
    check(session, "tests")


@nox.session
def compiled(session: nox.Session) -> None:
    """The whole test suite on the wheel that mypyc has compiled; arguments after -- go to pytest."""
    session.run("python", "scripts/test.py", "--only", "compiled", *session.posargs)


@nox.session
def windows(session: nox.Session) -> None:
    """The test suite on a Windows Python under Wine; arguments after -- go to pytest."""
    session.run("python", "scripts/windows.py", *session.posargs)


@nox.session
def windows_tools(session: nox.Session) -> None:
    """The README's two commands on that Python: the second installs every tool there, which takes minutes."""
    command = ("python", "scripts/windows.py", "-q", "tests/scripts/test_commands_of_the_readme.py")
    session.run(*command, env={"PROXYD_TOOLS": "1"})


@nox.session
def wheels(session: nox.Session) -> None:
    """The source distribution and both wheels, each made twice and compared; arguments go to the script."""
    session.run("python", "scripts/wheels.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """proxyd, plain and compiled, beside nginx, haproxy and Envoy; arguments after -- go to the script."""
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session
def profile(session: nox.Session) -> None:
    """Where the time of a request goes, written beside the benchmarks' results."""
    session.run("python", "benchmarks/profile_request.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Readers, loader and formatter under all kinds of input: `nox -s fuzz -- --seconds 600`."""
    install(session)
    session.run("python", "tests/fuzz/run.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """A hundred thousand messages of WebSocket both ways, where the suite sends some thousands."""
    install(session)
    many = {"PROXYD_SOAK_MESSAGES": "100000"}
    session.run("pytest", "tests/e2e/test_websocket.py", *session.posargs, env=many)


@nox.session
def explore(session: nox.Session) -> None:
    """Invented exchanges through Envoy and proxyd, and where they differ: `nox -s explore -- --seed 7`."""
    install(session)
    session.run("python", "-m", "tests.conformance.explore", *session.posargs)


@nox.session
def scan(session: nox.Session) -> None:
    """A TLS scanner looks at an HTTPS listener."""
    install(session)
    session.install("sslyze>=6.3")
    session.run("pytest", "tests/e2e/test_tls_scan.py", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """The demonstration, which checks its own answers and ends."""
    session.run("python", "scripts/demo.py", *(session.posargs or ["--auto"]))
