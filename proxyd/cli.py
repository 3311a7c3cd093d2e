"""The command `proxyd`: words of the operator in, one clear line and an exit code out.

Exit codes: 0 done, 1 refused or failed (why is on standard error), 2 a command line that makes no sense.
This is the only place that ends a process. Commands import what they need when they run: `proxyd stats` has
no use for the data plane, and an operator's shell loop feels every import.
"""

import errno
import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from proxyd import __version__, cli_text
from proxyd.cli_completion import completion
from proxyd.cli_service import service
from proxyd.cli_text import Failure

if TYPE_CHECKING:
    from proxyd.supervisor.commands import Command, Reply
    from proxyd.supervisor.configuration import Configuration
    from proxyd.supervisor.options import StartOptions

LOG_LEVELS: Final = ("trace", "debug", "info", "warning", "warn", "error", "err", "critical", "off")
WATCH_INTERVAL: Final = 1.0  # seconds
_DATA_PLANE: Final = "proxyd.net.exchange"  # the whole data plane is compiled, or not, as this module is

_Function = TypeVar("_Function", bound=Callable[..., Any])


@contextmanager
def _failures_told() -> Iterator[None]:
    """Turn what an operator can do something about into a Failure; anything else is a bug and stays one."""
    from proxyd.config.mistakes import ConfigErrors
    from proxyd.supervisor.instance import InstanceError

    try:
        yield
    except ConfigErrors as errors:
        raise Failure(cli_text.mistakes(errors.mistakes)) from None
    except InstanceError as error:
        raise Failure(f"proxyd: {error}") from None


# -- options that several commands have ----------------------------------------------------------------------


def _options(*options: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    """The decorators as one, in the order in which --help lists them."""
    return lambda function: functools.reduce(lambda made, option: option(made), reversed(options), function)


_configuration = _options(
    click.option(
        "-c", "--config", "--config-path", "config_path", metavar="FILE", help="Envoy v3 YAML or JSON."
    ),
    click.option("--config-yaml", metavar="YAML", help="YAML merged over the file, or alone."),
    click.option("--listen", metavar="ADDRESS:PORT", help="Without a file: listen there, and ..."),
    click.option(
        "--upstream", "upstreams", multiple=True, metavar="HOST:PORT", help="... forward to it (repeatable)."
    ),
)
_instance = _options(
    click.option("--name", help="The instance, where several run."),
    click.option(
        "--run-dir", metavar="DIR", help="Where run directories are kept, if not in the usual place."
    ),
)
_workers = click.option(
    "--workers",
    "--concurrency",
    type=click.IntRange(min=1),
    help="Worker processes [default: one a processor].",
)


def _envoy_level(_: click.Context, __: click.Parameter, value: str) -> str:
    return {"warn": "warning", "err": "error"}.get(value, value)


def _finite(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of seconds", context, parameter)
    return value


def _finite_or_none(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    return None if value is None else _finite(context, parameter, value)


def _bytes(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """`100M` as bytes."""
    if value is None:
        return None
    digits = value.rstrip("KMGkmg")
    if len(value) - len(digits) > 1 or not digits.isascii() or not digits.isdecimal() or not int(digits):
        raise click.BadParameter(f"expected a size such as 100M, got {value!r}", context, parameter)
    return int(digits) << {"K": 10, "M": 20, "G": 30}.get(value[len(digits) :].upper(), 0)


def _component_levels(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[tuple[str, str], ...]:
    """`upstream:debug,http:trace` as pairs."""
    pairs = []
    for part in value.split(",") if value else ():
        component, _, level = part.partition(":")
        if not component or level not in LOG_LEVELS:
            raise click.BadParameter(f"expected COMPONENT:LEVEL, got {part!r}", context, parameter)
        pairs.append((component, _envoy_level(context, parameter, level)))
    return tuple(pairs)


# -- the commands --------------------------------------------------------------------------------------------


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(version_line())
        context.exit()


def version_line() -> str:
    """Version, interpreter, data plane (compiled or plain) and event loop."""
    found = importlib.util.find_spec(_DATA_PLANE)
    compiled = bool(
        found and found.origin and found.origin.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    )
    loop = "asyncio"
    for name in ("uvloop", "winloop"):  # there is at most one of them
        with suppress(importlib.metadata.PackageNotFoundError):
            loop = f"{name} {importlib.metadata.version(name)}"
    data_plane = "compiled" if compiled else "plain"
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    return f"proxyd {__version__} ({interpreter}, {data_plane} data plane, {loop})"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it."
)
def cli() -> None:
    """A multiprocess HTTP proxy that runs Envoy v3 configuration."""


@cli.command()
@_configuration
@_workers
@_instance
@click.option(
    "--admin", "admin_address", metavar="ADDRESS:PORT", help="Admin API, instead of the configuration's."
)
@click.option("--admin-address-path", metavar="FILE", help="Write the admin API's real address there.")
@click.option("--user", metavar="NAME[:GROUP]", help="As root: become this user, keep low ports.")
@click.option(
    "--drain-time-s", type=click.FloatRange(min=0), default=30.0, show_default=True, callback=_finite
)
@click.option(
    "-l",
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="info",
    show_default=True,
    callback=_envoy_level,
)
@click.option(
    "--component-log-level", "component_log_levels", metavar="NAME:LEVEL,...", callback=_component_levels
)
@click.option(
    "--watch-in-place/--no-watch-in-place",
    default=True,
    show_default=True,
    help="Heed files that are written to, not only those moved into place.",
)
@click.option(
    "--allow-empty-updates", is_flag=True, help="Let a file of resources that holds none remove all."
)
@click.option("--log-path", metavar="FILE", help="Log there instead of to standard error.")
@click.option("--log-format", metavar="FORMAT", help="In the terms of Envoy's --log-format.")
@click.option(
    "--log-rotate-size",
    metavar="SIZE",
    callback=_bytes,
    help="Move logs away at this size, access logs too: bytes, or with K, M, G.",
)
@click.option(
    "--log-rotate-keep",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="How many of those stay: FILE.1 is the newest.",
)
def start(**given: Any) -> None:
    """Start proxyd in the foreground.

    Without -c: ./proxyd.yaml, then the system's file, then a built-in page that says what to do next.
    SIGTERM and SIGINT drain and end it, a second one ends it at once; SIGHUP reloads; SIGUSR1 reopens logs.
    On Windows, Ctrl-C and Ctrl-Break drain and end it, and so does the end of the console or session.
    """
    with _failures_told():
        options = _start_options(given)
        from proxyd.supervisor.main import run

        try:
            code = run(options)
        except KeyboardInterrupt:
            raise Failure("proxyd: interrupted before it served") from None
    raise click.exceptions.Exit(code)


@cli.command()
@_configuration
def validate(**given: Any) -> None:
    """Check a configuration, start nothing.

    All its mistakes are told at once, those in the files of resources that it names included.
    """
    loaded = _load(given)
    if mistakes := [reason for outcome in loaded.assembly.outcomes for reason in outcome.reasons]:
        raise Failure(cli_text.mistakes(mistakes))
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"configuration '{loaded.origin}' OK")


@cli.command()
@_configuration
def config(**given: Any) -> None:
    """Print what would run, as canonical Envoy YAML."""
    loaded = _load(given)
    from proxyd.config.canonical import to_yaml

    click.echo(to_yaml(loaded.written), nl=False)


@cli.command()
@click.option("--wait", is_flag=True, help="Return only when the old workers have drained.")
@click.option("-c", "--config", "config_path", metavar="FILE", help="Use this file from now on.")
@click.option("--config-yaml", metavar="YAML", help="Use this overlay from now on.")
@_workers
@_instance
def reload(
    wait: bool, config_path: str | None, config_yaml: str | None, workers: int | None, **where: Any
) -> None:
    """Drain and swap: take over the configuration.

    New workers start on the configuration as it is now, then the old ones drain; no connection is lost.
    Returns when the new workers have taken over; if they cannot, nothing has changed.
    """
    from proxyd.supervisor.commands import Reload, Reloaded

    path = os.path.abspath(config_path) if config_path is not None else None
    reply = _call(Reload(wait=wait, workers=workers, config_path=path, config_yaml=config_yaml), **where)
    assert isinstance(reply, Reloaded)
    click.echo(cli_text.reloaded(reply))


@cli.command()
@click.option("--wait", is_flag=True, help="Return only when the old process has drained.")
@_instance
def upgrade(wait: bool, **where: Any) -> None:
    """Let this proxyd take over a running instance.

    Run it from the new version, in the same environment or in another one. A new supervisor gets the
    listening sockets and the counters, its workers serve, then the old ones drain; no connection is lost.
    Returns when the new one serves; if it cannot, the old one serves on.
    """
    from proxyd.supervisor.commands import Upgrade, Upgraded

    root = str(Path(__file__).resolve().parent.parent)
    reply = _call(Upgrade(executable=sys.executable, root=root, wait=wait), **where)
    assert isinstance(reply, Upgraded)
    click.echo(cli_text.upgraded(reply))


@cli.command()
@click.option("--now", is_flag=True, help="Without draining.")
@_instance
def stop(now: bool, **where: Any) -> None:
    """Drain and end the running instance.

    Returns when it has ended.
    """
    from proxyd.supervisor.commands import Stop

    with _failures_told():
        from proxyd.supervisor.instance import InstanceError, find

        instance = find(**where)
        try:
            instance.call(Stop(now=now))
        except InstanceError:
            # One that ended before it could answer has ended all the same.
            if _runs(instance.name, where["run_dir"]):
                raise
    click.echo("stopped")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--check", is_flag=True, help="Print nothing; exit code 1 unless it serves.")
@_instance
def status(as_json: bool, check: bool, **where: Any) -> None:
    """Show the instance, its listeners and workers."""
    from proxyd.supervisor.commands import Status, StatusReport

    report = _call(Status(), **where)
    assert isinstance(report, StatusReport)
    if check:
        if reason := cli_text.does_not_serve(report):
            raise Failure(f"proxyd: {reason}")
        return
    click.echo(cli_text.status_json(report) if as_json else cli_text.status(report), nl=False)


@cli.command()
@click.argument("pattern", default="")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--used", is_flag=True, help="Only what has ever been counted.")
@click.option("--watch", is_flag=True, help="Again every second, with changes, until Ctrl-C.")
@_instance
def stats(pattern: str, as_json: bool, used: bool, watch: bool, **where: Any) -> None:
    """Print statistics.

    PATTERN is a regular expression that the names shall match.
    """
    from proxyd.supervisor.commands import Stats, StatsPage

    command = Stats(pattern=pattern, format="json" if as_json else "text", used_only=used)

    def page() -> str:
        reply = _call(command, **where)
        assert isinstance(reply, StatsPage)
        return reply.text

    if watch:
        _watch(page)
    else:
        click.echo(page().rstrip("\n"))


@cli.command()
@_instance
def reopen_logs(**where: Any) -> None:
    """Reopen log files after a rotation.

    Returns when all workers have.
    """
    from proxyd.supervisor.commands import ReopenLogs

    _call(ReopenLogs(), **where)
    click.echo("logs reopened")


@cli.command()
@click.argument("story", type=click.Choice(("front", "edge")))
@click.option("--auto", is_flag=True, help="Go on by itself; fail where a step does not show what it should.")
@click.option("--free-ports", is_flag=True, help="Not the ports of the files (--auto does the same).")
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Work in DIR and leave configuration, certificates and logs there.",
)
@click.option(
    "--seconds", type=click.FloatRange(min=0), callback=_finite_or_none, help="End after that long a pause."
)
def demo(story: str, auto: bool, free_ports: bool, directory: Path | None, seconds: float | None) -> None:
    """See proxyd at work on this machine.

    front: a front proxy with two services behind sidecars, mutual TLS, certificates that go wrong.
    edge: two applications in turn, and an HTTPS listener that is added without a restart.
    """
    from proxyd.demo.play import DemoError
    from proxyd.demo.story import run

    try:
        finished = run(
            story, click.echo, auto=auto, own_ports=auto or free_ports, directory=directory, seconds=seconds
        )
    except (DemoError, OSError) as error:
        raise Failure(f"proxyd: the demonstration failed: {error}") from None
    if auto and not finished:
        raise Failure("proxyd: the demonstration was interrupted")


cli.add_command(completion)
cli.add_command(service)


# -- how they do it ------------------------------------------------------------------------------------------


def _start_options(given: dict[str, Any]) -> "StartOptions":
    """The command line as StartOptions; what was not said keeps the default that stands there."""
    from proxyd.supervisor.options import StartOptions

    return StartOptions(**{name: value for name, value in given.items() if value is not None})


def _load(given: dict[str, Any]) -> "Configuration":
    """Load and compile what `start` with these options would run, or fail with every mistake."""
    with _failures_told():
        from proxyd.config.load import Sources
        from proxyd.supervisor.configuration import read
        from proxyd.system import native

        return read(Sources(**given, system_path=native.system_config_path()), None, {})


def _call(command: "Command", name: str | None, run_dir: str | None) -> "Reply":
    """Let the running instance carry out a command; a refusal is a Failure."""
    with _failures_told():
        from proxyd.supervisor.commands import Refused
        from proxyd.supervisor.instance import find

        reply = find(name, run_dir).call(command)
    if isinstance(reply, Refused):
        raise Failure("\n".join(reply.reasons))
    return reply


def _runs(name: str, run_dir: str | None) -> bool:
    from proxyd.supervisor.instance import NotRunning, find

    try:
        find(name, run_dir)
    except NotRunning:
        return False
    return True


def _watch(page: Callable[[], str]) -> None:
    """Print the page every second, on a terminal in place, until Ctrl-C."""
    before = page()
    click.echo(before.rstrip("\n"))
    try:
        while True:
            time.sleep(WATCH_INTERVAL)
            now = page()
            click.clear()
            click.echo(cli_text.changes(before, now))
            before = now
    except KeyboardInterrupt:
        pass


def run_start(words: Sequence[str]) -> int:
    """``proxyd start`` with these words, for a process that a service manager has started as one of its own.

    Returns the exit code. Raises SystemExit with what the operator is to be told.
    """
    try:
        code: int = cli.main(["start", *words], standalone_mode=False)
    except click.ClickException as failure:
        raise SystemExit(failure.format_message()) from None
    return code


def _speak_utf8() -> None:
    """To pipes and files, too: a code page of Windows has no place for most of what can be said."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors=stream.errors)


def main() -> None:
    """The entry point of the command."""
    try:
        from proxyd.system import native
    except ImportError as error:  # a system that proxyd does not run on
        sys.exit(f"proxyd: {error}")
    _speak_utf8()
    try:
        cli(prog_name="proxyd")
    except OSError as error:
        full = error.errno == errno.ENOSPC and error.filename is None
        if not full and not native.reader_has_gone(error):
            raise
        # What could not be written would be tried again, and complained of, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"proxyd: {error.strerror}" if full else 1)
