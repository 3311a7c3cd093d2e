"""The command `proxyd`, also as `python -m proxyd`: signals are heeded before anything large is imported."""

import signal
import sys


def main() -> None:
    """The entry point of the command."""
    try:
        if sys.argv[1:2] == ["start"]:
            _await_signals()
        from proxyd import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit("proxyd: interrupted")


def _await_signals() -> None:
    """Until the supervisor obeys signals: those that end it do so tidily, the others have no effect."""
    for number in signal.Signals:
        if number.name in ("SIGHUP", "SIGUSR1"):
            signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


if __name__ == "__main__":
    main()
