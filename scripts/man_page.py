"""The manual page of the command, made from its own help: `python scripts/man_page.py` writes docs/proxyd.1.

A test compares the page with what this makes, so that it cannot fall behind.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "proxyd.1"

_AFTER = """\
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
Drain and end; a second one ends at once.
.TP
.B SIGHUP
Reload.
.TP
.B SIGUSR1
Reopen access logs and the log.
.SH FILES
.TP
.I ./proxyd.yaml, /etc/proxyd/proxyd.yaml
The configuration, where none is named.
.TP
.I $XDG_RUNTIME_DIR/proxyd, /run/proxyd, $PROXYD_RUN_DIR
Run directories, by which the commands find a running instance.
.SH EXIT STATUS
0 where a command has done what it says, 1 where it was refused or has failed (why is on standard error), 2
where the command line makes no sense.
"""


def page() -> str:
    """The whole page, in man(7)."""
    sys.path.insert(0, str(ROOT))
    from proxyd import __version__
    from proxyd.cli import cli

    lines = [
        f'.TH PROXYD 1 "" "proxyd {__version__}" "proxyd"',
        ".SH NAME",
        "proxyd \\- " + _text((cli.help or "").splitlines()[0]).rstrip("."),
        ".SH SYNOPSIS",
        ".B proxyd",
        ".I COMMAND",
        "[\\fIOPTION\\fR]...",
        ".SH COMMANDS",
        *(line for command in _commands(cli, ("proxyd",)) for line in command),
    ]
    return "\n".join(lines) + "\n" + _AFTER


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[list[str]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield list(_command(command, (*path, name)))


def _command(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    arguments = [_argument(each) for each in command.params if isinstance(each, click.Argument)]
    yield f".SS {_text(' '.join([*path, *arguments]))}"
    for number, paragraph in enumerate(re.split(r"\n\s*\n", (command.help or "").strip())):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from (".TP", f".B {_text(_names(parameter))}", _text(_meaning(parameter)))


def _argument(argument: click.Argument) -> str:
    if isinstance(argument.type, click.Choice):
        return "|".join(map(str, argument.type.choices))
    name = argument.metavar or (argument.name or "").upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: click.Option) -> str:
    """As --help has it, whatever version of click prints that."""
    names = ", ".join(option.opts)
    if option.secondary_opts:
        return f"{names} / {', '.join(option.secondary_opts)}"
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} {'|'.join(map(str, option.type.choices))}"
    return f"{names} {option.metavar or option.type.name.split(' ')[0].upper()}"


def _meaning(option: click.Option) -> str:
    shown = f" [default: {option.default}]" if option.show_default and not option.is_flag else ""
    return (option.help or "") + shown or "\\&"


def _text(words: str) -> str:
    """Text as man(7) takes it: no line of it is a request, and hyphens can be copied."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
