"""The first demonstration's page in a real browser.

What it looks like is kept in .artifacts/ of the checkout (dog.png, cat.png), each run's over the last one's.
"""

from pathlib import Path

import pytest

from proxyd.demo import front
from proxyd.demo.stage import PROXYD, opened
from tests.demo.browser import Chromium, chromium_program, pin_of

_ARTIFACTS = Path(__file__).parents[2] / ".artifacts"


@pytest.mark.e2e
@pytest.mark.skipif(chromium_program() is None, reason="Chromium is not installed")
def test_the_page_shows_dog_and_cat_across_reloads(tmp_path: Path) -> None:
    shown: dict[str, str] = {}
    _ARTIFACTS.mkdir(exist_ok=True)
    for picture in _ARTIFACTS.glob("*.png"):
        picture.unlink()
    with opened(tmp_path, PROXYD, True, print) as stage:
        front.lay(stage)
        with Chromium(tmp_path / "profile", pin_of(stage.certificates / "front.crt")) as browser:
            browser.open(f"https://localhost:{stage.port(front.HTTPS)}/")
            for _ in range(60):
                name = browser.evaluate("document.title")
                if name not in shown:
                    shown[name] = browser.evaluate("document.querySelector('svg').getAttribute('aria-label')")
                    browser.screenshot(_ARTIFACTS / f"{name}.png")
                if len(shown) == 2:
                    break
                browser.reload()
            assert browser.evaluate("location.protocol") == "https:"
    assert shown == {"dog": "a dog", "cat": "a cat"}
    for name in shown:
        assert (_ARTIFACTS / f"{name}.png").read_bytes().startswith(b"\x89PNG")
