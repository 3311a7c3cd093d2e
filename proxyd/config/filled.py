"""What the loader and the supervisor fill in, and how resources look without it.

Routes of ``rds`` are put where they are used, and so are the contents of files. Two resources that differ in
nothing else are the same one to those who connect: it goes on with other contents.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from proxyd.config.cluster import Cluster
from proxyd.config.core import DataSource
from proxyd.config.discovery import Rds
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.listener import FilterChain, Listener
from proxyd.config.message import Message
from proxyd.config.route import RouteConfiguration

_Message = TypeVar("_Message", bound=Message)
_Routes = Callable[[HttpConnectionManager, Rds], RouteConfiguration | None]


def chains(listener: Listener) -> Iterator[FilterChain]:
    """All filter chains, the default one last."""
    yield from listener.filter_chains
    if listener.default_filter_chain is not None:
        yield listener.default_filter_chain


def managers(listener: Listener) -> Iterator[HttpConnectionManager]:
    """The connection managers of a listener."""
    for chain in chains(listener):
        for each in chain.filters:
            if isinstance(each.typed_config, HttpConnectionManager):
                yield each.typed_config


def with_rds_routes(listener: Listener, routes: _Routes) -> Listener:
    """The listener with what ``routes`` says wherever ``rds`` stands; itself where it does not."""
    filled = tuple(_with_routes(chain, routes) for chain in listener.filter_chains)
    default = listener.default_filter_chain
    filled_default = None if default is None else _with_routes(default, routes)
    if filled_default is default and all(
        new is old for new, old in zip(filled, listener.filter_chains, strict=True)
    ):
        return listener
    return msgspec.structs.replace(listener, filter_chains=filled, default_filter_chain=filled_default)


def _with_routes(chain: FilterChain, routes: _Routes) -> FilterChain:
    filters = []
    for each in chain.filters:
        manager = each.typed_config
        if not isinstance(manager, HttpConnectionManager) or manager.rds is None:
            filters.append(each)
            continue
        table = routes(manager, manager.rds)
        filters.append(
            msgspec.structs.replace(each, typed_config=msgspec.structs.replace(manager, route_config=table))
        )
    if all(new is old for new, old in zip(filters, chain.filters, strict=True)):
        return chain
    return msgspec.structs.replace(chain, filters=tuple(filters))


def listener_as_written(listener: Listener) -> Listener:
    """Without routes of files, and without contents of files of TLS."""
    default = listener.default_filter_chain
    return msgspec.structs.replace(
        listener,
        filter_chains=tuple(map(chain_as_written, listener.filter_chains)),
        default_filter_chain=None if default is None else chain_as_written(default),
    )


def chain_as_written(chain: FilterChain) -> FilterChain:
    """The same of one filter chain."""
    written = _with_routes(chain, lambda _manager, _rds: None)
    socket = written.transport_socket
    if socket is None:
        return written
    return msgspec.structs.replace(written, transport_socket=_without_contents(socket))


def cluster_as_written(cluster: Cluster) -> Cluster:
    """Without contents of files of TLS."""
    socket = cluster.transport_socket
    if socket is None:
        return cluster
    return msgspec.structs.replace(cluster, transport_socket=_without_contents(socket))


def frame(listener: Listener) -> Listener:
    """The listener without its filter chains."""
    return msgspec.structs.replace(listener, filter_chains=(), default_filter_chain=None)


def _without_contents(message: _Message) -> _Message:
    if isinstance(message, DataSource):
        return msgspec.structs.replace(message, loaded=b"")
    changes: dict[str, Any] = {}
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, Message):
            changes[name] = _without_contents(value)
        elif isinstance(value, tuple):
            changes[name] = tuple(
                _without_contents(item) if isinstance(item, Message) else item for item in value
            )
    return msgspec.structs.replace(message, **changes) if changes else message
