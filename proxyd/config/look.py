"""What a file is, seen from outside: enough to tell whether it has become another one."""

from typing import NamedTuple

from proxyd.system import native


class Look(NamedTuple):
    """What a file was when it was looked at."""

    path: str  # behind all links
    device: int
    inode: int
    size: int
    modified: int  # nanoseconds
    changed: int  # nanoseconds; a move counts. 0 where the system does not tell

    @property
    def identity(self) -> tuple[str, int, int]:
        return self[:3]

    @property
    def moved(self) -> bool:
        """Whether it is known to have been moved since it was written last."""
        return self.changed > self.modified


# What files were before they were read the first time: whatever is otherwise later has not been read.
Looks = dict[str, Look | None]


def look(path: str) -> Look | None:
    """Look at a file; None where there is none."""
    try:
        return Look(*native.look(path))
    except (OSError, ValueError):
        return None


def look_first(path: str, looks: Looks | None) -> None:
    """Note what a file is that is about to be read; what was noted before it was read stands."""
    if looks is not None and path not in looks:
        looks[path] = look(path)
