"""The virtual environment that the scripts make for themselves, with nothing but a Python and its pip.

The law of this file: only the standard library, and syntax that an old Python can still parse, since the
first thing it does when imported is to tell an old Python so in one sentence instead of a traceback.

The environment is `.venv` in the repository, or the folder named by PROXYD_VENV. It is made once and used
again while what it was made from (dependencies, version, Python) stays the same; a stamp file remembers that.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

OLDEST_PYTHON = (3, 11)


def require_python(version: "tuple[int, ...]" = tuple(sys.version_info[:3])) -> None:
    """End the script with one clear sentence when `version` is older than proxyd supports."""
    if version[:2] < OLDEST_PYTHON:
        found = ".".join(map(str, version))
        wanted = ".".join(map(str, OLDEST_PYTHON))
        raise SystemExit(
            f"proxyd needs Python {wanted} or newer, and this is Python {found} ({sys.executable}).\n"
            f"Run the script with a newer one, for example: python{wanted} {sys.argv[0]}"
        )


require_python()

ROOT = Path(__file__).resolve().parent.parent
LOG_NAME = "proxyd-install.log"

# Variables of the caller that would make a virtual environment's Python or pip act on something else, or
# have each of hundreds of processes compile all of proxyd again.
_FOREIGN = (
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONPATH",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
    "VIRTUAL_ENV",
)

_NO_INDEX = (
    "Could not find a version that satisfies",
    "Failed to establish a new connection",
    "Max retries exceeded",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Connection refused",
    "Read timed out",
)


class SetupError(Exception):
    """The environment cannot be made; the text says why and what to do about it."""


class Environment(NamedTuple):
    """A virtual environment that is ready to be used."""

    folder: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.program("python")

    def program(self, name: str) -> Path:
        """Where the program `name` stands, whether or not it is installed."""
        scripts = sysconfig.get_path("scripts", scheme="venv", vars={"base": str(self.folder)})
        return Path(scripts, name).with_suffix(sysconfig.get_config_var("EXE") or "")

    def variables(self) -> dict[str, str]:
        """The caller's environment variables, less those that would lead Python or pip elsewhere."""
        return {name: value for name, value in os.environ.items() if name not in _FOREIGN}


def say(text: str) -> None:
    """Print one line at once, so that it stands before what the next command prints."""
    print(text, flush=True)


def seconds(since: float) -> str:
    """The time since the monotonic instant `since`, as a person reads it."""
    return f"{time.monotonic() - since:.1f} s"


def prepare(group: str | None = None, folder: Path | None = None, editable: bool = True) -> Environment:
    """An environment with proxyd (editable), what it needs, and the dependency group `group`.

    `folder` is another than the usual one; without `editable` proxyd itself is left out. Raises SetupError
    when this machine cannot provide it.
    """
    folder = folder or Path(os.environ.get("PROXYD_VENV") or ROOT / ".venv").absolute()
    environment = Environment(folder)
    with _only_one_at_a_time(folder):
        stamp = _stamp()
        if _has(environment, group, stamp):
            say(f"environment: {_shown(folder)} is up to date")
            return environment
        began = time.monotonic()
        _make(environment)
        _install(environment, group, editable)
        _remember(environment, group, stamp)
        say(f"environment: ready in {seconds(began)}")
    return environment


def requirements(pyproject: Mapping[str, Any], group: str) -> list[str]:
    """The requirements of a dependency group (PEP 735), groups that it includes among them.

    pip reads groups itself only since 25.1, and a fresh Python brings an older one.
    """
    found: list[str] = []
    for entry in pyproject["dependency-groups"][group]:
        if isinstance(entry, str):
            found.append(entry)
        else:
            found.extend(requirements(pyproject, entry["include-group"]))
    return found


def pyproject() -> dict[str, Any]:
    """What stands in pyproject.toml."""
    import tomllib  # here, since an older Python than we support has none and should be told so first

    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def _shown(path: Path) -> str:
    """`path` as the reader names it: from the repository where it lies inside."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


@contextlib.contextmanager
def _only_one_at_a_time(folder: Path) -> Iterator[None]:
    """Let scripts started together make the environment one after the other (not on Windows)."""
    lock = folder.with_name(folder.name + ".lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise SetupError(_unwritable(folder, error)) from error
    with file:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unwritable(folder: Path, error: OSError) -> str:
    return (
        f"cannot make the virtual environment {folder}: {error.strerror or error}\n"
        "Name a folder that can be written with PROXYD_VENV=/some/folder, or use a copy of the repository."
    )


# -- what an environment was made from -----------------------------------------------------------------------


def _stamp() -> str:
    """A digest of all that decides what is installed; configuration of linters and tests does not count."""
    project = pyproject()
    parts: dict[str, Any] = {
        name: project.get(name) for name in ("build-system", "project", "dependency-groups")
    }
    parts["hatch"] = project.get("tool", {}).get("hatch")
    parts["version"] = (ROOT / "proxyd" / "__init__.py").read_text("utf-8")
    parts["root"] = str(ROOT)
    parts["python"] = sys.version
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _stamp_file(environment: Environment, group: str | None) -> Path:
    return environment.folder / f"proxyd-{group or 'runtime'}.stamp"


def _has(environment: Environment, group: str | None, stamp: str) -> bool:
    file = _stamp_file(environment, group)
    return environment.python.exists() and file.exists() and file.read_text("utf-8") == stamp


def _remember(environment: Environment, group: str | None, stamp: str) -> None:
    for name in {None, group}:
        _stamp_file(environment, name).write_text(stamp, "utf-8")


# -- making it -----------------------------------------------------------------------------------------------


def _make(environment: Environment) -> None:
    """Make the folder a working virtual environment of this Python; an existing one that works is kept."""
    folder = environment.folder
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "pyvenv.cfg").exists():
            raise SetupError(
                f"{folder} exists and is no virtual environment; "
                "move it away, or name another folder with PROXYD_VENV"
            )
        if _works(environment):
            return
        say(f"environment: {_shown(folder)} is broken or of another Python, making it anew")
    maker = _maker()
    version = sysconfig.get_python_version()
    say(f"environment: making {_shown(folder)} with Python {version} ({sys.executable})")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", *maker, str(folder)]
        run(command, environment, f"{maker[0]} could not make the environment")
    except OSError as error:
        raise SetupError(_unwritable(folder, error)) from error


def _maker() -> list[str]:
    """The module that makes virtual environments, with its options: this Python's own, else virtualenv."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if not missing:
        return ["venv"]
    if importlib.util.find_spec("virtualenv") is not None:
        return ["virtualenv", *(["--copies"] if sys.platform == "win32" else [])]  # what venv does there
    raise SetupError(
        f"this Python ({sys.executable}) comes without the module '{missing[0]}', "
        "which virtual environments are made with.\n"
        "On Debian and Ubuntu it is a package of its own: apt-get install python3-venv\n"
        "On Windows the embeddable Python has none: take the one that python.org's installer installs, "
        "or put virtualenv into that one"
    )


def _works(environment: Environment) -> bool:
    """Whether the environment's interpreter runs, is of this version, and has pip."""
    question = "import sys, pip; print('.'.join(map(str, sys.version_info[:2])))"
    try:
        answer = subprocess.run(
            [environment.python, "-c", question],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment.variables(),
            check=False,
        )
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == sysconfig.get_python_version()


def _install(environment: Environment, group: str | None, editable: bool) -> None:
    """Install proxyd from this checkout, or only what it needs, and the requirements of `group`."""
    project = pyproject()
    wanted = requirements(project, group) if group else []
    wanted += ["--editable", str(ROOT)] if editable else project["project"]["dependencies"]
    what = "proxyd and what it needs" if editable else "what proxyd needs"
    what += f" and the tools of its dependency group '{group}'" if group else ""
    say(f"environment: installing {what} with pip (up to some minutes the first time)")
    pip(environment, ["install", "--verbose", *wanted], "pip could not install the dependencies")


def pip(
    environment: Environment, arguments: list[str], failure: str, more: "Mapping[str, str] | None" = None
) -> None:
    """Run the environment's pip, with `more` variables. Raises SetupError, beginning with `failure`."""
    command = [str(environment.python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    run(command, environment, failure, environment.folder / LOG_NAME, more)


def run(
    command: list[str],
    environment: Environment,
    failure: str,
    log: Path | None = None,
    more: "Mapping[str, str] | None" = None,
) -> None:
    """Run a command whose output, kept in `log`, matters only when it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment.variables() | {"PIP_RETRIES": "2"} | dict(more or {}),
        check=False,
    )
    if log is not None:
        log.write_text(done.stdout, "utf-8")
    if done.returncode != 0:
        where = f"\nThe whole output is in {log}" if log is not None else ""
        raise SetupError(explain(failure, done.stdout) + where)


def explain(failure: str, output: str) -> str:
    """The telling lines of what a failed command printed, and the likely remedy."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("ERROR", "Error", "OSError"))] or lines[-15:]
    text = f"{failure}:\n" + "\n".join(f"    {line}" for line in telling)
    if "ensurepip" in output:
        text += "\nOn Debian and Ubuntu, ensurepip is a package of its own: apt-get install python3-venv"
    elif any(sign in output for sign in _NO_INDEX):
        text += (
            "\nIt looks as if pip cannot reach a package index. Behind a proxy set HTTPS_PROXY, "
            "with a mirror set PIP_INDEX_URL, and run the script again."
        )
    elif "No space left" in output:
        text += "\nThe disk is full."
    return text
