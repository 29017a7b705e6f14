"""The Retrieve Capabilities transaction (PS3.18 §8.9, Annex H)."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest
from lxml import etree

from archive.settings import Settings
from dicomweb.app import create_app
from dicomweb.capabilities import NAMESPACE, WADL
from tests.support.http import changed, requiring_tokens, running

if TYPE_CHECKING:
    from tests.support.http import LiveServer

_W = f"{{{NAMESPACE}}}"
_PLACE = re.compile(r"\{(\w+)(:\w+)?\}")


def methods_in(document: bytes) -> dict[tuple[str, str], etree._Element]:
    """Give the methods of a WADL document: path and name → the element."""
    found: dict[tuple[str, str], etree._Element] = {}

    def walk(resource: etree._Element, above: str) -> None:
        path = f"{above}/{resource.get('path')}"
        for method in resource.findall(f"{_W}method"):
            found[path, method.get("name")] = method
        for child in resource.findall(f"{_W}resource"):
            walk(child, path)

    for resource in etree.fromstring(document).iterfind(f"{_W}resources/{_W}resource"):
        walk(resource, "")
    return found


@pytest.mark.parametrize("path", ["/dicomweb", "/dicomweb/", "/"])
@pytest.mark.parametrize("accept", ["*/*", WADL, "application/xml;q=0.5, application/vnd.*"])
def test_options_on_the_base_gives_wadl(
    client: httpx.Client, live: LiveServer, path: str, accept: str
) -> None:
    answer = client.options(path, headers={"accept": accept})
    assert answer.status_code == 200
    root = etree.fromstring(answer.content)
    assert root.tag == f"{_W}application"
    (resources,) = root.findall(f"{_W}resources")
    assert resources.get("base") == live.dicomweb


def test_every_resource_is_there_with_its_methods(client: httpx.Client) -> None:
    answer = client.options("/dicomweb", headers={"accept": WADL})
    assert answer.headers["content-type"] == WADL
    told = set(methods_in(answer.content))
    there = {
        (_PLACE.sub(r"{\1}", route.path.removeprefix("/dicomweb")), method)  # type: ignore[attr-defined]
        for route in create_app(Settings()).router.routes
        if route.path.startswith("/dicomweb/")  # type: ignore[attr-defined]
        for method in route.methods - {"HEAD", "OPTIONS"}  # type: ignore[attr-defined]
    }
    assert told == there
    assert ("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", "GET") in told


def test_methods_have_names_of_their_own_and_tell_what_they_take(client: httpx.Client) -> None:
    methods = methods_in(client.options("/dicomweb").content)
    names = Counter(method.get("id") for method in methods.values())
    assert max(names.values()) == 1
    for (path, name), method in methods.items():
        places = {one.get("name") for one in method.iterancestors(f"{_W}resource")}
        assert places is not None
        taken = {one.get("name") for one in method.iterfind(f"{_W}request/{_W}param")}
        assert "Accept" in taken, path
        assert name != "GET" or {"accept", "charset"} <= taken
        assert method.find(f"{_W}response") is not None
    metadata = methods["/studies/{study}/metadata", "GET"]
    offered = {one.get("mediaType") for one in metadata.iter(f"{_W}representation")}
    assert offered >= {
        "application/dicom+json",
        'multipart/related; type="application/dicom+xml"',
    }


def test_what_may_be_stored_is_told(client: httpx.Client) -> None:
    store = methods_in(client.options("/dicomweb").content)["/studies", "POST"]
    taken = [one.get("mediaType") for one in store.iterfind(f"{_W}request/{_W}representation")]
    assert "multipart/related" in taken


def test_places_in_paths_are_told_as_template_parameters(client: httpx.Client) -> None:
    root = etree.fromstring(client.options("/dicomweb").content)
    for resource in root.iter(f"{_W}resource"):
        named = {
            one.get("name")
            for one in resource.findall(f"{_W}param")
            if one.get("style") == "template"
        }
        assert named == {name for name, _ in _PLACE.findall(resource.get("path"))}


def test_the_same_comes_as_json(client: httpx.Client, live: LiveServer) -> None:
    answer = client.options("/dicomweb", headers={"accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["base"] == live.dicomweb

    nodes, methods = list(body["resources"]), 0
    while nodes:
        node = nodes.pop()
        methods += len(node["methods"])
        nodes += node["resources"]
    assert methods == len(methods_in(client.options("/dicomweb").content))


def test_what_is_not_acceptable_is_406(client: httpx.Client) -> None:
    assert client.options("/dicomweb", headers={"accept": "image/png"}).status_code == 406


def test_a_preflight_on_the_base_is_a_preflight(settings: Settings) -> None:
    with (
        running(changed(settings, cors_origins=("https://viewer.example",))) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        asked = {"origin": "https://viewer.example", "access-control-request-method": "GET"}
        answer = client.options("/dicomweb", headers=asked)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://viewer.example"


def test_capabilities_are_for_those_who_may_read(settings: Settings) -> None:
    with (
        running(requiring_tokens(settings)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert client.options("/dicomweb").status_code == 401
        assert client.options("/dicomweb/studies").status_code == 204
