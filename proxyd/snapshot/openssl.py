"""What OpenSSL can do and Python's ``ssl`` does not offer, reached through ``ctypes``.

CPython keeps the pointer of a context or buffer right behind the head of its object, and the library's
functions can be called where it is linked dynamically. Where either is not so, nothing here is available, and
a setting that needs it is refused by name.
"""

import ctypes
import functools
import ssl
import sys
from typing import Any, Final

from proxyd.system import native

_SET_TICKET_KEYS: Final = 59  # SSL_CTRL_SET_TLSEXT_TICKET_KEYS
_SET_GROUPS_LIST: Final = 92  # SSL_CTRL_SET_GROUPS_LIST
_SET_SIGNATURES_LIST: Final = 98  # SSL_CTRL_SET_SIGALGS_LIST
_SET_CACHE_MODE: Final = 44  # SSL_CTRL_SET_SESS_CACHE_MODE
_SET_BUFFER: Final = 114  # BIO_C_SET_BUF_MEM
_OWNED: Final = 1  # BIO_CLOSE
_VERIFY_PEER: Final = 1
_VERIFY_FAIL_IF_NO_CERTIFICATE: Final = 2
_KNOWN: Final = ((3, 11), (3, 14))  # versions whose objects are laid out like that

TICKET_KEY_BYTES: Final = 80

_VerifyCallback: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


@functools.cache
def _libraries() -> Any:
    """That of TLS and the one below it; None where they cannot be reached."""
    if sys.implementation.name != "cpython" or not _KNOWN[0] <= sys.version_info[:2] <= _KNOWN[1]:
        return None
    if not ssl.OPENSSL_VERSION.startswith("OpenSSL") or ssl.OPENSSL_VERSION_INFO < (1, 1, 1):
        return None
    try:
        import _ssl

        # A static build has no such files, or exports nothing.
        above, below = native.openssl_libraries(_ssl.__file__)
        library, memory = ctypes.CDLL(above), ctypes.CDLL(below)
        library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
        library.SSL_CTX_ctrl.restype = ctypes.c_long
        library.SSL_CTX_set_verify.argtypes = (ctypes.c_void_p, ctypes.c_int, _VerifyCallback)
        library.SSL_CTX_set_verify.restype = None
        library.SSL_CTX_set_verify_depth.argtypes = (ctypes.c_void_p, ctypes.c_int)
        library.SSL_CTX_set_verify_depth.restype = None
        library.SSL_CTX_set_ciphersuites.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        library.SSL_CTX_set_ciphersuites.restype = ctypes.c_int
        library.SSL_CTX_set_timeout.argtypes = (ctypes.c_void_p, ctypes.c_long)
        library.SSL_CTX_set_timeout.restype = ctypes.c_long
        memory.BUF_MEM_new.argtypes = ()
        memory.BUF_MEM_new.restype = ctypes.c_void_p
        memory.BIO_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
        memory.BIO_ctrl.restype = ctypes.c_long
    except (ImportError, OSError, AttributeError):
        return None
    return library, memory


def available() -> bool:
    """Whether the functions of this module work; else they raise RuntimeError."""
    return _libraries() is not None


def _reach(holder: ssl.SSLContext | ssl.MemoryBIO) -> tuple[Any, int]:
    libraries = _libraries()
    if libraries is None:
        raise RuntimeError("OpenSSL cannot be reached")
    pointer = ctypes.c_void_p.from_address(id(holder) + object.__basicsize__).value
    if not pointer:
        raise RuntimeError("OpenSSL cannot be reached")
    return libraries[isinstance(holder, ssl.MemoryBIO)], pointer


def set_ticket_key(context: ssl.SSLContext, key: bytes) -> None:
    """Seal session tickets with ``key`` (80 bytes), and accept those alone that are sealed with it."""
    library, pointer = _reach(context)
    assert len(key) == TICKET_KEY_BYTES
    library.SSL_CTX_ctrl(pointer, _SET_TICKET_KEYS, TICKET_KEY_BYTES, key)


def set_groups(context: ssl.SSLContext, names: list[str]) -> bool:
    """The curves for key exchange, preferred ones first; False where one is unknown."""
    library, pointer = _reach(context)
    return bool(library.SSL_CTX_ctrl(pointer, _SET_GROUPS_LIST, 0, ":".join(names).encode()) == 1)


def set_tls13_ciphers(context: ssl.SSLContext, names: str) -> None:
    """The ciphers of TLS 1.3, preferred ones first, joined by colons."""
    library, pointer = _reach(context)
    library.SSL_CTX_set_ciphersuites(pointer, names.encode())


def set_signatures(context: ssl.SSLContext, names: list[str]) -> bool:
    """The signature algorithms; False where one is unknown."""
    library, pointer = _reach(context)
    return bool(library.SSL_CTX_ctrl(pointer, _SET_SIGNATURES_LIST, 0, ":".join(names).encode()) == 1)


def set_verify_depth(context: ssl.SSLContext, depth: int) -> None:
    """How many authorities may stand between the peer's certificate and a trusted one."""
    library, pointer = _reach(context)
    library.SSL_CTX_set_verify_depth(pointer, depth)


def set_session_timeout(context: ssl.SSLContext, seconds: int) -> None:
    """How long a session can be resumed."""
    library, pointer = _reach(context)
    library.SSL_CTX_set_timeout(pointer, seconds)


def turn_off_session_cache(context: ssl.SSLContext) -> None:
    """Keep no sessions on this side; those of tickets still work."""
    library, pointer = _reach(context)
    library.SSL_CTX_ctrl(pointer, _SET_CACHE_MODE, 0, None)


def release_memory(buffer: ssl.MemoryBIO) -> None:
    """Give back what an empty ``buffer`` keeps: else the memory that its largest content has ever taken.

    Does nothing where OpenSSL cannot be reached, or there is content.
    """
    if buffer.pending or _libraries() is None:
        return
    library, pointer = _reach(buffer)
    fresh = library.BUF_MEM_new()
    if fresh:
        library.BIO_ctrl(pointer, _SET_BUFFER, _OWNED, fresh)


def _say_yes(_good: int, _store: int) -> int:
    return 1


_accept: Final = _VerifyCallback(_say_yes)  # OpenSSL keeps its address: it must never go


def accept_any_certificate(context: ssl.SSLContext, required: bool) -> None:
    """Of a server: ask clients for a certificate and take whatever they show."""
    library, pointer = _reach(context)
    mode = _VERIFY_PEER | (_VERIFY_FAIL_IF_NO_CERTIFICATE if required else 0)
    library.SSL_CTX_set_verify(pointer, mode, _accept)
