"""Take the README's picture of a running archive's page: `python -m scripts.screenshot URL`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "slide.jpg"


def take(url: str) -> None:
    """Open the first slide of the worklist at `url`, zoom in, and keep a picture of it."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 820})
        page.goto(url)
        page.locator("a[href*='series/']").first.click()
        page.wait_for_load_state("networkidle")
        canvas = page.locator("canvas").first.bounding_box()
        if canvas is None:
            raise RuntimeError("the page shows no slide")
        page.mouse.move(canvas["x"] + 0.27 * canvas["width"], canvas["y"] + 0.36 * canvas["height"])
        for _ in range(3):
            page.mouse.wheel(0, -240)
            page.wait_for_timeout(350)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1_500)
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE, type="jpeg", quality=86)
        browser.close()


if __name__ == "__main__":
    take(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080/")
