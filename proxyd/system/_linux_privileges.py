"""Another user instead of root, and the one capability that goes along: to bind ports below 1024.

Only the supervisor has it, for listeners that a reload adds; zygotes and workers are started without it.
"""

import sys

assert sys.platform == "linux"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import ctypes
import grp
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_LOWER = 3
_CAP_NET_BIND_SERVICE = 10
_LOW_PORTS = 1 << _CAP_NET_BIND_SERVICE
_VERSION_3 = 0x20080522  # of capget(2) and capset(2): two sets of 32 bits each


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_Sets = _Data * 2


def take_identity(user: str | None, directories: Sequence[tuple[str, str]]) -> None:
    if user is not None:
        _become(user, directories)
    if os.geteuid() != 0:  # root needs none, and may not be meant to be without
        kept = _capabilities().permitted & _LOW_PORTS
        _set_capabilities(kept, kept)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, _CAP_NET_BIND_SERVICE)


@contextmanager
def lending_capabilities() -> Iterator[None]:
    """A process started meanwhile may bind low ports, if this one may."""
    lent = os.geteuid() != 0 and bool(_capabilities().permitted & _LOW_PORTS)
    if lent:
        _set_capabilities(_LOW_PORTS, _LOW_PORTS)
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_NET_BIND_SERVICE)
    try:
        yield
    finally:
        if lent:
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, _CAP_NET_BIND_SERVICE)


def _become(user: str, directories: Sequence[tuple[str, str]]) -> None:
    name, colon, group = user.partition(":")
    try:
        account = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
        gid = account.pw_gid
        if colon:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise PermissionError(f"there is no such account here: {error.args[0]}") from None
    if os.geteuid() == account.pw_uid:
        return
    if os.geteuid() != 0:
        raise PermissionError(f"only root can become {user}")
    for base, inner in directories:
        _give_directory(base, inner, account.pw_uid, gid)
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.initgroups(account.pw_name, gid)
    os.setgid(gid)
    os.setuid(account.pw_uid)
    _prctl(_PR_SET_DUMPABLE, 1)  # else files of this process below /proc are root's
    os.environ.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)


def _give_directory(base: str, inner: str, uid: int, gid: int) -> None:
    os.makedirs(base, mode=0o755, exist_ok=True)
    outer = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            os.mkdir(inner, 0o700, dir_fd=outer)
        except FileExistsError:
            pass
        os.chown(inner, uid, gid, dir_fd=outer, follow_symlinks=False)
    finally:
        os.close(outer)


def _capabilities() -> _Data:
    header, sets = _Header(_VERSION_3, 0), _Sets()
    _call("capget", ctypes.byref(header), ctypes.byref(sets))
    found: _Data = sets[0]
    return found


def _set_capabilities(permitted: int, inheritable: int) -> None:
    present = _capabilities()
    if (present.effective, present.permitted, present.inheritable) == (permitted, permitted, inheritable):
        return  # a service that is well confined may not even ask for what it has
    header, sets = _Header(_VERSION_3, 0), _Sets()
    sets[0] = _Data(permitted, permitted, inheritable)
    _call("capset", ctypes.byref(header), ctypes.byref(sets))


def _prctl(option: int, first: int, second: int = 0) -> None:
    _call("prctl", option, first, second, 0, 0)


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
