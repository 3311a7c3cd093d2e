"""Set up an environment and check everything that CI checks: `python scripts/test.py`.

Needs a Python >= 3.11 with pip and nothing else. Steps run one after the other, and the first that fails
ends the run with exit code 1. Arguments that this script does not know go to pytest, as in
`python scripts/test.py --only tests -k router`.
"""

import argparse
import sys
import time

import environment as env
import second_run
from steps import STEPS, Step


def main(arguments: list[str]) -> int:
    """Run the chosen steps; the exit code: 0 all passed, 1 one failed, 2 there is no environment."""
    chosen, for_pytest, again = _choose(arguments)
    began = time.monotonic()
    try:
        environment = env.prepare("test")
    except env.SetupError as failure:
        env.say(f"\nFAILED: no environment to test in: {failure}")
        return 2
    passed = []
    for step in chosen:
        took = _run(environment, step, for_pytest if step.name in ("tests", "compiled") else [], again)
        if took is None:
            env.say(f"\nFAILED: step '{step.name}' ({step.purpose}) after {env.seconds(began)}")
            return 1
        passed.append(f"{step.name} {took}")
    env.say(f"\nOK: {', '.join(passed)}; {env.seconds(began)} in all")
    return 0


def _choose(arguments: list[str]) -> tuple[list[Step], list[str], bool]:
    """The steps, what goes to pytest, and whether a few that fail are run again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="leave out the end-to-end tests")
    parser.add_argument("--compiled", action="store_true", help="run the tests on the compiled wheel, too")
    parser.add_argument(
        "--again", action="store_true", help="run up to three tests that fail once more, alone, and name them"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[step.name for step in STEPS],
        help="run this step alone (repeatable)",
    )
    options, for_pytest = parser.parse_known_args(arguments)
    if options.quick:
        for_pytest = ["-m", "not e2e", *for_pytest]
    if options.only:
        chosen = [step for step in STEPS if step.name in options.only]
    else:
        chosen = [step for step in STEPS if step.always or options.compiled]
    return chosen, for_pytest, options.again


def _run(environment: env.Environment, step: Step, more: list[str], again: bool) -> str | None:
    """Run one step, its output going straight to ours; how long it took, or None when it failed."""
    program, *arguments = (*step.command, *more)
    env.say(f"\n== {step.name}: {step.purpose} ({' '.join([program, *arguments])})")
    began = time.monotonic()
    command = [str(environment.program(program)), *arguments]
    start = second_run.of_command(command, env.ROOT, environment.variables())
    if again and step.name == "tests":
        code = second_run.run(start)
    else:
        code = start(["--again"] if again and step.name == "compiled" else [])
    if code != 0:
        return None
    env.say(f"== {step.name}: passed in {env.seconds(began)}")
    return env.seconds(began)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
