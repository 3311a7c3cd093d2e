"""The run directory: how a command finds the instance it speaks to, and how an instance stays the only one.

``<base>/<name>/`` holds ``pid`` (locked as long as the instance lives; the lock, not the number, is what
counts) and ``control.sock``. Whatever a killed instance left behind is taken over by the next.
"""

import os
import re
import socket
import struct
from collections.abc import Sequence

import msgspec

from proxyd.supervisor.commands import MAX_FRAME, VERSION, Command, Progress, Reply, Request
from proxyd.system import ControlListener, PrivateDirectory, native

PID_FILE = "pid"
CONTROL_SOCKET = "control.sock"
ENVIRONMENT = "PROXYD_RUN_DIR"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_LENGTH = struct.Struct("!I")
_CONNECT_TIMEOUT = 5.0  # seconds
_SILENCE_TIMEOUT = 10.0  # seconds; a living supervisor says something every commands.PROGRESS_INTERVAL

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


class InstanceError(Exception):
    """An instance cannot be started, found or spoken to; the text is one line for the operator."""


class NotRunning(InstanceError):  # noqa: N818 - what it says, not what went wrong
    """No such instance runs."""


def is_name(text: str) -> bool:
    """Whether an instance may be called so."""
    return _NAME.match(text) is not None


def bases(run_dir: str | None) -> list[str]:
    """Where run directories may be, the one a new instance uses first."""
    if run_dir:
        return [os.path.abspath(run_dir)]
    environment = os.environ.get(ENVIRONMENT)
    return [os.path.abspath(environment)] if environment else native.run_bases()


class RunDirectory:
    """The run directory of the instance that runs in this process. ``close`` leaves nothing behind."""

    def __init__(self, path: str, directory: PrivateDirectory, lock: int) -> None:
        self.path = path
        self._directory = directory
        self._lock = lock

    @classmethod
    def claim(cls, name: str, run_dir: str | None) -> "RunDirectory":
        """Make or take over the directory. InstanceError: another instance has it, or it cannot be had."""
        if not is_name(name):
            raise InstanceError(f"{name!r} is no name for an instance: use letters, digits, '_', '.' and '-'")
        base = bases(run_dir)[0]
        path = os.path.join(base, name)
        try:
            directory = native.open_private_directory(base, name)
        except OSError as error:
            raise _unusable(path, error) from None
        lock = directory.lock(PID_FILE)
        if lock is None:
            pid = _read_pid(path)
            directory.close()
            raise InstanceError(
                f"an instance named {name!r} already runs (pid {pid}); stop it with 'proxyd stop' "
                "or start this one with another --name"
            )
        made = cls(path, directory, lock)
        try:
            made.sign()
        except OSError as error:  # the disk is full
            made.close()
            raise _unusable(path, error) from None
        return made

    @classmethod
    def adopt(cls, path: str, descriptors: Sequence[int]) -> "RunDirectory":
        """What another process has had of it (its ``estate``)."""
        directory, lock = native.adopt_private_directory(path, descriptors)
        made = cls(path, directory, lock)
        made.sign()
        return made

    def sign(self) -> None:
        """Say that the instance is this process."""
        os.ftruncate(self._lock, 0)
        os.lseek(self._lock, 0, os.SEEK_SET)
        os.write(self._lock, f"{os.getpid()}\n".encode())

    @property
    def pid(self) -> int:
        """The process that the instance is, this one or a successor."""
        return _read_pid(self.path)

    @property
    def pid_file(self) -> str:
        return os.path.join(self.path, PID_FILE)

    @property
    def control_path(self) -> str:
        return os.path.join(self.path, CONTROL_SOCKET)

    def estate(self) -> list[int]:
        """Descriptors by which another process takes it over; not copies."""
        return self._directory.estate(self._lock)

    def leave(self) -> None:
        """Another process has it now."""
        os.close(self._lock)
        self._directory.close()

    def listen(self) -> ControlListener:
        """Where commands come in."""
        return self._directory.listen(CONTROL_SOCKET)

    def close(self) -> None:
        self._directory.remove([CONTROL_SOCKET, PID_FILE], self._lock)


def _unusable(path: str, error: OSError) -> InstanceError:
    return InstanceError(
        f"run directory {path} cannot be used: {error.strerror or error}; "
        f"choose another with --run-dir or ${ENVIRONMENT}"
    )


class Instance:
    """A running instance, seen from another process."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path

    @property
    def pid(self) -> int:
        """Process id of its supervisor, 0 where unknown."""
        return _read_pid(self.path)

    def call(self, command: Command, timeout: float | None = None) -> Reply:
        """Carry out one command and return the final reply (never ``Progress``).

        ``timeout``: seconds of silence after which the supervisor is taken as hung; it gives a sign of life
        every two seconds however long a command takes. Raises NotRunning, InstanceError.
        """
        silence = _SILENCE_TIMEOUT if timeout is None else timeout
        try:
            connection = _connect(self)
        except TimeoutError:
            raise InstanceError(
                f"proxyd instance {self.name!r} (pid {self.pid}) is too busy to take a command"
            ) from None
        try:
            connection.settimeout(silence)
            payload = _encoder.encode(Request(VERSION, command))
            connection.sendall(_LENGTH.pack(len(payload)) + payload)
            while True:
                reply = _decoder.decode(_read_frame(connection))
                if not isinstance(reply, Progress):
                    return reply
        except TimeoutError:
            raise InstanceError(
                f"proxyd instance {self.name!r} (pid {self.pid}) has not answered for {silence:g} s"
            ) from None
        except (EOFError, ConnectionError):
            raise InstanceError(f"proxyd instance {self.name!r} ended before it answered") from None
        except msgspec.DecodeError as error:
            raise InstanceError(
                f"proxyd instance {self.name!r} speaks another version of the commands ({error}); "
                "use the proxyd it was started with, or restart it"
            ) from None
        finally:
            connection.close()


def find(name: str | None, run_dir: str | None = None) -> Instance:
    """The running instance of that name; without a name the only one that runs.

    Raises NotRunning when there is none, InstanceError when several run and none was named.
    """
    where = bases(run_dir)
    running = [
        instance
        for base in where
        for instance in candidates(base)
        if (name is None or instance.name == name) and _serves(instance)
    ]
    if not running:
        what = "proxyd" if name is None else f"proxyd named {name!r}"
        raise NotRunning(f"no running instance of {what} found (looked in {', '.join(where)})")
    if len(running) > 1 and name is None:
        names = ", ".join(sorted(instance.name for instance in running))
        raise InstanceError(f"several instances are running, choose one with --name: {names}")
    return running[0]


def candidates(base: str) -> list[Instance]:
    """All that have, or had, a run directory there."""
    try:
        names = sorted(os.listdir(base))
    except OSError:
        return []
    return [Instance(name, os.path.join(base, name)) for name in names if is_name(name)]


def _serves(instance: Instance) -> bool:
    try:
        _connect(instance).close()
    except PermissionError:
        raise InstanceError(
            f"proxyd instance {instance.name!r} belongs to another user: run the command as that user"
        ) from None
    except TimeoutError:
        return True  # it runs, only too busy to accept: the call itself will say so
    except (OSError, NotRunning):
        return False
    return True


def _connect(instance: Instance) -> socket.socket:
    try:
        return native.connect_control(os.path.join(instance.path, CONTROL_SOCKET), _CONNECT_TIMEOUT)
    except BlockingIOError:  # its queue of commands is full
        raise TimeoutError from None
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NotRunning(f"no running instance of proxyd named {instance.name!r} found") from None


def _read_frame(connection: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_read_exactly(connection, _LENGTH.size))
    if length > MAX_FRAME:
        raise EOFError
    return _read_exactly(connection, length)


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 16))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _read_pid(path: str) -> int:
    try:
        with open(os.path.join(path, PID_FILE)) as file:
            return int(file.read() or 0)
    except (OSError, ValueError):
        return 0
