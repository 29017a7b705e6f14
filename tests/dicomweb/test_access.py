from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.routing import BaseRoute, Route

from auth import Principal
from auth.tokens import Tokens
from dicomweb.app import create_app
from dicomweb.description import permission_of
from tests.support.dicom_files import jpeg_slide
from tests.support.http import LiveServer, changed, path_of, requiring_tokens, running, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.settings import Settings

PUBLIC = {"/health/live", "/health/ready", "/config.json", "/{path:path}"}
"""Everything that nobody needs a permission for. Nothing of it tells what is stored."""


@pytest.fixture(scope="module")
def routes() -> list[BaseRoute]:
    from archive.settings import Settings

    return list(create_app(Settings()).router.routes)


@pytest.fixture
def closed(settings: Settings) -> Iterator[LiveServer]:
    """A server that asks for tokens."""
    with running(requiring_tokens(settings)) as server:
        yield server


def token(server: LiveServer, role: str) -> dict[str, str]:
    tokens = Tokens(server.archive.database.sessions)
    _, secret = tokens.create(f"{role} of a test", role, by=Principal.operator())
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.claim("access")
def test_every_route_states_its_permission_or_is_public(routes: list[BaseRoute]) -> None:
    assert len(routes) > 20
    for route in routes:
        assert isinstance(route, Route), f"{route} is of a kind that this test cannot look into"
        stated = permission_of(route)
        assert (stated is None) == (route.path in PUBLIC), route.path


@pytest.mark.claim("access")
def test_every_route_but_the_public_ones_asks_for_a_token(
    closed: LiveServer, routes: list[BaseRoute]
) -> None:
    for route in routes:
        assert isinstance(route, Route)
        path = route.path.replace("{attribute:path}", "00281010").replace("{path:path}", "")
        for name in ("study", "series", "instance"):
            path = path.replace(f"{{{name}}}", "1.2")
        path = path.replace("{frames}", "1").replace("{slide_id}", "x")
        for method in route.methods or ():
            answer = httpx.request(method, closed.url + path)
            if route.path in PUBLIC:
                assert answer.status_code != 401, path
                continue
            assert answer.status_code == 401, f"{method} {path}"
            assert answer.headers["www-authenticate"].startswith("Bearer ")
            if method != "HEAD":
                assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header",
    ["Bearer cvs_" + "A" * 43, "Bearer", "Basic dTpw", "Bearer x", "bearer a b", "Bearer \xff"],
)
def test_a_wrong_token_is_401(closed: LiveServer, header: str) -> None:
    raw = header.encode("latin-1")
    answer = httpx.get(f"{closed.dicomweb}/studies", headers={b"authorization": raw})
    assert answer.status_code == 401


def test_a_token_that_is_wrong_is_told_from_one_that_is_missing(closed: LiveServer) -> None:
    for headers, told in (
        ({}, False),
        ({"authorization": "Basic dTpw"}, False),
        ({"authorization": "Bearer x"}, True),
        ({"authorization": "Bearer cvs_" + "A" * 43}, True),
    ):
        answer = httpx.get(f"{closed.dicomweb}/studies", headers=headers)
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer realm="coverslip"')
        assert ('error="invalid_token"' in challenge) == told  # RFC 6750 §3.1


def test_a_role_opens_what_it_allows_and_nothing_else(closed: LiveServer) -> None:
    slide = jpeg_slide()
    with httpx.Client(base_url=closed.url) as client:
        reader, contributor = token(closed, "reader"), token(closed, "contributor")
        monitor = token(closed, "monitor")
        refused = store(client, slide, **reader)
        assert refused.status_code == 403
        assert refused.json()["type"] == "urn:coverslip:problem:forbidden"
        assert store(client, slide, **contributor).status_code == 200
        frame = f"{path_of(slide)}/frames/1"
        for _ in range(2):  # looked up, and from memory
            assert client.get(frame, headers=reader).status_code == 200
            assert client.get(frame, headers=monitor).status_code == 403
        assert client.get("/dicomweb/studies", headers=monitor).status_code == 403
        assert client.get("/metrics", headers=monitor).status_code == 200
        assert client.get("/metrics", headers=reader).status_code == 403


def test_a_revoked_token_stops_working(settings: Settings) -> None:
    with running(requiring_tokens(changed(settings, token_cache_seconds=0))) as server:
        headers = token(server, "reader")
        assert httpx.get(f"{server.dicomweb}/studies", headers=headers).status_code == 204
        Tokens(server.archive.database.sessions).revoke("reader of a test")
        assert httpx.get(f"{server.dicomweb}/studies", headers=headers).status_code == 401


def test_importing_the_application_pulls_in_no_slide_library() -> None:
    program = (
        "import sys, dicomweb.app; "
        "print([m for m in ('tifffile','opentile','openslide','wsidicom') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""]
)
def test_without_tokens_only_our_own_names_are_answered(client: httpx.Client, host: str) -> None:
    answer = client.get("/dicomweb/studies", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:coverslip:problem:foreign-request"
    assert "COVERSLIP_PUBLIC_URL" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:8080", "a.localhost"]
)
def test_our_own_names_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/dicomweb/studies", headers={"host": host}).status_code in {200, 204}


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("path", ["/api/slides", "/dicomweb/studies"])
def test_without_tokens_a_foreign_page_cannot_send(
    client: httpx.Client, path: str, origin: str
) -> None:
    answer = client.post(path, headers={"origin": origin}, files={"file": b"anything"})
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:coverslip:problem:foreign-request"


def test_a_frame_is_not_for_a_foreign_name_either(client: httpx.Client) -> None:
    path = "/dicomweb/studies/1.2/series/1.3/instances/1.4/frames/1"
    assert client.get(path, headers={"host": "evil.example"}).status_code == 403


def test_the_public_name_and_the_origins_that_are_set_are_answered(settings: Settings) -> None:
    public = changed(
        settings, public_url="https://slides.example.org", cors_origins=["https://viewer.example"]
    )
    with running(public) as server, httpx.Client(base_url=server.url) as client:
        own = {"host": "slides.example.org"}
        assert client.get("/dicomweb/studies", headers=own).status_code == 204
        for origin in ("https://viewer.example", "https://slides.example.org"):
            sent = client.post("/dicomweb/studies", headers={**own, "origin": origin})
            assert sent.status_code == 415  # taken up, and found to have no content type
