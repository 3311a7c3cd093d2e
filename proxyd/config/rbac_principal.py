"""Of RBAC: who a connection is from."""

from typing import Annotated, ClassVar

from msgspec import Meta

from proxyd.config.core import CidrRange, StringMatcher
from proxyd.config.message import Message, Oneof

_IDENTIFIER = Oneof("identifier", required=True)


class Authenticated(Message, frozen=True, kw_only=True):
    """A client over TLS; whether it needs a certificate is its listener's to say.

    ``principal_name`` is looked for among the URIs and DNS names of its certificate, and is compared with the
    subject.
    """

    proto: ClassVar[str] = "envoy.config.rbac.v3.Principal.Authenticated"

    principal_name: StringMatcher | None = None


class Set(Message, frozen=True, kw_only=True):
    """Several principals."""

    proto: ClassVar[str] = "envoy.config.rbac.v3.Principal.Set"

    ids: Annotated[tuple["Principal", ...], Meta(min_length=1)]


class Principal(Message, frozen=True, kw_only=True):
    """One kind of client. ``direct_remote_ip`` is the socket's, ``remote_ip`` may be a PROXY header's.

    ``source_ip`` is the old name of ``remote_ip``. ``any`` can only be true.
    """

    proto: ClassVar[str] = "envoy.config.rbac.v3.Principal"

    and_ids: Annotated[Set | None, _IDENTIFIER] = None
    or_ids: Annotated[Set | None, _IDENTIFIER] = None
    any: Annotated[bool | None, _IDENTIFIER] = None
    authenticated: Annotated[Authenticated | None, _IDENTIFIER] = None
    source_ip: Annotated[CidrRange | None, _IDENTIFIER] = None
    direct_remote_ip: Annotated[CidrRange | None, _IDENTIFIER] = None
    remote_ip: Annotated[CidrRange | None, _IDENTIFIER] = None
    not_id: Annotated["Principal | None", _IDENTIFIER] = None
