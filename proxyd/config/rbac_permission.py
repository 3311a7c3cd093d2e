"""Of RBAC: what a connection may do."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.core import CidrRange, StringMatcher
from proxyd.config.message import UINT32, Message, Oneof

_RULE = Oneof("rule", required=True)
_Port = Annotated[int, Meta(ge=0, le=65535), UINT32]
_Int32 = Annotated[int, Meta(ge=-(1 << 31), le=(1 << 31) - 1)]


class Int32Range(Message, frozen=True, kw_only=True):
    """Numbers from ``start`` up to but not including ``end``."""

    proto: ClassVar[str] = "envoy.type.v3.Int32Range"

    start: _Int32 = 0
    end: _Int32 = 0


class Set(Message, frozen=True, kw_only=True):
    """Several permissions."""

    proto: ClassVar[str] = "envoy.config.rbac.v3.Permission.Set"

    rules: Annotated[tuple["Permission", ...], Meta(min_length=1)]


class Permission(Message, frozen=True, kw_only=True):
    """One thing: to come to an address or a port, or to ask for a name in TLS. ``any`` can only be true."""

    proto: ClassVar[str] = "envoy.config.rbac.v3.Permission"

    and_rules: Annotated[Set | None, _RULE] = None
    or_rules: Annotated[Set | None, _RULE] = None
    any: Annotated[bool | None, _RULE] = None
    destination_ip: Annotated[CidrRange | None, _RULE] = None
    destination_port: Annotated[_Port | None, _RULE] = None
    destination_port_range: Annotated[Int32Range | None, _RULE] = None
    not_rule: Annotated["Permission | None", _RULE] = None
    requested_server_name: Annotated[StringMatcher | None, _RULE] = None
