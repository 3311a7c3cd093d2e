"""The unit files of a service: text only, nothing is written here. Fields are those of systemd.service(5),
systemd.exec(5) and systemd.socket(5)."""

import ipaddress
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from proxyd.service.contract import Installation, Service, ServiceError

MARK: Final = "# Written by `proxyd service install`."
RUN_DIRECTORY: Final = "proxyd"  # below /run or the user's runtime directory
NOTIFY_RELOAD_SINCE: Final = 253  # the version of systemd with Type=notify-reload
ACCOUNT: Final = "proxyd"

_STOP_GRACE: Final = 15.0  # seconds beyond the drain time, after which systemd kills
_HOMES: Final = ("/home", "/root", "/run/user")
_TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 - the service has its own, see PrivateTmp=

# What unprivileged managers (`systemd --user`) can do as well.
_HARDENING_FOR_ALL: Final = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
    "UMask=0027",
)
_HARDENING: Final = (
    # Ports below 1024, and nothing else that root may do.
    "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
    "ProtectSystem=strict",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateMounts=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "RemoveIPC=yes",
    "KeyringMode=private",
)


class Unit(NamedTuple):
    """One file."""

    name: str  # with its suffix
    text: str


def units(wanted: Installation, version: int, command: Sequence[str], workers: int) -> list[Unit]:
    """The service and its sockets, for a systemd of this version.

    ``command`` is how to run proxyd (absolute), ``workers`` how many it will have. Raises ServiceError.
    """
    sockets = [_socket(wanted.service, text, workers) for text in wanted.sockets]
    if len({unit.name for unit in sockets}) < len(sockets):
        raise ServiceError("proxyd: --socket: a listener is named twice")
    return [_service(wanted, version, command, [unit.name for unit in sockets]), *sockets]


def _service(wanted: Installation, version: int, command: Sequence[str], sockets: list[str]) -> Unit:
    service = wanted.service
    instance = ("--name", service.instance)
    start = [*command, "start", *instance, *wanted.start]
    paths = [*command[:1], os.path.realpath(sys.executable), sys.prefix, sys.base_prefix, *wanted.start]
    if not service.per_user:
        _refuse_temporary(paths)
    lines = [
        MARK,
        f"# What is to be otherwise belongs into a drop-in file: systemctl edit {service.name}",
        "[Unit]",
        f"Description=proxyd, instance {service.instance}",
        "Documentation=man:proxyd(1)",
        "Wants=network-online.target",
        "After=network-online.target nss-lookup.target",
        "StartLimitIntervalSec=60",
        "StartLimitBurst=5",
        *([f"Requires={' '.join(sockets)}", f"After={' '.join(sockets)}"] if sockets else []),
        "",
        "[Service]",
        *_life(version, [*command, "reload", *instance]),
        f"ExecStart={command_line(start)}",
        *([f"Sockets={' '.join(sockets)}"] if sockets else []),
        f"TimeoutStopSec={wanted.drain_time_s + _STOP_GRACE:g}",
        f"RuntimeDirectory={RUN_DIRECTORY}/{service.instance}",
        "RuntimeDirectoryMode=0700",
        f"Environment=PROXYD_RUN_DIR=%t/{RUN_DIRECTORY}",
        "",
        *(_HARDENING_FOR_ALL if service.per_user else _machine(wanted, paths)),
        "",
        "[Install]",
        f"WantedBy={'default.target' if service.per_user else 'multi-user.target'}",
    ]
    return Unit(f"{service.name}.service", "\n".join(lines) + "\n")


def _life(version: int, reload: list[str]) -> list[str]:
    """How it starts, is watched, reloads and ends."""
    return [
        *(
            ["Type=notify-reload"]
            if version >= NOTIFY_RELOAD_SINCE
            else ["Type=notify", f"ExecReload={command_line(reload)}"]
        ),
        "NotifyAccess=main",
        "WatchdogSec=30",
        "Restart=on-failure",
        "RestartSec=1",
        # The supervisor drains its workers, and replaces one that has been killed for want of memory.
        "KillMode=mixed",
        "OOMPolicy=continue",
        "LimitNOFILE=1048576",
    ]


def _machine(wanted: Installation, paths: Iterable[str]) -> list[str]:
    """Who a service of the machine is, and what it may do."""
    if wanted.run_as is None:
        # An account of that name is used where there is one, else systemd makes one for as long as it runs.
        who = ["DynamicUser=yes", f"User={ACCOUNT}"]
    else:
        who = [f"User={_escaped(wanted.run_as)}"]
    at_home = any(_below(path, _HOMES) for path in paths)
    return [
        *who,
        "ConfigurationDirectory=proxyd",
        "LogsDirectory=proxyd",
        "StateDirectory=proxyd",
        "",
        *_HARDENING_FOR_ALL,
        *_HARDENING,
        f"ProtectHome={'read-only' if at_home else 'yes'}",
    ]


def _socket(service: Service, text: str, workers: int) -> Unit:
    listener, equals, address = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", listener) or not _is_address(address):
        raise ServiceError(f"proxyd: --socket: expected LISTENER=ADDRESS:PORT, got {text!r}")
    lines = [
        MARK,
        "[Unit]",
        f"Description=Listener {listener} of proxyd, instance {service.instance}",
        "",
        "[Socket]",
        # A queue for each worker, among which the kernel spreads connections.
        "ReusePort=yes",
        *[f"ListenStream={_escaped(address)}"] * workers,
        "BindIPv6Only=ipv6-only",
        f"FileDescriptorName={listener}",
        f"Service={service.name}.service",
        "",
        "[Install]",
        "WantedBy=sockets.target",
    ]
    return Unit(f"{service.name}.{listener}.socket", "\n".join(lines) + "\n")


def _is_address(text: str) -> bool:
    """Whether it is one that systemd can bind: it looks up no names."""
    found = re.fullmatch(r"(?:\[(?P<six>[^]]+)\]|(?P<four>[^:]+)):(?P<port>[0-9]{1,5})", text)
    if found is None or not 0 < int(found["port"]) < 65536:
        return False
    try:
        ip = ipaddress.ip_address(found["six"] or found["four"])
    except ValueError:
        return False
    return ip.version == (6 if found["six"] else 4)


def _refuse_temporary(paths: Iterable[str]) -> None:
    for path in paths:
        if _below(path, _TEMPORARY):
            raise ServiceError(
                f"proxyd: {path} cannot be used by a service, which has a /tmp of its own; "
                "move it, for example to /etc/proxyd or /opt/proxyd"
            )


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def command_line(words: Iterable[str]) -> str:
    """Words as ExecStart= takes them."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    word = _escaped(word).replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_./:=,%$@+-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(word: str) -> str:
    """A word without specifiers. Raises ServiceError for what no unit file can hold."""
    if any(ord(character) < 32 for character in word):
        raise ServiceError(f"proxyd: {word!r} has a control character, which no unit file can hold")
    return word.replace("%", "%%")
