"""What a route makes of the timeouts that gRPC requests bring along.

Source: RouteAction.MaxStreamDuration, and the older RouteAction.max_grpc_timeout and grpc_timeout_offset.
"""

from typing import Final

from proxyd.codec.grpc import grpc_timeout_of
from proxyd.codec.headers import Headers
from proxyd.config import route as config

UNSET: Final = -1


class GrpcTimeouts:
    """The compiled options. Times are milliseconds, 0 for no limit, UNSET for none."""

    __slots__ = ("_maximum", "_offset", "replaces_timeout")

    def __init__(self, replaces_timeout: bool, maximum: int, offset: int) -> None:
        self.replaces_timeout: Final = replaces_timeout  # the older way: of the route's timeout
        self._maximum: Final = maximum
        self._offset: Final = offset

    def timeout(self, headers: Headers) -> int:
        """For the older way: how long this gRPC request may wait for its answer; 0 for ever."""
        asked = max(grpc_timeout_of(headers), 0)
        if 0 < self._offset < asked:
            asked -= self._offset
        if self._maximum and (asked == 0 or asked > self._maximum):
            asked = self._maximum
        return asked

    def stream_duration(self, headers: Headers) -> int:
        """How long this request may take by its own ``grpc-timeout``; UNSET where that does not count."""
        if self._maximum == UNSET:
            return UNSET
        asked = grpc_timeout_of(headers)
        if asked < 0:
            return UNSET
        if 0 < self._maximum < asked:
            asked = self._maximum
        return max(asked - max(self._offset, 0), 0)


def compile_grpc_timeouts(action: config.RouteAction) -> GrpcTimeouts | None:
    """None where a request's own timeout does not concern the route."""
    longest = action.max_stream_duration
    if longest is not None:
        return GrpcTimeouts(
            False,
            _milliseconds(longest.grpc_timeout_header_max),
            _milliseconds(longest.grpc_timeout_header_offset),
        )
    if action.max_grpc_timeout is None:
        return None
    return GrpcTimeouts(
        True, _milliseconds(action.max_grpc_timeout), _milliseconds(action.grpc_timeout_offset)
    )


def _milliseconds(seconds: float | None) -> int:
    return UNSET if seconds is None else int(seconds * 1000 + 0.0005)
