"""One row of the table of endpoints, and the words /help makes of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from proxyd.admin.context import AdminContext
from proxyd.admin.messages import AdminReply, AdminRequest

Handler = Callable[[AdminContext, AdminRequest], Awaitable[AdminReply]]


class BadParameterError(Exception):
    """A parameter cannot be used; its text is the body of the 400."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query. ``choices``: the values it may have, shown as a list; a flag has none."""

    name: str
    help: str
    choices: tuple[str, ...] = ()
    flag: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path. ``changes``: it changes something, so POST is required."""

    path: str
    help: str
    handler: Handler
    parameters: tuple[Parameter, ...] = ()
    changes: bool = False


def help_text(endpoints: Sequence[Endpoint]) -> str:
    """The list of commands, sorted by path."""
    lines = ["admin commands are:"]
    for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.path):
        lines.append(f"  {endpoint.path}{' (POST)' if endpoint.changes else ''}: {endpoint.help}")
        for parameter in endpoint.parameters:
            choices = f"; One of ({', '.join(parameter.choices)})" if parameter.choices else ""
            lines.append(f"      {parameter.name}: {parameter.help}{choices}")
    return "".join(line + "\n" for line in lines)
