"""Routes that come from files of their own: which those are, and how they get to where they are used."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from proxyd.config.discovery import Rds
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.listener import Listener
from proxyd.config.message import Message
from proxyd.config.route import RouteConfiguration


def managers(listener: Listener) -> Iterator[HttpConnectionManager]:
    """The connection managers of a listener."""
    for chain in listener.filter_chains:
        for each in chain.filters:
            yield each.typed_config


def with_rds_routes(
    listener: Listener, routes: Callable[[HttpConnectionManager, Rds], RouteConfiguration | None]
) -> Listener:
    """The listener with what ``routes`` says wherever ``rds`` stands; itself where it does not."""

    def changed(message: Any) -> Any:
        if isinstance(message, HttpConnectionManager):
            if message.rds is None:
                return message
            return msgspec.structs.replace(message, route_config=routes(message, message.rds))
        changes = {}
        for name in message.__struct_fields__:
            value = getattr(message, name)
            if isinstance(value, HttpConnectionManager):
                if (new := changed(value)) is not value:
                    changes[name] = new
            elif isinstance(value, tuple) and value and isinstance(value[0], Message):
                items = tuple(map(changed, value)) if name in ("filter_chains", "filters") else value
                if any(new is not old for new, old in zip(items, value, strict=True)):
                    changes[name] = items
        return msgspec.structs.replace(message, **changes) if changes else message

    made = changed(listener)
    assert isinstance(made, Listener)
    return made


def without_rds_routes(listener: Listener) -> Listener:
    """The listener as written: ``rds`` alone says where the routes are."""
    return with_rds_routes(listener, lambda _manager, _rds: None)
