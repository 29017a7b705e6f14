"""Orthanc as a client of ours, by its DICOMweb plugin; and as a service that the checks try.

Where the packages are (Debian: orthanc, orthanc-dicomweb); nothing but these tests needs them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pydicom
import pytest

from conformance import checks
from tests.support.dicom_files import jpeg_slide
from tests.support.minio_server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.conftest import Served

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
READY_SECONDS = 30.0


@pytest.fixture(scope="module")
def orthanc(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an Orthanc that knows our server by the name of `coverslip`."""
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None or not PLUGIN.exists():
        pytest.skip("Orthanc and its DICOMweb plugin are not installed")
    folder = tmp_path_factory.mktemp("orthanc")
    port = free_port()
    (folder / "orthanc.json").write_text(json.dumps(configuration(served, folder, port)))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(client, process, folder / "log")
            yield client
    finally:
        process.kill()
        process.wait()


def configuration(served: Served, folder: Path, port: int) -> dict[str, Any]:
    return {
        "Name": "peer",
        "StorageDirectory": str(folder / "files"),
        "IndexDirectory": str(folder / "files"),
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "Servers": {
                "coverslip": {
                    "Url": served.server.dicomweb + "/",
                    "HttpHeaders": {"Authorization": f"Bearer {served.token}"},
                }
            },
        },
    }


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/system").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    pytest.fail(f"Orthanc did not start: {log.read_text(errors='replace')[-1000:]}")


def ask(orthanc: httpx.Client, verb: str, **body: object) -> Any:  # noqa: ANN401 - Orthanc's JSON
    answer = orthanc.post(f"/dicom-web/servers/coverslip/{verb}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_orthanc_finds_our_studies(orthanc: httpx.Client, served: Served) -> None:
    (study,) = ask(orthanc, "qido", Uri="/studies", Arguments={"PatientID": "P0001"})
    assert served.study in json.dumps(study)


def test_orthanc_retrieves_a_study_whole(orthanc: httpx.Client, served: Served) -> None:
    ask(orthanc, "retrieve", Resources=[{"Study": served.study}])
    found = orthanc.get("/instances").json()
    assert len(found) == len(served.files)
    for identifier in found:
        content = orthanc.get(f"/instances/{identifier}/file").content
        got = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
        stored = pydicom.dcmread(served.files[got.SOPInstanceUID])
        if stored.get("LossyImageCompression") == "01":  # others come decoded, as none is named
            assert got.PixelData == stored.PixelData
        assert got.SOPClassUID == stored.SOPClassUID


def test_orthanc_stores_with_us(orthanc: httpx.Client, served: Served) -> None:
    made = jpeg_slide()
    uploaded = orthanc.post("/instances", content=made.content).json()
    ask(orthanc, "stow", Resources=[uploaded["ID"]])
    found = served.client.search_for_instances(search_filters={"SOPInstanceUID": made.uid})
    assert len(found) == 1
    served.client.delete_study(made.dataset.StudyInstanceUID)


def test_the_checks_run_against_orthanc(orthanc: httpx.Client) -> None:
    service = checks.Service(f"{orthanc.base_url}/dicom-web")
    report = checks.run(service, checks.selected(["capabilities", "bulk data"]))
    assert report.refused_samples == {}
    # How many it passes is for docs/conformance.md, and no business of this test.
    assert report.count(checks.Status.PASSED) > 0
