"""What the Structs say about themselves, in the form in which text is bound to them and printed from them.

The Structs are the only place that states fields and rules; this module reads them once per class.
"""

import enum
import functools
import types
import typing
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxyd.config.message import COMPUTED, DURATION, INT64, SECRET, Mark, Message, Oneof


class Kind(enum.Enum):
    """What a value is, whether it stands alone, in a list or in a map."""

    STRING = "a string"
    BOOL = "true or false"
    INT = "a whole number"
    NUMBER = "a number"
    DURATION = 'a duration such as "0.25s"'
    BYTES = "base64"
    ENUM = "a name"
    MESSAGE = "a mapping"
    EXTENSION = "a mapping with @type"
    JSON = "a mapping of anything"


class Shape(enum.Enum):
    """How many values a field holds."""

    ONE = 1
    LIST = 2
    MAP = 3


class Field:
    """One field of a message."""

    __slots__ = (
        "choices",
        "computed",
        "default",
        "int64",
        "item_rules",
        "kind",
        "name",
        "oneof",
        "proto",
        "required",
        "rules",
        "secret",
        "shape",
    )

    def __init__(self, proto: str, name: str, annotation: Any, default: Any) -> None:
        self.proto: Final = proto  # of the message it belongs to
        self.name: Final = name
        self.default: Final = default
        self.required: Final = default is msgspec.NODEFAULT
        bare, marks, rules = _unwrap(annotation)
        self.oneof: Final = next((mark for mark in marks if isinstance(mark, Oneof)), None)
        self.secret: Final = SECRET in marks
        self.computed: Final = COMPUTED in marks
        self.rules: Final = rules  # of the value, for a list of the list
        self.item_rules: tuple[msgspec.Meta, ...] = ()
        self.shape = Shape.ONE
        origin = typing.get_origin(bare)
        if origin is tuple:
            self.shape = Shape.LIST
            bare, marks, self.item_rules = _unwrap(typing.get_args(bare)[0])
        elif origin is dict and typing.get_args(bare)[1] is not Any:
            self.shape = Shape.MAP
            bare, marks, self.item_rules = _unwrap(typing.get_args(bare)[1])
        self.int64: Final = INT64 in marks
        self.choices: Final[tuple[Any, ...]] = _members(bare)  # Structs or one enum
        self.kind: Final = _kind(self.choices, DURATION in marks)


class Schema:
    """One message: its fields under both of their spellings, and its oneofs."""

    __slots__ = ("fields", "names", "oneofs", "proto", "struct")

    def __init__(self, struct: type[Message]) -> None:
        self.struct: Final = struct
        self.proto: Final = struct.proto
        hints = typing.get_type_hints(struct, include_extras=True)
        self.fields: Final = {
            field.name: Field(struct.proto, field.name, hints[field.name], _default(field))
            for field in msgspec.structs.fields(struct)
        }
        self.names: Final = dict(_spellings(self.fields.values()))
        self.oneofs: Final[dict[Oneof, list[str]]] = {}
        for field in self.fields.values():
            if field.oneof is not None:
                self.oneofs.setdefault(field.oneof, []).append(field.name)


@functools.cache
def schema_of(struct: type[Message]) -> Schema:
    """The schema of a message."""
    return Schema(struct)


def camel(name: str) -> str:
    """``port_value`` as protobuf's JSON spells it: ``portValue``."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def type_url(struct: type[Message]) -> str | None:
    """The ``@type`` of a message that can stand in a ``typed_config``."""
    tag = struct.__struct_config__.tag
    return tag if isinstance(tag, str) else None


def _spellings(fields: typing.Iterable[Field]) -> Iterator[tuple[str, Field]]:
    for field in fields:
        if not field.computed:
            yield field.name, field
            yield camel(field.name), field


def _default(field: msgspec.structs.FieldInfo) -> Any:
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


def _unwrap(annotation: Any) -> tuple[Any, list[Mark | Oneof], tuple[msgspec.Meta, ...]]:
    """The type without ``Annotated`` and ``None``, with everything that was said about it."""
    marks: list[Mark | Oneof] = []
    rules: list[msgspec.Meta] = []
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation, *metadata = typing.get_args(annotation)
            marks += [item for item in metadata if isinstance(item, Mark | Oneof)]
            rules += [item for item in metadata if isinstance(item, msgspec.Meta)]
        elif origin in (types.UnionType, typing.Union):
            members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
            if len(members) > 1:
                return tuple(members), marks, tuple(rules)
            annotation = members[0]
        else:
            return annotation, marks, tuple(rules)


def _members(bare: Any) -> tuple[Any, ...]:
    return bare if isinstance(bare, tuple) else (bare,)


_KINDS: Final = {str: Kind.STRING, bool: Kind.BOOL, int: Kind.INT, bytes: Kind.BYTES, float: Kind.DURATION}


def _kind(choices: tuple[Any, ...], duration: bool) -> Kind:
    first = choices[0]
    if typing.get_origin(first) is dict:
        return Kind.JSON
    if issubclass(first, Message):
        return Kind.EXTENSION if type_url(first) else Kind.MESSAGE
    if issubclass(first, enum.Enum):
        return Kind.ENUM
    if first is float and not duration:
        return Kind.NUMBER
    return _KINDS[first]
