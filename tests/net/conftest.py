import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxyd.codec.headers import NO_HEADERS
from tests.net.playbook import Clock, Stage

MakeStage = Callable[..., Stage]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that the data plane sees; it stands still until a test moves it."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def stage(clock: Clock, tmp_path: Path) -> Iterator[MakeStage]:
    """Makes stages; at the end nothing may be under way on any of them."""
    stages: list[Stage] = []

    def make(**options: object) -> Stage:
        made = Stage(clock, tmp_path, **options)  # type: ignore[arg-type]
        stages.append(made)
        return made

    yield make
    for made in stages:
        try:
            made.finish()
        finally:
            made.close()


@pytest.fixture(autouse=True)
def nobody_changes_the_headers_that_have_not_come() -> Iterator[None]:
    yield
    assert NO_HEADERS.items == []
