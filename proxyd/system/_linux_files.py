"""The run directory on Linux: private directories, locks, and control sockets inside them."""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import asyncio
import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable

_CONTROL_BACKLOG = 64


def system_config_path() -> str:
    return "/etc/proxyd/proxyd.yaml"


def run_bases() -> list[str]:
    bases: list[str] = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        bases.append(os.path.join(runtime, "proxyd"))
    if os.geteuid() == 0:
        bases.append("/run/proxyd")
    else:
        bases.append(os.path.join(tempfile.gettempdir(), f"proxyd-{os.geteuid()}"))
    return bases


def open_private_directory(base: str, name: str) -> int:
    if not os.path.isdir(base):
        os.makedirs(base, mode=0o700, exist_ok=True)
    outer = _open_directory(base, None, base)
    try:
        found = os.fstat(outer)
        if found.st_uid not in (0, os.geteuid()):
            raise PermissionError(f"{base} belongs to user id {found.st_uid}, not to the user proxyd runs as")
        if found.st_mode & 0o022:
            raise PermissionError(f"{base} can be written to by other users")
        try:
            os.mkdir(name, 0o700, dir_fd=outer)
        except FileExistsError:
            pass
        inner = _open_directory(name, outer, os.path.join(base, name))
        try:
            found = os.fstat(inner)
            if found.st_uid != os.geteuid():
                raise PermissionError(f"{base}/{name} belongs to user id {found.st_uid}")
            if stat.S_IMODE(found.st_mode) != 0o700:
                os.fchmod(inner, 0o700)
        except OSError:
            os.close(inner)
            raise
        return inner
    finally:
        os.close(outer)


def _open_directory(path: str, inside: int | None, shown: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)
    except NotADirectoryError:
        raise PermissionError(f"{shown} is a link or a file where a directory was expected") from None


def lock_file(directory: int, name: str) -> int | None:
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Its last owner may have unlinked the file between our open and our lock: then lock its successor.
        try:
            if os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def listen_control(directory: int, path: str) -> socket.socket:
    # Through the opened directory: its path may be longer than a socket address can be (108 bytes), and
    # nobody can exchange it on the way.
    inside = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    try:
        os.unlink(os.path.basename(path), dir_fd=directory)
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(inside)
        os.chmod(inside, 0o600)
        sock.listen(_CONTROL_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


async def serve_control(
    sock: socket.socket, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> asyncio.AbstractServer:
    return await asyncio.start_unix_server(serve, sock=sock)


def connect_control(path: str, timeout: float) -> socket.socket:
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    except OSError:
        sock.close()
        raise
    finally:
        os.close(directory)
    return sock
