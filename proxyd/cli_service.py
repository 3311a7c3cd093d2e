"""The commands `proxyd service ...`: an instance as a service, whatever manages services on this machine."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from proxyd.cli_text import Failure

if TYPE_CHECKING:
    from proxyd.service.contract import Installation, Service

# The options of `proxyd start` that name files.
_FILES = (("config_path", "-c"), ("admin_address_path", "--admin-address-path"), ("log_path", "--log-path"))

_Function = TypeVar("_Function", bound=Callable[..., Any])


@contextmanager
def _failures_told() -> Iterator[None]:
    from proxyd.service.contract import ServiceError

    try:
        yield
    except ServiceError as error:
        raise Failure(str(error)) from None


def _which(function: _Function) -> _Function:
    """The options that say which service is meant."""
    options = (
        click.option("--name", help="The instance [default: default]."),
        click.option("--user", "per_user", is_flag=True, help="A service of yours, not of the machine."),
        click.option(
            "--root", metavar="DIR", help="Of another system below DIR, which does not run (an image)."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _service(name: str | None, per_user: bool, root: str | None) -> "Service":
    from proxyd.service.contract import DEFAULT_INSTANCE, Service
    from proxyd.supervisor.instance import is_name

    if name is not None and not is_name(name):
        raise Failure(f"proxyd: {name!r} is no name for an instance: use letters, digits, '_', '.' and '-'")
    return Service(
        instance=name or DEFAULT_INSTANCE,
        per_user=per_user,
        root=os.path.abspath(root) if root is not None else None,
    )


@click.group()
def service() -> None:
    """Run proxyd as a service of this machine.

    Linux: systemd. Windows: the service control manager.
    """


@service.command()
@click.option("-c", "--config", "config_path", metavar="FILE", help="Envoy v3 YAML or JSON.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes [default: one a processor].")
@click.option(
    "--run-as", metavar="ACCOUNT", help="Run as this user [default: one of its own, without rights]."
)
@click.option(
    "--socket",
    "sockets",
    metavar="LISTENER=ADDRESS:PORT",
    multiple=True,
    help="Let the service manager bind this listener (socket activation; repeatable).",
)
@click.option(
    "--enable/--no-enable", default=True, show_default=True, help="Start whenever the machine does."
)
@click.option("--now", is_flag=True, help="And start it at once.")
@click.option("--print", "only_print", is_flag=True, help="Show what would be written, change nothing.")
@_which
@click.argument("start_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF proxyd start]")
@click.pass_context
def install(context: click.Context, /, only_print: bool, **given: Any) -> None:
    """Make a service, or change the one there is.

    Without -c it runs the system's configuration file. Every option of `proxyd start` may follow behind `--`.
    """
    wanted = _installation(context, given)
    with _failures_told():
        from proxyd.service import manager

        if only_print:
            click.echo(manager().definition(wanted), nl=False)
        else:
            _tell(manager().install(wanted))


def _installation(context: click.Context, given: dict[str, Any]) -> "Installation":
    from proxyd.service.contract import Installation

    start = [*given["start_options"]]
    told = _parsed(context, start)
    if told["name"] is not None or told["run_dir"] is not None:
        raise Failure("proxyd: --name and --run-dir are the service's own; give --name before `--`")
    if told["user"] is not None:
        raise Failure("proxyd: --user is for proxyd that root starts; give --run-as before `--`")
    for name, option in (("config_path", "-c"), ("workers", "--workers")):
        if told[name] is not None and given[name] is not None:
            raise Failure(f"proxyd: {option} is given twice, before and behind `--`")
    service = _service(given["name"], given["per_user"], given["root"])
    workers = given["workers"] if told["workers"] is None else told["workers"]
    if given["workers"] is not None:
        start = ["--workers", str(workers), *start]
    # A service has a working directory of its own. Of what is given twice the last counts.
    for name, option in _FILES:
        if told[name] is not None and not os.path.isabs(told[name]):
            start += [option, os.path.abspath(told[name])]
    config = given["config_path"] or told["config_path"]
    if config is None and told["listen"] is None and told["config_yaml"] is None:
        from proxyd.system import native

        config = native.system_config_path()
    if config is not None:
        path = os.path.abspath(config)
        if told["config_path"] is None:
            start = ["-c", path, *start]
        if given["root"] is None and not os.path.exists(path):
            click.echo(f"note: {path} does not exist yet; the service does not start without it", err=True)
    return Installation(
        service=service,
        start=tuple(start),
        workers=workers,
        drain_time_s=told["drain_time_s"],
        run_as=given["run_as"],
        enable=given["enable"],
        now=given["now"],
        sockets=given["sockets"],
    )


def _parsed(context: click.Context, words: list[str]) -> dict[str, Any]:
    """The options of `proxyd start` as it would understand them; click tells what is wrong with them."""
    root = context.find_root()
    assert isinstance(root.command, click.Group)
    start = root.command.get_command(root, "start")
    assert start is not None
    return start.make_context("start", list(words), parent=root).params


def _tell(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


@service.command()
@_which
def uninstall(**which: Any) -> None:
    """Stop the service and take it away.

    Configuration and logs stay.
    """
    with _failures_told():
        from proxyd.service import manager

        _tell(manager().uninstall(_service(**which)))


@service.command("start")
@_which
def start_service(**which: Any) -> None:
    """Start it.

    Returns when it serves.
    """
    with _failures_told():
        from proxyd.service import manager

        _tell(manager().start(_service(**which)))


@service.command("stop")
@_which
def stop_service(**which: Any) -> None:
    """Drain and stop it.

    Returns when it has ended.
    """
    with _failures_told():
        from proxyd.service import manager

        _tell(manager().stop(_service(**which)))


@service.command("reload")
@_which
def reload_service(**which: Any) -> None:
    """Take over its configuration as it is now.

    Returns when the new workers have taken over.
    """
    with _failures_told():
        from proxyd.service import manager

        _tell(manager().reload(_service(**which)))


@service.command("status")
@_which
def service_status(**which: Any) -> None:
    """Show what the service manager says of it.

    Exit code 0 if it runs, else 1; `proxyd status` shows its listeners and workers.
    """
    with _failures_told():
        from proxyd.service import manager

        runs, lines = manager().status(_service(**which))
    _tell(lines)
    if not runs:
        raise click.exceptions.Exit(1)
