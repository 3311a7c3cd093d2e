"""Structs back to Envoy's words: canonical YAML, and the JSON of ``/config_dump``."""

import base64
import enum
from typing import Any, Final

import yaml

from proxyd.config import scalars
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.message import Message
from proxyd.config.schema import Field, Kind, Shape, schema_of, type_url

REDACTED: Final = "[redacted]"


def to_yaml(bootstrap: Bootstrap) -> str:
    """The configuration as a file that Envoy accepts and that loads to the same Structs, secrets included.

    A literal ``${`` is printed for Envoy, to which it means nothing: proxyd asks for ``$${``.
    """
    tree = _Printer(redact=False).message(bootstrap)
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def to_proto_json(message: Message) -> dict[str, Any]:
    """The message in protobuf's JSON as ``/config_dump`` prints it: only what is set, and no secrets."""
    return _Printer(redact=True).message(message)


class _Printer:
    """Walks a message by its schema."""

    def __init__(self, redact: bool) -> None:
        self.redact: Final = redact

    def message(self, message: Message) -> dict[str, Any]:
        url = type_url(type(message))
        tree: dict[str, Any] = {"@type": url} if url else {}
        for field in schema_of(type(message)).fields.values():
            value = getattr(message, field.name)
            if field.computed or (value == field.default and not field.required):
                continue
            tree[field.name] = self._field(field, value)
        return tree

    def _field(self, field: Field, value: Any) -> Any:
        if field.secret and self.redact:
            return _redacted(self._plain(field, value))
        return self._plain(field, value)

    def _plain(self, field: Field, value: Any) -> Any:
        if field.shape is Shape.LIST:
            return [self._value(field, item) for item in value]
        if field.shape is Shape.MAP:
            return {key: self._value(field, item) for key, item in value.items()}
        return self._value(field, value)

    def _value(self, field: Field, value: Any) -> Any:
        match field.kind:
            case Kind.MESSAGE | Kind.EXTENSION:
                return self.message(value)
            case Kind.DURATION:
                return scalars.write_duration(value)
            case Kind.BYTES:
                return base64.b64encode(value).decode()
            case Kind.ENUM:
                assert isinstance(value, enum.Enum)
                return value.name
            case Kind.INT if field.int64:
                return str(value)
            case _:
                return value


def _redacted(tree: Any) -> Any:
    """As in Envoy, of a secret its shape is left."""
    if isinstance(tree, dict):
        return {key: _redacted(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_redacted(item) for item in tree]
    return REDACTED


class _Dumper(yaml.SafeDumper):
    """Quotes what a reader of any YAML version might take for something else than a string."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _represent_string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # The dumper quotes by YAML 1.1, which takes fewer words for numbers and more characters for line ends.
    if not isinstance(scalars.resolve(text), str) or not text.replace("\n", "").isprintable():
        style = '"'
    else:
        style = "|" if "\n" in text else ""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_string)
