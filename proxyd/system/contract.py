"""What proxyd asks of an operating system, as one Protocol; a platform module of functions fulfils it.

Descriptors are plain ints that the caller owns; whoever receives one closes it. Nothing here knows of
configuration, statistics or messages.
"""

import asyncio
import mmap
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

MAX_DESCRIPTORS = 250  # Linux passes at most 253 (SCM_MAX_FD) with one message


class ChildExit(msgspec.Struct, frozen=True):
    """How a child process ended: ``status`` is its exit code, or minus the signal that killed it."""

    pid: int
    status: int


class System(Protocol):
    """One implementation per platform, chosen at import by ``proxyd.system``."""

    # -- processes ------------------------------------------------------------------------------------------

    def spawn_python(self, module: str, channel: socket.socket, stderr: int) -> int:
        """Start a fresh interpreter on ``module``; its standard input is ``channel``. Returns the pid.

        The child runs the code that is installed now, and nothing of the working directory can shadow it.
        Its ``stderr`` goes to the given descriptor. Raises OSError where no process can be made.
        """

    def fork(self, run: Callable[[], int]) -> int:
        """Fork; the child calls ``run`` and exits with what it returns, the parent gets the pid.

        Only for a single-threaded process that never ran an event loop. A platform without fork starts
        workers with ``spawn_python`` instead.
        """

    def wait(self, pid: int) -> int:
        """Wait for a child's end (blocking): its exit code, or minus the signal that killed it.

        A child that somebody else reaped counts as 0.
        """

    def reap(self) -> list[ChildExit]:
        """Children that have ended since the last call, without waiting for any."""

    def child_exits(self) -> socket.socket:
        """A socket that becomes readable whenever a child may have ended. Main thread, once a process."""

    def forget_child_exits(self) -> None:
        """In a forked child: undo ``child_exits``."""

    def die_with_parent(self, parent: int) -> None:
        """From now on the end of process ``parent`` (the thread that made this process) kills this one.

        Exits at once where the parent is already gone.
        """

    def kill(self, pid: int) -> None:
        """End a process at once; one that is already gone is no error."""

    # -- signals: they are turned into words here and nowhere else -----------------------------------------

    def operator_signals(self) -> Mapping[signal.Signals, str]:
        """What an operator may send to the supervisor: signal → ``stop``, ``reload`` or ``reopen_logs``."""

    def ignore_operator_signals(self) -> None:
        """For workers: Ctrl-C in a terminal reaches the whole group, but only the supervisor decides."""

    # -- channel: bytes and descriptors between two processes of ours --------------------------------------

    def channel_pair(self) -> tuple[socket.socket, socket.socket]:
        """Two connected non-inheritable stream sockets, non-blocking."""

    def send_descriptors(self, channel: socket.socket, data: bytes, descriptors: Sequence[int]) -> int:
        """Send bytes with at most ``MAX_DESCRIPTORS`` descriptors attached to the first; returns bytes sent.

        Raises BlockingIOError when the channel is full: nothing, no descriptor either, was sent then.
        """

    def receive_descriptors(self, channel: socket.socket, size: int) -> tuple[bytes, list[int]]:
        """Receive up to ``size`` bytes and the descriptors that came with them, not inheritable.

        Empty bytes: the other side has closed. Raises BlockingIOError when nothing is there.
        """

    # -- event loop -----------------------------------------------------------------------------------------

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """The fastest loop there is on this system; all others of the process's life are its own too."""

    # -- memory ---------------------------------------------------------------------------------------------

    def create_memory(self, name: str, size: int) -> int:
        """Zeroed memory that processes share by its descriptor; it lives as long as one of them is open."""

    def create_sealed_memory(self, name: str, content: bytes) -> int:
        """Memory holding ``content`` that nobody can change any more."""

    def map_memory(self, descriptor: int) -> mmap.mmap:
        """Map all of it, to write too unless it is sealed. The descriptor may be closed then."""

    def read_memory(self, descriptor: int) -> bytes:
        """A copy of all of it."""

    def private_file(self, content: bytes) -> AbstractContextManager[str]:
        """A path under which this process can read ``content`` for a while.

        OpenSSL loads keys from files only. This one never is on a disk.
        """

    def tune_malloc(self) -> bool:
        """Keep large freed buffers in the process; False where this C library has no such knob."""

    # -- sockets --------------------------------------------------------------------------------------------

    def claim_port(self, host: str, port: int) -> socket.socket:
        """Bind without sharing, not listening yet: proof that nobody else listens there.

        ``port`` 0 lets the system choose. Raises OSError: EADDRINUSE, EACCES, EADDRNOTAVAIL.
        """

    def bind(self, host: str, port: int, shared: bool) -> socket.socket:
        """A non-blocking socket bound, not yet listening; ``shared``: several may have the address.

        A socket that does not listen gets no connections: binding can be undone without losing any.
        """

    def default_backlog(self) -> int:
        """The longest accept queue the system grants."""

    def keep_alive(self, sock: socket.socket, probes: int, time: int, interval: int) -> None:
        """Probe a connection that is idle: how many times, after how many seconds, how far apart.

        0 leaves the system's default. Raises OSError, where the system does not take such a number.
        """

    def listen_control(self, directory: int, path: str) -> socket.socket:
        """Listen for commands at ``path`` inside the opened ``directory``; only the owner may connect."""

    async def serve_control(
        self,
        sock: socket.socket,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ) -> asyncio.AbstractServer:
        """Call ``serve`` with each connection to a socket of ``listen_control``."""

    def connect_control(self, path: str, timeout: float) -> socket.socket:
        """Connect to a control socket. FileNotFoundError or ConnectionRefusedError: nobody serves it."""

    # -- limits and machine ---------------------------------------------------------------------------------

    def cpu_count(self) -> int:
        """Processors this process may use, a container's quota rounded up and respected; at least 1."""

    def raise_descriptor_limit(self) -> int:
        """Raise the limit of open descriptors as far as permitted; returns what it is now."""

    def system_config_path(self) -> str:
        """Where an installed proxyd keeps its configuration."""

    # -- run directory --------------------------------------------------------------------------------------

    def run_bases(self) -> list[str]:
        """Directories where instances of this user may keep their run directories, preferred one first."""

    def open_private_directory(self, base: str, name: str) -> int:
        """Open ``base/name``, made where missing; returns its descriptor.

        Refuses with PermissionError (the message says which and why) links, directories of other users and
        ones that others may write to, so that nobody can slip a socket or pid file under us.
        """

    def lock_file(self, directory: int, name: str) -> int | None:
        """Take the exclusive lock on a file in ``directory``; None when another process holds it.

        The lock ends with the descriptor, thus with the process however it ends.
        """
