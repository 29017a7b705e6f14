from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.command import Command
from tests.support.slides import make_svs
from tests.viewer.seeing import open_slide, settle, wait_until_drawn

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.viewer.conftest import Stocked

_FULL = "getComputedStyle(document.documentElement)"


def listed(page: Page) -> set[str]:
    """Wait until the list is complete and give the containers on it."""
    page.wait_for_selector('html[data-state="worklist"]')
    return set(page.locator(".slides .name").all_inner_texts())


def overflow(page: Page) -> int:
    """How many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def search(page: Page, label: str, text: str) -> None:
    with page.expect_response(lambda response: "/dicomweb/studies?" in response.url):
        page.get_by_label(label).fill(text)


def test_cases_are_listed_with_their_slides(page: Page, stocked: Stocked) -> None:
    page.goto(stocked.url)
    assert {"S-100-A1", "S-100-A2", "S-200-B1", "M-PLAIN"} <= listed(page)
    case = page.locator(".case", has_text="Ingrid Holm")
    assert case.locator(".slides li").count() == 2
    assert "A-100" in case.inner_text()
    assert "P-100" in case.inner_text()
    case.scroll_into_view_if_needed()  # pictures further down are not fetched
    case.locator(".picture.shown").nth(1).wait_for()


@pytest.mark.parametrize(
    ("label", "text", "found"),
    [
        ("Patient", "holm", {"S-100-A1", "S-100-A2"}),
        ("Patient", "Ingrid Holm", {"S-100-A1", "S-100-A2"}),
        ("Patient", "P-2*", {"S-200-B1"}),
        ("Accession", "A-200", {"S-200-B1"}),
        ("Container", "S-200", {"S-200-B1"}),
        # Of a case all slides are shown, when one of them matches.
        ("Stain", "H&E", {"S-100-A1", "S-100-A2"}),
        ("Stain", "ki-67", {"S-100-A1", "S-100-A2"}),
        ("Stain", "PAS", {"S-200-B1"}),
    ],
)
def test_a_search_narrows_the_list(
    page: Page, stocked: Stocked, label: str, text: str, found: set[str]
) -> None:
    page.goto(stocked.url)
    assert len(listed(page)) >= 7
    search(page, label, text)
    expect(page.locator(".slides .name")).to_have_count(len(found))
    assert listed(page) == found
    assert "#/" not in page.url or text not in page.url


def test_a_search_that_finds_nothing_can_be_cleared(page: Page, stocked: Stocked) -> None:
    page.goto(stocked.url)
    everything = listed(page)
    search(page, "Container", "no such slide")
    page.get_by_role("button", name="Clear the search").click()
    page.locator(".case").first.wait_for()
    assert listed(page) == everything


def test_a_search_outlives_a_look_at_a_slide(page: Page, stocked: Stocked) -> None:
    page.goto(stocked.url)
    listed(page)
    search(page, "Accession", "A-200")
    expect(page.locator(".slides .name")).to_have_count(1)
    page.get_by_role("link", name="Slide S-200-B1").click()
    wait_until_drawn(page)
    page.get_by_role("button", name="Back to all cases").click()
    assert listed(page) == {"S-200-B1"}
    assert page.get_by_label("Accession").input_value() == "A-200"


def test_the_list_works_by_keyboard(page: Page, stocked: Stocked) -> None:
    page.goto(stocked.url)
    listed(page)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "patient"
    assert page.get_by_label("Patient").input_value() == ""
    page.keyboard.type("abebe")
    expect(page.locator(".slides .name")).to_have_count(1)
    for _ in range(4):  # over the other fields to the slide
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.slides a:focus-visible')")
    page.keyboard.press("Enter")
    wait_until_drawn(page)


def test_nothing_overflows_on_a_phone(phone: Page, stocked: Stocked) -> None:
    phone.goto(stocked.url)
    listed(phone)
    assert overflow(phone) == 0
    open_slide(phone, stocked.url, "S-100-A1")
    assert overflow(phone) == 0
    for name in (".zoom", ".title", ".scale", ".overview"):
        box = phone.locator(name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert not phone.locator(".panel").is_visible()
    button = phone.get_by_role("button", name="Slide data")
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    settle(phone)
    assert phone.locator(".panel").is_visible()
    assert button.get_attribute("aria-expanded") == "true"
    assert overflow(phone) == 0


def test_dark_is_dark(page: Page, stocked: Stocked) -> None:
    page.goto(stocked.url)
    light = page.evaluate(f"{_FULL}.backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(f"{_FULL}.backgroundColor") != light


def test_an_empty_archive_says_how_to_fill_it_and_takes_a_slide(page: Page, tmp_path: Path) -> None:
    slide = make_svs(tmp_path / "given.svs")
    with Command(tmp_path).server() as server:
        page.goto(server.url)
        page.wait_for_selector('html[data-state="empty"]')
        assert "coverslip ingest" in page.inner_text(".welcome")
        page.locator(".welcome").get_by_role("button", name="Add a slide").click()
        page.get_by_label("Slide file").set_input_files(slide)
        page.get_by_label("Container").last.fill("UP-1")
        page.locator("dialog").get_by_role("button", name="Add slide").click()
        page.get_by_role("link", name="Slide UP-1").wait_for(timeout=60_000)
        open_slide(page, server.url, "UP-1")


def test_a_file_that_is_no_slide_is_told_in_the_dialog(page: Page, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.svs"
    wrong.write_bytes(b"this is no slide" * 100)
    with Command(tmp_path).server() as server:
        page.goto(server.url)
        page.get_by_role("button", name="Add a slide").first.click()
        page.get_by_label("Slide file").set_input_files(wrong)
        page.locator("dialog").get_by_role("button", name="Add slide").click()
        status = page.locator("dialog .status")
        expect(status).not_to_have_text("", timeout=60_000)
        expect(status).not_to_have_text(re.compile("…$"), timeout=60_000)
        assert len(status.inner_text()) > 15
        assert page.locator("dialog button.primary").is_enabled()
