"""Frames that are answered without a task are answered as all others are."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from dicomweb.app import create_app
from tests.support.dicom_files import jpeg_slide
from tests.support.http import changed, make_token, path_of, requiring_tokens, running, store

if TYPE_CHECKING:
    from pathlib import Path

    from archive.settings import Settings
    from tests.support.http import LiveServer

ANY_STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
LONG_WAY = {"if-none-match": '"something else"'}
"""A request with this field is never answered at once."""
VARYING = {"date"}


def warm(client: httpx.Client, path: str) -> None:
    """Ask once: from then on the instance is known."""
    assert client.get(f"{path}/frames/1", headers={"accept": "image/jpeg"}).status_code == 200


def fields(answer: httpx.Response) -> dict[str, str]:
    """Give the fields of an answer, but for the boundary that no two answers share."""
    told = {name: value for name, value in answer.headers.items() if name not in VARYING}
    told["content-type"] = told["content-type"].partition("boundary=")[0]
    return told


def counted(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(
        next(line for line in lines if line.startswith("coverslip_frames_total")).split()[1]
    )


@pytest.mark.parametrize(
    "accept", ["image/jpeg", ANY_STORED, "*/*", 'multipart/related; type="*/*"']
)
def test_both_ways_give_the_same_answer(client: httpx.Client, accept: str) -> None:
    slide = jpeg_slide(fragments=2)
    store(client, slide)
    warm(client, path_of(slide))
    frame = f"{path_of(slide)}/frames/3"
    at_once = client.get(frame, headers={"accept": accept})
    long_way = client.get(frame, headers={"accept": accept, **LONG_WAY})
    assert at_once.status_code == long_way.status_code == 200
    assert fields(at_once) == fields(long_way)
    assert slide.frames[2] in at_once.content
    assert len(at_once.content) == len(long_way.content)


def test_both_ways_give_the_same_cors_headers(settings: Settings) -> None:
    slide = jpeg_slide()
    with (
        running(changed(settings, cors_origins="https://viewer.example.org")) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        store(client, slide)
        warm(client, path_of(slide))
        for origin in ("https://viewer.example.org", "https://elsewhere.example.org"):
            asked = {"accept": "image/jpeg", "origin": origin}
            at_once = client.get(f"{path_of(slide)}/frames/2", headers=asked)
            long_way = client.get(f"{path_of(slide)}/frames/2", headers={**asked, **LONG_WAY})
            assert fields(at_once) == fields(long_way)
            allowed = at_once.headers.get("access-control-allow-origin")
            assert allowed == (origin if "viewer" in origin else None)


def test_what_goes_wrong_is_told_the_usual_way(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    path = path_of(slide)
    warm(client, path)
    for frame, accept, status in (
        ("7", "image/jpeg", 404),
        ("0", "image/jpeg", 400),
        ("2", "text/html", 406),
    ):
        answer = client.get(f"{path}/frames/{frame}", headers={"accept": accept})
        assert answer.status_code == status, (frame, accept)
        assert answer.headers["content-type"].startswith("application/problem+json")


def test_only_the_path_of_a_frame_leads_to_it(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    path = path_of(slide)
    warm(client, path)
    for other in (
        f"/elsewhere{path}/frames/1",
        f"{path}/frames/1/frames/1",
        f"{path}/frames/x/frames/1",
        f"{path}/pixels/1",
        f"{path}/frames/1/",
    ):
        answer = client.get(other, headers={"accept": "image/jpeg"})
        assert answer.content != slide.frames[0], other


def test_a_known_frame_is_for_those_alone_who_may_see_it(settings: Settings) -> None:
    slide = jpeg_slide()
    with (
        running(requiring_tokens(settings)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        tokens = {role: make_token(settings, role, role) for role in ("contributor", "monitor")}
        allowed = {"authorization": f"Bearer {tokens['contributor']}"}
        store(client, slide, **allowed)
        frame = f"{path_of(slide)}/frames/2"
        for _ in range(3):
            assert client.get(frame, headers={**allowed, "accept": "image/jpeg"}).status_code == 200
            assert client.get(frame, headers={"accept": "image/jpeg"}).status_code == 401
            for token, status in ((tokens["monitor"], 403), ("cvs_" + "x" * 43, 401)):
                shown = {"authorization": f"Bearer {token}", "accept": "image/jpeg"}
                assert client.get(frame, headers=shown).status_code == status


def test_a_known_frame_is_not_for_a_foreign_name(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    warm(client, path_of(slide))
    asked = {"accept": "image/jpeg", "host": "rebound.example.org"}
    assert client.get(f"{path_of(slide)}/frames/1", headers=asked).status_code == 403


def test_a_known_frame_needs_no_database_and_no_thread(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = jpeg_slide()
    with running(settings) as server, httpx.Client(base_url=server.url) as client:
        store(client, slide)
        warm(client, path_of(slide))
        server.archive.database.close()
        monkeypatch.setattr("anyio.to_thread.run_sync", None)
        answer = client.get(f"{path_of(slide)}/frames/4", headers={"accept": "image/jpeg"})
        assert answer.content == slide.frames[3]
        monkeypatch.undo()


def test_every_frame_is_counted(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    warm(client, path_of(slide))
    before = counted(client)
    for number in (1, 2, 3):
        client.get(f"{path_of(slide)}/frames/{number}", headers={"accept": "image/jpeg"})
    waited = threading.Event()
    for _ in range(100):  # they are handed on once a second
        if counted(client) >= before + 3:
            return
        waited.wait(0.1)
    pytest.fail("three frames were sent, and not counted within ten seconds")


def bodies_of(connection: socket.socket, answers: int) -> list[bytes]:
    """Read answers; give their bodies in the order they came."""
    bodies = []
    with connection.makefile("rb") as file:
        for _ in range(answers):
            length = 0
            while line := file.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            bodies.append(file.read(length))
    return bodies


def request(path: str, frame: int, **headers: str) -> bytes:
    given = {"Host": "localhost", "Accept": "image/jpeg", **headers}
    lines = [f"GET {path}/frames/{frame} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def test_requests_sent_ahead_are_answered_in_their_order(
    live: LiveServer, client: httpx.Client
) -> None:
    slide = jpeg_slide()
    store(client, slide)
    path = path_of(slide)
    warm(client, path)
    ways: list[dict[str, str]] = [{}, {}, LONG_WAY, {}, LONG_WAY, LONG_WAY, {}, {}]
    asked = [(1 + index % 6, way) for index, way in enumerate(ways * 4)]
    sent = b"".join(request(path, frame, **way) for frame, way in asked)
    with socket.create_connection((live.host, live.port), timeout=30) as connection:
        connection.sendall(sent)
        bodies = bodies_of(connection, len(asked))
    assert bodies == [slide.frames[frame - 1] for frame, _ in asked]


def test_whoever_does_not_read_what_they_asked_for_is_not_sent_more(
    live: LiveServer, client: httpx.Client
) -> None:
    slide = jpeg_slide(side=512, quality=100)
    assert len(slide.frames[0]) > 80_000
    store(client, slide)
    path = path_of(slide)
    warm(client, path)
    before, asked = counted(client), [1 + index % 6 for index in range(800)]
    with socket.create_connection((live.host, live.port), timeout=30) as connection:
        connection.sendall(b"".join(request(path, frame) for frame in asked))
        while (sent := counted(client) - before) < 2:  # they are handed on once a second
            threading.Event().wait(0.1)
        assert sent < 400  # the kernel takes some megabytes; all else would be our memory


def test_what_a_folder_lost_is_told_once_it_is_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    slide = jpeg_slide()
    blobs = tmp_path / "blobs"
    with (
        running(changed(settings, blobs=str(blobs))) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        store(client, slide)
        warm(client, path_of(slide))
        (blob,) = blobs.glob("??/*.dcm")
        blob.chmod(0o600)
        with blob.open("rb+") as file:
            file.truncate(blob.stat().st_size // 2)
        answer = client.get(f"{path_of(slide)}/frames/6", headers={"accept": "image/jpeg"})
        assert answer.status_code == 500
        assert answer.headers["content-type"].startswith("application/problem+json")


def test_the_application_answers_nothing_at_once_before_it_is_open(settings: Settings) -> None:
    target = b"/dicomweb/studies/1.2/series/1.2/instances/1.2/frames/1"
    assert create_app(settings).now(target, [(b"host", b"localhost")]) is None
