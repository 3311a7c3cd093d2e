"""The smallest Windows library that passes one function on to another library's."""

import struct
from typing import Final

_PAGE: Final = 0x1000  # where the one section is loaded
_FILE_UNIT: Final = 0x200
_MACHINE_AMD64: Final = 0x8664
_CHARACTERISTICS: Final = 0x2022  # executable, large addresses, library
_PE32_PLUS: Final = 0x20B
_READABLE_DATA: Final = 0x40000040


def forwarder_dll(library: str, function: str, target: str) -> bytes:
    """``library`` (a file name) with one export, ``function``, that is ``target`` ("LIBRARY.Function").

    The loader finds a forwarder by its address: it points into the export directory, at the target's name.
    """
    exports = _export_directory(library.encode(), function.encode(), target.encode())
    headers = _headers(len(exports))
    return headers.ljust(_FILE_UNIT, b"\0") + exports.ljust(_FILE_UNIT, b"\0")


def _export_directory(library: bytes, function: bytes, target: bytes) -> bytes:
    """IMAGE_EXPORT_DIRECTORY, its three tables of one entry each, its strings."""
    directory = struct.Struct("<IIHHIIIIIII")
    functions = _PAGE + directory.size
    names = functions + 4
    ordinals = names + 4
    library_at = ordinals + 2
    function_at = library_at + len(library) + 1
    target_at = function_at + len(function) + 1
    head = directory.pack(0, 0, 0, 0, library_at, 1, 1, 1, functions, names, ordinals)
    tables = struct.pack("<IIH", target_at, function_at, 0)
    return head + tables + b"".join(text + b"\0" for text in (library, function, target))


def _headers(size: int) -> bytes:
    """MS-DOS stub, COFF header, optional header with one data directory in use, one section."""
    if size > _FILE_UNIT:
        raise ValueError("names so long that they do not fit into a section of one unit")
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    directories = struct.pack("<II", _PAGE, size) + bytes(15 * 8)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        _PE32_PLUS, 14, 0,  # linker version
        0, _FILE_UNIT, 0, 0, _PAGE,  # code, data, bss, entry point (none), base of code
        0x180000000, _PAGE, _FILE_UNIT,  # preferred address, alignment in memory and in the file
        6, 0, 0, 0, 6, 0, 0,  # Windows Vista or later
        2 * _PAGE, _FILE_UNIT, 0,  # size in memory, of headers, checksum
        2, 0x160,  # subsystem; addresses may be others, data is not executed
        0x100000, 0x1000, 0x100000, 0x1000, 0, 16,  # stack, heap, number of directories
    )  # fmt: skip
    optional += directories
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", _MACHINE_AMD64, 1, 0, 0, 0, len(optional), _CHARACTERISTICS)
    section = struct.pack(
        "<8sIIIIIIHHI", b".edata", size, _PAGE, _FILE_UNIT, _FILE_UNIT, 0, 0, 0, 0, _READABLE_DATA
    )
    return dos + coff + optional + section
