"""Which requests an access log tells of. A local reply's mapping asks the same questions."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.core import FractionalPercent
from proxyd.config.message import Message, NonEmpty, Oneof, UInt32
from proxyd.config.route import HeaderMatcher


class RuntimeUInt32(Message, frozen=True, kw_only=True):
    """A number, as the runtime layers have it under ``runtime_key``, else the default value."""

    proto: ClassVar[str] = "envoy.config.core.v3.RuntimeUInt32"

    default_value: UInt32 = 0
    runtime_key: NonEmpty


class ComparisonOp(enum.IntEnum):
    """``ComparisonFilter.Op``."""

    EQ = 0
    GE = 1
    LE = 2
    NE = 3


class ComparisonFilter(Message, frozen=True, kw_only=True):
    """A number compared with a value."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.ComparisonFilter"

    op: ComparisonOp = ComparisonOp.EQ
    value: RuntimeUInt32


class StatusCodeFilter(Message, frozen=True, kw_only=True):
    """By the response's status; 0 where there is none."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.StatusCodeFilter"

    comparison: ComparisonFilter


class DurationFilter(Message, frozen=True, kw_only=True):
    """By how long the request took, in milliseconds."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.DurationFilter"

    comparison: ComparisonFilter


class RuntimeFilter(Message, frozen=True, kw_only=True):
    """A part of the requests, by their x-request-id or at random. Default of percent_sampled: none."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.RuntimeFilter"

    runtime_key: NonEmpty
    percent_sampled: FractionalPercent | None = None
    use_independent_randomness: bool = False


class HeaderFilter(Message, frozen=True, kw_only=True):
    """By a header of the request."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.HeaderFilter"

    header: HeaderMatcher


ResponseFlag = Annotated[
    str,
    Meta(
        pattern=(
            "^(LH|UH|UT|LR|UR|UF|UC|UO|NR|DI|FI|RL|UAEX|RLSE|DC|URX|SI|IH|DPE|UMSDR|RFCF|NFCF|DT|UPE|NC|OM|DF|DO"
            "|DR|UDO)\\Z"
        ),
        extra={"says": "must be a response flag, such as UH, UF, NR or UT"},
    ),
]


class ResponseFlagFilter(Message, frozen=True, kw_only=True):
    """Any of these response flags, or any at all if none is named."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.ResponseFlagFilter"

    flags: tuple[ResponseFlag, ...] = ()


class AndFilter(Message, frozen=True, kw_only=True):
    """All of several filters."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.AndFilter"

    filters: Annotated[tuple["AccessLogFilter", ...], Meta(min_length=2)]


class OrFilter(Message, frozen=True, kw_only=True):
    """Any of several filters."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.OrFilter"

    filters: Annotated[tuple["AccessLogFilter", ...], Meta(min_length=2)]


_FILTER = Oneof("filter_specifier", required=True)


class AccessLogFilter(Message, frozen=True, kw_only=True):
    """A condition on a request and its response."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.AccessLogFilter"

    status_code_filter: Annotated[StatusCodeFilter | None, _FILTER] = None
    duration_filter: Annotated[DurationFilter | None, _FILTER] = None
    runtime_filter: Annotated[RuntimeFilter | None, _FILTER] = None
    and_filter: Annotated[AndFilter | None, _FILTER] = None
    or_filter: Annotated[OrFilter | None, _FILTER] = None
    header_filter: Annotated[HeaderFilter | None, _FILTER] = None
    response_flag_filter: Annotated[ResponseFlagFilter | None, _FILTER] = None
