"""What is checked before a change may land: one table, read by scripts/test.py and noxfile.py."""

from typing import NamedTuple


class Step(NamedTuple):
    """One check: its name, what it is for, and a program of the environment with its arguments."""

    name: str
    purpose: str
    command: tuple[str, ...]
    always: bool = True  # or only where it is asked for


# More processes than cores, for much of it is waiting; tests/schedule.py shares out the files among them.
# `-n 0` behind it makes it one process.
PYTEST = ("pytest", "-n", "4")

STEPS = (
    Step("lint", "mistakes and style", ("ruff", "check", ".")),
    Step("format", "layout of the code", ("ruff", "format", "--check", ".")),
    Step("types", "types, strict, as on Linux", ("mypy", "--platform", "linux")),
    Step("types-windows", "types, strict, as on Windows", ("mypy", "--platform", "win32", "-p", "proxyd")),
    Step("layers", "imports go downwards only", ("lint-imports",)),
    Step("tests", "unit and end-to-end tests", PYTEST),
    Step("compiled", "the same tests on the compiled wheel", ("python", "scripts/compiled.py"), False),
)


def step(name: str) -> Step:
    """The step called `name`; KeyError when there is none."""
    return {step.name: step for step in STEPS}[name]
