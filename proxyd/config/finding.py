"""A mistake of the whole before its place in the text is known, and a way through all of a configuration."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from proxyd.config.message import Message
from proxyd.config.mistakes import quote


class Finding(NamedTuple):
    """A mistake before its place in the text is known."""

    path: str
    message: str
    rests_on: tuple[str, ...] = ()  # no mistake unless these fields have been read rightly


def messages(root: Message, path: str = "") -> Iterator[tuple[str, Message]]:
    """Every message inside ``root``, itself included, with its field path as findings spell it."""
    yield path, root
    for name in root.__struct_fields__:
        value = getattr(root, name)
        place = f"{path}.{name}" if path else name
        if isinstance(value, msgspec.Struct):
            if isinstance(value, Message):
                yield from messages(value, place)
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, Message):
                    yield from messages(item, f"{place}[{index}]")
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, Message):
                    yield from messages(item, f"{place}[{quote(key)}]")
