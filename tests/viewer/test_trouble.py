from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from tests.support.dicom_files import jpeg_slide
from tests.support.http import make_token, requiring_tokens, running, store
from tests.viewer.seeing import wait_until_drawn

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from archive.settings import Settings
    from tests.viewer.conftest import Stocked

UNKNOWN = "#/studies/1.2.3/series/1.2.4"


def test_a_server_that_is_gone_is_told_with_a_way_out(page: Page, settings: Settings) -> None:
    with running(settings) as server:
        page.goto(server.url)
        page.wait_for_selector('html[data-state="empty"]')
    page.evaluate(f"location.hash = '{UNKNOWN}'")
    notice = page.get_by_role("alert")
    notice.wait_for()
    assert page.get_attribute("html", "data-state") == "error-offline"
    assert "does not answer" in notice.inner_text()
    assert "coverslip serve" in notice.inner_text()
    notice.get_by_role("button", name="Try again").click()
    page.wait_for_selector('html[data-state="error-offline"]')


def test_a_network_that_comes_back_brings_the_list(page: Page, stocked: Stocked) -> None:
    page.goto(stocked.url)
    page.wait_for_selector('html[data-state="worklist"]')
    page.context.set_offline(True)
    page.get_by_label("Patient").fill("holm")
    page.wait_for_selector('html[data-state="error-offline"]')
    page.context.set_offline(False)
    page.wait_for_selector('html[data-state="worklist"]')
    page.get_by_role("link", name="Slide S-100-A1").wait_for()


def test_a_slide_that_is_not_there_is_told(page: Page, stocked: Stocked) -> None:
    page.goto(stocked.url + UNKNOWN)
    page.wait_for_selector('html[data-state="error-not-found"]')
    assert "not in this archive" in page.get_by_role("alert").inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector('html[data-state="worklist"]')


def test_a_server_that_is_not_ready_is_told_with_its_own_words(
    page: Page, stocked: Stocked
) -> None:
    problem = '{"title": "Unavailable", "detail": "the catalog does not answer"}'
    page.route(
        "**/dicomweb/studies?*",
        lambda route: route.fulfill(
            status=503, content_type="application/problem+json", body=problem
        ),
    )
    page.goto(stocked.url)
    page.wait_for_selector('html[data-state="error-unavailable"]')
    assert "the catalog does not answer" in page.get_by_role("alert").inner_text()
    page.unroute("**/dicomweb/studies?*")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector('html[data-state="worklist"]')


def test_a_token_is_asked_for_sent_with_pictures_and_kept_in_the_tab(
    page: Page, settings: Settings
) -> None:
    closed = requiring_tokens(settings)
    with running(closed) as server:
        token = make_token(closed, "page", "admin")
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            assert store(client, jpeg_slide(side=256)).status_code == 200
        page.goto(server.url)
        page.wait_for_selector('html[data-state="error-unauthorized"]')
        page.get_by_label("API token").fill("not a token")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="The token was refused").wait_for()
        page.get_by_label("API token").fill(token)
        page.keyboard.press("Enter")
        page.locator(".slides .picture.shown").wait_for()
        page.locator(".slides a").click()
        wait_until_drawn(page)
        assert token not in page.url
        page.reload()
        wait_until_drawn(page)
        assert page.evaluate("localStorage.length") == 0
