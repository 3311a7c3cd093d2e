"""``--config-yaml`` over a file, as protobuf merges one message into another.

Nodes are merged before anything is bound, so every mistake still names the text it stands in. Messages are
merged field by field, lists are appended to, all else is replaced. Unlike protobuf, which cannot see them, an
overlay's ``false``, ``0`` and ``""`` replace as well: the operator wrote them to be heard.
"""

from proxyd.config.message import Message
from proxyd.config.nodes import Mapping, Node, Scalar, Sequence
from proxyd.config.reading import is_null
from proxyd.config.schema import Field, Kind, Schema, Shape, schema_of

Entry = tuple[Scalar, Node]


def merge(struct: type[Message], base: Node, overlay: Node) -> Node:
    """One tree for a message of the given type; neither argument is changed."""
    return _message(schema_of(struct), base, overlay)


def _message(schema: Schema, base: Node, overlay: Node) -> Node:
    if is_null(overlay):
        return base
    if not isinstance(base, Mapping) or not isinstance(overlay, Mapping):
        return overlay
    merged = Mapping(base.source, base.line, base.column)
    merged.entries.extend(base.entries)
    done: set[str] = set()
    for key, node in overlay.entries:
        field = schema.names.get(key.text)
        name = _name(schema, key)
        if field is not None and field.oneof is not None and not is_null(node):
            _drop(merged, schema, set(schema.oneofs[field.oneof]) - {name})
        place = _find(merged, schema, name)
        if place is None or name in done:
            merged.entries.append((key, node))  # what the overlay has twice is found when it is bound
        else:
            merged.entries[place] = _entry(field, merged.entries[place], (key, node))
        done.add(name)
    return merged


def _entry(field: Field | None, base: Entry, overlay: Entry) -> Entry:
    key, node = overlay
    if is_null(node):
        return base
    if field is None or is_null(base[1]):
        return overlay
    if field.shape is Shape.LIST:
        both = Sequence(base[1].source, base[1].line, base[1].column)
        for part in (base[1], node):
            both.items.extend(part.items if isinstance(part, Sequence) else [part])
        return key, both
    if field.shape is Shape.MAP or field.kind is Kind.JSON:
        return key, _keys(base[1], node)
    if field.kind is Kind.MESSAGE:
        return key, _message(schema_of(field.choices[0]), base[1], node)
    return overlay


def _keys(base: Node, overlay: Node) -> Node:
    """A map: the overlay's keys replace the base's."""
    if not isinstance(base, Mapping) or not isinstance(overlay, Mapping):
        return overlay
    replaced = {key.text for key, _ in overlay.entries}
    merged = Mapping(base.source, base.line, base.column)
    merged.entries.extend(entry for entry in base.entries if entry[0].text not in replaced)
    merged.entries.extend(overlay.entries)
    return merged


def _find(node: Mapping, schema: Schema, name: str) -> int | None:
    for index, (key, _) in enumerate(node.entries):
        if _name(schema, key) == name:
            return index
    return None


def _drop(node: Mapping, schema: Schema, names: set[str]) -> None:
    node.entries[:] = [entry for entry in node.entries if _name(schema, entry[0]) not in names]


def _name(schema: Schema, key: Scalar) -> str:
    field = schema.names.get(key.text)
    return field.name if field else key.text
