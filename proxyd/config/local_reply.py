"""What the proxy's own responses look like."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.access_log_filter import AccessLogFilter
from proxyd.config.core import DataSource, SubstitutionFormatString
from proxyd.config.message import UINT32, Message
from proxyd.config.route import HeadersToAdd


class ResponseMapper(Message, frozen=True, kw_only=True):
    """How the proxy's own responses that pass the filter are changed."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper"

    filter: AccessLogFilter
    status_code: Annotated[int, Meta(ge=200, lt=600), UINT32] | None = None
    body: DataSource | None = None
    body_format_override: SubstitutionFormatString | None = None
    headers_to_add: HeadersToAdd = ()


class LocalReplyConfig(Message, frozen=True, kw_only=True):
    """Changes of the proxy's own responses: the first mapper that matches, and a format for every body."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig"

    mappers: tuple[ResponseMapper, ...] = ()
    body_format: SubstitutionFormatString | None = None
