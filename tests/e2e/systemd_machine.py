"""A machine of its own on which a real systemd runs: namespaces of this one, with another /etc, /run, /var,
and a network of its own.

Nothing of this machine's services is in it, no journal and no D-Bus: systemd as process 1 and what
`proxyd service` writes. It needs root, and a systemd that is installed here. Another takes its place where
the variable PROXYD_SYSTEMD names a folder with Debian's packages systemd and libsystemd-shared, unpacked by
`dpkg-deb -x`.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_DEADLINE = 90.0  # seconds; several processes start, on a machine that does other things as well
_TARGETS = ("sysinit", "basic", "shutdown", "sockets", "multi-user", "network-online", "nss-lookup", "umount")
_PROGRAMS = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_REPLACED = ("lib/systemd", "lib/x86_64-linux-gnu/systemd", "bin/systemctl")
_NAMESPACES = ("--pid", "--mount", "--cgroup", "--ipc", "--uts", "--net")

_BOOT = """\
set -e
mount --make-rprivate /
mount -t proc proc /proc
{replaced}
mount --bind {etc} /etc
mount -t tmpfs tmpfs /run
mkdir /run/opened
{opened}
for each in /var/log /var/lib /var/cache; do mount -t tmpfs tmpfs $each; done
umount -R -l /sys/fs/cgroup
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/unified /sys/fs/cgroup/systemd
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd,xattr cgroup /sys/fs/cgroup/systemd
export container=test SYSTEMD_UNIT_PATH=/etc/systemd/system:{units} NOTIFY_SOCKET={notify}
exec {systemd} --system --unit=multi-user.target --show-status=no
"""

# A directory that is closed to other users is opened in that machine, for what is needed of it.
_OPEN = """\
mkdir -p /run/opened/{number}
mount --bind {closed} /run/opened/{number}
mount -t tmpfs -o mode=755 tmpfs {closed}
mkdir -p {wanted}
mount --bind /run/opened/{number}/{inside} {wanted}
"""


_GET = """\
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 30) as client:
    client.sendall(b"GET / HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n")
    while data := client.recv(65536):
        sys.stdout.write(data.decode())
"""


class CannotRunError(Exception):
    """Why there can be no such machine here."""


class Machine:
    """Boots it; ``close`` ends everything in it."""

    def __init__(self, directory: Path) -> None:
        systemd = next((each for each in _PROGRAMS if os.path.exists(each)), None)
        if os.geteuid() != 0 or systemd is None or not shutil.which("unshare") or not shutil.which("nsenter"):
            raise CannotRunError
        self.etc = directory / "etc"
        units = directory / "units"
        units.mkdir()
        for name in _TARGETS:
            (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
        shutil.copytree(
            "/etc", self.etc, symlinks=True, ignore=lambda folder, _: ["systemd"] * (folder == "/etc")
        )
        (self.etc / "systemd" / "system").mkdir(parents=True)
        notify = directory / "notify"
        script = directory / "boot.sh"
        script.write_text(
            _BOOT.format(
                etc=self.etc,
                units=units,
                notify=notify,
                systemd=systemd,
                replaced="\n".join(_replacements(os.environ.get("PROXYD_SYSTEMD"))),
                opened="\n".join(_openings()),
            )
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(notify))
            ready.settimeout(_DEADLINE)
            with (directory / "boot.log").open("w") as log:
                self._unshare = subprocess.Popen(
                    ["unshare", "--fork", "--kill-child", *_NAMESPACES, "sh", str(script)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            try:
                while b"READY=1" not in ready.recv(4096):
                    pass
            except TimeoutError:
                self.close()
                raise CannotRunError((directory / "boot.log").read_text()) from None
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text()
        self._pid = int(children.split()[0])

    def command(self, *words: str) -> list[str]:
        """What is run on that machine when it is run here."""
        return ["nsenter", f"--target={self._pid}", *_NAMESPACES, f"--wd={self.etc}", "--", *words]

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command on that machine."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=90, check=False)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def proxyd(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "proxyd", *arguments, check=check)

    def get(self, port: int, address: str = "127.0.0.1") -> str:
        """The answer to a request of a client on that machine."""
        return self.run(sys.executable, "-c", _GET, address, str(port)).stdout

    def close(self) -> None:
        """End everything on it."""
        self._unshare.kill()
        self._unshare.wait(_DEADLINE)


def _replacements(unpacked: str | None) -> Iterator[str]:
    """What puts the programs and libraries of another systemd where this machine has its own."""
    for name in _REPLACED if unpacked else ():
        places = (f"{unpacked}/{name}", f"{unpacked}/usr/{name}")
        found = next((each for each in places if os.path.exists(each)), None)
        assert found is not None, f"there is no {name} in {unpacked}"
        yield f"mount --bind {found} /usr/{name}"


def _openings() -> list[str]:
    """What lets everybody on that machine run this interpreter with this proxyd."""
    needed = {os.path.realpath(sys.executable), sys.base_prefix, sys.prefix, str(Path(__file__).parents[2])}
    closed: dict[str, set[str]] = {}
    for path in needed:
        for parent in reversed(Path(path).parents):
            if not parent.stat().st_mode & 0o001:
                closed.setdefault(str(parent), set()).add(path)
                break
    opened = []
    for number, (folder, paths) in enumerate(closed.items()):
        roots = {p for p in paths if not any(p != other and p.startswith(other + "/") for other in paths)}
        for path in sorted(roots):
            inside = os.path.relpath(path, folder)
            opened.append(_OPEN.format(number=number, closed=folder, wanted=path, inside=inside))
    return opened
