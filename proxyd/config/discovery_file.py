"""A file of resources: a DiscoveryResponse in YAML or JSON, bound resource by resource.

A text that cannot be read as what it claims to be is no answer at all; of one that can, each resource is good
or bad by itself, and bad ones come with every mistake in them.
"""

import gc
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Final, NamedTuple

import msgspec

from proxyd.config import facts
from proxyd.config.binding import TYPE_KEY, bind
from proxyd.config.cluster import Cluster, ClusterLoadAssignment
from proxyd.config.finding import Finding
from proxyd.config.listener import Listener
from proxyd.config.load import findings_as_mistakes
from proxyd.config.look import Looks, look_first
from proxyd.config.message import COMPUTED, Message
from proxyd.config.mistakes import NOT_SUPPORTED, ConfigErrors, Mistake, quote
from proxyd.config.nodes import Mapping as MappingNode
from proxyd.config.nodes import Node, Scalar, Sequence, TextError, parse
from proxyd.config.reading import describe, is_null
from proxyd.config.route import RouteConfiguration
from proxyd.config.sources import read_text
from proxyd.config.tls import Secret

RESOURCES: Final = "resources"
MAX_RESOURCES: Final = 100_000
# By the message's full name: what the name of a resource is kept in.
_NAMES: Final[dict[type[Message], str]] = {
    Listener: "name",
    Cluster: "name",
    RouteConfiguration: "name",
    ClusterLoadAssignment: "cluster_name",
    Secret: "name",
}
_BY_PROTO: Final = {struct.proto: struct for struct in _NAMES}


class ControlPlane(Message, frozen=True, kw_only=True):
    """Who wrote it."""

    proto: ClassVar[str] = "envoy.config.core.v3.ControlPlane"

    identifier: str = ""


class DiscoveryResponse(Message, frozen=True, kw_only=True):
    """What stands around the resources."""

    proto: ClassVar[str] = "envoy.service.discovery.v3.DiscoveryResponse"

    version_info: str = ""
    canary: bool = False
    type_url: str = ""
    nonce: str = ""
    control_plane: ControlPlane | None = None
    resources: Annotated[tuple[int, ...], COMPUTED] = ()


class Found(msgspec.Struct, frozen=True):
    """One resource of a file. ``mistakes`` is empty where it can be used."""

    name: str
    message: Message
    mistakes: tuple[Mistake, ...]
    node: Node
    path: str  # where it stands in the file: "resources[3]"
    strange: bool = False  # of another kind: nothing is known of it

    def blamed(self, findings: Iterable[Finding]) -> "Found":
        """With mistakes of the whole; their paths begin with that of the resource."""
        more = findings_as_mistakes(findings, self.node, self.mistakes, self.path)
        return msgspec.structs.replace(self, mistakes=(*self.mistakes, *more))

    def refused(self, message: str, field: str = "") -> "Found":
        """With one more mistake, about one of its fields or as a whole."""
        return self.blamed([Finding(f"{self.path}.{field}" if field else self.path, message)])


class WrongKindError(ConfigErrors):
    """A file that can be read and holds something else than what is asked for."""


class Response(NamedTuple):
    """What a file holds."""

    version_info: str
    found: tuple[Found, ...]


def read_response(
    path: str,
    wanted: type[Message],
    environment: Mapping[str, str] | None = None,
    looks: Looks | None = None,
) -> Response:
    """Read and bind; blocking. ``looks`` takes what this file and those it names were before.

    Raises ConfigErrors where the text cannot be read, WrongKindError where what it holds is of another kind.
    """
    look_first(path, looks)
    text = read_text(path)
    collecting = gc.isenabled()
    gc.disable()  # as in load: objects without end, and no garbage
    try:
        root = parse(text.text, text.name)
        return _Reader(wanted, os.environ if environment is None else environment, looks).response(root)
    except TextError as error:
        raise ConfigErrors([error.mistake]) from None
    finally:
        if collecting:
            gc.enable()


class _Reader:
    def __init__(self, wanted: type[Message], environment: Mapping[str, str], looks: Looks | None) -> None:
        self._wanted: Final = wanted
        self._environment: Final = environment
        self._looks: Final = looks

    def response(self, root: Node) -> Response:
        if not isinstance(root, MappingNode):
            raise ConfigErrors([_mistake(root, "", f"expected a mapping, got {describe(root)}")])
        frame = MappingNode(root.source, root.line, root.column)
        lists: list[tuple[Scalar, Node]] = []
        for key, child in root.entries:
            if key.text == RESOURCES:
                lists.append((key, child))
            else:
                frame.entries.append((key, child))
        if len(lists) > 1:
            raise ConfigErrors(
                [_mistake(lists[1][0], RESOURCES, f"set twice: already in line {lists[0][0].line}")]
            )
        made, mistakes = bind(DiscoveryResponse, frame, self._environment)
        assert isinstance(made, DiscoveryResponse)
        found = [self._found(item, f"{RESOURCES}[{index}]") for index, item in enumerate(_items(lists))]
        every = [*mistakes, *(mistake for each in found for mistake in each.mistakes)]
        # A key beside the resources that is none spoils the file as a whole: nobody knows what was meant.
        if mistakes or any(mistake.unreadable for mistake in every):
            raise ConfigErrors(sorted(every, key=lambda each: (each.line, each.column)))
        if any(each.strange for each in found):
            raise WrongKindError(every)
        return Response(made.version_info, tuple(found))

    def _found(self, node: Node, path: str) -> Found:
        wanted = self._wanted
        blank, _ = bind(wanted, MappingNode(node.source, node.line, node.column), self._environment)
        if not isinstance(node, MappingNode):
            mistake = _mistake(node, path, f"expected a mapping with {TYPE_KEY}, got {describe(node)}")
            return Found("", blank, (mistake,), node, path)
        inner = MappingNode(node.source, node.line, node.column)
        urls: list[Node] = []
        for key, child in node.entries:
            if key.text == TYPE_KEY:
                urls.append(child)
            else:
                inner.entries.append((key, child))
        if wrong := self._wrong_type(node, urls, path):
            return Found(_text(inner, _NAMES[wanted]), blank, (wrong,), node, path, strange=True)
        message, mistakes = bind(wanted, inner, self._environment, path, self._looks)
        mistakes.sort(key=lambda each: (each.line, each.column))
        return Found(getattr(message, _NAMES[wanted]), message, tuple(mistakes), node, path)

    def _wrong_type(self, node: Node, urls: list[Node], path: str) -> Mistake | None:
        wanted = self._wanted.proto
        if not urls:
            return _mistake(node, path, f"{TYPE_KEY} is required: type.googleapis.com/{wanted}")
        url = urls[0]
        if len(urls) > 1:
            return _mistake(urls[1], path, f"{TYPE_KEY}: set twice: already in line {url.line}")
        if not isinstance(url, Scalar):
            return _mistake(url, path, f"{TYPE_KEY}: expected a type URL, got {describe(url)}")
        host, _, proto = url.text.rpartition("/")
        if proto == wanted and host:
            return None
        if not host:
            return _mistake(url, path, f"{TYPE_KEY}: a type URL begins with type.googleapis.com/")
        if proto in _BY_PROTO:
            return _mistake(url, path, f"{proto} cannot stand here (expected: {wanted})", False)
        if facts.is_message(proto):
            return _mistake(url, path, f"{proto} is {NOT_SUPPORTED} here (expected: {wanted})", False)
        near = facts.nearest_message(proto)
        return _mistake(url, path, f"unknown type {proto}" + (f" (did you mean {near}?)" if near else ""))


def duplicates(found: Iterable[Found], what: str) -> list[Found]:
    """The resources, each that has a name an earlier one has with a mistake that says so."""
    first: dict[str, Found] = {}
    told: list[Found] = []
    for each in found:
        before = first.setdefault(each.name, each) if each.name else each
        if before is not each:
            told.append(each.refused(f"duplicate {what} {quote(each.name)}: {before.path} has it", "name"))
        else:
            told.append(each)
    return told


def _items(lists: list[tuple[Scalar, Node]]) -> list[Node]:
    if not lists or is_null(lists[0][1]):
        return []
    node = lists[0][1]
    items = node.items if isinstance(node, Sequence) else [node]
    if len(items) > MAX_RESOURCES:
        raise ConfigErrors([_mistake(node, RESOURCES, f"more than {MAX_RESOURCES} resources")])
    return items


def _text(node: MappingNode, name: str) -> str:
    return next(
        (child.text for key, child in node.entries if key.text == name and isinstance(child, Scalar)), ""
    )


def _mistake(node: Node, path: str, message: str, unreadable: bool = True) -> Mistake:
    return Mistake(node.source, node.line, node.column, path, message, unreadable)
