"""Memory that processes share on Windows: sections of the paging file, by names that nobody can guess.

A section lives as long as anybody holds it, so that nothing is left behind however processes end. Its name is
what it is mapped by; the handle, which travels to whoever it is lent, is what keeps it.
"""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import _winapi
import mmap
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from proxyd.system import _windows_api as api

# What the owner may do with sealed memory: everything but writing.
_NO_WRITING = "0x000F0005"  # STANDARD_RIGHTS_REQUIRED, SECTION_QUERY, SECTION_MAP_READ


class Section(NamedTuple):
    name: str
    size: int


# By handle: all that this process holds. A handle alone does not tell the name.
sections: dict[int, Section] = {}


def create_memory(name: str, size: int) -> int:
    return _create(name, size, api.OwnerOnly())


def create_sealed_memory(name: str, content: bytes) -> int:
    size = max(1, len(content))
    handle = _create(name, size, api.OwnerOnly(_NO_WRITING))
    sections[handle] = Section(sections[handle].name, len(content))
    # The handle that made it may write; all others map it by its name, and that asks for permission.
    api.write_mapping(handle, content)
    return handle


def _create(name: str, size: int, allowed: api.OwnerOnly) -> int:
    full = f"Local\\{name}-{secrets.token_hex(16)}"
    handle = api.create_mapping(full, size, allowed)
    sections[handle] = Section(full, size)
    return handle


def map_memory(descriptor: int) -> mmap.mmap:
    section = sections[descriptor]
    try:
        return mmap.mmap(-1, section.size, tagname=section.name)
    except PermissionError:
        return mmap.mmap(-1, section.size, tagname=section.name, access=mmap.ACCESS_READ)


def read_memory(descriptor: int) -> bytes:
    section = sections[descriptor]
    if not section.size:
        return b""
    with mmap.mmap(-1, section.size, tagname=section.name, access=mmap.ACCESS_READ) as mapped:
        return mapped[:]


@contextmanager
def private_file(content: bytes) -> Iterator[str]:
    path = os.path.join(tempfile.gettempdir(), f"proxyd-{secrets.token_hex(16)}")
    handle = api.open_for_one_writer(path, api.OwnerOnly())
    try:
        _winapi.WriteFile(handle, content)
    finally:
        api.close(handle)
    try:
        yield path
    finally:
        os.unlink(path)
