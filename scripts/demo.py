"""Show proxyd at work: `python scripts/demo.py`.

Sets up an environment, starts two small origin servers (a cat and a dog) and proxyd with two workers in front
of them, says what to try, and shows live numbers until Ctrl-C. Then it stops everything it has started.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import environment as env
from demo_checks import run_checks
from demo_numbers import Panel, read_admin

CONFIG = Path("conf", "demo.yaml")
PORT, ADMIN_PORT = 8080, 9901
WORKERS = 2
START_TIMEOUT = 30.0  # seconds until proxyd has to be ready
STOP_TIMEOUT = 15.0  # seconds after which a process that should end is killed
LINE_INTERVAL = 10.0  # seconds between numbers where they cannot be updated in place


class DemoError(Exception):
    """The demonstration cannot go on; the text says why."""


class Demo(NamedTuple):
    """What runs, and how to reach it."""

    environment: env.Environment
    name: str
    port: int
    admin_port: int
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> Path:
        """What proxyd has said."""
        return self.folder / "proxyd.log"

    def command(self, words: str) -> list[str]:
        """The command `proxyd`, speaking to this instance."""
        return [str(self.environment.python), "-m", "proxyd", *words.split(), "--name", self.name]


def main(arguments: list[str]) -> int:
    """Run the demonstration; the exit code is 0 unless something went wrong."""
    options = _options(arguments)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    try:
        environment = env.prepare()
        with _running(environment, options.port, options.admin_port) as demo:
            if options.auto:
                return 0 if run_checks(demo.port, demo.admin_port, demo.command) else 1
            env.say(_introduction(demo))
            _show_numbers(demo, options.seconds)
    except (env.SetupError, DemoError) as error:
        env.say(f"\nFAILED: {error}")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"where to listen, if free [{PORT}]")
    parser.add_argument("--admin-port", type=int, default=ADMIN_PORT, help=f"the admin API [{ADMIN_PORT}]")
    parser.add_argument("--seconds", type=float, help="end after that many seconds")
    parser.add_argument("--auto", action="store_true", help="try everything, check the answers, and end")
    return parser.parse_args(arguments)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# -- processes -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _running(environment: env.Environment, port: int, admin_port: int) -> Iterator[Demo]:
    """Origins and proxyd, ready; whatever happens inside, all of them have ended afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proxyd-demo-")))
        cat = stack.enter_context(_origin("cat"))
        dog = stack.enter_context(_origin("dog"))
        env.say(f"origins: the cat on port {cat}, the dog on port {dog}")
        port, admin_port = _free_port(port), _free_port(admin_port)
        name = "demo" if port == PORT else f"demo-{port}"
        variables = {
            "DEMO_PORT": str(port),
            "DEMO_ADMIN_PORT": str(admin_port),
            "DEMO_CAT_PORT": str(cat),
            "DEMO_DOG_PORT": str(dog),
            "DEMO_ACCESS_LOG": str(folder / "access.log"),
        }
        env.say(f"proxyd: starting {WORKERS} workers with {CONFIG} (instance '{name}')")
        process = stack.enter_context(_proxyd(environment, name, folder, variables))
        demo = Demo(environment, name, port, admin_port, folder, process)
        try:
            _wait_until_ready(demo)
            yield demo
        finally:
            env.say("\nstopping: proxyd drains, then the origins end")
            stack.close()
            env.say("stopped, nothing is left running")


@contextlib.contextmanager
def _origin(name: str) -> Iterator[int]:
    """A running origin's port. It ends with its standard input, so also when this script is killed."""
    script = Path(__file__).with_name("demo_origin.py")
    with subprocess.Popen(
        [sys.executable, script, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            if not first:
                raise DemoError(f"the origin '{name}' did not start")
            yield int(first)
        finally:
            process.stdin.close()
            _end(process)


@contextlib.contextmanager
def _proxyd(
    environment: env.Environment, name: str, folder: Path, variables: dict[str, str]
) -> "Iterator[subprocess.Popen[bytes]]":
    """A proxyd that is drained and ended afterwards."""
    command = [str(environment.python), "-m", "proxyd", "start", "--config", str(CONFIG), "--name", name]
    command += ["--workers", str(WORKERS), "--drain-time-s", "5"]
    with (folder / "proxyd.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=env.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment.variables() | variables,
            # A Ctrl-C in the terminal is for this script alone, which then lets proxyd drain.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        _end(process)


def _end(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    """Wait for a process that has been asked to end; kill it after a while, or when Ctrl-C comes again."""
    try:
        process.wait(STOP_TIMEOUT)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


def _free_port(wanted: int) -> int:
    """`wanted`, or where somebody listens there already, a free port that the system chooses."""
    with socket.socket() as probe:
        if os.name == "posix":  # there it forgives connections in TIME_WAIT and still refuses listeners
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
            env.say(f"port {wanted} is taken, using {probe.getsockname()[1]} instead")
        return int(probe.getsockname()[1])


def _wait_until_ready(demo: Demo) -> None:
    """Return when the admin API says LIVE; DemoError with proxyd's own words when that does not happen."""
    deadline = time.monotonic() + START_TIMEOUT
    while read_admin(demo.admin_port, "/ready") is None:
        if demo.process.poll() is not None:
            raise DemoError(
                f"proxyd ended with exit code {demo.process.returncode}:\n{_last_lines(demo.log)}"
            )
        if time.monotonic() > deadline:
            raise DemoError(f"proxyd was not ready within {START_TIMEOUT:.0f} s:\n{_last_lines(demo.log)}")
        time.sleep(0.05)


def _last_lines(path: Path) -> str:
    return "\n".join(f"    {line}" for line in path.read_text("utf-8", "replace").splitlines()[-15:])


# -- what a person sees --------------------------------------------------------------------------------------


def _introduction(demo: Demo) -> str:
    proxyd = demo.environment.program("proxyd")
    if Path.cwd() == env.ROOT and proxyd.is_relative_to(env.ROOT):
        proxyd = proxyd.relative_to(env.ROOT)
    site, admin = f"http://127.0.0.1:{demo.port}", f"http://127.0.0.1:{demo.admin_port}"
    return f"""
proxyd is running. Open it in a browser, and reload the page a few times:

{_list((
    (f"{site}/", "the cat and the dog in turn"),
    (f"http://cat.localhost:{demo.port}/", "always the cat, by host name"),
    (f"{admin}/", "the admin page"),
))}

Or try it by hand:

{_list((
    (f"curl {site}/api/echo", "what the origin receives"),
    (f"curl {site}/api/echo -H 'x-animal: dog'", "a route by header"),
    (f"curl -N {site}/stream", "a stream, line by line"),
    (f"curl -i {site}/hello", "answered by proxyd itself"),
    (f"curl -i {site}/old", "a redirect"),
    (f"curl -i {site}/nowhere", "no route: 404"),
    (f"curl -i {site}/slow", "slower than its route allows: 504"),
    (f"curl -i {site}/down", "an origin that is not there: 503"),
    (f"curl {admin}/clusters", "and /stats, /workers, /config_dump, /help"),
))}

In another terminal:

{_list((
    (f"{proxyd} status --name {demo.name}", "the instance and its workers"),
    (f"{proxyd} stats --name {demo.name} http.demo --used", "what has been counted"),
    (f"{proxyd} reload --name {demo.name}", f"after a change of {CONFIG}"),
))}

Access log: {demo.folder / "access.log"}
Ctrl-C stops everything.
"""  # fmt: skip


def _list(lines: tuple[tuple[str, str], ...]) -> str:
    """Things to try and what they show, aligned."""
    width = max(len(what) for what, _ in lines)
    return "\n".join(f"    {what.ljust(width)}   {shows}" for what, shows in lines)


def _show_numbers(demo: Demo, seconds: float | None) -> None:
    """Live numbers until Ctrl-C or for `seconds`: in place on a terminal, else a line now and then."""
    panel = Panel(demo.admin_port)
    in_place = sys.stdout.isatty()
    interval = 0.5 if in_place else LINE_INTERVAL
    deadline = time.monotonic() + (seconds if seconds is not None else float("inf"))
    while time.monotonic() < deadline:
        if demo.process.poll() is not None:
            raise DemoError(
                f"proxyd ended with exit code {demo.process.returncode}:\n{_last_lines(demo.log)}"
            )
        panel.show(in_place)
        time.sleep(min(interval, max(0.0, deadline - time.monotonic())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
