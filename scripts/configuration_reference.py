"""Write the tables of docs/configuration.md from the configuration's own Structs, the only place that knows.

Run it with the environment's Python after a change of proxyd/config; a test fails until that has been done:

    .venv/bin/python scripts/configuration_reference.py
"""

import enum
import functools
import inspect
import pathlib
import re
from collections.abc import Iterator

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.message import Message
from proxyd.config.schema import Field, Kind, Schema, Shape, schema_of

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
_VAGUE = ("Config", "Set")
BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def main() -> None:
    """Put the present tables into the page."""
    PAGE.write_text(replaced(PAGE.read_text("utf-8")), "utf-8")


def replaced(page: str) -> str:
    """The page with what stands between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + "\n".join(map(_section, schemas())) + END + after


@functools.cache
def schemas() -> list[Schema]:
    """Every message that a configuration can hold, in the order in which a reader meets them."""
    found: dict[type[Message], Schema] = {}
    waiting: list[type[Message]] = [Bootstrap]
    while waiting:
        struct = waiting.pop()
        if struct not in found:
            found[struct] = schema_of(struct)
            waiting.extend(reversed(list(_inside(found[struct]))))
    return list(found.values())


def _inside(schema: Schema) -> Iterator[type[Message]]:
    for field in schema.fields.values():
        for choice in field.choices if not field.computed else ():
            if isinstance(choice, type) and issubclass(choice, Message):
                yield choice


def _section(schema: Schema) -> str:
    description = re.sub(r"\s*\n\s*", " ", inspect.getdoc(schema.struct) or "").replace("``", "`")
    fields = [field for field in schema.fields.values() if not field.computed]
    rows = [f"| `{field.name}` | {_value(field)} | {_unset(schema, field)} |" for field in fields]
    table = (
        "\n".join(["| field | value | if unset |", "|---|---|---|", *rows]) if rows else "It has no fields."
    )
    return f"### {_title(schema.struct)}\n\n`{schema.proto}`: {description}\n\n{table}\n"


def _title(struct: type[Message]) -> str:
    """The name of a message, with what it belongs to where several have the same or it says too little."""
    known = [_parts(schema.struct) for schema in schemas()]
    parts = _parts(struct)
    shortest = 2 if struct.__name__ in _VAGUE else 1
    for length in range(shortest, len(parts)):
        if sum(each[-length:] == parts[-length:] for each in known) == 1:
            return ".".join(parts[-length:])
    return struct.proto


def _parts(struct: type[Message]) -> list[str]:
    return [part for part in struct.proto.split(".") if not re.fullmatch(r"v\d+", part)]


def _value(field: Field) -> str:
    one = " or ".join(_choice(field, choice) for choice in field.choices)
    shaped = {Shape.ONE: "{}", Shape.LIST: "a list, each {}", Shape.MAP: "a map to {}"}[field.shape].format(
        one
    )
    rules = _rules(field)
    return f"{shaped}, {rules}" if rules else shaped


def _choice(field: Field, choice: type) -> str:
    if field.kind is Kind.ENUM and issubclass(choice, enum.Enum):
        return ", ".join(f"`{member.name}`" for member in choice)
    if field.kind in (Kind.MESSAGE, Kind.EXTENSION):
        title = _title(choice)
        return f"[{title}](#{title.lower().replace('.', '')})"
    return str(field.kind.value)


def _rules(field: Field) -> str:
    """Bounds and other rules as words."""
    unit = " s" if field.kind is Kind.DURATION else ""
    words = []
    for rule in field.rules:
        if rule.extra and "says" in rule.extra:
            words.append(str(rule.extra["says"]))
        for bound, name in (
            (rule.ge, "at least"), (rule.gt, "more than"), (rule.le, "at most"), (rule.lt, "less than"),
        ):  # fmt: skip
            if bound is not None and (bound != 0 or name == "more than") and abs(bound) < 1 << 31:
                words.append(f"{name} {bound:g}{unit}")
        if rule.min_length:
            words.append("not empty")
        if rule.max_length:
            words.append(f"at most {rule.max_length} long")
    return ", ".join(words)


def _unset(schema: Schema, field: Field) -> str:
    """What holds when the field is not there."""
    if field.oneof is not None:
        others = [f"`{name}`" for name in schema.oneofs[field.oneof] if name != field.name]
        if not others:
            return "**required**" if field.oneof.required else ""
        return ("exactly" if field.oneof.required else "at most") + f" one of it and {', '.join(others)}"
    if field.required:
        return "**required**"
    default = field.default
    if default is None or default == () or default == {} or isinstance(default, Message):
        return "see above" if field.name in (schema.struct.__doc__ or "") and default is None else ""
    if isinstance(default, enum.Enum):
        return f"`{default.name}`"
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default in ("", b"") else str(default)


if __name__ == "__main__":
    main()
