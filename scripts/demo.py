"""Show proxyd at work: `python scripts/demo.py`.

Sets up an environment and plays `proxyd demo front` in it: a front proxy with two services behind sidecars,
mutual TLS, and listener files that change. Needs a Python >= 3.11 with pip and nothing else. Options go to
that command: `--auto` goes on by itself and fails where a step does not show what it should.
"""

import signal
import subprocess
import sys

import environment as env


def main(arguments: list[str]) -> int:
    """Run the demonstration; the exit code is its own, or 1 where there is no environment to run it in."""
    try:
        environment = env.prepare()
    except env.SetupError as error:
        env.say(f"\nFAILED: {error}")
        return 1
    command: list[str] = [str(environment.python), "-m", "proxyd", "demo", "front", *arguments]
    with subprocess.Popen(command, cwd=env.ROOT, env=environment.variables()) as process:
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: process.terminate())
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # the demonstration has been interrupted too, and ends in good order


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
