"""Names of header fields as peers with a memory of their own want them: ``Content-Type``.

Names are lower-case everywhere else; only what is about to be sent is changed, as a whole.
"""

import re
from typing import Final

_NAME: Final = re.compile(rb"^([^\r\n:]*):", re.MULTILINE)
# Envoy's ProperCaseWords: the first letter, and each letter behind what is neither letter nor digit.
_LETTER: Final = re.compile(rb"(?:^|[^a-z0-9])[a-z]")
_LIMIT: Final = 1024
_KNOWN: Final[dict[bytes, bytes]] = {}


def proper_case(head: bytes) -> bytes:
    """A serialized head, the names of its fields in proper case. As in Envoy, trailers have no such form."""
    end = head.find(b"\r\n")
    return head[:end] + _NAME.sub(_proper, head[end:])


def _proper(found: re.Match[bytes]) -> bytes:
    name = found.group()
    proper = _KNOWN.get(name)
    if proper is None:
        proper = _LETTER.sub(_upper, name)
        if len(_KNOWN) >= _LIMIT:
            _KNOWN.clear()
        _KNOWN[name] = proper
    return proper


def _upper(found: re.Match[bytes]) -> bytes:
    return found.group().upper()
