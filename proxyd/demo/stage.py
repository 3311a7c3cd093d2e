"""What a story is played on: a directory with the files of conf/, free ports, and the processes."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from proxyd.demo.application import Application, Page
from proxyd.demo.client import Admin
from proxyd.demo.play import DemoError, Say, until
from proxyd.system import native

_STOP_TIMEOUT: Final = 15.0  # seconds after which a process that should end is killed
_PORT: Final = re.compile(r"(?<=port_value: )(\d+)")


class Program(NamedTuple):
    """Which program the proxies are."""

    command: Callable[[str, str], list[str]]  # name and bootstrap file to a command line
    notices_writing: bool  # a file that is written in place, not only one that is moved over


def _proxyd(name: str, config: str) -> list[str]:
    interpreter = [sys.executable, "-P", "-m", "proxyd"]  # -P: nothing of the directory shadows proxyd
    return [*interpreter, "start", "-c", config, "--name", name, "--run-dir", "run", "--workers", "1",
            "--drain-time-s", "0.5"]  # fmt: skip


PROXYD: Final = Program(_proxyd, notices_writing=True)


def conf(name: str) -> Path:
    """The directory ``conf/NAME``: inside an installed package, or beside it in the sources."""
    here = Path(__file__).resolve().parent
    for root in (here, here.parent.parent):
        if (root / "conf" / name).is_dir():
            return root / "conf" / name
    raise DemoError(f"this installation of proxyd lacks the files of conf/{name}")


class Stage:
    """The directory and what runs in it. Ports are those that the files name, or free ones instead."""

    def __init__(self, directory: Path, program: Program, own_ports: bool, say: Say) -> None:
        self.directory: Final = directory
        self._program: Final = program
        self._own_ports: Final = own_ports
        self._say: Final = say
        self._ports: dict[int, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._endings: Final = ExitStack()

    def lay(self, name: str) -> None:
        """Copy ``conf/NAME``, with the ports that are free here."""
        sources = sorted(conf(name).rglob("*.yaml"))
        wanted = {int(port) for path in sources for port in _PORT.findall(path.read_text("utf-8"))}
        self._ports = free_ports(wanted, keep=not self._own_ports)
        for port, instead in self._ports.items():
            if port != instead and not self._own_ports:
                self._say(f"port {port} is taken, using {instead} instead")
        for path in sources:
            copy = self.directory / path.relative_to(conf(name))
            copy.parent.mkdir(exist_ok=True)
            text = path.read_text("utf-8")
            copy.write_text(_PORT.sub(lambda found: str(self.port(int(found[1]))), text), "utf-8")
        self.certificates.mkdir(exist_ok=True)

    @property
    def certificates(self) -> Path:
        return self.directory / "certs"

    def port(self, named: int) -> int:
        """What stands here for a port that the files in conf/ name."""
        return self._ports[named]

    def admin(self, named: int) -> Admin:
        return Admin(self.port(named))

    def application(self, page: Page, port: int) -> None:
        """Start an application at a port that the files name."""
        self._endings.enter_context(Application(page, self.port(port)))

    def start(self, **admins: int) -> None:
        """Start proxies, each a name with its admin port, and wait until all of them serve.

        A proxy NAME runs NAME/envoy.yaml, or envoy.yaml where there is no such directory.
        """
        for name in admins:
            self._spawn(name)
        for name, port in admins.items():
            until(f"{name} serves", partial(self._serves, name, self.admin(port)))

    def _spawn(self, name: str) -> None:
        path = Path(name, "envoy.yaml") if (self.directory / name).is_dir() else Path("envoy.yaml")
        with self.log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - a command line of our own
                self._program.command(name, path.as_posix()),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C in the terminal is for the demonstration alone, which then ends its proxies.
                **native.apart(),
            )

    def _serves(self, name: str, admin: Admin) -> bool:
        code = self._processes[name].poll()
        if code is not None:
            raise DemoError(f"{name} ended with exit code {code}")
        return admin.ready()

    def log(self, name: str) -> Path:
        """What a proxy says."""
        return self.directory / f"{name}.log"

    def last_words(self) -> str:
        """What the proxies said last, for an operator who looks for what went wrong."""
        lines = []
        for name in self._processes:
            said = self.log(name).read_text("utf-8", "replace").splitlines()[-10:]
            lines += [f"{name} said last:", *(f"    {line[:500]}" for line in said)]
        return "\n".join(lines)

    def move(self, source: str, target: str) -> None:
        """Move a copy of one file over another, in one step: nobody ever sees half a file."""
        copy = self.directory / (source + ".copy")
        shutil.copyfile(self.directory / source, copy)
        os.replace(copy, self.directory / target)

    def save(self, source: str, target: str) -> None:
        """Write what one file holds into another in place, as an editor that saves."""
        if not self._program.notices_writing:
            self.move(source, target)
            return
        (self.directory / target).write_bytes((self.directory / source).read_bytes())

    def close(self) -> None:
        """End all that runs, proxies first."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_TIMEOUT)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):  # or Ctrl-C again
                process.kill()
                process.wait()
        self._endings.close()


@contextmanager
def opened(directory: Path, program: Program, own_ports: bool, say: Say) -> Iterator[Stage]:
    """A stage on which, whatever happens inside, nothing runs any more afterwards."""
    stage = Stage(directory, program, own_ports, say)
    try:
        yield stage
    except DemoError as error:
        raise DemoError(f"{error}\n{stage.last_words()}".rstrip()) from error
    finally:
        say("\nstopping")
        stage.close()
        say("stopped, nothing is left running")


def free_ports(wanted: Iterable[int], keep: bool) -> dict[int, int]:
    """For each port itself, if ``keep`` and nobody listens there, or one that the system chooses."""
    found: dict[int, int] = {}
    with ExitStack() as held:  # until all are found, so that none is found twice
        for port in sorted(wanted):
            try:
                claimed = native.claim_port("127.0.0.1", port if keep else 0)
            except OSError:
                claimed = native.claim_port("127.0.0.1", 0)
            found[port] = held.enter_context(claimed).getsockname()[1]
    return found
