"""What an operator may say on the command line of ``proxyd start``."""

import msgspec

DEFAULT_NAME = "default"
DEFAULT_LOG_FORMAT = "[%Y-%m-%d %T.%e][%P][%l][%n] %v"


class StartOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything ``supervisor.main.run`` needs. Paths may be relative to the working directory."""

    config_path: str | None = None
    config_yaml: str | None = None  # merged over the file
    listen: str | None = None  # "host:port": a configuration without a file, together with ``upstreams``
    upstreams: tuple[str, ...] = ()  # "host:port" each
    workers: int | None = None  # None: one per processor this process may use
    name: str = DEFAULT_NAME  # of the instance, where several run
    run_dir: str | None = None  # base of the run directories; None: see ``instance.bases``
    user: str | None = None  # NAME or NAME:GROUP to become; None: stay who starts it
    drain_time_s: float = 30.0
    log_level: str = "info"  # trace, debug, info, warning, error, critical, off
    component_log_levels: tuple[tuple[str, str], ...] = ()  # (component, level)
    log_path: str | None = None  # None: standard error
    log_format: str = DEFAULT_LOG_FORMAT
    log_rotate_size: int | None = None  # bytes, from which on a log is moved away; None: never
    log_rotate_keep: int = 5  # how many of those stay
    admin_address: str | None = None  # "host:port", instead of the configuration's
    watch_in_place: bool = True  # a file that is written to is another one, not only one moved into its place
    allow_empty_updates: bool = False  # a file of resources may remove all of them
    admin_address_path: str | None = None  # file the admin API's real address is written to
