"""Fuzz the readers, the loader and the formatter: `python tests/fuzz/run.py [--seconds 60] [TARGET...]`.

Each target gets its share of the time. A failure is shrunk, printed with the seed of its batch (`--seed`
begins there) and ends the run with exit code 1; so does an input that takes longer than the hang limit, with
the place where it stood.
"""

import argparse
import faulthandler
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.targets import TARGETS, Target

HANG = 120.0  # seconds for one batch, shrinking included
_BATCH = 200


def fuzz(target: Target, seconds: float, first_seed: int) -> tuple[int, int]:
    """Try inputs for about `seconds`; how many, and the seed of the batch that would come next.

    An input that fails raises what its check raised, shrunk and with a note of the seed.
    """
    end = time.monotonic() + seconds
    count, number, failing = 0, first_seed, False

    def check(data: object) -> None:
        nonlocal count, failing
        count += 1
        if failing or time.monotonic() < end:  # what has failed takes its own time to be shrunk
            try:
                target.check(data)
            except Exception:
                failing = True
                raise

    limits = settings(
        max_examples=_BATCH, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    while time.monotonic() < end:
        try:
            limits(seed(number)(given(target.inputs)(check)))()
        except Exception as error:
            error.add_note(f"seed {number}")
            raise
        number += 1
    return count, number


def main(arguments: list[str]) -> int:
    """Fuzz the chosen targets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} [all]")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all [60]")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first batch [the time]")
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target is called {', '.join(sorted(unknown))}")
    chosen = options.targets or list(TARGETS)
    for name in chosen:
        faulthandler.dump_traceback_later(options.seconds / len(chosen) + HANG, exit=True)
        count, last = fuzz(TARGETS[name], options.seconds / len(chosen), options.seed)
        faulthandler.cancel_dump_traceback_later()
        print(f"{name}: {count:,} inputs, seeds {options.seed} to {last - 1}, nothing found", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
