"""The browser of the tests, one Playwright a process: a second one cannot be started beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.shared import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: For the browser that has WebGL, drawn in software.
_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")

Launch = Callable[..., Browser]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is."""
    for name in _PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return found
    return missing("no Chromium is installed (scripts/provide chromium)")


@pytest.fixture(scope="session")
def launch(chromium: str) -> Iterator[Launch]:
    """Start a browser with flags of one's own; it ends with the session."""
    with sync_playwright() as playwright:
        yield lambda *flags: playwright.chromium.launch(
            executable_path=chromium, args=[*_FLAGS, *flags]
        )


@pytest.fixture(scope="session")
def browser(launch: Launch) -> Browser:
    """Chromium, with WebGL drawn in software."""
    return launch(*_WEBGL)
