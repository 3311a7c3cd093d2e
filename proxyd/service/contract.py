"""What ``proxyd service`` asks of a service manager, as one Protocol; a module of functions fulfils it.

Every function may raise ServiceError. Those that return lists return what the command prints, a line each.
"""

from typing import Protocol

import msgspec

DEFAULT_INSTANCE = "default"


class ServiceError(Exception):
    """A service cannot be installed or controlled; the text is what the operator is told, with the remedy."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service. ``instance`` is the name of the instance that it runs."""

    instance: str = DEFAULT_INSTANCE
    per_user: bool = False  # of the calling user, not of the machine
    root: str | None = None  # of another system that does not run: an image, a mounted disk

    @property
    def name(self) -> str:
        """What the manager calls it."""
        return "proxyd" if self.instance == DEFAULT_INSTANCE else f"proxyd-{self.instance}"


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What a service is to be."""

    service: Service
    start: tuple[str, ...] = ()  # options of `proxyd start`, paths absolute, without --name and --run-dir
    workers: int | None = None  # that it has, as ``start`` says; None: one a processor
    drain_time_s: float = 30.0  # how long a stop may take
    run_as: str | None = None  # account; None: the manager's choice
    enable: bool = True  # start with the machine
    now: bool = False  # and start at once
    sockets: tuple[
        str, ...
    ] = ()  # "NAME=ADDRESS:PORT" each: bound by the manager, see `proxyd service install`


class ServiceManager(Protocol):
    """One implementation for each system, chosen by ``proxyd.service.manager``."""

    def definition(self, wanted: Installation) -> str:
        """What ``install`` would write, as text; nothing is changed."""

    def install(self, wanted: Installation) -> list[str]:
        """Make the service known to the manager, or change it; enable and start it as wanted."""

    def uninstall(self, service: Service) -> list[str]:
        """Stop it and take it away."""

    def start(self, service: Service) -> list[str]:
        """Start it; returns when it serves."""

    def stop(self, service: Service) -> list[str]:
        """Drain and stop it; returns when it has ended."""

    def reload(self, service: Service) -> list[str]:
        """Reload its configuration; returns when that is in force."""

    def status(self, service: Service) -> tuple[bool, list[str]]:
        """Whether it runs, and what the manager says of it."""
