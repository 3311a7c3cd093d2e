"""Where a configuration comes from: a file, options of the command line, or the one that is built in."""

import codecs
import importlib.resources
import os
import re
from typing import Final

import msgspec

from proxyd.config.bootstrap import Bootstrap, StaticResources
from proxyd.config.canonical import to_yaml
from proxyd.config.cluster import (
    Cluster,
    ClusterLoadAssignment,
    DiscoveryType,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from proxyd.config.core import Address, SocketAddress
from proxyd.config.data_source import UnreadableError, read_file
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.http_filters import HttpFilter, Router
from proxyd.config.listener import Filter, FilterChain, Listener
from proxyd.config.mistakes import ConfigErrors, Mistake, quote
from proxyd.config.route import Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost
from proxyd.config.scalars import is_ip

LOCAL_PATH: Final = "proxyd.yaml"
EMBEDDED: Final = "embedded default"
_PORT: Final = re.compile(r"[0-9]{1,5}")
COMMAND_LINE: Final = "command line"
OVERLAY: Final = "--config-yaml"


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator named. All of it is optional.

    Without ``config_path``, ``listen`` or ``upstreams``: ``./proxyd.yaml``, then ``system_path`` (the caller
    knows the system's), then ``config_yaml`` alone, then the built-in default. ``config_yaml`` is merged over
    a file. ``listen`` and ``upstreams`` are ``host:port`` and need no file at all.
    """

    config_path: str | None = None
    config_yaml: str | None = None
    listen: str | None = None
    upstreams: tuple[str, ...] = ()
    system_path: str | None = None


class Text(msgspec.Struct, frozen=True):
    """A text and what mistakes call it."""

    name: str
    text: str


def gather(sources: Sources) -> tuple[Text, Text | None]:
    """The configuration's text and what is to be merged over it. Raises ConfigErrors."""
    overlay = Text(OVERLAY, sources.config_yaml) if sources.config_yaml is not None else None
    if sources.listen is not None or sources.upstreams:
        return Text(COMMAND_LINE, to_yaml(_from_options(sources))), overlay
    if sources.config_path is not None:
        return read_text(sources.config_path), overlay
    for path in (LOCAL_PATH, sources.system_path):
        if path is not None and os.path.lexists(path):
            return read_text(path), overlay
    if overlay is not None:
        return overlay, None
    default = importlib.resources.files("proxyd.config").joinpath("default.yaml")
    return Text(EMBEDDED, default.read_text(encoding="utf-8")), None


def read_text(path: str) -> Text:
    """A file that holds text. Raises ConfigErrors with one mistake."""
    try:
        data = read_file(path)
    except UnreadableError as error:
        raise ConfigErrors([Mistake(path, 0, 0, "", str(error))]) from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # `>` of Windows PowerShell writes it
        try:
            return Text(path, data.decode("utf-16"))
        except UnicodeDecodeError:
            raise ConfigErrors([Mistake(path, 0, 0, "", "not UTF-16, as which it begins")]) from None
    try:
        return Text(path, data.decode())
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise ConfigErrors([Mistake(path, line, column, "", "not UTF-8")]) from None


def _from_options(sources: Sources) -> Bootstrap:
    """One listener in front of one cluster."""
    mistakes: list[Mistake] = []
    if sources.config_path is not None:
        mistakes.append(_option("-c", "cannot stand beside --listen and --upstream"))
    if sources.listen is None:
        mistakes.append(_option("--upstream", "needs --listen ADDRESS:PORT"))
    if not sources.upstreams:
        mistakes.append(_option("--listen", "needs --upstream HOST:PORT"))
    listen = _address("--listen", sources.listen or "0.0.0.0:0", mistakes)
    if listen.address and not is_ip(listen.address):
        mistakes.append(_option("--listen", f"{quote(listen.address)} is not an IP address"))
    hosts = [_address("--upstream", upstream, mistakes) for upstream in sources.upstreams]
    if mistakes:
        raise ConfigErrors(mistakes)
    return _bootstrap(listen, hosts)


def _address(option: str, text: str, mistakes: list[Mistake]) -> SocketAddress:
    """``host:port``, ``[::1]:port``, or ``:port`` for all addresses where that makes sense."""
    host, _, port = text.rpartition(":")
    number = int(port) if _PORT.fullmatch(port) else -1
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or "/" in host:
        host = ""  # an IPv6 address without brackets, or a URL
    elif not host and option == "--listen":
        host = "0.0.0.0"
    if not host or not 0 <= number <= 65535:
        shape = "ADDRESS:PORT" if option == "--listen" else "HOST:PORT"
        scheme = " (without http://)" if "://" in text else ""
        mistakes.append(_option(option, f"expected {shape}{scheme}, got {quote(text)}"))
        return SocketAddress(address="", port_value=0)
    return SocketAddress(address=host, port_value=number)


def _option(option: str, message: str) -> Mistake:
    return Mistake(option, 0, 0, "", message)


def _bootstrap(listen: SocketAddress, hosts: list[SocketAddress]) -> Bootstrap:
    named = not all(is_ip(host.address) for host in hosts)
    cluster = Cluster(
        name="upstream",
        type=DiscoveryType.STRICT_DNS if named else DiscoveryType.STATIC,
        load_assignment=ClusterLoadAssignment(
            cluster_name="upstream",
            endpoints=(
                LocalityLbEndpoints(
                    lb_endpoints=tuple(
                        LbEndpoint(endpoint=Endpoint(address=Address(socket_address=host))) for host in hosts
                    )
                ),
            ),
        ),
    )
    routes = (Route(match=RouteMatch(prefix="/"), route=RouteAction(cluster="upstream")),)
    manager = HttpConnectionManager(
        stat_prefix="ingress_http",
        route_config=RouteConfiguration(
            virtual_hosts=(VirtualHost(name="all", domains=("*",), routes=routes),),
        ),
        http_filters=(HttpFilter(name="envoy.filters.http.router", typed_config=Router()),),
    )
    name = "envoy.filters.network.http_connection_manager"
    listener = Listener(
        name="main",
        address=Address(socket_address=listen),
        filter_chains=(FilterChain(filters=(Filter(name=name, typed_config=manager),)),),
    )
    return Bootstrap(static_resources=StaticResources(listeners=(listener,), clusters=(cluster,)))
