"""What one round of reading files of resources knows so far."""

import time
from collections.abc import Mapping
from typing import Final

import msgspec

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster
from proxyd.config.listener import Listener
from proxyd.config.look import Looks
from proxyd.config.message import Message
from proxyd.config.route import RouteConfiguration
from proxyd.config.tls import Secret
from proxyd.snapshot.build import Compiler, SnapshotError
from proxyd.snapshot.checks import compile_secret
from proxyd.snapshot.formatter import FormatError
from proxyd.snapshot.router import RouterError, compile_router
from proxyd.snapshot.runtime import compile_runtime
from proxyd.stats.metrics import Registry
from proxyd.supervisor.resources import Key, Resource, State, secrets_by_key

COMPILE_ERRORS: Final = (SnapshotError, RouterError, FormatError, ValueError)


class View:
    """One round's. ``states`` fills as files are read, ``written`` changes as static files are read again."""

    def __init__(self, bootstrap: Bootstrap, before: Mapping[Key, State], looks: Looks) -> None:
        """``bootstrap`` has the static resources, ``before`` is what was known when the round began."""
        self.written = bootstrap
        self.before: Final = before
        self.states: Final[dict[Key, State]] = {}
        self.looks: Final = looks
        self.now: Final = time.time()
        self._runtime: Final = compile_runtime(bootstrap)

    def former(self, key: Key, name: str) -> Resource | None:
        """What was in force of that name."""
        return self.before.get(key, State()).resources.get(name)

    def secrets(self) -> dict[str, Secret]:
        """All that have been read, by the key under which they are referred to."""
        static = self.written.static_resources.secrets
        return {secret.name: secret for secret in (*static, *secrets_by_key(self.states))}

    def compile(self, message: Message) -> None:
        """Find out whether a resource can run. Raises COMPILE_ERRORS."""
        if isinstance(message, Listener):
            self._compiler().listener(message)
        elif isinstance(message, Cluster):
            self._compiler().cluster(message)
        elif isinstance(message, RouteConfiguration):
            compile_router(message, self._runtime)
        elif isinstance(message, Secret):
            compile_secret(message)

    def _compiler(self) -> Compiler:
        secrets = tuple(self.secrets().values())
        static = msgspec.structs.replace(self.written.static_resources, secrets=secrets)
        return Compiler(msgspec.structs.replace(self.written, static_resources=static), Registry(None), 0)
