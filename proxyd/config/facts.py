"""What Envoy knows, as far as names go: fields, oneofs and enum values of its v3 messages.

Only mistakes ask: the table is read when the first one has to be explained. It is written by
``scripts/envoy_fields.py``.
"""

import functools
import importlib.resources
from typing import Final

import msgspec

from proxyd.config.mistakes import nearest

_FILE: Final = "envoy_fields.json"


class _Table(msgspec.Struct, frozen=True):
    """The file; lists of names are joined by spaces to keep it small."""

    fields: dict[str, str]
    oneofs: dict[str, dict[str, str]]
    enums: dict[str, str]


@functools.cache
def _table() -> _Table:
    data = importlib.resources.files("proxyd.config").joinpath(_FILE).read_bytes()
    return msgspec.json.decode(data, type=_Table)


def fields(message: str) -> list[str]:
    """The fields of a message by its full name; none for an unknown message."""
    return _table().fields.get(message, "").split()


def oneof_of(message: str, field: str) -> list[str]:
    """The members of the oneof that ``field`` belongs to, itself included; none outside of oneofs."""
    for members in _table().oneofs.get(message, {}).values():
        if field in (names := members.split()):
            return names
    return []


def enum_values(message: str, field: str) -> dict[str, int]:
    """The values of an enum field by their names."""
    pairs = (pair.partition("=") for pair in _table().enums.get(f"{message}.{field}", "").split())
    return {name: int(number) for name, _, number in pairs}


def is_message(name: str) -> bool:
    """Whether Envoy has a message of this full name."""
    return name in _table().fields


def nearest_message(name: str) -> str:
    """The message that ``name`` may have meant, or nothing."""
    every = tuple(_table().fields)
    last = name.rpartition(".")[2]
    return nearest(name, tuple(known for known in every if known.rpartition(".")[2] == last) or every)
