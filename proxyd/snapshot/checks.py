"""Mistakes that show only when a configuration is compiled, told with the path of the field they are in."""

from collections.abc import Iterator

from proxyd.config.access_log import AccessLog
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.checks import Finding
from proxyd.snapshot.formatter import FormatError, compile_format


def check_formats(bootstrap: Bootstrap) -> Iterator[Finding]:
    """Every access log format that names an operator wrongly."""
    if bootstrap.admin is not None:
        yield from _access_logs("admin.access_log", bootstrap.admin.access_log)
    for number, listener in enumerate(bootstrap.static_resources.listeners):
        for chain, filter_chain in enumerate(listener.filter_chains):
            for place, network_filter in enumerate(filter_chain.filters):
                path = f"static_resources.listeners[{number}].filter_chains[{chain}].filters[{place}]"
                logs = network_filter.typed_config.access_log
                yield from _access_logs(f"{path}.typed_config.access_log", logs)


def _access_logs(path: str, logs: tuple[AccessLog, ...]) -> Iterator[Finding]:
    for index, log in enumerate(logs):
        try:
            compile_format(log.typed_config.log_format)
        except UnicodeDecodeError:
            continue  # told by the loader
        except FormatError as error:
            format_kind = log.typed_config.log_format
            field = "text_format_source"
            if format_kind is not None and format_kind.json_format is not None:
                field = "json_format"
            yield Finding(f"{path}[{index}].typed_config.log_format.{field}", str(error))
