"""The network filter that says one thing and closes."""

from typing import ClassVar

from proxyd.config.core import DataSource
from proxyd.config.message import Message


class Config(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config",
):
    """Every connection gets ``response`` and is closed."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.direct_response.v3.Config"

    response: DataSource | None = None
