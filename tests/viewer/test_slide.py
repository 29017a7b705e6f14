from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.slides import paint
from tests.viewer.conftest import SEED, watched
from tests.viewer.seeing import open_slide, seen, settle, tile_colours, wait_until_drawn

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from playwright.sync_api import Page, Request, Route

    from tests.support.browser import Launch
    from tests.viewer.conftest import Stocked

TOLERANCE = 7
"""Of a mean colour: JPEG and scaling change it a little."""
STRICT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def frames_asked(page: Page) -> list[str]:
    """Note the instance of every frame that is asked for from now on."""
    asked: list[str] = []

    def note(request: Request) -> None:
        found = re.search(r"/instances/([0-9.]+)/frames/", request.url)
        if found:
            asked.append(found[1])

    page.on("request", note)
    return asked


def test_tiles_are_drawn_in_the_colours_of_the_source(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "M-PLAIN")
    view = seen(page)
    for x, y, colour in tile_colours(stocked.plain):
        assert view.colour_at(x, y) == pytest.approx(colour, abs=TOLERANCE)


def test_rgb_streams_that_do_not_say_so_keep_their_colours(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "M-RGB")
    view = seen(page)
    for x, y, colour in tile_colours(stocked.rgb):
        assert view.colour_at(x, y) == pytest.approx(colour, abs=TOLERANCE)


def test_colours_are_managed_by_the_profile(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "M-SWAPPED")
    view = seen(page)
    for x, y, (red, green, blue) in tile_colours(stocked.swapped):
        assert view.colour_at(x, y) == pytest.approx((green, red, blue), abs=TOLERANCE)


def test_frames_that_no_browser_reads_are_drawn_by_the_server(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "M-NATIVE")
    view = seen(page)
    for x, y, colour in tile_colours(stocked.native):
        assert view.colour_at(x, y) == pytest.approx(colour, abs=TOLERANCE)


def test_zooming_draws_finer_tiles(page: Page, stocked: Stocked) -> None:
    asked = frames_asked(page)
    open_slide(page, stocked.url, "S-100-A1")
    coarse = set(asked)
    asked.clear()
    page.keyboard.press("5")
    settle(page)
    assert set(asked) - coarse, "no other level was asked for"

    view = seen(page)
    assert view.resolution == pytest.approx(1.0)
    left, top = round(view.left) + 300, round(view.top) + 200
    row, column = round(top - view.top), round(left - view.left)
    shown = view.pixels[row : row + 400, column : column + 500, :3]
    source = paint(SEED, left, top, 500, 400)
    blurred = _shrunk_and_back(source)
    # What is on the screen has the detail that a coarser level has lost.
    assert _difference(shown, source) < 0.7 * _difference(blurred, source)


def _shrunk_and_back(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    rows, columns = pixels.shape[0] // 4, pixels.shape[1] // 4
    small = pixels.reshape(rows, 4, columns, 4, 3).mean(axis=(1, 3))
    return small.repeat(4, axis=0).repeat(4, axis=1)


def _difference(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_the_slide_and_its_case_are_told_beside_it(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "S-100-A1")
    page.wait_for_selector(".panel .label .picture.shown")
    told = page.inner_text(".panel")
    for fact in (
        "S-100-A1",
        "H&E",
        "Ingrid Holm",
        "P-100",
        "A-100",
        "3,000 × 2,200 px",
        "0.25 µm",
        "40×",
        "sRGB",
    ):
        assert fact in told
    assert page.inner_text(".scale .length").endswith("µm")


def test_the_slides_of_a_case_can_be_switched(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "S-100-A1")
    first = page.url
    page.locator(".siblings a", has_text="S-100-A2").click()
    page.wait_for_selector("h1:text('S-100-A2')")
    wait_until_drawn(page)
    assert page.url != first
    assert page.locator(".siblings a[aria-current]").inner_text().startswith("S-100-A2")


def test_an_address_opens_its_slide_and_tells_nothing_of_the_patient(
    page: Page, stocked: Stocked
) -> None:
    open_slide(page, stocked.url, "S-100-A1")
    assert re.fullmatch(r".*/#/studies/[0-9.]+/series/[0-9.]+", page.url)
    assert "Holm" not in page.title()
    page.goto("about:blank")
    page.go_back()
    wait_until_drawn(page)
    assert page.inner_text("h1") == "S-100-A1"


def test_the_overview_shows_what_is_seen_and_leads_there(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "S-100-A1")
    page.keyboard.press("4")
    settle(page)
    box = page.locator(".overview .stage").bounding_box()
    frame = page.locator(".overview .frame").bounding_box()
    assert box is not None
    assert frame is not None
    assert frame["width"] < 0.8 * box["width"]
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"])
    settle(page)
    view = seen(page)
    assert (view.left + view.right) / 2 == pytest.approx(750, abs=30)
    assert (view.top + view.bottom) / 2 == pytest.approx(1650, abs=30)


def test_zoom_ends_at_the_base_level(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "S-100-A1")
    for _ in range(12):
        page.keyboard.press("+")
        page.wait_for_timeout(30)
    settle(page)
    assert seen(page).resolution == pytest.approx(0.25, rel=0.01)


def test_keys_move_zoom_fit_and_lead_back(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "S-100-A1")
    whole = seen(page)
    page.keyboard.press("4")
    settle(page)
    start = seen(page)
    assert start.resolution == pytest.approx(2.0, rel=0.01)
    page.keyboard.press("ArrowRight")
    settle(page)
    page.keyboard.press("ArrowDown")
    settle(page)
    moved = seen(page)
    assert moved.left > start.left + 50
    assert moved.top > start.top + 50
    page.keyboard.press("+")
    settle(page)
    assert seen(page).resolution == pytest.approx(1.0, rel=0.01)
    page.keyboard.press("-")
    settle(page)
    assert seen(page).resolution == pytest.approx(2.0, rel=0.01)
    page.keyboard.press("f")
    settle(page)
    assert seen(page).resolution == pytest.approx(whole.resolution, rel=0.01)
    page.keyboard.press("Escape")
    page.wait_for_selector('html[data-state="worklist"]')


def test_magnifications_are_buttons_that_tell_which_holds(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "S-100-A1")
    button = page.get_by_role("button", name="10 times")
    button.click()
    settle(page)
    assert page.inner_text(".magnification") == "10×"
    assert button.get_attribute("aria-pressed") == "true"


def test_a_first_view_asks_for_little(page: Page, stocked: Stocked) -> None:
    open_slide(page, stocked.url, "S-100-A1")
    address = page.url
    requests: list[str] = []
    sizes: list[int] = []
    fresh = page.context.new_page()
    fresh.on("request", lambda request: requests.append(request.url))
    fresh.on(
        "response",
        lambda response: (
            sizes.append(int(response.headers.get("content-length", "0")))
            if response.url.endswith(".js")
            else None
        ),
    )
    fresh.goto(address)
    wait_until_drawn(fresh)
    assert len(requests) <= 30
    assert sum(sizes) < 350_000


def test_it_draws_without_webgl(launch: Launch, stocked: Stocked) -> None:
    with watched(launch("--disable-3d-apis")) as context:
        page = context.new_page()
        open_slide(page, stocked.url, "M-PLAIN")
        assert page.evaluate("document.createElement('canvas').getContext('webgl')") is None
        view = seen(page)
        for x, y, colour in tile_colours(stocked.plain):
            assert view.colour_at(x, y) == pytest.approx(colour, abs=TOLERANCE)


def test_it_works_under_the_strictest_policy(page: Page, stocked: Stocked) -> None:
    def tighten(route: Route) -> None:
        response = route.fetch()
        headers = {**response.headers, "content-security-policy": STRICT_POLICY}
        route.fulfill(response=response, headers=headers)

    page.route(stocked.url, tighten)
    open_slide(page, stocked.url, "S-100-A1")
    box = page.locator(".map").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.wheel(0, -400)
    settle(page)
    assert (seen(page).pixels[..., 3] == 255).mean() > 0.5
    page.wait_for_selector(".overview .picture.shown")


def test_tiles_that_fail_are_told_and_tried_again(page: Page, stocked: Stocked) -> None:
    page.route("**/frames/*", lambda route: route.abort())
    page.goto(stocked.url)
    page.get_by_role("link", name="Slide M-PLAIN").click()
    trouble = page.locator(".trouble")
    trouble.wait_for()
    page.unroute("**/frames/*")
    trouble.get_by_role("button").click()
    page.wait_for_timeout(300)
    settle(page)
    view = seen(page)
    for x, y, colour in tile_colours(stocked.plain):
        assert view.colour_at(x, y) == pytest.approx(colour, abs=TOLERANCE)
    assert not trouble.is_visible()
