"""The OpenAPI document: it names every route, and what it says is what the server does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from schemathesis import checks
from starlette.routing import Route

from archive.settings import Settings
from dicomweb.app import create_app
from dicomweb.description import permission_of
from tests.support.dicom_files import jpeg_slide
from tests.support.http import LiveServer, requiring_tokens, store

if TYPE_CHECKING:
    from tests.support.dicom_files import MadeFile

EXAMPLES = 3
CHECKS: list[Any] = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


def document(settings: Settings) -> dict[str, Any]:
    return create_app(settings).openapi()


def test_every_route_is_described_with_its_permission() -> None:
    app = create_app(Settings())
    paths = app.openapi()["paths"]
    for route in app.router.routes:
        assert isinstance(route, Route)
        if route.path in {"/config.json", "/{path:path}"}:
            continue  # the page's
        path = re.sub(r":path\}", "}", route.path)
        for method in (route.methods or set()) - {"HEAD"}:
            operation = paths[path][method.lower()]
            permission = permission_of(route)
            assert operation.get("x-permission") == (permission and permission.value)
            assert ("401" in operation["responses"]) == (permission is not None)
            assert "default" in operation["responses"]
            assert "422" not in operation["responses"]


def test_tokens_are_asked_for_where_they_are() -> None:
    closed = document(requiring_tokens(Settings()))
    assert closed["paths"]["/dicomweb/studies"]["get"]["security"] == [{"token": []}]
    assert "security" not in closed["paths"]["/health/live"]["get"]
    assert "security" not in document(Settings())["paths"]["/dicomweb/studies"]["get"]


@pytest.fixture(scope="session")
def kept(live: LiveServer) -> MadeFile:
    """An instance, so that some of what is asked for is there."""
    slide = jpeg_slide()
    with httpx.Client(base_url=live.url) as client:
        assert store(client, slide).status_code == 200
    return slide


@pytest.fixture(scope="module")
def described() -> Any:  # noqa: ANN401 — the tool's own type has no name of its own
    """The document as the tool reads it."""
    return schemathesis.openapi.from_dict(document(Settings()))


def operations() -> list[tuple[str, str]]:
    """Give path and method of all that is described."""
    paths = document(Settings())["paths"]
    return [(path, method.upper()) for path in paths for method in paths[path]]


@pytest.mark.parametrize(("path", "method"), operations())
def test_the_server_does_what_the_document_says(
    described: Any,  # noqa: ANN401 — see there
    live: LiveServer,
    kept: MadeFile,
    path: str,
    method: str,
) -> None:
    there = {
        "study": kept.dataset.StudyInstanceUID,
        "series": kept.dataset.SeriesInstanceUID,
        "instance": kept.dataset.SOPInstanceUID,
        "frames": "1",
        "attribute": "00100020",
    }

    @bounded(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy())
    def holds(case: Any) -> None:  # noqa: ANN401 — likewise
        case.call_and_validate(base_url=live.url, checks=CHECKS)
        if method == "GET" and case.path_parameters.keys() <= there.keys():
            for name in case.path_parameters:
                case.path_parameters[name] = str(there[name])
            case.call_and_validate(base_url=live.url, checks=CHECKS)

    holds()
