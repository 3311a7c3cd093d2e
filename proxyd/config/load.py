"""The way from an operator's text to a Bootstrap: gather, parse, merge, bind, check.

All mistakes are told at once. Only where a later step cannot work on what an earlier one left does it stop: a
text that is no YAML has no fields to look at.
"""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from proxyd.config.binding import bind
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.checks import check
from proxyd.config.finding import Finding
from proxyd.config.look import Looks
from proxyd.config.merging import merge
from proxyd.config.mistakes import ConfigErrors, Mistake
from proxyd.config.nodes import Node, TextError, parse
from proxyd.config.places import lineage, locate
from proxyd.config.sources import Sources, Text, gather

__all__ = ["ConfigErrors", "Loaded", "Mistake", "Sources", "load", "load_text"]


Checks = Callable[[Bootstrap], Iterable[Finding]]


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that can run. ``origin`` is its path, or ``embedded default``, ``command line``...

    ``looks``: what the files that it names were before they were read.
    """

    bootstrap: Bootstrap
    origin: str
    looks: Looks


def load(
    sources: Sources, environment: Mapping[str, str] | None = None, further: Checks | None = None
) -> Loaded:
    """Read and check a configuration; blocking, for files are read. The environment is the process's own.

    ``further`` finds mistakes that this room cannot know of.

    Raises ConfigErrors with every mistake.
    """
    text, overlay = gather(sources)
    looks: Looks = {}
    return Loaded(load_text(text, overlay, environment, further, looks), text.name, looks)


def load_text(
    text: Text,
    overlay: Text | None = None,
    environment: Mapping[str, str] | None = None,
    further: Checks | None = None,
    looks: Looks | None = None,
) -> Bootstrap:
    """Like ``load`` for a text that is at hand; ``looks`` takes what its files were before."""
    with _collector_paused():
        return _load(text, overlay, os.environ if environment is None else environment, further, looks)


def _load(
    text: Text,
    overlay: Text | None,
    environment: Mapping[str, str],
    further: Checks | None,
    looks: Looks | None,
) -> Bootstrap:
    trees: list[Node] = []
    broken: list[Mistake] = []
    for part in (text, overlay) if overlay else (text,):
        try:
            trees.append(parse(part.text, part.name))
        except TextError as error:
            broken.append(error.mistake)
    if broken:
        raise ConfigErrors(broken)
    root = trees[0] if len(trees) == 1 else merge(Bootstrap, *trees)
    bootstrap, mistakes = bind(Bootstrap, root, environment, looks=looks)
    assert isinstance(bootstrap, Bootstrap)
    fields = tuple(mistakes)
    mistakes += findings_as_mistakes(check(bootstrap), root, fields)
    if further is not None:
        mistakes += findings_as_mistakes(further(bootstrap), root, fields)
    if mistakes:
        order = {text.name: 0}
        mistakes.sort(key=lambda mistake: (order.get(mistake.file, 1), mistake.line, mistake.column))
        raise ConfigErrors(mistakes)
    return bootstrap


def findings_as_mistakes(
    findings: Iterable[Finding], root: Node, known: Iterable[Mistake], root_path: str = ""
) -> Iterator[Mistake]:
    """Mistakes of the whole, but for those that follow from a mistake of a field, which are ``known``.

    ``root`` stands at ``root_path``, with which all paths begin.
    """
    mistaken = {mistake.path for mistake in known}
    above = {ancestor for path in mistaken for ancestor in lineage(path)}
    for finding in findings:
        path = finding.path
        if path in above or not mistaken.isdisjoint(lineage(path)) or not above.isdisjoint(finding.rests_on):
            continue
        node = locate(root, path[len(root_path) :])
        yield Mistake(node.source, node.line, node.column, path, finding.message)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A large file makes a million objects and no garbage: the search for some takes longer than loading."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
