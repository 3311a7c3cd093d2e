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
    for name in ("SIGHUP", "SIGUSR1"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


if __name__ == "__main__":
    main()
