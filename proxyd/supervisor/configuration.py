"""From the operator's sources to a configuration that may be put in force. Blocking: run it on a thread."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxyd.config.bootstrap import Admin, Bootstrap
from proxyd.config.canonical import to_proto_json
from proxyd.config.core import Address, SocketAddress
from proxyd.config.load import ConfigErrors, Mistake, Sources, load
from proxyd.config.look import Looks
from proxyd.config.scalars import is_ip
from proxyd.snapshot.build import SnapshotError, compile_snapshot
from proxyd.snapshot.checks import check_snapshot, tls_warnings
from proxyd.snapshot.formatter import FormatError
from proxyd.snapshot.http_connection_manager import AccessLogSnapshot, compile_access_logs
from proxyd.stats.metrics import Registry
from proxyd.supervisor.certificates import UsedContext, used_contexts
from proxyd.supervisor.problems import StartError
from proxyd.supervisor.resource_round import assemble
from proxyd.supervisor.resources import Assembly, Key, State


class Configuration:
    """A checked configuration: what every worker will compile compiled here already."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        origin: str,
        runtime: Mapping[str, str],
        known: Mapping[Key, State] | None = None,
        touched: frozenset[str] | None = None,
        allow_empty: bool = False,
        looks: Looks | None = None,
    ) -> None:
        """``bootstrap`` is as written; ``runtime`` are the values set by /runtime_modify.

        The others are those of ``assemble``: what is known of the files of resources, and which to read.

        Raises ConfigErrors.
        """
        self.origin: Final = origin
        self.written: Final = bootstrap
        self.assembly: Assembly = assemble(
            _with_runtime(bootstrap, runtime), known or {}, touched, allow_empty, looks
        )
        try:
            compile_snapshot(self.bootstrap, Registry(None), 0)
            admin = bootstrap.admin
            self.admin_logs: Final[list[AccessLogSnapshot]] = compile_access_logs(
                admin.access_log if admin is not None else ()
            )
        except (SnapshotError, FormatError) as error:
            raise ConfigErrors([Mistake(origin, 0, 0, "", str(error))]) from None
        self._contexts: tuple[Bootstrap, list[UsedContext]] | None = None
        self.warnings: Final[list[str]] = list(tls_warnings(self.bootstrap))
        self.proto_json: Final[dict[str, Any]] = to_proto_json(bootstrap)

    @property
    def bootstrap(self) -> Bootstrap:
        """What workers run: static and dynamic resources, and the runtime."""
        return self.assembly.bootstrap

    @property
    def now_written(self) -> Bootstrap:
        """As written, with the contents that files of static resources have now."""
        static = self.assembly.written.static_resources
        return msgspec.structs.replace(self.written, static_resources=static)

    @property
    def tls_contexts(self) -> list[UsedContext]:
        """The TLS contexts in use: the same list until an update brings another configuration."""
        known = self._contexts
        bootstrap = self.bootstrap
        if known is None or known[0] is not bootstrap:
            known = self._contexts = (bootstrap, used_contexts(bootstrap))
        return known[1]

    @property
    def admin_address(self) -> tuple[str, int] | None:
        """Where the admin API is to listen; None: nowhere."""
        admin = self.written.admin
        if admin is None or admin.address is None:
            return None
        return admin.address.host, admin.address.port


def read(
    sources: Sources,
    admin_address: str | None,
    runtime: Mapping[str, str],
    known: Mapping[Key, State] | None = None,
    allow_empty: bool = False,
) -> Configuration:
    """Load and check, files of resources included. ``admin_address`` ("host:port") stands in for the
    configuration's; for ``known`` and ``allow_empty`` see Configuration.

    Raises ConfigErrors, StartError.
    """
    loaded = load(sources, further=check_snapshot)
    bootstrap = loaded.bootstrap
    if admin_address is not None:
        admin = bootstrap.admin or Admin()
        address = Address(socket_address=_socket_address(admin_address))
        bootstrap = msgspec.structs.replace(bootstrap, admin=msgspec.structs.replace(admin, address=address))
    return Configuration(bootstrap, loaded.origin, runtime, known, None, allow_empty, loaded.looks)


def _socket_address(text: str) -> SocketAddress:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise StartError(f"--admin: expected ADDRESS:PORT, got {text!r}")
    host = host.removeprefix("[").removesuffix("]")
    if not is_ip(host):
        raise StartError(f"--admin: {host!r} is not an IP address")
    return SocketAddress(address=host, port_value=int(port))


def _with_runtime(bootstrap: Bootstrap, runtime: Mapping[str, str]) -> Bootstrap:
    """The admin layer filled with what was set; workers know static layers alone."""
    layered = bootstrap.layered_runtime
    if layered is None or not runtime:
        return bootstrap
    layers = tuple(
        msgspec.structs.replace(layer, static_layer=dict(runtime), admin_layer=None)
        if layer.admin_layer is not None
        else layer
        for layer in layered.layers
    )
    return msgspec.structs.replace(bootstrap, layered_runtime=msgspec.structs.replace(layered, layers=layers))
