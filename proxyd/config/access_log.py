"""Access logs: the sinks and their formats."""

from typing import ClassVar

from proxyd.config.access_log_filter import AccessLogFilter
from proxyd.config.core import SubstitutionFormatString
from proxyd.config.message import Message, NonEmpty


class FileAccessLog(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
):
    """Lines appended to the file at ``path``; without ``log_format`` in Envoy's default format."""

    proto: ClassVar[str] = "envoy.extensions.access_loggers.file.v3.FileAccessLog"

    path: NonEmpty
    log_format: SubstitutionFormatString | None = None


class StdoutAccessLog(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
):
    """Lines on standard output."""

    proto: ClassVar[str] = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"

    log_format: SubstitutionFormatString | None = None


class StderrAccessLog(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
):
    """Lines on standard error."""

    proto: ClassVar[str] = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog"

    log_format: SubstitutionFormatString | None = None


class AccessLog(Message, frozen=True, kw_only=True):
    """One access log: it is told of every request, or of those that pass the filter."""

    proto: ClassVar[str] = "envoy.config.accesslog.v3.AccessLog"

    name: str = ""
    filter: AccessLogFilter | None = None
    typed_config: FileAccessLog | StdoutAccessLog | StderrAccessLog
