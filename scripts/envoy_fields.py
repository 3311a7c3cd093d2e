"""Write proxyd/config/envoy_fields.json: the names of everything a configuration of Envoy v3 can say.

The loader needs them to tell "not supported by proxyd" from a mistyped word. They are read from Envoy's
protobuf descriptors, which the package xds-protos carries. Run it after a new Envoy release:

    pip install xds-protos
    python scripts/envoy_fields.py
"""

import importlib
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "proxyd" / "config" / "envoy_fields.json"
ROOTS = ("envoy/config", "envoy/extensions", "envoy/type", "envoy/watchdog", "udpa/type", "xds")


def files() -> Iterator[Any]:
    """Descriptors of all files of the third major version; the second was removed from Envoy in 2021."""
    for directory in map(pathlib.Path, sys.path):
        for root in ROOTS:
            for path in sorted((directory / root).rglob("*_pb2.py")):
                package = path.parent.relative_to(directory).parts
                if "envoy" not in package or package[-1].startswith("v3"):
                    yield importlib.import_module(".".join((*package, path.stem))).DESCRIPTOR


def messages(descriptors: Any) -> Iterator[Any]:
    """Messages and those inside them, without the entries that stand for maps."""
    for descriptor in descriptors:
        if not descriptor.GetOptions().map_entry:
            yield descriptor
            yield from messages(descriptor.nested_types)


def main() -> None:
    fields: dict[str, str] = {}
    oneofs: dict[str, dict[str, str]] = {}
    enums: dict[str, str] = {}
    for file in files():
        for message in messages(file.message_types_by_name.values()):
            fields[message.full_name] = " ".join(field.name for field in message.fields)
            groups = {group.name: " ".join(field.name for field in group.fields) for group in message.oneofs}
            if groups:
                oneofs[message.full_name] = groups
            for field in message.fields:
                if field.enum_type is not None:
                    values = " ".join(f"{value.name}={value.number}" for value in field.enum_type.values)
                    enums[f"{message.full_name}.{field.name}"] = values
    table = {"fields": fields, "oneofs": oneofs, "enums": enums}
    OUTPUT.write_text(json.dumps(table, indent=0, sort_keys=True, separators=(",", ":")) + "\n")
    print(f"{OUTPUT}: {len(fields)} messages, {len(enums)} enum fields, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
