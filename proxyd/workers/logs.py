"""proxyd's own log: Envoy's line format and level names on the standard library's logging."""

import logging
from collections.abc import Mapping
from typing import Final

from proxyd.net.log_writer import Request
from proxyd.workers.control import LogSettings
from proxyd.workers.log_handler import LogHandler

TRACE: Final = 5
OFF: Final = logging.CRITICAL + 10

LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": OFF,
}
_NAMES: Final = {level: name for name, level in LEVELS.items()}

# The loggers of proxyd, Envoy's component names where Envoy has the component.
COMPONENTS: Final = (
    "access_log",
    "admin",
    "config",
    "connection",
    "dns",
    "http",
    "main",
    "stats",
    "upstream",
)

# spdlog's patterns, as far as a line can have them here: %-letter → a %-format of the record.
_PATTERNS: Final = {
    "Y": "%(year)s",
    "m": "%(month)s",
    "d": "%(day)s",
    "T": "%(time)s",
    "e": "%(msecs)03d",
    "P": "%(process)d",
    "t": "%(process)d",  # Envoy's threads are processes here
    "l": "%(level)s",
    "n": "%(component)s",
    "v": "%(message)s",
    "g": "%(pathname)s",
    "#": "%(lineno)d",
    "%": "%%",
}


class LineFormatter(logging.Formatter):
    """Formats by an Envoy ``--log-format``; raises ValueError for a pattern that cannot be had."""

    def __init__(self, pattern: str) -> None:
        super().__init__(_translate(pattern), validate=False)

    def format(self, record: logging.LogRecord) -> str:
        moment = self.converter(record.created)
        record.year, record.month, record.day = f"{moment[0]}", f"{moment[1]:02}", f"{moment[2]:02}"
        record.time = f"{moment[3]:02}:{moment[4]:02}:{moment[5]:02}"
        record.level = _NAMES.get(record.levelno, record.levelname.lower())
        record.component = component_of(record.name)
        return super().format(record)


def component_of(name: str) -> str:
    """What a logger is called in a line: ``proxyd.stats.totals`` is stats; others keep their name."""
    parts = name.split(".")
    return parts[1] if parts[0] == "proxyd" and len(parts) > 1 else name


def configure(settings: LogSettings) -> None:
    """Send the log of this process where the settings say. Raises OSError, ValueError."""
    formatter = LineFormatter(settings.format)
    handler = LogHandler(settings.path)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    logging.raiseExceptions = False  # a log that cannot be written must not disturb what it tells of
    set_levels(settings.levels)


def set_levels(levels: Mapping[str, str]) -> None:
    """Set loggers to levels by name; the name "" is for all that have none of their own."""
    for name, level in levels.items():
        for logger in _loggers(name):
            logger.setLevel(LEVELS[level])


def begin_reopen() -> list[Request]:
    """Open the log file anew, after it was moved away; where that fails, the old one stays in use.

    Does not block: each request's ``done`` and ``reason`` tell what came of it.
    """
    return [handler.begin_reopen() for handler in _handlers() if not handler.closed]


def flush(seconds: float) -> bool:
    """Wait until what was logged is written, for at most so long a handler."""
    return all(handler.sync(seconds) for handler in _handlers())


def close() -> None:
    """The process ends: write what was logged, for at most a second. Later lines are dropped."""
    for handler in _handlers():
        handler.close()


def _handlers() -> list[LogHandler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, LogHandler)]


def _loggers(name: str) -> list[logging.Logger]:
    if not name:
        return [logging.getLogger()]
    return [logging.getLogger(name), logging.getLogger(f"proxyd.{name}")]


def _translate(pattern: str) -> str:
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character != "%":
            parts.append(character)
            continue
        letter = pattern[position : position + 1]
        position += 1
        if letter not in _PATTERNS:
            raise ValueError(f"log format: %{letter} is not supported by proxyd")
        parts.append(_PATTERNS[letter])
    return "".join(parts)
