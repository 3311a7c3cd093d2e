"""Envoy's substitution format strings, compiled at load to a flat list of parts."""

from typing import Final

from proxyd.config.core import SubstitutionFormatString
from proxyd.filters.stream_info import StreamInfo

DEFAULT_FORMAT: Final = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" '
    '"%UPSTREAM_HOST%"\n'
)


class FormatError(ValueError):
    """A format that cannot be compiled; the text names the operator and what is wrong with it."""


class Formatter:
    """Turns the facts of a request into bytes."""

    def format(self, info: StreamInfo) -> bytes:
        """The formatted text of this request."""
        raise NotImplementedError

    def format_line(self, info: StreamInfo) -> bytes:
        """The same for a log: values cannot start a line of their own, nor break one."""
        raise NotImplementedError


def compile_format(source: SubstitutionFormatString | None) -> Formatter:
    """The formatter of an access log; None stands for Envoy's default format. Raises FormatError."""
    raise NotImplementedError
