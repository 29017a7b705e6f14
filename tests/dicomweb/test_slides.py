from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from dicomweb.page import SECURITY_HEADERS
from tests.support.http import LiveServer, changed, running

if TYPE_CHECKING:
    from pathlib import Path

    from archive.settings import Settings


def upload(
    client: httpx.Client, content: bytes, name: str = "a.svs", **fields: str
) -> httpx.Response:
    return client.post("/api/slides", data=fields, files={"file": (name, content)})


def test_a_slide_is_received_and_can_be_followed(client: httpx.Client, live: LiveServer) -> None:
    content = uuid4().bytes * 1000
    answer = upload(client, content, accession="A-1", patient_id="P-1", specimen="S-1", case="C")
    assert answer.status_code == 202
    record = answer.json()
    assert record["state"] == "queued"
    assert record["filename"] == "a.svs"
    assert record["source_size"] == len(content)
    assert answer.headers["location"] == f"{live.url}/api/slides/{record['id']}"
    assert client.get(answer.headers["location"]).json()["id"] == record["id"]
    assert record["id"] in {one["id"] for one in client.get("/api/slides").json()}
    assert list(live.archive.staging.folder.rglob("*.part")) == []


def test_curl_sends_what_the_documentation_says(live: LiveServer, tmp_path: Path) -> None:
    slide = tmp_path / "of curl.svs"
    slide.write_bytes(uuid4().bytes * 100)
    done = subprocess.run(
        ["curl", "-sS", "-F", f"file=@{slide}", "-F", "accession=A-2", f"{live.url}/api/slides"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert '"state":"queued"' in done.stdout


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ({"accession": "A"}, {}),
        ({"nonsense": "A"}, {"file": ("a.svs", b"x")}),
        ({"accession": "A" * 17}, {"file": ("a.svs", b"x")}),
        ({"patient_sex": "X"}, {"file": ("a.svs", b"x")}),
        ({"micrometres_per_pixel": "wide"}, {"file": ("a.svs", b"x")}),
        ({"study_uid": "1.2.x"}, {"file": ("a.svs", b"x")}),
        ({"source_sha256": "0" * 64}, {"file": ("a.svs", b"x")}),
        ({}, {"file": ("..", b"x")}),
        ({}, {"other": ("a.svs", b"x")}),
    ],
)
def test_a_form_that_is_wrong_is_400_and_nothing_is_kept(
    client: httpx.Client,
    live: LiveServer,
    fields: dict[str, str],
    files: dict[str, tuple[str, bytes]],
) -> None:
    files = files or {"": ("", b"")}
    answer = client.post("/api/slides", data=fields, files=files)
    assert answer.status_code == 400, answer.text
    assert list(live.archive.staging.folder.rglob("*.part")) == []


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\slides\\passwd", "/etc/passwd", 'pass"wd']
)
def test_a_path_of_the_sender_is_only_a_name(client: httpx.Client, name: str) -> None:
    answer = upload(client, uuid4().bytes, name)
    assert answer.status_code == 202
    assert answer.json()["filename"] in {"passwd", 'pass"wd'}


def test_only_forms_are_taken(client: httpx.Client) -> None:
    assert client.post("/api/slides", content=b"x").status_code == 415
    headers = {"content-type": "multipart/form-data"}
    assert client.post("/api/slides", content=b"x", headers=headers).status_code == 400


def test_a_slide_that_is_too_large_is_413(settings: Settings) -> None:
    with (
        running(changed(settings, max_slide_bytes=10_000)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert upload(client, b"x" * 10_001).status_code == 413
        assert list(server.archive.staging.folder.rglob("*.part")) == []


@pytest.mark.parametrize("identifier", ["x", "cf545037-8743-446e-802b-c3d4ac5c65b1", "1", "%00"])
def test_a_slide_that_there_is_not_is_404(client: httpx.Client, identifier: str) -> None:
    assert client.get(f"/api/slides/{identifier}").status_code == 404


@pytest.mark.parametrize("limit", ["-1", "x", ""])
def test_a_bad_limit_is_400(client: httpx.Client, limit: str) -> None:
    assert client.get(f"/api/slides?limit={limit}").status_code == 400


def test_the_page_is_told_where_the_service_is(client: httpx.Client) -> None:
    answer = client.get("/config.json")
    assert answer.json()["dicomwebUrl"] == "/dicomweb"
    assert answer.json()["authRequired"] is False
    assert answer.headers["cache-control"] == "no-cache"


def test_the_page_comes_with_a_strict_policy(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.status_code in {200, 503}  # 503: not built, and it says so
    if answer.status_code == 503:
        assert "make setup" in answer.text
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
