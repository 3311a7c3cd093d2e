"""Run the tests against the compiled wheel: `python scripts/test.py --only compiled`.

The wheel is built and installed into an environment of its own, `.venv-compiled` (with PROXYD_VENV, beside
that one), and made again only when a source has changed. The tests run in a copy of the repository whose
package is the installed one, so nothing can be taken from the source tree by mistake. Where there is no C
compiler the step says so and passes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import environment as env
import second_run
from steps import PYTEST

# Compiled classes take no interpreted subclasses, so the tests' own are compiled together with the package.
HELPERS = ("tests/codec/recorder.py", "tests/filters/sink.py", "tests/net/alarm.py")

_NOT_COPIED = shutil.ignore_patterns(
    "proxyd", ".git", ".venv*", ".nox", ".*_cache", "__pycache__", ".hypothesis"
)
_STAMP = "proxyd-wheel.stamp"


def main(arguments: list[str]) -> int:
    """Run pytest with `arguments` on the compiled package; its exit code, or 2 where that cannot be made.

    `--again` among them is for second_run.
    """
    missing = missing_tools()
    if missing:
        env.say(f"compiled: SKIPPED, {missing}")
        return 0
    try:
        environment = prepare()
        with tempfile.TemporaryDirectory(prefix="proxyd-compiled-") as folder:
            copy = _copy(environment, Path(folder, "repository"))
            return _pytest(environment, copy, arguments)
    except env.SetupError as failure:
        env.say(f"\nFAILED: no compiled proxyd to test: {failure}")
        return 2


def missing_tools() -> str:
    """Why nothing can be compiled here; empty where it can."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler}) here; on Debian and Ubuntu: apt-get install gcc"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers are not here; on Debian and Ubuntu: apt-get install python3-dev"
    return ""


def prepare() -> env.Environment:
    """An environment that the compiled wheel of this checkout is installed in. Raises SetupError."""
    tools = env.prepare("test")
    folder = tools.folder.with_name(tools.folder.name + "-compiled")
    environment = env.prepare("test", folder, editable=False)
    stamp = _digest()
    file = folder / _STAMP
    if file.exists() and file.read_text("utf-8") == stamp:
        return environment
    with tempfile.TemporaryDirectory(prefix="proxyd-wheel-") as made:
        env.say("compiled: building the wheel with mypyc (about a minute)")
        switches = {"PROXYD_MYPYC": "1", "PROXYD_MYPYC_ALSO": " ".join(HELPERS)}
        build = [
            "wheel",
            "--verbose",
            "--no-build-isolation",
            "--no-deps",
            "--wheel-dir",
            made,
            str(env.ROOT),
        ]
        env.pip(tools, build, "the wheel could not be compiled", switches)
        (wheel,) = Path(made).glob("*.whl")
        install = ["install", "--force-reinstall", "--no-deps", str(wheel)]
        env.pip(environment, install, "the compiled wheel could not be installed")
    file.write_text(stamp, "utf-8")
    return environment


def _digest() -> str:
    """Of all that decides what the wheel holds."""
    digest = hashlib.sha256(sys.version.encode())
    package = [path for path in (env.ROOT / "proxyd").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    others = [env.ROOT / name for name in ("hatch_build.py", "pyproject.toml", *HELPERS)]
    for path in sorted(package + others):
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _copy(environment: env.Environment, folder: Path) -> Path:
    """This checkout with the installed package and the compiled helpers in place of their sources."""
    shutil.copytree(env.ROOT, folder, ignore=_NOT_COPIED)
    site = Path(sysconfig.get_path("platlib", scheme="venv", vars={"platbase": str(environment.folder)}))
    (folder / "proxyd").symlink_to(site / "proxyd", target_is_directory=True)
    for made in (site / "tests").rglob("*.so"):
        shutil.copyfile(made, folder / made.relative_to(site))
    return folder


def _pytest(environment: env.Environment, folder: Path, arguments: list[str]) -> int:
    code = "import proxyd.net.exchange as module; print(module.__file__)"
    python, variables = str(environment.python), environment.variables()
    found = subprocess.run(
        [python, "-c", code], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    if not found.stdout.strip().endswith((".so", ".pyd")):
        raise env.SetupError(
            f"what is installed is not compiled: {found.stdout.strip() or found.stderr.strip()}"
        )
    command = [python, "-m", *PYTEST, *(argument for argument in arguments if argument != "--again")]
    pytest = second_run.of_command(command, folder, variables)
    return second_run.run(pytest) if "--again" in arguments else pytest(["-p", "no:cacheprovider"])


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main(sys.argv[1:]))
