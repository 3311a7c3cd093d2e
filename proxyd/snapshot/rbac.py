"""RBAC in its compiled form: who may do what, asked of a connection. Envoy: config.rbac.v3."""

from typing import Final

from proxyd.codec.certificate import DNS, URI
from proxyd.config.core import CidrRange
from proxyd.config.rbac import RBAC, Action
from proxyd.config.rbac_permission import Int32Range, Permission
from proxyd.config.rbac_principal import Authenticated, Principal
from proxyd.filters.connection_info import ConnectionInfo
from proxyd.snapshot.forwarding import AddressRanges
from proxyd.snapshot.matchers import StringMatcher
from proxyd.snapshot.route_conditions import compile_string
from proxyd.snapshot.sources import port_of, without_port


class Rule:
    """One question about a connection."""

    def matches(self, info: ConnectionInfo) -> bool:
        """Whether it is so."""
        raise NotImplementedError


class Anything(Rule):
    """Every connection."""

    def matches(self, info: ConnectionInfo) -> bool:
        return True


class AllOf(Rule):
    """Several at once."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules: Final = rules

    def matches(self, info: ConnectionInfo) -> bool:
        return all(rule.matches(info) for rule in self._rules)


class AnyOf(Rule):
    """One of several."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules: Final = rules

    def matches(self, info: ConnectionInfo) -> bool:
        return any(rule.matches(info) for rule in self._rules)


class Not(Rule):
    """The opposite."""

    def __init__(self, rule: Rule) -> None:
        self._rule: Final = rule

    def matches(self, info: ConnectionInfo) -> bool:
        return not self._rule.matches(info)


# Whose address is looked at.
_REMOTE: Final = 0
_DIRECT_REMOTE: Final = 1
_LOCAL: Final = 2


class InBlock(Rule):
    """An address is in a block."""

    def __init__(self, block: CidrRange, whose: int) -> None:
        self._blocks: Final = AddressRanges((block,))
        self._whose: Final = whose

    def matches(self, info: ConnectionInfo) -> bool:
        if self._whose == _REMOTE:
            address = info.remote_address
        elif self._whose == _DIRECT_REMOTE:
            address = info.direct_remote_address
        else:
            address = info.local_address
        return self._blocks.holds(without_port(address) or "")


class PortIn(Rule):
    """The connection has come to one of these ports."""

    def __init__(self, start: int, end: int) -> None:
        """``end`` is not one of them any more."""
        self._start: Final = start
        self._end: Final = end

    def matches(self, info: ConnectionInfo) -> bool:
        port = port_of(info.local_address)
        return port is not None and self._start <= port < self._end


class ServerName(Rule):
    """The name that was asked for in TLS."""

    def __init__(self, name: StringMatcher) -> None:
        self._name: Final = name

    def matches(self, info: ConnectionInfo) -> bool:
        return self._name.matches(info.server_name.encode())


class Certified(Rule):
    """A client over TLS, as its listener lets clients in; of a certificate's name where one is asked for."""

    def __init__(self, name: StringMatcher | None) -> None:
        self._name: Final = name

    def matches(self, info: ConnectionInfo) -> bool:
        tls = info.tls
        name = self._name
        if name is None or tls is None:
            return tls is not None
        peer = tls.peer
        if peer is None:
            return False
        names = [*peer.names_of(URI), *peer.names_of(DNS), peer.subject]
        return any(name.matches(each.encode()) for each in names)


class Policy:
    """Any of the principals and any of the permissions."""

    def __init__(self, name: str, permission: Rule, principal: Rule) -> None:
        self.name: Final = name
        self._permission: Final = permission
        self._principal: Final = principal

    def matches(self, info: ConnectionInfo) -> bool:
        return self._permission.matches(info) and self._principal.matches(info)


class Rbac:
    """Decides about connections."""

    def __init__(self, config: RBAC) -> None:
        """Raises RegexError."""
        self._allows: Final[bool] = config.action is Action.ALLOW
        # As in Envoy, they are asked in the order of their names.
        self._policies: Final = [
            Policy(
                name,
                AnyOf([_permission(each) for each in policy.permissions]),
                AnyOf([_principal(each) for each in policy.principals]),
            )
            for name, policy in sorted(config.policies.items())
        ]

    def find(self, info: ConnectionInfo) -> str:
        """The policy that matches a connection; empty for none."""
        for policy in self._policies:
            if policy.matches(info):
                return policy.name
        return ""

    def allows(self, policy: str) -> bool:
        """Whether a connection may go on that ``find`` has said this of."""
        return bool(policy) == self._allows


def _permission(config: Permission) -> Rule:
    if config.and_rules is not None:
        return AllOf([_permission(each) for each in config.and_rules.rules])
    if config.or_rules is not None:
        return AnyOf([_permission(each) for each in config.or_rules.rules])
    if config.not_rule is not None:
        return Not(_permission(config.not_rule))
    if config.destination_ip is not None:
        return InBlock(config.destination_ip, _LOCAL)
    if config.destination_port is not None:
        return PortIn(config.destination_port, config.destination_port + 1)
    if config.destination_port_range is not None:
        return _port_range(config.destination_port_range)
    if config.requested_server_name is not None:
        return ServerName(compile_string(config.requested_server_name))
    return Anything()


def _port_range(config: Int32Range) -> Rule:
    return PortIn(config.start, config.end)


def _principal(config: Principal) -> Rule:
    if config.and_ids is not None:
        return AllOf([_principal(each) for each in config.and_ids.ids])
    if config.or_ids is not None:
        return AnyOf([_principal(each) for each in config.or_ids.ids])
    if config.not_id is not None:
        return Not(_principal(config.not_id))
    if config.authenticated is not None:
        return _authenticated(config.authenticated)
    if config.direct_remote_ip is not None:
        return InBlock(config.direct_remote_ip, _DIRECT_REMOTE)
    block = config.remote_ip or config.source_ip
    return Anything() if block is None else InBlock(block, _REMOTE)


def _authenticated(config: Authenticated) -> Rule:
    name = config.principal_name
    return Certified(None if name is None else compile_string(name))
