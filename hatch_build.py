"""Compile the data plane into the wheel where PROXYD_MYPYC=1 asks for it: `PROXYD_MYPYC=1 pip install .`.

Without it the wheel is plain Python for every platform. The sources are the same either way. They are
compiled in a scratch directory: an extension module in the source tree would hide what is edited there, and
setuptools, which builds it, must not read this project's pyproject.toml. An editable installation is plain.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What is compiled: whatever a request passes through, and the errors and counters that it uses.
DATA_PLANE = (
    "proxyd/errors.py",
    "proxyd/codec",
    "proxyd/filters",
    "proxyd/snapshot",
    "proxyd/net",
    "proxyd/stats/grpc_scopes.py",
    "proxyd/stats/histogram.py",
    "proxyd/stats/metrics.py",
    "proxyd/stats/scopes.py",
    "proxyd/stats/tcp_scopes.py",
)

COMPILER = ("mypy==2.4.*", "setuptools>=65")

# One C file for each module and one library of them all: the modules call each other directly, and all cores
# compile. setuptools compiles the files of one extension one after the other, hence the threads.
_SETUP = """\
import os
from concurrent.futures import ThreadPoolExecutor

from mypyc.build import mypycify
from setuptools import setup
from setuptools.command.build_ext import build_ext


class OnAllCores(build_ext):
    def build_extensions(self):
        one_by_one = self.compiler.compile
        self.parallel = os.cpu_count()

        def compile(sources, **options):
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                objects = threads.map(lambda source: one_by_one([source], **options), sources)
                return [path for paths in objects for path in paths]

        self.compiler.compile = compile
        super().build_extensions()


options = ["--strict", "--python-version=3.11", "--ignore-missing-imports", "--no-warn-unused-ignores"]
modules = mypycify(
    [*options, *{modules!r}], opt_level="3", debug_level="0", group_name="proxyd", multi_file=True
)
setup(name="proxyd", packages=[], ext_modules=modules, cmdclass={{"build_ext": OnAllCores}})
"""


def wanted() -> bool:
    """Whether the environment asks for a compiled wheel."""
    return os.environ.get("PROXYD_MYPYC", "0") not in ("", "0")


def modules(root: Path) -> list[str]:
    """The files to compile, from `root`: the data plane's and those that PROXYD_MYPYC_ALSO names.

    The latter are the tests' own subclasses of compiled classes: they have to be compiled together with them.
    """
    found: list[str] = []
    for place in DATA_PLANE:
        path = root / place
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        found.extend(file.relative_to(root).as_posix() for file in files)
    return found + os.environ.get("PROXYD_MYPYC_ALSO", "").split()


def compile_modules(root: Path, scratch: Path) -> dict[str, str]:
    """Compile below `scratch`; where each extension module is, and its place in the wheel."""
    names = modules(root)
    for name in {path.relative_to(root).as_posix() for path in (root / "proxyd").rglob("*.py")} | set(names):
        copy = scratch / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, copy)
    for folder in {parent for name in names for parent in Path(name).parents if parent.name}:
        (scratch / folder / "__init__.py").touch()
    (scratch / "setup.py").write_text(_SETUP.format(modules=names), "utf-8")
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", "made"]
    subprocess.run(command, cwd=scratch, check=True, env=_reproducible(scratch))
    made = scratch / "made"
    return {
        str(path): path.relative_to(made).as_posix()
        for path in sorted(made.rglob("*"))
        if path.suffix in (".so", ".pyd")
    }


def _reproducible(scratch: Path) -> dict[str, str]:
    """An environment in which the same sources compile to the same bytes, wherever and whenever."""
    flags = f"{os.environ.get('CFLAGS', '')} -ffile-prefix-map={scratch}=. -fvisibility=hidden"
    return {**os.environ, "PYTHONHASHSEED": "0", "CFLAGS": flags.strip()}


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the extension modules beside their sources, and says in the wheel's name what it runs on."""

    PLUGIN_NAME = "custom"
    _scratch: "tempfile.TemporaryDirectory[str] | None" = None

    def dependencies(self) -> list[str]:
        """The compiler, and what the types of the data plane come from."""
        return [*COMPILER, *self.metadata.core.dependencies] if wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if not wanted() or self.target_name != "wheel" or version == "editable":
            return
        self._scratch = tempfile.TemporaryDirectory(prefix="proxyd-mypyc-")
        self.app.display_info(f"compiling {len(modules(Path(self.root)))} modules with mypyc")
        build_data["force_include"].update(compile_modules(Path(self.root), Path(self._scratch.name)))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the wheel is written."""
        if self._scratch is not None:
            self._scratch.cleanup()
