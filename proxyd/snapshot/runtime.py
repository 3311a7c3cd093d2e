"""The runtime: values that layers of the configuration put in place of others, under dotted keys.

Only ``static_layer`` has values so far; they are known at load and looked up there.
"""

from typing import Any, Final

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.core import DenominatorType, RuntimeFractionalPercent

_DENOMINATORS: Final = {
    DenominatorType.HUNDRED: 100,
    DenominatorType.TEN_THOUSAND: 10_000,
    DenominatorType.MILLION: 1_000_000,
}
_BY_NAME: Final = {each.name: number for each, number in _DENOMINATORS.items()}
_BY_NUMBER: Final = {each.value: number for each, number in _DENOMINATORS.items()}
_PERCENT: Final = frozenset(("numerator", "denominator"))


class Runtime:
    """All layers as one table; a later layer wins."""

    __slots__ = ("_values",)

    def __init__(self, layers: list[dict[str, Any]]) -> None:
        self._values: Final[dict[str, Any]] = {}
        for layer in layers:
            _flatten("", layer, self._values)

    def get(self, key: str) -> Any:
        """What the layers have under ``key``; None for nothing."""
        return self._values.get(key)

    def integer(self, key: str, default: int) -> int:
        """The number under ``key``, decimals cut off; ``default`` for anything else or a negative one."""
        number = _number(self._values.get(key))
        return default if number is None else number

    def fraction(self, config: RuntimeFractionalPercent) -> tuple[int, int]:
        """A part of the requests as numerator and denominator. A plain number in a layer is a percentage."""
        value = self._values.get(config.runtime_key) if config.runtime_key else None
        if isinstance(value, dict):
            denominator = value.get("denominator", 0)
            known = _BY_NAME if isinstance(denominator, str) else _BY_NUMBER
            return _number(value.get("numerator")) or 0, known.get(denominator, 100)
        number = _number(value)
        if number is not None:
            return number, 100
        default = config.default_value
        return default.numerator, _DENOMINATORS[default.denominator]


def compile_runtime(bootstrap: Bootstrap) -> Runtime:
    """The static layers of a configuration."""
    layered = bootstrap.layered_runtime
    if layered is None:
        return Runtime([])
    return Runtime([layer.static_layer for layer in layered.layers if layer.static_layer is not None])


def _number(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1 << 62:
        return None
    return int(value)


def _flatten(prefix: str, values: dict[str, Any], table: dict[str, Any]) -> None:
    for key, value in values.items():
        # A mapping is a group of keys, unless it is a FractionalPercent.
        if isinstance(value, dict) and value and _PERCENT.isdisjoint(value):
            _flatten(f"{prefix}{key}.", value, table)
        else:
            table[prefix + key] = value
