"""What a user installs: the wheel and its contents; and rules that hold over the whole package."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import proxyd

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "proxyd"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this checkout without asking any package index."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("proxyd-*.whl")
    return zipfile.ZipFile(path)


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
    for path in unpacked.rglob("*"):
        os.utime(path, (1e9, 1e9))
    again = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=unpacked,
        check=False,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 0, again.stderr
    (second,) = tmp_path.glob("proxyd-*.whl")
    assert second.read_bytes() == Path(wheel.filename).read_bytes()


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


def test_only_the_seam_asks_which_system_it_runs_on() -> None:
    questions = {"sys.platform", "os.name", "platform.system", "os.uname", "platform.uname"}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "system" not in path.relative_to(PACKAGE).parts[:1]
        for line, name in _attributes(path)
        if name in questions
    ]
    assert found == []


def _attributes(path: Path) -> Iterator[tuple[int, str]]:
    """Every `module.attribute` of a file, whether written so or as `from module import attribute`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.lineno, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
