"""What proxyd calls of Windows that Python has no function for. Failures raise OSError.

Handles are plain ints. ``_winapi`` of the standard library has the rest.
"""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import ctypes
import os
from ctypes import wintypes
from typing import Any, Final, NamedTuple

INVALID_HANDLE: Final = ctypes.c_void_p(-1).value
ERROR_BROKEN_PIPE: Final = 109
ERROR_ALREADY_EXISTS: Final = 183
ERROR_PIPE_BUSY: Final = 231
ERROR_NO_DATA: Final = 232
ERROR_PIPE_CONNECTED: Final = 535
ERROR_OPERATION_ABORTED: Final = 995
ERROR_SHARING_VIOLATION: Final = 32

_kernel32: Final = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32: Final = ctypes.WinDLL("advapi32", use_last_error=True)

_HANDLE: Final = ctypes.c_void_p
_HANDLER: Final = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)


class SecurityAttributes(ctypes.Structure):
    """Who may use what is made with it."""

    _fields_ = [
        ("length", wintypes.DWORD),
        ("descriptor", ctypes.c_void_p),
        ("inherit", wintypes.BOOL),
    ]


class _BasicLimits(ctypes.Structure):
    _fields_ = [
        ("per_process_user_time", ctypes.c_int64),
        ("per_job_user_time", ctypes.c_int64),
        ("flags", wintypes.DWORD),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority_class", wintypes.DWORD),
        ("scheduling_class", wintypes.DWORD),
    ]


class _ExtendedLimits(ctypes.Structure):
    _fields_ = [
        ("basic", _BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    ]


class _CpuRate(ctypes.Structure):
    _fields_ = [("flags", wintypes.DWORD), ("rate", wintypes.DWORD)]


def _function(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    return function


_create_file: Final = _function(
    _kernel32, "CreateFileW", _HANDLE, wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p,
    wintypes.DWORD, wintypes.DWORD, _HANDLE,
)  # fmt: skip
_find_first: Final = _function(_kernel32, "FindFirstFileW", _HANDLE, wintypes.LPCWSTR, ctypes.c_void_p)
_find_close: Final = _function(_kernel32, "FindClose", wintypes.BOOL, _HANDLE)
_create_mapping: Final = _function(
    _kernel32, "CreateFileMappingW", _HANDLE, _HANDLE, ctypes.c_void_p, wintypes.DWORD, wintypes.DWORD,
    wintypes.DWORD, wintypes.LPCWSTR,
)  # fmt: skip
_map_view: Final = _function(
    _kernel32, "MapViewOfFile", ctypes.c_void_p, _HANDLE, wintypes.DWORD, wintypes.DWORD, wintypes.DWORD,
    ctypes.c_size_t,
)  # fmt: skip
_unmap_view: Final = _function(_kernel32, "UnmapViewOfFile", wintypes.BOOL, ctypes.c_void_p)
_create_pipe: Final = _function(
    _kernel32, "CreateNamedPipeW", _HANDLE, wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, wintypes.DWORD,
    wintypes.DWORD, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p,
)  # fmt: skip
_create_job: Final = _function(_kernel32, "CreateJobObjectW", _HANDLE, ctypes.c_void_p, wintypes.LPCWSTR)
_set_job: Final = _function(
    _kernel32,
    "SetInformationJobObject",
    wintypes.BOOL,
    _HANDLE,
    ctypes.c_int,
    ctypes.c_void_p,
    wintypes.DWORD,
)
_query_job: Final = _function(
    _kernel32, "QueryInformationJobObject", wintypes.BOOL, _HANDLE, ctypes.c_int, ctypes.c_void_p,
    wintypes.DWORD, ctypes.c_void_p,
)  # fmt: skip
_assign_to_job: Final = _function(_kernel32, "AssignProcessToJobObject", wintypes.BOOL, _HANDLE, _HANDLE)
_cancel_io: Final = _function(_kernel32, "CancelIoEx", wintypes.BOOL, _HANDLE, ctypes.c_void_p)
_set_handler: Final = _function(
    _kernel32, "SetConsoleCtrlHandler", wintypes.BOOL, ctypes.c_void_p, wintypes.BOOL
)
_create_event: Final = _function(
    _kernel32, "CreateEventW", _HANDLE, ctypes.c_void_p, wintypes.BOOL, wintypes.BOOL, wintypes.LPCWSTR
)
_open_event: Final = _function(
    _kernel32, "OpenEventW", _HANDLE, wintypes.DWORD, wintypes.BOOL, wintypes.LPCWSTR
)
_set_event: Final = _function(_kernel32, "SetEvent", wintypes.BOOL, _HANDLE)
_local_free: Final = _function(_kernel32, "LocalFree", ctypes.c_void_p, ctypes.c_void_p)
_close: Final = _function(_kernel32, "CloseHandle", wintypes.BOOL, _HANDLE)
_current_process: Final = _function(_kernel32, "GetCurrentProcess", _HANDLE)
_open_token: Final = _function(
    _advapi32, "OpenProcessToken", wintypes.BOOL, _HANDLE, wintypes.DWORD, ctypes.c_void_p
)
_token_information: Final = _function(
    _advapi32, "GetTokenInformation", wintypes.BOOL, _HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD,
    ctypes.c_void_p,
)  # fmt: skip
_sid_to_text: Final = _function(
    _advapi32, "ConvertSidToStringSidW", wintypes.BOOL, ctypes.c_void_p, ctypes.c_void_p
)
_text_to_descriptor: Final = _function(
    _advapi32, "ConvertStringSecurityDescriptorToSecurityDescriptorW", wintypes.BOOL, wintypes.LPCWSTR,
    wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p,
)  # fmt: skip
_set_file_security: Final = _function(
    _advapi32, "SetFileSecurityW", wintypes.BOOL, wintypes.LPCWSTR, wintypes.DWORD, ctypes.c_void_p
)
_named_security: Final = _function(
    _advapi32, "GetNamedSecurityInfoW", wintypes.DWORD, wintypes.LPCWSTR, ctypes.c_int, wintypes.DWORD,
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
)  # fmt: skip

_GENERIC_READ: Final = 0x80000000
_GENERIC_WRITE: Final = 0x40000000
_FILE_APPEND_DATA: Final = 0x0004
_SYNCHRONIZE: Final = 0x00100000
_READ_CONTROL: Final = 0x00020000
_SHARE_READ: Final = 1
_SHARE_ALL: Final = 7  # read, write, delete
_LIST_DIRECTORY: Final = 0x1
_OPEN_EXISTING: Final = 3
_OPEN_ALWAYS: Final = 4
_ATTRIBUTE_NORMAL: Final = 0x80
_BACKUP_SEMANTICS: Final = 0x02000000  # without it no directory can be opened
_PAGE_READWRITE: Final = 4
_MAP_WRITE: Final = 2
_DACL: Final = 0x00000004
_PROTECTED_DACL: Final = 0x80000000
_OWNER: Final = 0x00000001
_FILE_OBJECT: Final = 1
_EVENT_MODIFY_STATE: Final = 2
_TOKEN_QUERY: Final = 8
_TOKEN_USER: Final = 1
_EXTENDED_LIMITS: Final = 9
_CPU_RATE: Final = 15
_KILL_ON_CLOSE: Final = 0x2000
_DIE_ON_EXCEPTION: Final = 0x0400  # no window that asks whether to debug

_PIPE_DUPLEX: Final = 3
_PIPE_OVERLAPPED: Final = 0x40000000
_PIPE_FIRST: Final = 0x00080000
_PIPE_LOCAL_ONLY: Final = 8
_PIPE_MOST: Final = 255
_PIPE_BUFFER: Final = 1 << 16


def _error() -> OSError:
    return ctypes.WinError(ctypes.get_last_error())


def _checked_handle(handle: int | None, path: str = "") -> int:
    if handle is None or handle == INVALID_HANDLE:
        error = _error()
        # In the words that Python's own functions have: what is told is the same on all systems.
        raise OSError(error.errno, os.strerror(error.errno or 0), path or None, error.winerror)
    return handle


def _checked_new(handle: int | None, what: str) -> int:
    """The same of what was not there before. Raises FileExistsError."""
    there = ctypes.get_last_error() == ERROR_ALREADY_EXISTS
    made = _checked_handle(handle)
    if there:
        close(made)
        raise FileExistsError(f"{what} is there already")
    return made


def close(handle: int) -> None:
    """Close a handle that is no socket."""
    if not _close(handle):
        raise _error()


# -- who may


def _user() -> str:
    """The security identifier of the user whose process this is."""
    token = _HANDLE()
    if not _open_token(_current_process(), _TOKEN_QUERY, ctypes.byref(token)):
        raise _error()
    try:
        size = wintypes.DWORD()
        _token_information(token, _TOKEN_USER, None, 0, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        if not _token_information(token, _TOKEN_USER, buffer, size, ctypes.byref(size)):
            raise _error()
        return _sid_text(ctypes.c_void_p.from_buffer(buffer).value)
    finally:
        _close(token)


def _sid_text(sid: int | None) -> str:
    text = ctypes.c_void_p()
    if not _sid_to_text(sid, ctypes.byref(text)):
        raise _error()
    try:
        return ctypes.wstring_at(text.value or 0)
    finally:
        _local_free(text)


class OwnerOnly:
    """For this user alone; besides, the system and its administrators, whom nothing is closed to anyway.

    ``rights``: what the user may do (SDDL). What the place would hand down does not count.
    """

    def __init__(self, rights: str = "GA") -> None:
        self.user: Final = _user()
        inherit = "OICI" if rights == "FA" else ""
        text = (
            f"D:P(A;{inherit};{rights};;;{self.user})(A;{inherit};{rights};;;SY)(A;{inherit};{rights};;;BA)"
        )
        self._descriptor: Final = ctypes.c_void_p()
        if not _text_to_descriptor(text, 1, ctypes.byref(self._descriptor), None):
            raise _error()
        size = ctypes.sizeof(SecurityAttributes)
        self.attributes: Final = SecurityAttributes(size, self._descriptor, False)

    def restrict(self, path: str) -> None:
        """Give it to a file or directory that is there already."""
        if not _set_file_security(path, _DACL | _PROTECTED_DACL, self._descriptor):
            error = _error()
            error.filename = path
            raise error

    def __del__(self) -> None:
        _local_free(self._descriptor)


def owner(path: str) -> str:
    """The security identifier of the one whom a file or directory belongs to."""
    sid, descriptor = ctypes.c_void_p(), ctypes.c_void_p()
    failed = _named_security(
        path, _FILE_OBJECT, _OWNER, ctypes.byref(sid), None, None, None, ctypes.byref(descriptor)
    )
    if failed:
        raise ctypes.WinError(failed)
    try:
        return _sid_text(sid.value)
    finally:
        _local_free(descriptor)


# -- objects


def open_for_one_writer(path: str, allowed: OwnerOnly) -> int:
    """A handle to a file, made where missing, that others can read and nobody else can open to write."""
    access = _GENERIC_READ | _GENERIC_WRITE
    attributes = ctypes.byref(allowed.attributes)
    handle = _create_file(path, access, _SHARE_READ, attributes, _OPEN_ALWAYS, _ATTRIBUTE_NORMAL, None)
    return _checked_handle(handle, path)


def open_to_append(path: str) -> int:
    """A handle whose every write goes to the end of the file, whole, whoever else appends."""
    access = _FILE_APPEND_DATA | _SYNCHRONIZE | _READ_CONTROL
    handle = _create_file(path, access, _SHARE_ALL, None, _OPEN_ALWAYS, _ATTRIBUTE_NORMAL, None)
    return _checked_handle(handle, path)


def open_to_read(path: str) -> int:
    """A handle to a file that others may write, move and remove meanwhile."""
    handle = _create_file(path, _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, _ATTRIBUTE_NORMAL, None)
    return _checked_handle(handle, path)


def open_directory(path: str) -> int:
    """A handle by which to look for what is in it; it may be moved and removed meanwhile."""
    access = _LIST_DIRECTORY | _SYNCHRONIZE
    handle = _create_file(path, access, _SHARE_ALL, None, _OPEN_EXISTING, _BACKUP_SEMANTICS, None)
    return _checked_handle(handle, path)


class Entry(NamedTuple):
    """What a directory knows of a file; times in nanoseconds since 1601."""

    attributes: int
    size: int
    created: int
    written: int


def find_entry(path: str) -> Entry:
    """Look a file up in its directory, without opening it. Raises ValueError for a pattern."""
    if "*" in path or "?" in path.removeprefix("\\\\?\\") or "\0" in path:
        raise ValueError(f"no path of a file: {path}")
    found = wintypes.WIN32_FIND_DATAW()
    handle = _find_first(path, ctypes.byref(found))
    _checked_handle(handle, path)
    _find_close(handle)
    return Entry(
        found.dwFileAttributes,
        found.nFileSizeHigh << 32 | found.nFileSizeLow,
        _nanoseconds(found.ftCreationTime),
        _nanoseconds(found.ftLastWriteTime),
    )


def _nanoseconds(time: wintypes.FILETIME) -> int:
    return (time.dwHighDateTime << 32 | time.dwLowDateTime) * 100


def create_mapping(name: str, size: int, allowed: OwnerOnly) -> int:
    """Zeroed memory of a name that is new. Raises FileExistsError otherwise."""
    handle = _create_mapping(
        INVALID_HANDLE,
        ctypes.byref(allowed.attributes),
        _PAGE_READWRITE,
        size >> 32,
        size & 0xFFFFFFFF,
        name,
    )
    return _checked_new(handle, f"shared memory {name}")


def write_mapping(handle: int, content: bytes) -> None:
    """Write from the beginning of shared memory, by the handle that made it."""
    view = _map_view(handle, _MAP_WRITE, 0, 0, 0)
    if not view:
        raise _error()
    ctypes.memmove(view, content, len(content))
    _unmap_view(view)


def create_pipe(name: str, first: bool, allowed: OwnerOnly) -> int:
    """One more instance of a named pipe of bytes; ``first``: there must be none yet."""
    mode = _PIPE_DUPLEX | _PIPE_OVERLAPPED | (_PIPE_FIRST if first else 0)
    attributes = ctypes.byref(allowed.attributes)
    handle = _create_pipe(name, mode, _PIPE_LOCAL_ONLY, _PIPE_MOST, _PIPE_BUFFER, _PIPE_BUFFER, 0, attributes)
    return _checked_handle(handle, name)


def create_job() -> int:
    """A job whose processes end when its last handle is closed, thus with this process however it ends."""
    job = _checked_handle(_create_job(None, None))
    limits = _ExtendedLimits()
    limits.basic.flags = _KILL_ON_CLOSE | _DIE_ON_EXCEPTION
    if not _set_job(job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)):
        error = _error()
        close(job)
        raise error
    return job


def assign_to_job(job: int, process: int) -> None:
    """Put a process, by its handle, into a job."""
    if not _assign_to_job(job, process):
        raise _error()


def create_event(name: str | None, allowed: OwnerOnly) -> int:
    """An event that wakes one waiter at a time. Raises FileExistsError where there is one of that name."""
    handle = _create_event(ctypes.byref(allowed.attributes), False, False, name)
    return _checked_new(handle, f"event {name}")


def open_event(name: str) -> int:
    """A handle by which to set an event of another process. Raises FileNotFoundError."""
    return _checked_handle(_open_event(_EVENT_MODIFY_STATE, False, name))


def set_event(handle: int) -> None:
    """Wake who waits for it, or the next one who does."""
    if not _set_event(handle):
        raise _error()


def cpu_rate() -> float | None:
    """The part of all processors that the job of this process may use, None where it has no such limit."""
    found = _CpuRate()
    if not _query_job(None, _CPU_RATE, ctypes.byref(found), ctypes.sizeof(found), None):
        return None
    enabled, hard_cap = 1, 4
    return found.rate / 10_000 if found.flags & enabled and found.flags & hard_cap else None


def cancel_io(handle: int) -> None:
    """End what this process waits for on a handle; nothing to end is no error."""
    _cancel_io(handle, None)


_kept: Final[list[Any]] = []  # Windows keeps their addresses


def handle_console_events(handler: Any) -> None:
    """Call ``handler`` with the number of each console event, on a thread that Windows makes for it.

    It returns whether the event is dealt with.
    """
    called = _HANDLER(handler)
    _kept.append(called)
    if not _set_handler(ctypes.cast(called, ctypes.c_void_p), True):
        raise _error()
