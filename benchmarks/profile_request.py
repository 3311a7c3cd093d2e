"""Where a request's time goes: `python benchmarks/profile_request.py` writes benchmarks/PROFILE.md.

An exchange in memory (exchange.py) is timed plain and compiled, and profiled function by function. The
profiler makes small functions look dearer than they are; the order is what counts. The kernel's and the
loop's share is what the benchmark's figure for a request has on top.
"""

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import compiled
import environment as env
from machine import description, load_average

PAGE = HERE / "PROFILE.md"


def main(arguments: list[str]) -> int:
    """Measure and write the page; 1 where that fails."""
    parser = argparse.ArgumentParser(description="Where a request's time goes.")
    parser.add_argument("--rows", type=int, default=40, help="functions to show [40]")
    parser.add_argument("--output", type=Path, default=PAGE, help="where the page goes")
    options = parser.parse_args(arguments)
    load_before = load_average()
    try:
        environments = [env.prepare("test")]
        if not compiled.missing_tools():
            environments.append(compiled.prepare())
        figures = [_exchange(environment) for environment in environments]
        table = _exchange(environments[0], "--profile", str(options.rows))
    except (env.SetupError, subprocess.CalledProcessError) as failure:
        env.say(f"FAILED: {failure}")
        return 1
    page = _page(load_before, figures, table)
    options.output.write_text(page, "utf-8")
    env.say(f"{page}\nwritten to {options.output}")
    return 0


def _exchange(environment: env.Environment, *arguments: str) -> str:
    command = [str(environment.python), str(HERE / "exchange.py"), *arguments]
    done = subprocess.run(command, cwd=environment.folder, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.rstrip()


def _page(load_before: float, figures: list[str], table: str) -> str:
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    return "\n".join(
        [
            "# Where a request's time goes",
            "",
            f"Written by `python benchmarks/profile_request.py` on {date}. {description()};",
            f"load average before: {load_before:.2f}. One exchange in memory, eleven headers, no kernel:",
            "",
            *(f"- {figure}" for figure in figures),
            "",
            "By function, 2,000 exchanges, plain Python:",
            "",
            "```",
            table,
            "```",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
