"""An archive with slides in it, and pages that must not complain."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from archive.ingest import ingest_slide
from archive.rendering import srgb_profile
from archive.settings import Settings
from conversion import ConversionRequest
from tests.support.archives import BY
from tests.support.dicom_files import MadeFile, jpeg_slide, native_slide
from tests.support.http import LiveServer, running, store
from tests.support.shared import missing
from tests.support.slides import make_svs
from tests.viewer.seeing import swapped_optical_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

DIST = Path(__file__).parents[2] / "viewer" / "dist"
_DESK = {"width": 1280, "height": 800}

# A magnification of 40 is one base pixel a pixel of the screen.
MICROMETRES = 0.25
SEED = 11


@dataclass(frozen=True, slots=True)
class Stocked:
    """A server with slides whose pixels the tests know.

    Attributes
    ----------
    svs
        Path of the source of the first slide of case A-100.
    plain, rgb, swapped, native
        One level each of 3 x 2 tiles of 256 pixels: YCbCr; RGB in streams that do not say so; with
        a profile that has red and green swapped; without compression.
    """

    server: LiveServer
    svs: Path
    plain: MadeFile
    rgb: MadeFile
    swapped: MadeFile
    native: MadeFile

    @property
    def url(self) -> str:
        return self.server.url + "/"


@pytest.fixture(scope="session", autouse=True)
def built_page() -> None:
    if not (DIST / "index.html").is_file():
        missing("the page has not been built (make setup)")


@contextlib.contextmanager
def watched(browser: Browser, **options: Any) -> Iterator[BrowserContext]:  # noqa: ANN401 - playwright's own options
    """Open a context whose pages must raise no error and break no policy."""
    options.setdefault("viewport", _DESK)
    context = browser.new_context(reduced_motion="reduce", **options)
    complaints: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if "Security Policy" in message.text else None
            ),
        )

    context.on("page", watch)
    try:
        yield context
    finally:
        context.close()
    assert complaints == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched(browser) as context:
        yield context.new_page()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    size = {"width": 390, "height": 844}
    with watched(browser, viewport=size, has_touch=True, is_mobile=True) as context:
        yield context.new_page()


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stocked]:
    folder = tmp_path_factory.mktemp("viewer")
    size: dict[str, Any] = {"width": 3000, "height": 2200, "mpp": MICROMETRES, "power": 40}
    svs = make_svs(folder / "one.svs", seed=SEED, shrink=(1, 4), **size)
    second = make_svs(folder / "two.svs", seed=SEED + 1, **size)
    third = make_svs(folder / "three.svs", seed=SEED + 2, **size)
    tiles: dict[str, Any] = {"across": 3, "down": 2, "side": 256}
    with running(Settings(data_dir=folder / "data")) as server:
        case: dict[str, Any] = {
            "accession": "A-100",
            "patient_id": "P-100",
            "patient_name": "Holm^Ingrid",
        }
        other: dict[str, Any] = {
            "accession": "A-200",
            "patient_id": "P-200",
            "patient_name": "Abebe^Tesfaye",
        }
        for path, given in (
            (svs, {**case, "container_id": "S-100-A1", "stain": "H&E"}),
            (second, {**case, "container_id": "S-100-A2", "stain": "Ki-67"}),
            (third, {**other, "container_id": "S-200-B1", "stain": "PAS"}),
        ):
            ingest_slide(server.archive, path, ConversionRequest(**given), by=BY)
        swapped = swapped_optical_path(srgb_profile())
        made = [
            jpeg_slide(**tiles, **named("PLAIN")),
            jpeg_slide(**tiles, rgb_without_marker=True, **named("RGB")),
            jpeg_slide(**tiles, OpticalPathSequence=[swapped], **named("SWAPPED")),
            native_slide(**tiles, **named("NATIVE")),
        ]
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert store(client, *made).status_code == 200
        yield Stocked(server, svs, *made)


def named(name: str) -> dict[str, Any]:
    return {
        "PatientName": f"Made^{name.title()}",
        "AccessionNumber": f"M-{name}",
        "ContainerIdentifier": f"M-{name}",
    }
