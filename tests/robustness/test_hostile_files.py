"""Files that are made to hurt are refused or kept, and whatever is asked of those that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.hostile_files import MAKERS

if TYPE_CHECKING:
    from tests.robustness.conftest import Victim

ASKED = (
    ("/metadata", "*/*"),
    ("", "*/*"),
    ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"),
    ("/frames/1", "*/*"),
    ("/frames/1", "application/octet-stream"),
    ("/frames/1", "image/jp2"),
    ("/frames/2147483647", "*/*"),
    ("/rendered", "image/png"),
    ("/frames/1/rendered", "image/jpeg"),
    ("/rendered?viewport=100000,100000", "image/jpeg"),
    ("/thumbnail", "image/jpeg"),
    ("/bulkdata/7FE00010", "*/*"),
)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_hostile_file_is_refused_or_served(victim: Victim, kind: str) -> None:
    answer = victim.store(MAKERS[kind]())
    assert answer.status_code in {200, 202, 400, 409, 413}, answer.text
    for item in answer.json().get("00081199", {}).get("Value", []):
        url = item["00081190"]["Value"][0]
        for path, accept in ASKED:
            got = victim.client.get(url + path, headers={"accept": accept})
            assert got.status_code < 500, f"{path} {accept}: {got.text}"
