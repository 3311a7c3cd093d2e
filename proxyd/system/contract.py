"""What proxyd asks of an operating system, as one Protocol; a platform module of functions fulfils it.

Descriptors are plain ints that the caller owns: of sockets, memory, files. Whoever receives one closes it.
Nothing here knows of configuration, statistics or messages.
"""

import asyncio
import mmap
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import msgspec

MAX_DESCRIPTORS = 250  # Linux passes at most 253 (SCM_MAX_FD) with one message


class ChildExit(msgspec.Struct, frozen=True):
    """How a child process ended: ``status`` is its exit code, or minus the signal that killed it."""

    pid: int
    status: int


class Capture(Protocol):
    """Keeps what a process writes to its standard error before it is told where that goes."""

    def read(self) -> str:
        """All of it so far."""

    def close(self) -> None:
        """Forget it."""


class Acceptance(Protocol):
    """Accepting on one listening socket, in one process of several that may do so."""

    async def start(
        self,
        loop: asyncio.AbstractEventLoop,
        backlog: int,
        new_connection: Callable[[], asyncio.BaseProtocol],
        take: Callable[[socket.socket], None],
    ) -> None:
        """Accept: each connection goes to a protocol that ``new_connection`` makes, on the loop.

        A system whose loop cannot do that hands connections to ``take``, also on the loop. ``backlog`` is set
        on the socket for all who share it, where it can be. Does nothing after ``stop``.
        """

    def stop(self) -> list[socket.socket]:
        """Accept no more, close the socket; returns the connections that were queued by now.

        What comes later is for others that accept on copies of the socket. No connection is lost between.
        """


class Datagrams(Protocol):
    """Receiving and sending on one non-blocking listening socket of UDP."""

    def receive(self, size: int) -> tuple[bytes, Any, bytes]:
        """One datagram, its rest cut off behind ``size`` bytes, with its sender and what ``send`` wants.

        Raises BlockingIOError where there is none, OSError.
        """

    def send(self, data: bytes, peer: Any, sender: bytes) -> None:
        """Answer a datagram from the address at which it has arrived (``sender``, as it was received).

        Raises OSError, BlockingIOError too: it is not sent then.
        """


class Pipe(Protocol):
    """What bytes go through from one socket to another without passing the process.

    Descriptors are those of non-blocking stream sockets. Closing the pipe throws away what is in it.
    """

    def fill(self, source: int) -> int:
        """Take what has come on ``source`` into the empty pipe; how much, 0 at the end of file.

        Raises BlockingIOError where nothing has come, OSError as reading does.
        """

    def empty(self, target: int, count: int) -> int:
        """Send up to ``count`` bytes of what is in the pipe; how many it was.

        Raises BlockingIOError where the target takes nothing now, OSError as writing does.
        """

    def read(self) -> bytes:
        """Whatever is in the pipe, which is empty then."""

    def close(self) -> None:
        """Give its descriptors back."""


class ControlListener(Protocol):
    """Where commands come in, before and while somebody answers them."""

    def close(self) -> None:
        """Hear no more."""


class ControlServer(Protocol):
    """Commands that come in are being answered."""

    def close(self) -> None:
        """Hear no more."""

    def hand_over(self) -> int:
        """Hear no more; the descriptor by which another process does, without a gap (``adopt_control``).

        Raises OSError where no other can.
        """


class PrivateDirectory(Protocol):
    """A directory that only this user (and whoever rules the machine) may use, open until ``remove``."""

    def lock(self, name: str) -> int | None:
        """Take the exclusive lock on a file in it; None when another process holds it.

        The result is for ``os.write`` and its kin. The lock ends with the process, however that ends.
        """

    def listen(self, name: str) -> ControlListener:
        """Listen for commands under a name in it; only the owner may connect."""

    def estate(self, lock: int) -> list[int]:
        """Descriptors by which another process has it, see ``adopt_private_directory``; not copies."""

    def remove(self, names: Sequence[str], lock: int | None) -> None:
        """Remove these files, give up ``lock``, remove the directory if it is empty, and close it.

        The file of the lock comes last of ``names``: until then the directory is ours.
        """

    def close(self) -> None:
        """Leave everything as it is."""


class ActivatedSocket(NamedTuple):
    """A listening socket that the service manager has bound and handed to this process."""

    name: str  # what the manager's operator calls it
    socket: socket.socket  # not inheritable, non-blocking


class Notifier(Protocol):
    """Whoever manages this process as a service and wants to hear how it is; often nobody.

    Nothing here raises or waits: a manager that does not listen must not disturb serving.
    """

    @property
    def watchdog(self) -> float | None:
        """Seconds within which ``alive`` is expected again and again; None where nobody waits for it."""

    def ready(self, status: str) -> None:
        """It serves (again): after the start, and after each reload whatever came of it."""

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it."""

    def stopping(self) -> None:
        """It drains, then ends."""

    def status(self, text: str) -> None:
        """One line for people."""

    def alive(self) -> None:
        """Connections are being served."""

    def main_process(self, pid: int) -> None:
        """From now on the instance is another process, which speaks for it."""


class System(Protocol):
    """One implementation per platform, chosen at import by ``proxyd.system``."""

    # -- what is possible -----------------------------------------------------------------------------------

    @property
    def forks(self) -> bool:
        """Whether workers are forked from a zygote; else each is a process started for it."""

    @property
    def shares_ports(self) -> bool:
        """Whether several sockets can have one address, the system spreading connections over them."""

    @property
    def lends_listening(self) -> bool:
        """Whether a socket has to listen before it is lent, and the borrower may not make it do so."""

    # -- processes ------------------------------------------------------------------------------------------

    def spawn_python(self, module: str, channel: socket.socket, stderr: Capture | None) -> int:
        """Start a fresh interpreter on ``module``, for which ``channel`` is at hand. Returns the pid.

        The child runs the code that is installed now, and nothing of the working directory can shadow it.
        Its standard error is ``stderr``, without one this process's. Raises OSError where no process can be
        made.
        """

    def inherited_channel(self) -> socket.socket:
        """In a process that ``spawn_python`` has started: its channel, non-blocking. Once a process."""

    def new_capture(self) -> Capture:
        """For ``spawn_python``. Raises OSError."""

    def standard_error(self) -> int:
        """The descriptor of this process's standard error, to be lent; it stays open."""

    def become_standard_error(self, descriptor: int) -> None:
        """Write to ``descriptor`` from now on what goes to standard error. It may be closed then."""

    def spawn_successor(
        self,
        executable: str,
        root: str,
        module: str,
        arguments: Sequence[str],
        channel: socket.socket,
        stderr: Capture,
    ) -> int:
        """The same for the process that is to take over from this one; it outlives it.

        Returns what ``end_group`` and ``wait`` take; its own process id may be another. ``executable`` is its
        interpreter, ``root`` the directory that its proxyd is in; ``arguments`` are for people who look at
        the list of processes. A Ctrl-C in this process's terminal does not reach it. Raises OSError where no
        process can be made, or none can take over here.
        """

    def end_group(self, group: int) -> None:
        """End a successor, and what it has started, at once; one that is already gone is no error."""

    def stay_for(self, pid: int, pid_file: str) -> int:
        """Become a mere guardian of the child ``pid``, which has taken over: whoever started this process
        goes on having it. Returns, if at all, the exit code with which this process is to end now.

        The guardian passes signals on and ends as its child ends; when that has been taken over from in
        turn, the process that ``pid_file`` names is its child from then on.
        """

    def fork(self, run: Callable[[], int]) -> int:
        """Fork; the child calls ``run`` and exits with what it returns, the parent gets the pid.

        Only for a single-threaded process that never ran an event loop, and only where the system ``forks``.
        """

    def apart(self) -> dict[str, Any]:
        """Arguments of ``subprocess.Popen`` for a process that a Ctrl-C in our terminal does not reach."""

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

    def hear_operator(
        self, loop: asyncio.AbstractEventLoop, tell: Callable[[str, str, float | None], None]
    ) -> None:
        """From now on call ``tell`` on the loop with what the operator, or the system, wants.

        The word is one of ``operator_signals``, then what it came as (``SIGTERM``), then the seconds after
        which the system ends this process whatever it does, None where it waits. Main thread.
        """

    def hold_operator_signals(self) -> None:
        """Let signals wait, for a guardian (see ``stay_for``) that knows whom they are for."""

    def pass_on(self, came_as: str, pid: int) -> None:
        """Have another process of ours hear what has come to this one, if it has not heard it itself.

        One that has gone is no error.
        """

    def ignore_operator_signals(self) -> None:
        """For workers: Ctrl-C in a terminal reaches the whole group, but only the supervisor decides."""

    # -- channel: bytes and descriptors between two processes of ours --------------------------------------

    def channel_pair(self) -> tuple[socket.socket, socket.socket]:
        """Two connected non-inheritable stream sockets, non-blocking."""

    def lend_descriptors(self, channel: socket.socket, descriptors: Sequence[int]) -> tuple[bytes, list[int]]:
        """Copies for the process at the other end of ``channel``; the originals may be closed at once.

        Returns what travels in the stream of bytes, for ``adopt_descriptors`` there, and the copies that
        travel beside it by ``send_descriptors``; a system has one of the two. Raises OSError.
        """

    def adopt_descriptors(self, packed: bytes) -> list[int]:
        """The descriptors of what ``lend_descriptors`` has put into the stream."""

    def close_descriptor(self, descriptor: int) -> None:
        """Close a descriptor of any kind."""

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

    def claim_port(self, host: str, port: int, ipv4_compat: bool = False) -> socket.socket:
        """Bind without sharing, not listening yet: proof that nobody else listens there.

        ``port`` 0 lets the system choose. With ``ipv4_compat`` a socket for IPv6 takes IPv4 as well.
        Raises OSError: EADDRINUSE, EACCES, EADDRNOTAVAIL.
        """

    def bind(self, host: str, port: int, shared: bool, ipv4_compat: bool = False) -> socket.socket:
        """A non-blocking socket bound, not yet listening; ``shared``: several may have the address.

        A socket that does not listen gets no connections: binding can be undone without losing any.
        """

    def listening_processes(self, port: int, udp: bool) -> list[tuple[str, int]]:
        """The addresses at which somebody has a port, and which process; 0 where the system does not tell.

        Of TCP whoever listens there, of UDP whoever receives. Raises OSError, psutil.Error.
        """

    def port_remedy(self, udp: bool) -> str:
        """What an operator can do who has no permission for an address."""

    NO_ADDRESS: frozenset[int]  # errors of resolving a name that say that it has no address, and no less

    def default_backlog(self) -> int:
        """The longest accept queue the system grants."""

    def keep_alive(self, sock: socket.socket, probes: int, time: int, interval: int) -> None:
        """Probe a connection that is idle: how many times, after how many seconds, how far apart.

        0 leaves the system's default. Raises OSError, where the system does not take such a number.
        """

    def bind_datagrams(self, host: str, port: int, shared: bool, ipv4_compat: bool = False) -> socket.socket:
        """A non-blocking socket of UDP; ``shared``: several have the address, and each its share of peers.

        What comes waits in it from now on. Raises OSError.
        """

    def datagrams(self, sock: socket.socket) -> Datagrams:
        """For a socket that was bound so."""

    def new_pipe(self) -> Pipe | None:
        """A pipe to splice through; None where there are none, or the process has as many as it may."""

    def cannot_splice(self, error: OSError) -> bool:
        """Whether an error of a Pipe means that such sockets are not spliced, rather than that one broke."""

    def knows_original_destinations(self) -> bool:
        """Whether the system can tell where a redirected connection was meant to go."""

    def original_destination(self, sock: socket.socket) -> tuple[str, int] | None:
        """Where the client of this connection meant to go, IP and port; None where nobody knows.

        Of a connection that was not redirected it is where it has arrived, if anything at all.
        """

    def unix_sockets(self) -> bool:
        """Whether there are Unix domain sockets, and a loop can listen on them and connect to them."""

    def bind_pipe(self, path: str, mode: int) -> socket.socket:
        """A non-blocking Unix domain socket bound, not yet listening; ``@`` begins an abstract name.

        A file that nobody listens on is replaced. ``mode`` 0 leaves its permissions to the umask.
        Raises OSError: EADDRINUSE and whatever else the path can be wrong in.
        """

    async def connect_pipe(
        self, loop: asyncio.AbstractEventLoop, protocol: Callable[[], Any], path: str
    ) -> asyncio.Transport:
        """Connect to a Unix domain socket, named as for ``bind_pipe``. Raises OSError."""

    def has_unread(self, transport: asyncio.BaseTransport) -> bool:
        """Whether bytes have come on a connection that its protocol has not been given yet.

        False of a transport without a socket. An end-of-file may count as well.
        """

    def reset_when_closed(self, sock: socket.socket) -> None:
        """Closing the connection tells the peer that it was broken off; what is unsent is thrown away."""

    def acceptance(self, sock: socket.socket) -> Acceptance:
        """Prepare to accept on a listening socket, or one that ``start`` shall make listen. Takes it."""

    async def serve_control(
        self,
        listener: ControlListener,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ) -> ControlServer:
        """Call ``serve`` with each connection to ``PrivateDirectory.listen``, until the result is closed."""

    def adopt_control(self, descriptor: int, path: str) -> ControlListener:
        """What another process has handed over, which ``PrivateDirectory.listen`` has made at ``path``."""

    def connect_control(self, path: str, timeout: float) -> socket.socket:
        """Connect to what ``PrivateDirectory.listen`` has made at ``path``.

        FileNotFoundError or ConnectionRefusedError: nobody serves it. TimeoutError.
        """

    def openssl_libraries(self, module: str) -> tuple[str, str]:
        """The libraries in which OpenSSL's functions of TLS and those below TLS are.

        ``module`` is the file of Python's ``_ssl``.
        """

    def load_system_roots(self, context: ssl.SSLContext, purpose: ssl.Purpose) -> None:
        """Let a context trust whom this machine trusts for that, and whom OpenSSL's variables name."""

    # -- words ----------------------------------------------------------------------------------------------

    def words(self, error: OSError) -> str:
        """What an error means, in the same English words on all systems (``Connection refused``)."""

    def reader_has_gone(self, error: OSError) -> bool:
        """Whether an error can mean that nobody reads any more what is written to a pipe."""

    # -- limits and machine ---------------------------------------------------------------------------------

    def cpu_count(self) -> int:
        """Processors this process may use, a container's quota rounded up and respected; at least 1."""

    def raise_descriptor_limit(self) -> int:
        """Raise the limit of open descriptors as far as permitted; returns what it is now."""

    def system_config_path(self) -> str:
        """Where an installed proxyd keeps its configuration."""

    # -- identity -------------------------------------------------------------------------------------------

    def take_identity(self, user: str | None, directories: Sequence[tuple[str, str]]) -> None:
        """Become another user (``NAME`` or ``NAME:GROUP``; None: stay) and lay down what is not needed.

        What remains is the right to listen on low ports, where there was one, and processes started from now
        on do not have it. ``directories`` (base and name) are made where missing and given to the user.
        To be called while there is one thread. Raises PermissionError, which says why; OSError.
        """

    # -- the service manager ------------------------------------------------------------------------------

    SERVICE_MANAGER: str  # the module of ``proxyd.service`` that installs and controls services here

    def is_managed(self) -> bool:
        """Whether the manager follows ``Notifier.main_process``: then nobody has to stay for a successor."""

    def notify_by(self, notifier: Notifier) -> None:
        """Where a manager is spoken to by calls that only its own library has: by this from now on."""

    def notifier(self) -> Notifier:
        """The manager that has started this process. To be called once, before other processes are made."""

    def activated_sockets(self) -> list[ActivatedSocket]:
        """What the manager has bound for this process. To be called once, before descriptors are opened."""

    # -- run directory --------------------------------------------------------------------------------------

    def run_bases(self) -> list[str]:
        """Directories where instances of this user may keep their run directories, preferred one first."""

    def open_private_directory(self, base: str, name: str) -> PrivateDirectory:
        """Open ``base/name``, made where missing.

        Refuses with PermissionError (the message says which and why) links, directories of other users and
        ones that others may write to, so that nobody can slip a socket or pid file under us.
        """

    def adopt_private_directory(self, path: str, descriptors: Sequence[int]) -> tuple[PrivateDirectory, int]:
        """What another process has opened, by its ``estate``: the directory, and its lock."""

    # -- files ----------------------------------------------------------------------------------------------

    @property
    def standard_streams(self) -> Mapping[str, int]:
        """Paths that stand for standard output (1) and standard error (2), as ``log_path`` gives them."""

    def log_path(self, path: str) -> str:
        """The path of a log as it is to be opened and compared: devices have one name each."""

    def open_log(self, path: str) -> int:
        """Open a file to append whole writes to, made where missing; a descriptor for ``os.write``.

        Others may move or remove it meanwhile. Raises OSError with the path.
        """

    def lacks_reader(self, path: str) -> bool:
        """Whether this is a FIFO that nobody reads: what is written there waits until somebody does."""

    def look(self, path: str) -> tuple[str, int, int, int, int, int]:
        """What a file is now, without standing in the way of whoever replaces it. Raises OSError, ValueError.

        Its path behind all links, two numbers that another file in its place would not have both, its size in
        bytes, when it was written, and when it was written or moved (0 where the system does not tell); times
        in nanoseconds.
        """

    def open_to_read(self, path: str, flags: int) -> int:
        """For the ``opener`` of ``open``: others may write, move or remove the file meanwhile.

        May wait for some seconds until another program lets go of it.
        """
