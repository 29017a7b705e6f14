"""OHIF, the viewer that most archives are looked at with: it draws our slide."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.clients.conftest import StaticServer, provided

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.clients.conftest import Served

TISSUE = np.array([214, 142, 186])
"""The colour that `tests.support.slides.paint` gives tissue."""
DRAWN_MS = 60_000


def configuration(dicomweb: str) -> bytes:
    """Give OHIF's app-config.js for one archive."""
    config = {
        "routerBasename": "/",
        "extensions": [],
        "modes": [],
        "showStudyList": True,
        "maxNumberOfWebWorkers": 2,
        "showWarningMessageForCrossOrigin": False,
        "showCPUFallbackMessage": False,
        "defaultDataSourceName": "archive",
        "dataSources": [
            {
                "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                "sourceName": "archive",
                "configuration": {
                    "friendlyName": "Coverslip",
                    "name": "archive",
                    "qidoRoot": dicomweb,
                    "wadoRoot": dicomweb,
                    "wadoUriRoot": dicomweb + "/wado",
                    "qidoSupportsIncludeField": True,
                    "supportsFuzzyMatching": True,
                    "supportsWildcard": True,
                    "imageRendering": "wadors",
                    "thumbnailRendering": "wadors",
                    "enableStudyLazyLoad": True,
                    "bulkDataURI": {"enabled": True},
                },
            }
        ],
    }
    return f"window.config = {json.dumps(config)};".encode()


def looks_like_tissue(screenshot: bytes) -> float:
    """Give the share of the picture that has the colours of the slide's tissue."""
    pixels = np.asarray(Image.open(io.BytesIO(screenshot)).convert("RGB"), np.int16)
    off = np.abs(pixels - TISSUE).max(axis=2)
    return float((off < 40).mean())


@pytest.mark.claim("clients.ohif")
def test_the_slide_is_found_and_drawn(browser: Browser, served: Served) -> None:
    folder = provided("ohif-3.13.2") / "dist"
    overrides = {"/app-config.js": configuration(served.server.dicomweb)}
    with StaticServer(folder, overrides) as site:
        context = browser.new_context(
            viewport={"width": 1200, "height": 800},
            # In a hospital OHIF gets its token by OpenID Connect.
            extra_http_headers={"Authorization": f"Bearer {served.token}"},
        )
        page = context.new_page()
        failures: list[str] = []
        page.on(
            "response",
            lambda answer: (
                failures.append(f"{answer.status} {answer.url}")
                if answer.url.startswith(served.server.url) and answer.status >= 400
                else None
            ),
        )
        page.goto(f"{site.url}/microscopy?StudyInstanceUIDs={served.study}")
        canvas = page.locator(".DicomMicroscopyViewer canvas").first
        canvas.wait_for(timeout=DRAWN_MS)
        share = 0.0
        for _ in range(40):
            share = looks_like_tissue(page.screenshot())
            if share > 0.05:
                break
            page.wait_for_timeout(500)
        context.close()
    assert share > 0.05, f"{share:.3f} of the screen looks like the slide; {failures}"
    assert failures == []
