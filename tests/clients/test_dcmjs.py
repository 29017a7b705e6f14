"""dcmjs's dicomweb-client, which OHIF and Slim are built on: every method, in a browser.

On a page of another origin, so that its requests are preflighted and our CORS is tried with them.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pydicom
import pytest

from tests.clients.conftest import StaticServer, provided
from tests.support.dicom_files import jpeg_slide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from tests.clients.conftest import Served

_PAGE = b"<!doctype html><script src='/dicomweb-client.js'></script>"
# What comes in an ArrayBuffer is told by its hash; texts and numbers as they are.
_PRELUDE = """
const hex = async (buffer) => Array.from(
  new Uint8Array(await crypto.subtle.digest("SHA-256", buffer)),
  (byte) => byte.toString(16).padStart(2, "0")).join("");
const told = async (given) => {
  if (given instanceof ArrayBuffer) return hex(given);
  if (ArrayBuffer.isView(given)) return hex(given);
  if (given instanceof Blob) return hex(await given.arrayBuffer());
  if (Array.isArray(given)) return Promise.all(given.map(told));
  return given;
};
const client = new window.DICOMwebClient.api.DICOMwebClient({
  url, headers: {Authorization: `Bearer ${token}`}});
"""

type Call = Callable[[str, dict[str, Any]], Any]


@pytest.fixture(scope="module")
def call(browser: Browser, served: Served) -> Iterator[Call]:
    """Call a method of the client, and give what it resolves to."""
    folder = provided("dicomweb-client-0.11.3") / "build"
    with StaticServer(folder, {"/index.html": _PAGE}) as site:
        context = browser.new_context()
        page = context.new_page()
        page.goto(site.url + "/index.html")

        def calling(method: str, options: dict[str, Any]) -> Any:  # noqa: ANN401 - of the client
            return page.evaluate(
                "async ([url, token, method, options]) => {"
                + _PRELUDE
                + "if (options.file) options = {datasets: [Uint8Array.from(atob(options.file),"
                "(c) => c.charCodeAt(0)).buffer]};"
                "try { return await told(await client[method](options)); }"
                "catch (error) { throw new Error(`${method}: ${error.status} ${error.message} "
                "${error.request && error.request.responseURL}`); } }",
                [served.server.dicomweb, served.token, method, options],
            )

        yield calling
        context.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def where(served: Served) -> dict[str, str]:
    return {
        "studyInstanceUID": served.study,
        "seriesInstanceUID": served.series,
        "sopInstanceUID": str(served.level.SOPInstanceUID),
    }


def test_searches(call: Call, served: Served, where: dict[str, str]) -> None:
    keys = {"PatientID": "P0001", "limit": 5, "includefield": "00081030,00080060"}
    (study,) = call("searchForStudies", {"queryParams": keys})
    assert study["0020000D"]["Value"] == [served.study]
    query = {"Modality": "SM", "StudyInstanceUID": served.study}
    (series,) = call("searchForSeries", {"queryParams": query})
    assert series["0020000E"]["Value"] == [served.series]
    found = call("searchForInstances", {"studyInstanceUID": where["studyInstanceUID"]})
    assert {one["00080018"]["Value"][0] for one in found} == set(served.files)
    assert call("searchForStudies", {"queryParams": {"PatientID": "nobody"}}) == []


def test_metadata(call: Call, served: Served, where: dict[str, str]) -> None:
    assert len(call("retrieveStudyMetadata", where)) == len(served.files)
    assert len(call("retrieveSeriesMetadata", where)) == len(served.files)
    (one,) = call("retrieveInstanceMetadata", where)
    assert one["00480006"]["Value"] == [served.level.TotalPixelMatrixColumns]


def test_files(call: Call, served: Served, where: dict[str, str]) -> None:
    # It names no transfer syntax: what is lossless comes decoded, the levels as they are.
    levels = {
        sha256(file.read_bytes())
        for file in served.files.values()
        if pydicom.dcmread(file, stop_before_pixels=True).get("LossyImageCompression") == "01"
    }
    for method in ("retrieveStudy", "retrieveSeries"):
        hashes = set(call(method, where))
        assert len(hashes) == len(served.files)
        assert levels <= hashes
    wanted = sha256(served.files[where["sopInstanceUID"]].read_bytes())
    assert call("retrieveInstance", where) == wanted


@pytest.mark.claim("clients.dcmjs")
def test_frames(call: Call, served: Served, where: dict[str, str]) -> None:
    numbers = {"frameNumbers": [1, 3, 4]}
    wanted = [sha256(served.frames[number - 1]) for number in (1, 3, 4)]
    for kind in (
        {"mediaType": "image/jpeg", "transferSyntaxUID": "1.2.840.10008.1.2.4.50"},
        {"mediaType": "application/octet-stream", "transferSyntaxUID": "*"},
    ):
        assert call("retrieveInstanceFrames", {**where, **numbers, "mediaTypes": [kind]}) == wanted
    assert len(call("retrieveInstanceFrames", {**where, **numbers})) == 3


def test_bulk_data(call: Call, served: Served, where: dict[str, str]) -> None:
    (metadata,) = call("retrieveInstanceMetadata", where)
    uri = metadata["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    wanted = sha256(served.level.OpticalPathSequence[0].ICCProfile)
    for kinds in ([], [{"mediaType": "application/octet-stream"}]):
        given = {"BulkDataURI": uri} | ({"mediaTypes": kinds} if kinds else {})
        assert call("retrieveBulkData", given) == [wanted], kinds


def test_pictures(call: Call, where: dict[str, str]) -> None:
    jpeg = {"mediaTypes": [{"mediaType": "image/jpeg"}]}
    one = {**where, **jpeg, "frameNumbers": [2]}
    hashes = [
        call("retrieveInstanceRendered", {**where, **jpeg, "queryParams": {"viewport": [99, 80]}}),
        call("retrieveInstanceFramesRendered", one),
        call("retrieveInstanceThumbnail", {**where, **jpeg}),
        call("retrieveInstanceFramesThumbnail", one),
    ]
    flat = [one[0] if isinstance(one, list) else one for one in hashes]
    assert all(re.fullmatch("[0-9a-f]{64}", str(one)) for one in flat), hashes
    assert len(set(flat)) == 4


def test_storing(call: Call, served: Served) -> None:
    import base64

    made = jpeg_slide()
    call("storeInstances", {"file": base64.b64encode(made.content).decode()})
    found = served.client.search_for_instances(search_filters={"SOPInstanceUID": made.uid})
    assert len(found) == 1
    served.client.delete_study(made.dataset.StudyInstanceUID)
