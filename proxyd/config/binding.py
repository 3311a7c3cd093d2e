"""Nodes to Structs, by what the Structs say: every mistake is noted with its place, none ends the work.

A message with mistakes still becomes a Struct, with blanks where something could not be read, so that what
depends on the whole (``checks``) can be looked at in the same run.
"""

from collections.abc import Mapping as Environment
from typing import Any, Final

from proxyd.config import data_source, facts, registry, scalars
from proxyd.config.core import DataSource
from proxyd.config.look import Looks
from proxyd.config.message import Message
from proxyd.config.mistakes import NOT_SUPPORTED, Mistake, is_name, nearest, quote
from proxyd.config.nodes import Mapping, Node, Scalar, Sequence
from proxyd.config.places import locate
from proxyd.config.reading import Reader, Refused, is_null
from proxyd.config.schema import Field, Kind, Schema, Shape, camel, schema_of, type_url

TYPE_KEY: Final = "@type"


def bind(
    struct: type[Message],
    node: Node,
    environment: Environment[str, str],
    path: str = "",
    looks: Looks | None = None,
) -> tuple[Message, list[Mistake]]:
    """The tree as a message, and the mistakes in it in no particular order.

    ``path`` is where the tree stands in its text, for a part of one. ``looks`` takes what files beside the
    text were before they were read.
    """
    binder = _Binder(Reader(environment, looks))
    binder.reader.trail.append(path)
    return binder.message(schema_of(struct), node), binder.reader.mistakes


class _Binder:
    """Binds the messages of one tree and leaves their other values to the reader."""

    def __init__(self, reader: Reader) -> None:
        self.reader: Final = reader
        self.trail: Final = reader.trail

    def message(self, schema: Schema, node: Node) -> Message:
        if not isinstance(node, Mapping):
            self.reader.note(node, f"expected a mapping, got {self.reader.describe(node)}", unreadable=True)
            return blank(schema.struct)
        values: dict[str, Any] = {}
        keys: dict[str, Scalar] = {}
        strange: set[str] = set()  # fields of Envoy's that proxyd does not take and the mapping has
        for key, child in node.entries:
            field = schema.names.get(key.text)
            if field is None:
                if meant := self._strange(schema, key, child):
                    strange.add(meant)
                continue
            self.trail.append("." + field.name)
            if field.name in keys:
                self.reader.note(key, _duplicate(key, keys[field.name]))
            else:
                keys[field.name] = key
                if not is_null(child):
                    values[field.name] = self._field(field, node, child)
            self.trail.pop()
        self._fill(schema, node, values, keys, strange)
        self._check_oneofs(schema, node, keys.keys() & values.keys(), keys, strange)
        made = schema.struct(**values)
        return self._load(made, node, values) if isinstance(made, DataSource) else made

    def _strange(self, schema: Schema, key: Scalar, child: Node) -> str:
        """Say what is wrong with a key that is no field of proxyd's; the field of Envoy's that is refused."""
        name = key.text
        if name == TYPE_KEY and type_url(schema.struct):
            return ""
        # What is null or an empty list is not set: nothing is asked of proxyd.
        unset = is_null(child) or (isinstance(child, Sequence) and not child.items)
        known = {camel(field): field for field in facts.fields(schema.proto)}
        meant = name if name in known.values() else known.get(name, "")
        if meant and unset:
            return ""
        # An unknown key may be the secret itself, put where its field is expected.
        hidden = not meant and (self.reader.secret or not is_name(name))
        self.trail.append("" if hidden else "." + (meant or name))
        if meant:
            self.reader.note(key, NOT_SUPPORTED)
        elif name == "<<":
            self.reader.note(key, "YAML 1.2 has no merge keys, and Envoy refuses them: write the fields out")
        else:
            near = nearest(name, (*known, *known.values()))
            meant = known.get(near, near)
            spelling = meant if name == name.lower() else near
            hint = f" (did you mean {quote(spelling)}?)" if near else ""
            self.reader.note(key, f"unknown field{hint}")
        self.trail.pop()
        return meant

    def _fill(
        self,
        schema: Schema,
        node: Mapping,
        values: dict[str, Any],
        keys: dict[str, Scalar],
        strange: set[str],
    ) -> None:
        """Give required fields that are missing a blank, and say so."""
        for field in schema.fields.values():
            if not field.required or field.name in values:
                continue
            implied = self._implied(field, node) if field.kind is Kind.EXTENSION else None
            values[field.name] = implied or _blank_value(field)
            explained = {field.name, *facts.oneof_of(schema.proto, field.name)} if strange else ()
            if implied is None and not strange.intersection(explained):
                self.trail.append("." + field.name)
                self.reader.note(keys.get(field.name, node), "is required")
                self.trail.pop()

    def _check_oneofs(
        self, schema: Schema, node: Mapping, given: set[str], keys: dict[str, Scalar], strange: set[str]
    ) -> None:
        for oneof, members in schema.oneofs.items():
            both = [name for name in keys if name in members and name in given]
            if len(both) > 1:
                self.reader.note(keys[both[1]], f"only one of {' and '.join(both)} can be set")
            elif not both and oneof.required:
                if strange and strange.intersection(facts.oneof_of(schema.proto, members[0])):
                    continue
                choice = "one of " if len(members) > 1 else ""
                self.reader.note(node, f"{choice}{', '.join(members)} is required")

    def _load(self, source: DataSource, node: Mapping, values: dict[str, Any]) -> DataSource:
        try:
            return data_source.load(source, self.reader.environment, self.reader.looks, self.reader.secret)
        except ValueError as error:
            name = next(iter(values))
            self.trail.append("." + name)
            self.reader.note(locate(node, name), str(error))
            self.trail.pop()
            return source

    # Fields

    def _field(self, field: Field, parent: Mapping, node: Node) -> Any:
        secret = self.reader.secret
        self.reader.secret = secret or field.secret
        try:
            if field.shape is Shape.ONE:
                return self._value(field, node, parent)
            many = self._list(field, parent, node) if field.shape is Shape.LIST else self._map(field, node)
            if broken := scalars.broken_rule(many, field.rules):
                self.reader.note(node, broken)
            return many
        except Refused:
            return _blank_value(field)
        finally:
            self.reader.secret = secret

    def _list(self, field: Field, parent: Mapping, node: Node) -> tuple[Any, ...]:
        # Like protobuf's parser of JSON: a single value is a list of one.
        items = node.items if isinstance(node, Sequence) else [node]
        values = []
        for index, item in enumerate(items):
            self.trail.append(f"[{index}]")
            try:
                if is_null(item):
                    self.reader.refuse(item, "null cannot stand in a list")
                values.append(self._value(field, item, parent))
            except Refused:
                values.append(_blank_item(field))
            self.trail.pop()
        return tuple(values)

    def _map(self, field: Field, node: Node) -> dict[str, Any]:
        if not isinstance(node, Mapping):
            self.reader.refuse(node, f"expected a mapping, got {self.reader.describe(node)}")
        values: dict[str, Any] = {}
        seen: dict[str, Scalar] = {}
        for key, child in node.entries:
            self.trail.append(f"[{quote(key.text)}]")
            try:
                if key.text in seen:
                    self.reader.refuse(key, _duplicate(key, seen[key.text]))
                seen[key.text] = key
                values[key.text] = self._value(field, child, key)
            except Refused:
                values.setdefault(key.text, _blank_item(field))
            self.trail.pop()
        return values

    def _value(self, field: Field, node: Node, beside: Node) -> Any:
        """One value; ``beside``, the mapping it is in or its key in a map, names an extension."""
        if field.kind is Kind.MESSAGE:
            return self.message(schema_of(field.choices[0]), node)
        if field.kind is Kind.EXTENSION:
            return self._extension(field, node, _name_in(beside))
        return self.reader.value(field, node)

    # Extensions

    def _extension(self, field: Field, node: Node, name: str) -> Message:
        if not isinstance(node, Mapping):
            self.reader.refuse(node, f"expected a mapping, got {self.reader.describe(node)}")
        urls = [(key, child) for key, child in node.entries if key.text == TYPE_KEY]
        if len(urls) > 1:
            self.reader.refuse(urls[1][0], f"{TYPE_KEY}: {_duplicate(urls[1][0], urls[0][0])}")
        place: Node = urls[0][1] if urls else node
        struct = self._struct_of(place) if urls else registry.by_name(name)
        if struct is None:
            self.reader.refuse(place, f"{TYPE_KEY} is required")
        if struct not in field.choices:
            fitting = ", ".join(map(_called, field.choices))
            self.reader.refuse(
                place, f"{_called(struct)} cannot stand here (expected: {fitting})", unreadable=False
            )
        return self.message(schema_of(struct), node)

    def _struct_of(self, node: Node) -> type[Message]:
        if not isinstance(node, Scalar):
            self.reader.refuse(node, f"{TYPE_KEY}: expected a type URL, got {self.reader.describe(node)}")
        host, _, proto = self.reader.text(node)[0].rpartition("/")
        if not host:
            self.reader.refuse(node, f"{TYPE_KEY}: a type URL begins with type.googleapis.com/")
        if (struct := registry.by_type(proto)) is not None:
            return struct
        if facts.is_message(proto):
            self.reader.refuse(node, f"{proto} is {NOT_SUPPORTED}", unreadable=False)
        near = facts.nearest_message(proto)
        hint = f" (did you mean {near}?)" if near else ""
        return self.reader.refuse(node, f"unknown type {proto}{hint}")

    def _implied(self, field: Field, parent: Mapping) -> Message | None:
        """An extension that is named, has no configuration, and needs none."""
        struct = registry.by_name(_name_in(parent))
        if struct is None or struct not in field.choices:
            return None
        needs_nothing = not any(part.required for part in schema_of(struct).fields.values())
        return struct() if needs_nothing else None


def blank(struct: type[Message]) -> Message:
    """A message that says nothing, to stand for one that could not be read."""
    fields = schema_of(struct).fields.values()
    return struct(**{field.name: _blank_value(field) for field in fields if field.required})


def _blank_value(field: Field) -> Any:
    if not field.required:
        return field.default
    return _blank_item(field) if field.shape is Shape.ONE else ()


def _blank_item(field: Field) -> Any:
    if field.kind in (Kind.MESSAGE, Kind.EXTENSION):
        return blank(field.choices[0])
    return "" if field.kind is Kind.STRING else 0


def _name_in(node: Node) -> str:
    """What an extension is called."""
    if not isinstance(node, Mapping):
        return node.text if isinstance(node, Scalar) else ""
    names = (child.text for key, child in node.entries if key.text == "name" and isinstance(child, Scalar))
    return next(names, "")


def _called(struct: type[Message]) -> str:
    """A message's name, with what it belongs to where it says too little."""
    name = struct.__name__
    return ".".join(struct.proto.split(".")[-3:]) if name.endswith("Config") else name


def _duplicate(key: Scalar, first: Scalar) -> str:
    place = f"line {first.line}" if first.source == key.source else f"{first.source}:{first.line}"
    spelling = "" if first.text == key.text else f" as {quote(first.text)}"
    return f"set twice: already{spelling} in {place}"
