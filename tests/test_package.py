"""What a user installs: the wheel and its contents; and rules that hold over the whole package."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import proxyd

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "proxyd"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this checkout without asking any package index."""
    return zipfile.ZipFile(_built(ROOT, tmp_path_factory.mktemp("wheel"), {}))


def _built(sources: Path, folder: Path, more: dict[str, str]) -> Path:
    """The wheel of these sources, with ``more`` variables."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=sources,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **more},
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("proxyd-*.whl")
    return path


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name and ".data/" not in name}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".so")
    }
    demonstrations = {
        f"proxyd/demo/{path.relative_to(ROOT).as_posix()}"
        for name in ("front-proxy", "edge")
        for path in (ROOT / "conf" / name).rglob("*")
        if path.is_file()
    }
    assert shipped == here | demonstrations
    assert {"proxyd/py.typed", "proxyd/config/default.yaml", "proxyd/config/envoy_fields.json"} <= shipped


def test_the_wheel_holds_the_manual_page(wheel: zipfile.ZipFile) -> None:
    (page,) = [name for name in wheel.namelist() if ".data/" in name]
    assert page.endswith(".data/data/share/man/man1/proxyd.1")
    assert wheel.read(page).decode() == (ROOT / "docs" / "proxyd.1").read_text("utf-8")


def test_the_same_sources_make_the_same_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """From another directory, files of another age, and the source distribution, as `build` does it."""
    assert wheel.filename is not None
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (archive,) = tmp_path.glob("proxyd-*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(tmp_path, filter="data")
    unpacked = archive.with_name(archive.name.removesuffix(".tar.gz"))
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines() if line]
    here = {path.name for path in ROOT.iterdir()} - {".git"}
    kept = {name for name in here if not any(fnmatch(name, pattern) for pattern in ignored)}
    assert kept <= {path.name for path in unpacked.iterdir()}
    for path in unpacked.rglob("*"):
        os.utime(path, (1e9, 1e9))
    second = _built(unpacked, tmp_path, {})
    assert second.read_bytes() == Path(wheel.filename).read_bytes()


def test_files_bear_the_date_that_is_asked_for(tmp_path: Path) -> None:
    path = _built(ROOT, tmp_path, {"SOURCE_DATE_EPOCH": "1577836800"})
    with zipfile.ZipFile(path) as made:
        assert {file.date_time for file in made.infolist()} == {(2020, 1, 1, 0, 0, 0)}


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert f"\nVersion: {proxyd.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nProvides-Extra: windows\n" in metadata
    assert b"Apache License" in wheel.read(f"{folder}/licenses/LICENSE")
    assert b"proxyd = proxyd.__main__:main" in wheel.read(f"{folder}/entry_points.txt")


def test_what_is_installed_has_the_version_of_the_code() -> None:
    try:
        installed = importlib.metadata.version("proxyd")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("proxyd runs from its source here, it is not installed")
    assert installed == proxyd.__version__


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


# What tells one system from another, by name or by what only one of them has.
_QUESTIONS = {
    *("os.name", "os.uname", "platform.platform", "platform.release", "platform.system", "platform.uname"),
    *("platform.version", "platform.win32_ver", "sys.getwindowsversion", "sys.platform"),
}
_OF_ONE_SYSTEM = {
    *("_winapi", "fcntl", "grp", "msvcrt", "pwd", "resource", "termios", "uvloop", "winloop", "winreg"),
    *("win32api", "win32con", "win32event", "win32file", "win32pipe", "win32security"),
}
_MODULES_ASKED = {"asyncio", "os", "select", "signal", "socket", "ssl", "sys", "time"}


def test_only_the_seam_asks_which_system_it_runs_on() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {question}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] != "system"
        for line, question in _questions(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "condition",
    [
        "import sys\nif sys.platform == 'win32': pass",
        "from sys import platform",
        "import os as system\nif system.name == 'nt': pass",
        "import platform\nplatform.system()",
        "import os\nif hasattr(os, 'fork'): pass",
        "import signal\ngetattr(signal, 'SIGHUP', None)",
        "try:\n    import fcntl\nexcept ImportError: pass",
        "from pwd import getpwnam",
    ],
)
def test_such_a_question_is_found(condition: str) -> None:
    assert len(list(_questions(ast.parse(condition)))) == 1


def _questions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a file asks which system it runs on: with its line, in words like ``sys.platform``."""
    modules = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            asked = f"{modules.get(node.value.id, node.value.id)}.{node.attr}"
            if asked in _QUESTIONS:
                yield node.lineno, asked
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.module in _OF_ONE_SYSTEM or f"{node.module}.{alias.name}" in _QUESTIONS:
                    yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in _OF_ONE_SYSTEM:
                    yield node.lineno, alias.name
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            asked = modules.get(ast.unparse(node.args[0]), "")
            if asked in _MODULES_ASKED and not ast.unparse(node.args[1]).startswith("'_"):
                yield node.lineno, ast.unparse(node)
