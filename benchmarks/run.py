"""Compare proxyd, plain and compiled, with nginx, haproxy and Envoy: `python benchmarks/run.py`.

Makes the environments that it needs, then runs all proxies side by side on the same load and writes
benchmarks/RESULTS.md. Figures of different runs cannot be compared: look at the ratios of one run, made on a
machine that does nothing else.
"""

import argparse
import contextlib
import datetime
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import compiled
import environment as env
from gates import COMPILED, PLAIN, Finding, findings
from load import TOOLS, LoadError
from machine import LOAD_CORE, description, free_port, load_average, too_few_cores
from measure import MEASUREMENTS, ROUTES, Effort, measure
from proxies import Program, others, proxyd
from report import Run, render

RESULTS = HERE / "RESULTS.md"


def main(arguments: list[str]) -> int:
    """Measure and write the page; 1 where something stands in the way or a gate is missed."""
    options = _options(arguments)
    obstacles = [too_few_cores()] + [
        f"{tool} is not installed: {how}" for tool, how in TOOLS.items() if shutil.which(tool) is None
    ]
    if any(obstacles):
        env.say("FAILED: " + "\n".join(filter(None, obstacles)))
        return 1
    try:
        page, missed = _measured(options)
    except (env.SetupError, LoadError, RuntimeError, subprocess.CalledProcessError) as failure:
        env.say(f"\nFAILED: {failure}")
        return 1
    options.output.write_text(page, "utf-8")
    env.say(f"\n{page}\nwritten to {options.output}")
    for (quantity, yardstick, most, proxy), ratio in missed:
        env.say(f"MISSED: {quantity}: {proxy} at {ratio:.2f} of {yardstick}, at most {most:.2f}")
    return 1 if missed else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of load in each round [5]")
    parser.add_argument("--rounds", type=int, default=5, help="the proxies take turns in each [5]")
    parser.add_argument("--body", type=int, default=1000, metavar="MB", help="a large body's size [1000]")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections [2000]")
    parser.add_argument("--rate", type=int, default=3000, help="requests a second for latency [3000]")
    parser.add_argument("--handshakes", type=int, default=1000, help="TLS handshakes in each round [1000]")
    parser.add_argument("--only", action="append", metavar="NAME", help="only proxies called so (repeatable)")
    parser.add_argument(
        "--measure",
        action="append",
        choices=MEASUREMENTS,
        help="only this of %(choices)s (repeatable)",
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the page goes")
    return parser.parse_args(arguments)


def _measured(options: argparse.Namespace) -> tuple[str, list[Finding]]:
    """The page, and the gates that are missed."""
    effort = Effort(
        options.seconds,
        options.rounds,
        options.body * 1_000_000,
        options.idle,
        options.rate,
        options.handshakes,
    )
    programs, pythons = _programs(options.only)
    load_before = load_average()
    _raise_file_limit(2 * effort.idle + 1000)
    # Everything that is not a proxy.
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="proxyd-bench-") as folder, _origin(pythons) as origin:
        samples = measure(programs, origin, effort, Path(folder), env.say, options.measure or ())
    router = {}
    if not options.measure or "routes" in options.measure:
        router = {name: _router_match(python, Path(folder).parent) for name, python in pythons.items()}
    run = Run(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        machine=description(),
        load_before=load_before,
        versions={program.name: program.version for program in programs},
        effort=effort,
        command=" ".join(["python benchmarks/run.py", *sys.argv[1:]]),
        commit=_commit(),
        router=router,
    )
    return render(run, samples), [found for found in findings(samples) if not found.holds]


def _programs(only: list[str] | None) -> tuple[list[Program], dict[str, Path]]:
    """What is compared, and the Python of each proxyd."""
    plain = env.prepare("test")
    pythons = {PLAIN: plain}
    missing = ""
    if not only or COMPILED in only:
        missing = compiled.missing_tools()
        if not missing:
            pythons[COMPILED] = compiled.prepare()
    programs = [proxyd(name, environment.program("proxyd")) for name, environment in pythons.items()]
    found, lacking = others(plain.program("envoy"))
    for text in filter(None, [missing, *lacking]):
        env.say(f"left out: {text}")
    programs = [program for program in programs + found if not only or program.name in only]
    if not programs:
        raise env.SetupError(f"no proxy is called {' or '.join(only or [])}")
    return programs, {name: environment.python for name, environment in pythons.items()}


@contextlib.contextmanager
def _origin(pythons: dict[str, Path]) -> Iterator[int]:
    """The origin's port."""
    port = free_port()
    python = next(iter(pythons.values()))
    with subprocess.Popen([str(python), str(HERE / "origin.py"), str(port)]) as process:
        try:
            time.sleep(0.5)
            yield port
        finally:
            process.terminate()


def _router_match(python: Path, folder: Path) -> tuple[float, float]:
    """Microseconds to find a route, by an interpreter that has proxyd installed."""
    command = [str(python), str(HERE / "router_match.py"), str(ROUTES)]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    one, many = said.split()
    return float(one), float(many)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "an unknown commit"
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "an unknown commit"


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard >= 0 else wanted, hard))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
