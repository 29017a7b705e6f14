"""Deleting over HTTP, in the form the field gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import text

from tests.support.dicom_files import MadeFile, jpeg_slide
from tests.support.http import (
    LiveServer,
    changed,
    make_token,
    path_of,
    requiring_tokens,
    running,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.settings import Settings

ORIGIN = "https://viewer.example"


@pytest.fixture
def server(settings: Settings) -> Iterator[LiveServer]:
    with running(requiring_tokens(changed(settings, cors_origins=[ORIGIN]))) as running_server:
        yield running_server


@pytest.fixture
def curator(server: LiveServer) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {make_token(server.archive.settings, 'c', 'curator')}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield client


def ancestors(made: MadeFile) -> tuple[str, str, str]:
    """Give the paths of study, series and instance."""
    instance = path_of(made)
    series = instance.rpartition("/instances/")[0]
    return series.rpartition("/series/")[0], series, instance


@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_is_deleted_is_gone_from_every_resource(curator: httpx.Client, level: int) -> None:
    made = jpeg_slide(AccessionNumber="A-1")
    store(curator, made)
    study, series, instance = ancestors(made)
    assert curator.get(f"{instance}/frames/1").status_code == 200
    answer = curator.delete(ancestors(made)[level], headers={"deletion-reason": "wrong case"})
    assert (answer.status_code, answer.content) == (204, b"")
    for path in (
        study,
        series,
        instance,
        f"{study}/metadata",
        f"{series}/metadata",
        f"{instance}/metadata",
        f"{instance}/frames/1",
        f"{instance}/frames/1/rendered",
        f"{instance}/rendered",
        f"{instance}/thumbnail",
        f"{instance}/bulkdata/00281010",
    ):
        gone = curator.get(path)
        assert gone.status_code == 410, path
        assert gone.json()["type"] == "urn:coverslip:problem:gone"
    for path in ("/dicomweb/studies", "/dicomweb/series", "/dicomweb/instances"):
        assert curator.get(path).status_code == 204
    assert curator.delete(ancestors(made)[level]).status_code == 410
    assert store(curator, made).status_code == 200
    assert curator.get(f"{instance}/frames/1").content


def test_the_reason_is_kept(server: LiveServer, curator: httpx.Client) -> None:
    made = jpeg_slide()
    store(curator, made)
    curator.delete(path_of(made), headers={"deletion-reason": "x" * 1000})
    with server.archive.database.begin() as session:
        assert session.scalars(text("SELECT reason FROM deletions")).all() == ["x" * 500]


def test_counts_are_those_of_what_is_left(curator: httpx.Client) -> None:
    first = jpeg_slide()
    study = first.dataset.StudyInstanceUID
    store(curator, first, jpeg_slide(StudyInstanceUID=study, Modality="SR"))
    fields = "includefield=00201206,00201208,00080061"
    (row,) = curator.get(f"/dicomweb/studies?{fields}").json()
    assert (row["00201206"]["Value"], row["00201208"]["Value"]) == ([2], [2])
    assert curator.delete(path_of(first)).status_code == 204
    (row,) = curator.get(f"/dicomweb/studies?{fields}").json()
    assert (row["00201206"]["Value"], row["00201208"]["Value"]) == ([1], [1])
    assert row["00080061"]["Value"] == ["SR"]


def test_what_is_not_there_is_404_and_what_is_no_uid_400(curator: httpx.Client) -> None:
    for path in (
        "/studies/1.2",
        "/studies/1.2/series/1.3",
        "/studies/1.2/series/1.3/instances/1.4",
    ):
        assert curator.delete(f"/dicomweb{path}").status_code == 404
    assert curator.delete("/dicomweb/studies/one").status_code == 400


def test_only_a_curator_deletes(server: LiveServer, curator: httpx.Client) -> None:
    made = jpeg_slide()
    store(curator, made)
    for role in ("reader", "contributor", "monitor"):
        token = make_token(server.archive.settings, role, role)
        with httpx.Client(base_url=server.url) as client:
            headers = {"authorization": f"Bearer {token}"}
            answer = client.delete(path_of(made), headers=headers)
            assert answer.status_code == 403
            challenge = answer.headers["www-authenticate"]
            assert 'error="insufficient_scope"' in challenge
            assert 'scope="studies:delete"' in challenge
    assert curator.get(path_of(made)).status_code == 200


def test_where_nobody_is_asked_who_they_are_nobody_deletes(client: httpx.Client) -> None:
    made = jpeg_slide()
    store(client, made)
    assert client.delete(path_of(made)).status_code == 403
    assert client.get(path_of(made)).status_code == 200


def test_the_method_is_told_where_methods_are_told(curator: httpx.Client) -> None:
    made = jpeg_slide()
    for path in ancestors(made):
        assert "DELETE" in curator.options(path).headers["allow"]
        assert "DELETE" in curator.put(path).headers["allow"]
        preflight = {"origin": ORIGIN, "access-control-request-method": "DELETE"}
        allowed = curator.options(path, headers=preflight).headers
        assert "DELETE" in allowed["access-control-allow-methods"]
        assert "deletion-reason" in allowed["access-control-allow-headers"]
    assert "DELETE" not in curator.options("/dicomweb/studies").headers["allow"]
