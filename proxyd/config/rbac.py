"""Who may do what: rules that HTTP and network filters share."""

import enum
from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.message import Message
from proxyd.config.rbac_permission import Permission
from proxyd.config.rbac_principal import Principal


class Action(enum.IntEnum):
    """``RBAC.Action``: what becomes of connections that a policy matches; the others get the opposite."""

    ALLOW = 0
    DENY = 1


class Policy(Message, frozen=True, kw_only=True):
    """Any of the principals may do, or be denied, any of the permissions."""

    proto: ClassVar[str] = "envoy.config.rbac.v3.Policy"

    permissions: Annotated[tuple[Permission, ...], Meta(min_length=1)]
    principals: Annotated[tuple[Principal, ...], Meta(min_length=1)]


class RBAC(Message, frozen=True, kw_only=True):
    """Policies by their names; without any nobody matches."""

    proto: ClassVar[str] = "envoy.config.rbac.v3.RBAC"

    action: Action = Action.ALLOW
    policies: dict[str, Policy] = {}
