"""``${VAR}`` and ``${VAR:-default}`` in the scalars of a configuration."""

import re
from collections.abc import Mapping
from typing import Final

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """The text with its references replaced; ``$${`` stands for ``${``.

    What is put in is not looked at again. As in a shell, the default after ``:-`` is taken when the variable
    is unset or empty.
    Raises ValueError: a variable is not set and has no default, or what stands in the braces is no name.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name = _NAME.fullmatch(match[1]) if match[0].endswith("}") else None
        if name is None:
            raise ValueError(f'{match[0]} names no environment variable (write "$${{" for "${{")')
        found = environment.get(name[1])
        if name[2] is not None:
            return found or name[2]
        if found is None:
            raise ValueError(
                f"the environment variable {name[1]} is not set (${{{name[1]}:-...}} gives a default)"
            )
        return found

    return _REFERENCE.sub(value, text)
