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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from proxyd.system.contract import ControlListener

_CONTROL_BACKLOG = 64
_LOG_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC

standard_streams: Final[Mapping[str, int]] = {"/dev/stdout": 1, "/dev/stderr": 2}


class PrivateDirectory:
    """By its descriptor: nobody can exchange it on the way, and its path may be of any length."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path: Final = path
        self._descriptor: Final = descriptor

    def lock(self, name: str) -> int | None:
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o600, dir_fd=self._descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            # Its last owner may have unlinked it between our open and our lock: then lock its successor.
            try:
                found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
                if found.st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            except FileNotFoundError:
                pass
            os.close(descriptor)

    def listen(self, name: str) -> socket.socket:
        inside = f"/proc/self/fd/{self._descriptor}/{name}"  # a socket's address has 108 bytes at most
        try:
            os.unlink(name, dir_fd=self._descriptor)
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

    def estate(self, lock: int) -> list[int]:
        return [self._descriptor, lock]

    def remove(self, names: Sequence[str], lock: int | None) -> None:
        for name in names:
            try:
                os.unlink(name, dir_fd=self._descriptor)
            except OSError:
                pass
        try:
            os.rmdir(self._path)
        except OSError:
            pass
        if lock is not None:
            os.close(lock)
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)


class ControlServer:
    """Serves a socket, and has a copy of it: the loop closes its own."""

    def __init__(self, server: asyncio.AbstractServer, sock: socket.socket) -> None:
        self._server: Final = server
        self._socket: Final = sock

    def close(self) -> None:
        self._server.close()
        self._socket.close()

    def hand_over(self) -> int:
        self._server.close()
        return self._socket.detach()


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


def open_private_directory(base: str, name: str) -> PrivateDirectory:
    if not os.path.isdir(base):
        # What is inside is private anyway; what root has made holds instances of other users, too.
        os.makedirs(base, mode=0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
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
        return PrivateDirectory(os.path.join(base, name), inner)
    finally:
        os.close(outer)


def adopt_private_directory(path: str, descriptors: Sequence[int]) -> tuple[PrivateDirectory, int]:
    directory, lock = descriptors
    return PrivateDirectory(path, directory), lock


def _open_directory(path: str, inside: int | None, shown: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)
    except NotADirectoryError:
        raise PermissionError(f"{shown} is a link or a file where a directory was expected") from None


async def serve_control(
    listener: ControlListener,
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> ControlServer:
    assert isinstance(listener, socket.socket)
    ours = listener.dup()
    # Whoever closes the server may have handed the socket, with its path, to another process.
    keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
    return ControlServer(await asyncio.start_unix_server(serve, sock=listener, **keep), ours)


def adopt_control(descriptor: int, path: str) -> socket.socket:
    return socket.socket(fileno=descriptor)


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


def log_path(path: str) -> str:
    return path


def open_log(path: str) -> int:
    return os.open(path, _LOG_FLAGS, 0o644)


def lacks_reader(path: str) -> bool:
    try:
        if not stat.S_ISFIFO(os.stat(path).st_mode):
            return False
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def look(path: str) -> tuple[str, int, int, int, int, int]:
    real = os.path.realpath(path)
    status = os.stat(real)
    return real, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def open_to_read(path: str, flags: int) -> int:
    return os.open(path, flags)
