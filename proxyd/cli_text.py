"""What the commands print: tables for people, JSON for machines, one clear line for what has failed."""

import itertools
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from proxyd.config.mistakes import Mistake
    from proxyd.supervisor.commands import FileStatus, Reloaded, StatusReport, Upgraded, WorkerStatus

_WORKER_COLUMNS = (
    "WORKER", "PID", "GENERATION", "STATE", "CONNECTIONS", "REQUESTS", "CPU %", "MEMORY MiB", "LAG ms", "UP",
)  # fmt: skip
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Failure(click.ClickException):
    """Ends the command with exit code 1; the text goes to standard error as it stands."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, err=True, file=file)


def mistakes(found: "Sequence[Mistake | str]") -> str:
    """Every mistake on its line, and how many there are."""
    count = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
    return "\n".join([*map(str, found), f"proxyd: {count} in the configuration"])


def reloaded(reply: "Reloaded") -> str:
    """One line: what a reload did."""
    old = "have drained" if reply.drained else "drain"
    workers, connections = plural(reply.workers, "worker"), plural(reply.carried, "connection")
    return (
        f"generation {reply.generation} has taken over with {workers} in {reply.seconds:.2f} s; "
        f"the old workers {old}, {connections} carried through"
    )


def upgraded(reply: "Upgraded") -> str:
    """One line: who has taken over from whom."""
    old = "has drained" if reply.drained else f"drains, {plural(reply.carried, 'connection')} carried through"
    workers = plural(reply.workers, "worker")
    return (
        f"proxyd {reply.version} (pid {reply.pid}) has taken over from {reply.former_version} with {workers} "
        f"in {reply.seconds:.2f} s; the old process {old}"
    )


def does_not_serve(report: "StatusReport") -> str:
    """Why an instance is not to be sent requests; empty where it is."""
    if report.state != "LIVE":
        return f"instance {report.name!r} is {report.state}"
    if not any(w.state == "ready" and w.generation == report.generation for w in report.workers):
        return f"instance {report.name!r} has no worker that is ready"
    return ""


def status_json(report: "StatusReport") -> str:
    """The report's fields as indented JSON, the tag of the message left out."""
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    return msgspec.json.format(msgspec.json.encode(fields), indent=2).decode() + "\n"


def status(report: "StatusReport") -> str:
    """The report for people."""
    facts = [
        ("instance", f"{report.name} (pid {report.pid}, proxyd {report.version})"),
        ("state", f"{report.state}, generation {report.generation}, up {duration(report.uptime_s)}"),
        ("config", report.config),
        ("admin", f"http://{report.admin}/" if report.admin else "none"),
        *((f"listener {listener.name}", ", ".join(listener.addresses)) for listener in report.listeners),
    ]
    if report.predecessor:
        facts.append(("upgrade", f"the old process (pid {report.predecessor}) drains"))
    if report.last_reload:
        facts.append(("last reload", report.last_reload))
    lines = table(facts)
    for file in report.files:
        lines += ["", *_file(file)]
    rows = [_WORKER_COLUMNS, *map(_worker, report.workers)]
    return "\n".join([*lines, "", *table(rows)]) + "\n"


def _file(file: "FileStatus") -> list[str]:
    """What became of the last change of a file, and why."""
    what = " ".join(word for word in (file.kind, file.name, file.file) if word)
    version = f" of version {file.version}" if file.version else ""
    age = f", taken {duration(file.age_s)} ago" if file.age_s >= 0 else ""
    if file.kind == "static":
        held = f"other contents of files{age}" if age else "contents of files as at the start"
    else:
        held = f"{plural(file.resources, 'resource')}{version}{age}"
    if not file.reasons:
        return [f"{what}: {held}"]
    failed = "could not be read" if file.result == "failure" else "was rejected"
    return [f"{what}: {held}; the last update {failed}:", *(f"  {reason}" for reason in file.reasons)]


def _worker(worker: "WorkerStatus") -> tuple[str, ...]:
    """What stands under _WORKER_COLUMNS."""
    return (
        str(worker.worker),
        str(worker.pid),
        str(worker.generation),
        worker.state,
        str(worker.connections),
        str(worker.requests),
        f"{worker.cpu_percent:.1f}",
        f"{worker.memory_bytes / (1 << 20):.1f}",
        f"{worker.loop_lag_s * 1e3:.2f}",
        duration(worker.uptime_s),
    )


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Aligned columns, two spaces apart; columns of numbers stand to the right, under their heading."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [len(lines) > 1 and all(map(_is_number, column[1:])) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    ]


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdecimal()


def duration(seconds: float) -> str:
    """Two units at most: `4 s`, `3 min 20 s`, `2 d 5 h`."""
    rest = int(seconds)
    parts = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        parts.append((count, unit))
    significant = list(itertools.dropwhile(lambda part: part[0] == 0, parts))[:2] or [(0, "s")]
    return " ".join(f"{count} {unit}" for count, unit in significant if count or len(significant) == 1)


def plural(count: int, noun: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def changes(before: str, now: str) -> str:
    """A page of statistics, each number with its change since the page before."""
    old = dict(line.rsplit(": ", 1) for line in before.splitlines() if ": " in line)
    lines = []
    for line in now.splitlines():
        name, _, value = line.rpartition(": ")
        past = old.get(name, "0")
        if value.isdecimal() and past.isdecimal() and value != past:
            line = f"{line}  ({int(value) - int(past):+d})"
        lines.append(line)
    return "\n".join(lines)
