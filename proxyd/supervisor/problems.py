"""What an operator is told when something cannot be had: one line, with the remedy."""

import errno
import itertools
import os
from typing import Final

import psutil

from proxyd.config.bootstrap import Bootstrap
from proxyd.supervisor.instance import InstanceError
from proxyd.supervisor.options import DEFAULT_NAME
from proxyd.supervisor.sockets import BindError, format_address
from proxyd.system import native

# Beside two for each connection: files, sockets and pipes of a process at rest.
DESCRIPTORS_AT_REST: Final = 64
DESCRIPTORS_PER_SLOT: Final = 8  # the supervisor's channels, memory and sockets for each worker

# In the command line of every process that a supervisor starts.
PART_MODULES: Final = ("proxyd.workers.zygote", "proxyd.workers.spare")


class StartError(InstanceError):
    """proxyd cannot start, or a reload cannot be carried out; the text is what the operator is told."""


def counted(number: int, what: str) -> str:
    """``1 worker``, ``2 workers``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def explain_bind(error: BindError) -> str:
    """A listener's address cannot be had: why, and what to do."""
    key = error.wanted.key
    return explain_address(f"listener {error.wanted.name!r}", key.host, key.port, error.error, key.udp)


def explain_address(what: str, host: str, port: int, error: OSError, udp: bool = False) -> str:
    """``what`` cannot have an address."""
    place = f"{what}: cannot listen on {format_address(host, port)}: "
    if error.errno == errno.EADDRINUSE:
        return f"{place}the address is already in use{_explain_owner(port_owner(host, port, udp))}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{place}permission denied; {native.port_remedy(udp)}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{place}no network interface of this machine has that address"
    return place + explain_resources(error)


def explain_resources(error: OSError) -> str:
    """The system has no more of something."""
    if error.errno == errno.EMFILE:
        return "too few file descriptors; raise the limit (ulimit -n, LimitNOFILE= in systemd)"
    if error.errno == errno.ENFILE:
        return "this machine has too few file descriptors; raise the limit (sysctl fs.file-max)"
    return native.words(error) if error.errno else str(error)


def port_owner(host: str, port: int, udp: bool = False) -> psutil.Process | None:
    """The process listening on an address, None where that cannot be known."""
    wildcards = ("0.0.0.0", "::")
    try:
        for address, pid in native.listening_processes(port, udp):
            if pid and (address == host or address in wildcards or host in wildcards):
                return psutil.Process(pid)
    except (psutil.Error, OSError):
        pass
    return None


def _explain_owner(owner: psutil.Process | None) -> str:
    """`` by ...; what to do``: where a process of an instance of proxyd has it, what stops that instance."""
    try:
        supervisor = None if owner is None else _supervisor_of(owner)
        if supervisor is not None and supervisor.pid == os.getpid():
            return " by this instance itself; choose another port"
        if supervisor is not None:
            name, run_dir = _named(supervisor.cmdline())
            place = f" --run-dir {run_dir}" if run_dir else ""
            return (
                f" by proxyd instance {name!r} (pid {supervisor.pid}); "
                f"proxyd stop --name {name}{place}, or choose another port"
            )
        if owner is not None:
            return f" by {owner.name()} (pid {owner.pid}); stop that process or choose another port"
    except (psutil.Error, OSError):
        pass
    return "; stop the process that has it or choose another port"


def _supervisor_of(process: psutil.Process) -> psutil.Process | None:
    """The supervisor of an instance that a process is part of: the parent of what it has started."""
    if any(_is_part(child) for child in process.children()):
        return process
    for each in (process, *process.parents()):
        if _is_part(each):
            return each.parent()
    return None


def _is_part(process: psutil.Process) -> bool:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return any(module in line for module in PART_MODULES)


def _named(command_line: list[str]) -> tuple[str, str]:
    """What ``proxyd start`` was told by --name and --run-dir."""
    told = {"--name": DEFAULT_NAME, "--run-dir": ""}
    for word, following in itertools.pairwise([*command_line, ""]):
        option, equals, value = word.partition("=")
        if option in told:
            told[option] = value if equals else following
    return told["--name"], told["--run-dir"]


def check_descriptors(limit: int, bootstrap: Bootstrap, workers: int, listeners: int) -> str | None:
    """A warning where the limit of open files is lower than the configured connection limits ask for.

    Raises StartError where it does not even do for standing still.
    """
    least = DESCRIPTORS_AT_REST + workers * (DESCRIPTORS_PER_SLOT + listeners)
    remedy = "raise the hard limit (ulimit -Hn, LimitNOFILE= in a systemd unit, --ulimit nofile= in Docker)"
    if limit < least:
        raise StartError(
            f"the limit of open file descriptors is {limit}, and {least} are needed before the first "
            f"connection ({counted(workers, 'worker')}, {listeners} listening "
            f"address{'' if listeners == 1 else 'es'}); {remedy}"
        )
    connections = _connection_limits(bootstrap)
    needed = DESCRIPTORS_AT_REST + 2 * -(-connections // workers)
    if limit < needed:
        return (
            f"the limit of open file descriptors is {limit} per process, but the configured connection "
            f"limits ({connections} in all) can need {needed}; {remedy}"
        )
    return None


def _connection_limits(bootstrap: Bootstrap) -> int:
    """The sum of the listeners' connection limits in the runtime; 0 where there are none."""
    total = 0
    if bootstrap.layered_runtime is None:
        return 0
    limits: dict[str, int] = {}
    for layer in bootstrap.layered_runtime.layers:
        _collect(layer.static_layer or {}, "", limits)
    for limit in limits.values():
        total += limit
    return total


def _collect(values: object, path: str, limits: dict[str, int]) -> None:
    if isinstance(values, dict):
        for key, value in values.items():
            _collect(value, f"{path}.{key}" if path else str(key), limits)
    elif (
        path.startswith("envoy.resource_limits.listener.")
        and path.endswith(".connection_limit")
        and isinstance(values, int | float | str)
    ):
        try:
            limits[path] = int(values)
        except ValueError:
            pass
