"""Which filter chain a connection goes through: Envoy's order of specificity as a tree of look-ups.

Each level asks one thing and takes the most specific entry that fits; as in Envoy there is no way back: where
the next level has nothing for the connection, it has no chain but the default one.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from proxyd.config.core import PIPE, CidrRange
from proxyd.config.listener import ConnectionSourceType, FilterChainMatch


class DuplicateMatchError(ValueError):
    """Two chains are for the same connections; ``first`` and ``second`` are their indexes."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(first, second)
        self.first: Final = first
        self.second: Final = second


class ConnectionFacts:
    """What a chain can be chosen by. Addresses are IPs without ports; a server name is in lower case.

    ``restored``: the local address is not the socket's but where the client meant to go.
    """

    __slots__ = (
        "application_protocols",
        "direct_remote_ip",
        "local_ip",
        "local_port",
        "remote_ip",
        "remote_port",
        "restored",
        "server_name",
        "transport_protocol",
    )

    def __init__(self, local_ip: str, local_port: int, remote_ip: str, remote_port: int) -> None:
        self.local_ip: str = local_ip
        self.local_port: int = local_port
        self.remote_ip: str = remote_ip
        self.remote_port: int = remote_port
        self.direct_remote_ip: Final = remote_ip  # the others may be what a PROXY header says
        self.restored: bool = False
        self.server_name: str = ""
        self.transport_protocol: str = "raw_buffer"  # or "tls"
        self.application_protocols: Sequence[str] = ()


# A level's keys: of one block its family and size as bits and its number shifted, else a text or a number.
_Block = tuple[int, int, int]
_EVERYWHERE: Final[list[_Block]] = [(4, 32, 0), (6, 128, 0)]
# As in Envoy, what stands for a Unix domain socket: in no block that anybody would name.
_NOWHERE: Final = ipaddress.ip_address("255.255.255.255")
_ANY: Final = ConnectionSourceType.ANY.value
_LOCAL: Final = ConnectionSourceType.SAME_IP_OR_LOOPBACK.value
_EXTERNAL: Final = ConnectionSourceType.EXTERNAL.value


class _Blocks:
    """Blocks of addresses, and what belongs to each; the smallest that holds an address is found."""

    __slots__ = ("nodes", "shifts")

    def __init__(self) -> None:
        self.nodes: Final[dict[_Block, _Node]] = {}
        self.shifts: Final[dict[int, list[int]]] = {4: [], 6: []}  # by family, smallest blocks first

    def node(self, block: _Block) -> "_Node":
        found = self.nodes.get(block)
        if found is None:
            found = self.nodes[block] = _Node()
            shifts = self.shifts[block[0]]
            if block[1] not in shifts:
                shifts.append(block[1])
                shifts.sort()
        return found

    def find(self, text: str) -> "_Node | None":
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            address = _NOWHERE
        number = int(address)
        for shift in self.shifts[address.version]:
            found = self.nodes.get((address.version, shift, number >> shift))
            if found is not None:
                return found
        return None


class _Node:
    """One level, or the end: which of its members is used depends on the depth."""

    __slots__ = ("blocks", "chain", "numbers", "texts")

    def __init__(self) -> None:
        self.chain: int = -1
        self.blocks: Final = _Blocks()
        self.texts: Final[dict[str, _Node]] = {}
        self.numbers: Final[dict[int, _Node]] = {}

    def text(self, key: str) -> "_Node":
        found = self.texts.get(key)
        if found is None:
            found = self.texts[key] = _Node()
        return found

    def number(self, key: int) -> "_Node":
        found = self.numbers.get(key)
        if found is None:
            found = self.numbers[key] = _Node()
        return found


class FilterChainIndex:
    """All chains of a listener by what they match."""

    def __init__(self, matches: Sequence[FilterChainMatch | None]) -> None:
        """``matches`` in the chains' order. Raises DuplicateMatchError."""
        self._root: Final = _Node()
        for index, match in enumerate(matches):
            self._add(index, match or FilterChainMatch())
        # Nothing has to be known of a connection where every one goes the same way.
        self.single: Final[bool] = len(matches) == 1 and matches[0] in (None, FilterChainMatch())
        self.needs_client_hello: Final[bool] = any(
            match is not None
            and bool(match.server_names or match.transport_protocol or match.application_protocols)
            for match in matches
        )

    def _add(self, index: int, match: FilterChainMatch) -> None:
        nodes = [self._root.number(match.destination_port or 0)]
        nodes = [node.blocks.node(block) for node in nodes for block in _blocks(match.prefix_ranges)]
        names = [name.lower().removeprefix("*") for name in match.server_names] or [""]
        nodes = [node.text(name) for node in nodes for name in names]
        nodes = [node.text(match.transport_protocol) for node in nodes]
        nodes = [node.text(name) for node in nodes for name in match.application_protocols or ("",)]
        direct = _blocks(match.direct_source_prefix_ranges)
        nodes = [node.blocks.node(block) for node in nodes for block in direct]
        nodes = [node.number(match.source_type.value) for node in nodes]
        nodes = [node.blocks.node(block) for node in nodes for block in _blocks(match.source_prefix_ranges)]
        nodes = [node.number(port) for node in nodes for port in match.source_ports or (0,)]
        for node in nodes:
            if node.chain >= 0 and node.chain != index:
                raise DuplicateMatchError(node.chain, index)
            node.chain = index

    def find(self, facts: ConnectionFacts) -> int:
        """The index of the chain for a connection, or -1."""
        node = self._root.numbers.get(facts.local_port) or self._root.numbers.get(0)
        if node is not None:
            node = node.blocks.find(facts.local_ip)
        if node is not None:
            node = _by_server_name(node.texts, facts.server_name)
        if node is not None:
            node = node.texts.get(facts.transport_protocol) or node.texts.get("")
        if node is not None:
            node = _by_protocol(node.texts, facts.application_protocols)
        if node is not None:
            node = node.blocks.find(facts.direct_remote_ip)
        if node is not None:
            node = _by_source_type(node.numbers, facts)
        if node is not None:
            node = node.blocks.find(facts.remote_ip)
        if node is not None:
            node = node.numbers.get(facts.remote_port) or node.numbers.get(0)
        return -1 if node is None else node.chain


def _blocks(ranges: Sequence[CidrRange]) -> list[_Block]:
    blocks: list[_Block] = []
    for block in ranges:
        address = ipaddress.ip_address(block.address_prefix)
        shift = max(0, address.max_prefixlen - (block.prefix_len or 0))
        blocks.append((address.version, shift, int(address) >> shift))
    return blocks or _EVERYWHERE


def _by_server_name(names: dict[str, _Node], name: str) -> _Node | None:
    found = names.get(name)
    dot = name.find(".", 1)
    while found is None and 0 < dot < len(name) - 1:
        found = names.get(name[dot:])
        dot = name.find(".", dot + 1)
    return names.get("") if found is None else found


def _by_protocol(protocols: dict[str, _Node], offered: Sequence[str]) -> _Node | None:
    for protocol in offered:
        found = protocols.get(protocol)
        if found is not None:
            return found
    return protocols.get("")


def _by_source_type(types: dict[int, _Node], facts: ConnectionFacts) -> _Node | None:
    local = facts.remote_port == PIPE or facts.remote_ip == facts.local_ip or _is_loopback(facts.remote_ip)
    return types.get(_LOCAL if local else _EXTERNAL) or types.get(_ANY)


def _is_loopback(text: str) -> bool:
    return text in ("127.0.0.1", "::1")  # as in Envoy, no other address of 127.0.0.0/8 is one
