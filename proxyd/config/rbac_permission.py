"""Of RBAC: what is asked for."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.core import CidrRange, StringMatcher
from proxyd.config.message import UINT32, Message, Oneof

_RULE = Oneof("rule", required=True)


class Int32Range(Message, frozen=True, kw_only=True):
    """Numbers from ``start`` up to but not including ``end``."""

    proto: ClassVar[str] = "envoy.type.v3.Int32Range"

    start: int = 0
    end: int = 0


class Set(Message, frozen=True, kw_only=True):
    """Several permissions."""

    proto: ClassVar[str] = "envoy.config.rbac.v3.Permission.Set"

    rules: Annotated[tuple["Permission", ...], Meta(min_length=1)]


class Permission(Message, frozen=True, kw_only=True):
    """One thing that a connection may do: go to an address or a port, or ask for a name in TLS."""

    proto: ClassVar[str] = "envoy.config.rbac.v3.Permission"

    and_rules: Annotated[Set | None, _RULE] = None
    or_rules: Annotated[Set | None, _RULE] = None
    any: Annotated[bool | None, _RULE] = None
    destination_ip: Annotated[CidrRange | None, _RULE] = None
    destination_port: Annotated[Annotated[int, Meta(ge=0, le=65535), UINT32] | None, _RULE] = None
    destination_port_range: Annotated[Int32Range | None, _RULE] = None
    not_rule: Annotated["Permission | None", _RULE] = None
    requested_server_name: Annotated[StringMatcher | None, _RULE] = None
