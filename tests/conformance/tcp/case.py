"""What a client does with a connection, and what is between it and the host: data only."""

import enum
from dataclasses import dataclass
from typing import Any


class Do(enum.Enum):
    """What a client does beside sending (``bytes``), reading so many bytes (``int``), waiting (``float``)."""

    SHUT = "close the sending half"
    READ = "read to the end"
    CLOSE = "close"
    RESET = "close with a reset"
    AWAIT_HOST = "wait until the host has read something"


Step = bytes | int | float | Do


@dataclass(frozen=True)
class Tls:
    """What the client offers in TLS; ``steps`` go through it."""

    sni: str | None = None
    alpn: tuple[str, ...] = ()
    certificate: str = ""  # a name in the PKI
    versions: str = "1.2-1.3"


@dataclass(frozen=True)
class TcpCase:
    """One connection. Texts are YAML; in them ``$port`` is the host's, ``$case`` the name of the case.

    ``$certs`` is the directory of the PKI.
    """

    name: str
    steps: tuple[Step, ...]
    host: str = "echo"  # how it behaves, see hosts.py
    proxy: str = ""  # fields of tcp_proxy
    filters: str = ""  # in front of tcp_proxy, or ``only`` these
    only: bool = False
    chain: str = ""  # fields of the filter chain
    chains: str = ""  # more filter chains, a list
    listener: str = ""  # fields of the listener
    cluster: str = ""  # fields of the cluster
    tls: Tls | None = None
    held: int = 0  # so many connections before, each having had a byte echoed, and open to the end
    repeat: int = 1  # the same connection so often, one after the other; the last one is looked at
    ignored: tuple[str, ...] = ()  # what is observed and depends on chance

    def __str__(self) -> str:
        return self.name

    @property
    def sends(self) -> tuple[Step, ...]:
        return self.steps


def tcp(name: str, *steps: Step, **more: Any) -> TcpCase:
    return TcpCase(name, steps, **more)
