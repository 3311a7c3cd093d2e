"""Where resources come from that are not in the bootstrap: files that are watched.

Discovery over gRPC or REST is not supported, and neither is what only it can do.
"""

import enum
from typing import Annotated, ClassVar

from proxyd.config.message import Message, NonEmpty, Oneof, Seconds


class ApiVersion(enum.IntEnum):
    """The version of the resources. AUTO is V3 as well."""

    AUTO = 0
    V3 = 2


class WatchedDirectory(Message, frozen=True, kw_only=True):
    """A directory in which something is moved when the files below it are new.

    proxyd follows a path through every link in it and sees that without being told.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.WatchedDirectory"

    path: NonEmpty


class PathConfigSource(Message, frozen=True, kw_only=True):
    """A file with a DiscoveryResponse, read again whenever it is another one."""

    proto: ClassVar[str] = "envoy.config.core.v3.PathConfigSource"

    path: NonEmpty
    watched_directory: WatchedDirectory | None = None


_SPECIFIER = Oneof("config_source_specifier", required=True)


class ConfigSource(Message, frozen=True, kw_only=True):
    """Where to get resources. ``path`` is the deprecated form of path_config_source.

    A file is there at once, good or bad, and nothing waits for it: initial_fetch_timeout never passes.
    """

    proto: ClassVar[str] = "envoy.config.core.v3.ConfigSource"

    path: Annotated[NonEmpty | None, _SPECIFIER] = None
    path_config_source: Annotated[PathConfigSource | None, _SPECIFIER] = None
    initial_fetch_timeout: Seconds | None = None
    resource_api_version: ApiVersion = ApiVersion.AUTO

    @property
    def file(self) -> str:
        """The file's path, relative to the working directory as Envoy takes it."""
        source = self.path_config_source
        return source.path if source is not None else self.path or ""


class DynamicResources(Message, frozen=True, kw_only=True):
    """Listeners (LDS) and clusters (CDS) that come and go while proxyd runs."""

    proto: ClassVar[str] = "envoy.config.bootstrap.v3.Bootstrap.DynamicResources"

    lds_config: ConfigSource | None = None
    cds_config: ConfigSource | None = None


class Rds(Message, frozen=True, kw_only=True):
    """A route table in a file of its own; until it can be read, there are no routes."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.http_connection_manager.v3.Rds"

    config_source: ConfigSource
    route_config_name: str = ""


class EdsClusterConfig(Message, frozen=True, kw_only=True):
    """A cluster's hosts in a file of their own. Default of service_name: the cluster's name."""

    proto: ClassVar[str] = "envoy.config.cluster.v3.Cluster.EdsClusterConfig"

    eds_config: ConfigSource
    service_name: str = ""
