"""Words to values and back: YAML 1.2's core schema and protobuf's JSON scalars.

Every function that reads raises ValueError with the words for the operator.
"""

import base64
import binascii
import ipaddress
import math
import re
from typing import Any, Final

import msgspec

from proxyd.config.message import MAX_SECONDS
from proxyd.config.mistakes import quote

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DURATION: Final = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{0,9}))?s")
NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# Where the field is a boolean Envoy takes YAML 1.1's words, too; anywhere else they are words like others.
_WORDS_FOR_BOOLS: Final = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}
NO_CHARACTER: Final = "half of a surrogate pair is no character"
# Longer words are no numbers: Python refuses to convert them, rightly.
_MAX_DIGITS: Final = 400


def is_number(text: str) -> bool:
    """Whether a plain word is a number."""
    return bool(_FLOAT.fullmatch(text) or _BASED.fullmatch(text) or _SPECIAL.fullmatch(text))


def resolve(text: str) -> bool | int | float | str | None:
    """What a plain word is by YAML 1.2's core schema."""
    if text in NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) > _MAX_DIGITS or not is_number(text):
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _SPECIAL.fullmatch(text):
        return math.nan if text[1] in "nN" else float(text.replace(".", ""))
    return float(text)


def describe(text: str, plain: bool, secret: bool = False) -> str:
    """What stands there, for a message that says what was expected; of a secret only what kind of thing."""
    if plain and text in NULLS:
        return "null"
    if plain and text in _BOOLS:
        return "a boolean" if secret else text
    if plain and len(text) <= _MAX_DIGITS and is_number(text):
        return "a number" if secret else f"the number {text}"
    return "a string" if secret else quote(text)


def read_string(text: str, plain: bool) -> str:
    """A string. Numbers and booleans without quotes are refused, as Envoy does."""
    if plain and (text in _BOOLS or _INTEGER.fullmatch(text) or _BASED.fullmatch(text)):
        raise ValueError(f"expected a string, got {describe(text, plain)} (put it in quotes)")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(NO_CHARACTER)
    return text


def read_bool(text: str, plain: bool) -> bool:
    """A boolean, in quotes or not."""
    if text in _BOOLS:
        return _BOOLS[text]
    if plain and text.lower() in _WORDS_FOR_BOOLS:
        return _WORDS_FOR_BOOLS[text.lower()]
    raise ValueError(f"expected true or false, got {describe(text, plain)}")


def read_int(text: str, plain: bool) -> int:
    """A whole number: as a number or a string, hexadecimal, or a float without a fraction."""
    if len(text) <= _MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        if re.fullmatch(r"[-+]?0[0-9]+", text):
            raise ValueError(f"{text} begins with 0: write 0o... for octal or leave the 0 out")
        if _FLOAT.fullmatch(text) and math.isfinite(value := float(text)) and value.is_integer():
            return int(value)
    raise ValueError(f"expected a whole number, got {describe(text, plain)}")


def read_number(text: str, plain: bool) -> float:
    """A number with or without decimals, as a number or a string; what is none or has no end is refused."""
    if len(text) <= _MAX_DIGITS and _FLOAT.fullmatch(text) and math.isfinite(value := float(text)):
        return value
    raise ValueError(f"expected a number, got {describe(text, plain)}")


def read_duration(text: str, plain: bool) -> float:
    """Seconds, from protobuf's ``1.5s``."""
    match = _DURATION.fullmatch(text)
    if match is not None:
        seconds = float(f"{match[2]}.{match[3] or '0'}")
        return -seconds if match[1] else seconds
    expected = 'a duration in seconds such as "1.5s"'
    if _FLOAT.fullmatch(text) and len(text) < 20:
        raise ValueError(f"expected {expected}, got {describe(text, plain)} (write {text}s)")
    raise ValueError(f"expected {expected}, got {describe(text, plain)}")


def read_bytes(text: str, plain: bool) -> bytes:
    """Bytes from base64, in either alphabet, padded or not."""
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"expected base64, got {describe(text, plain)}") from None


def is_ip(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address as Envoy writes them: no brackets, no leading zeros."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def ipv4_mapped(text: str) -> str | None:
    """The IPv4 address that an IPv4-mapped IPv6 address stands for; None of any other text."""
    try:
        mapped = ipaddress.IPv6Address(text).ipv4_mapped
    except ValueError:
        return None
    return None if mapped is None else str(mapped)


def broken_rule(value: Any, rules: tuple[msgspec.Meta, ...], unit: str = "") -> str | None:
    """What the value of a field breaks, or ``None``. ``unit`` follows numbers: ``s`` for durations."""
    for rule in rules:
        if rule.min_length is not None and len(value) < rule.min_length:
            if rule.min_length == 1:
                return "must not be empty"
            return f"must not be shorter than {rule.min_length}, is {len(value)}"
        if rule.max_length is not None and len(value) > rule.max_length:
            return f"must not be longer than {rule.max_length}, is {len(value)}"
        if rule.pattern is not None and re.search(rule.pattern, value) is None:
            return str((rule.extra or {})["says"])
        if _outside(value, rule):
            return f"{_bounds(value, rule, unit)}, is {_number(value)}{unit}"
    return None


def _outside(value: Any, rule: msgspec.Meta) -> bool:
    return (
        (rule.ge is not None and value < rule.ge)
        or (rule.gt is not None and value <= rule.gt)
        or (rule.le is not None and value > rule.le)
        or (rule.lt is not None and value >= rule.lt)
    )


def _bounds(value: Any, rule: msgspec.Meta, unit: str) -> str:
    bounds = [("at least", rule.ge), ("more than", rule.gt), ("at most", rule.le), ("less than", rule.lt)]
    if rule.ge == 0:
        if value < 0:
            return "must not be negative"
        del bounds[0]
    if value <= MAX_SECONDS and rule.le is not None and rule.le >= MAX_SECONDS:
        del bounds[-2]  # a bound that nobody has in mind says nothing about a value below the other one
    words = (f"{word} {_number(bound)}{unit}" for word, bound in bounds if bound is not None)
    return "must be " + " and ".join(words)


def _number(value: float) -> str:
    text = f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def write_duration(seconds: float) -> str:
    """The inverse of ``read_duration``, with no, three, six or nine decimals as protobuf prints it."""
    whole, _, decimals = f"{seconds:.9f}".partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals.ljust(-(-len(decimals) // 3) * 3, '0')}s" if decimals else f"{whole}s"
