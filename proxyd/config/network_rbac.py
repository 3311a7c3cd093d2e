"""The network filter that lets connections through by rules."""

import enum
from typing import ClassVar

from proxyd.config import rbac
from proxyd.config.message import Message, NonEmpty


class EnforcementType(enum.IntEnum):
    """``RBAC.EnforcementType``: the rules are asked at a connection's first bytes, or whenever some come."""

    ONE_TIME_ON_FIRST_BYTE = 0
    CONTINUOUS = 1


class RBAC(
    Message,
    frozen=True,
    kw_only=True,
    tag_field="@type",
    tag="type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC",
):
    """``rules`` decide, ``shadow_rules`` are counted; without rules every connection is let through."""

    proto: ClassVar[str] = "envoy.extensions.filters.network.rbac.v3.RBAC"

    rules: rbac.RBAC | None = None
    shadow_rules: rbac.RBAC | None = None
    shadow_rules_stat_prefix: str = ""
    stat_prefix: NonEmpty
    enforcement_type: EnforcementType = EnforcementType.ONE_TIME_ON_FIRST_BYTE
