"""Clients that nobody here wrote."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import openslide
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.uid import UID
from wsidicom import (  # type: ignore[import-untyped]
    WsiDicom,
    WsiDicomWebClient,
)

from archive.model.transfer_syntaxes import EXPLICIT_LITTLE, JPEG_BASELINE
from tests.support.conversions import CASE, converted
from tests.support.http import LiveServer, in_bucket, running
from tests.support.slides import make_svs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from archive.blobs.location import ObjectLocation
    from archive.settings import Settings


@dataclass(frozen=True, slots=True)
class ServedSlide:
    """A slide that was converted, and stored by a client."""

    server: LiveServer
    source: Path
    files: list[Path]
    study: str
    series: str

    @property
    def client(self) -> DICOMwebClient:
        return DICOMwebClient(self.server.dicomweb)


@pytest.fixture(scope="module")
def slide_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("slide")
    source = folder / "slide.svs"
    make_svs(source)
    converted(source, folder / "out", CASE)
    return source, sorted((folder / "out").glob("*.dcm"))


def serve(server: LiveServer, source: Path, files: list[Path]) -> ServedSlide:
    datasets = [pydicom.dcmread(file) for file in files]
    DICOMwebClient(server.dicomweb).store_instances(datasets)
    first = datasets[0]
    return ServedSlide(server, source, files, first.StudyInstanceUID, first.SeriesInstanceUID)


@pytest.fixture(scope="module")
def served(live: LiveServer, slide_files: tuple[Path, list[Path]]) -> ServedSlide:
    return serve(live, *slide_files)


@pytest.fixture
def in_minio(
    settings: Settings, minio_bucket: ObjectLocation, slide_files: tuple[Path, list[Path]]
) -> Iterator[ServedSlide]:
    with running(in_bucket(settings, minio_bucket)) as server:
        yield serve(server, *slide_files)


def test_dicomweb_client_is_told_what_it_stored(live: LiveServer) -> None:
    from tests.support.dicom_files import jpeg_slide

    made = jpeg_slide()
    dataset = pydicom.dcmread(made.open())
    client = DICOMwebClient(live.dicomweb)
    answer = client.store_instances([dataset])
    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [made.uid]
    again = client.store_instances([dataset], study_instance_uid=dataset.StudyInstanceUID)
    assert "FailedSOPSequence" not in again


def test_dicomweb_client_finds_study_series_and_instances(served: ServedSlide) -> None:
    client = served.client
    studies = client.search_for_studies(search_filters={"PatientID": "P0001"}, get_remaining=True)
    assert [study["0020000D"]["Value"] for study in studies] == [[served.study]]
    series = client.search_for_series(served.study, search_filters={"Modality": "SM"})
    assert [one["0020000E"]["Value"] for one in series] == [[served.series]]
    instances = client.search_for_instances(served.study, served.series, fields=["ImageType"])
    assert len(instances) == len(served.files)
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_dicomweb_client_gets_metadata_equal_to_the_files(served: ServedSlide) -> None:
    found = served.client.retrieve_series_metadata(served.study, served.series)
    by_uid = {one["00080018"]["Value"][0]: one for one in found}
    for file in served.files:
        source = pydicom.dcmread(file, stop_before_pixels=True)
        got = pydicom.Dataset.from_json(by_uid[source.SOPInstanceUID], _read_bulk(served.client))
        for element in source:
            if element.keyword in {"ExtendedOffsetTable", "ExtendedOffsetTableLengths"}:
                continue
            assert got[element.tag] == element, element.keyword


def test_dicomweb_client_retrieves_in_every_way_it_has(served: ServedSlide) -> None:
    """Call each of its methods, so that none can break unseen when it gets new ones."""
    client, files = served.client, served.files
    study, series = served.study, served.series
    source = min((pydicom.dcmread(file) for file in files), key=lambda one: len(one.PixelData))
    instance = source.SOPInstanceUID
    metadata = client.retrieve_instance_metadata(study, series, instance)
    path = metadata["00480105"]["Value"][0]
    uri = path["00282000"]["BulkDataURI"]
    profile = source.OpticalPathSequence[0].ICCProfile
    frames = _frames(source)

    def opens(picture: bytes) -> bool:
        return Image.open(io.BytesIO(picture)).size[0] > 0

    ways: dict[str, Callable[[], bool]] = {
        "iter_bulkdata": lambda: list(client.iter_bulkdata(uri)) == [profile],
        "iter_instance_frames": lambda: (
            list(client.iter_instance_frames(study, series, instance, [1])) == frames[:1]
        ),
        "iter_series": lambda: len(list(client.iter_series(study, series))) == len(files),
        "iter_study": lambda: len(list(client.iter_study(study))) == len(files),
        "retrieve_bulkdata": lambda: client.retrieve_bulkdata(uri) == [profile],
        "retrieve_instance": lambda: client.retrieve_instance(study, series, instance) == source,
        "retrieve_instance_frames": lambda: (
            client.retrieve_instance_frames(study, series, instance, [1]) == frames[:1]
        ),
        "retrieve_instance_frames_rendered": lambda: opens(
            client.retrieve_instance_frames_rendered(
                study, series, instance, [1], media_types=("image/png",)
            )
        ),
        "retrieve_instance_metadata": lambda: metadata["00080018"]["Value"] == [instance],
        "retrieve_instance_rendered": lambda: opens(
            client.retrieve_instance_rendered(study, series, instance, media_types=("image/png",))
        ),
        "retrieve_series": lambda: len(client.retrieve_series(study, series)) == len(files),
        "retrieve_series_metadata": lambda: (
            len(client.retrieve_series_metadata(study, series)) == len(files)
        ),
        # Several pictures come in parts (PS3.18 §10.4.4), which it leaves to the caller.
        "retrieve_series_rendered": lambda: (
            client.retrieve_series_rendered(study, series).count(b"image/jpeg") >= len(files)
        ),
        "retrieve_study": lambda: len(client.retrieve_study(study)) == len(files),
        "retrieve_study_metadata": lambda: len(client.retrieve_study_metadata(study)) == len(files),
    }
    assert set(ways) == {
        name for name in dir(DICOMwebClient) if name.startswith(("retrieve_", "iter_"))
    }
    assert {name for name, works in ways.items() if not works()} == set()


def _read_bulk(client: DICOMwebClient):  # type: ignore[no-untyped-def]  # noqa: ANN202
    def read(tag: str, vr: str, uri: str) -> bytes:
        del tag, vr
        return bytes(next(iter(client.retrieve_bulkdata(uri))))

    return read


@pytest.mark.parametrize("place", ["served", "in_minio"])
def test_dicomweb_client_gets_frames_and_files(place: str, request: pytest.FixtureRequest) -> None:
    served: ServedSlide = request.getfixturevalue(place)
    client = served.client
    for file in served.files:
        source = pydicom.dcmread(file)
        uid = source.SOPInstanceUID
        stored = _frames(source)
        numbers = list(range(1, len(stored) + 1))
        frames = client.retrieve_instance_frames(served.study, served.series, uid, numbers)
        assert frames == stored
        retrieved = client.retrieve_instance(served.study, served.series, uid)
        assert retrieved == source
        # Without a transfer syntax what has lost nothing comes uncompressed (PS3.18 §8.7.3).
        default = client.retrieve_instance(
            served.study, served.series, uid, media_types=("application/dicom",)
        )
        syntax = source.file_meta.TransferSyntaxUID
        lossy = syntax == JPEG_BASELINE
        assert default.file_meta.TransferSyntaxUID == (syntax if lossy else EXPLICIT_LITTLE)
        assert np.array_equal(default.pixel_array, source.pixel_array)
    assert len(list(client.iter_series(served.study, served.series))) == len(served.files)
    assert len(client.retrieve_study(served.study)) == len(served.files)


@pytest.mark.filterwarnings("ignore:No bulk data URI handler")  # wsidicom reads no profile here
@pytest.mark.parametrize("place", ["served", "in_minio"])
@pytest.mark.claim("clients.wsidicom")
def test_wsidicom_draws_regions_equal_to_the_source(
    place: str, request: pytest.FixtureRequest
) -> None:
    served: ServedSlide = request.getfixturevalue(place)
    client = WsiDicomWebClient.create_client(served.server.dicomweb)
    web = WsiDicom.open_web(client, UID(served.study), [UID(served.series)])
    local = WsiDicom.open(served.files)
    try:
        assert [level.size for level in web.levels] == [level.size for level in local.levels]
        for level, (left, top), size in (
            (0, (0, 0), (700, 500)),
            (0, (333, 217), (301, 99)),
            (web.levels[-1].level, (0, 0), (50, 40)),
        ):
            got = np.asarray(web.read_region((left, top), level, size))
            assert np.array_equal(got, np.asarray(local.read_region((left, top), level, size)))
        thumbnail = np.asarray(web.read_thumbnail())
        assert np.array_equal(thumbnail, np.asarray(local.read_thumbnail()))
        assert np.array_equal(np.asarray(web.read_label()), np.asarray(local.read_label()))
        assert np.array_equal(np.asarray(web.read_overview()), np.asarray(local.read_overview()))
    finally:
        web.close()
        local.close()


def test_openslide_reads_the_retrieved_files(served: ServedSlide, tmp_path: Path) -> None:
    for index, dataset in enumerate(served.client.iter_series(served.study, served.series)):
        dataset.save_as(tmp_path / f"{index}.dcm", enforce_file_format=True)
    with (
        openslide.OpenSlide(served.source) as source,
        openslide.OpenSlide(next(iter(sorted(tmp_path.glob("*.dcm"))))) as slide,
    ):
        assert slide.level_dimensions[0] == source.level_dimensions[0]
        region = (100, 80), 0, (257, 190)
        got, expected = (np.asarray(one.read_region(*region)) for one in (slide, source))
        assert np.array_equal(got[..., :3], expected[..., :3])


def test_the_single_part_download_of_ez_wsi_is_the_stored_file(served: ServedSlide) -> None:
    import httpx

    file = served.files[0]
    uid = pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID
    url = f"{served.server.dicomweb}/studies/{served.study}/series/{served.series}/instances/{uid}"
    answer = httpx.get(url, headers={"accept": "application/dicom; transfer-syntax=*"})
    assert answer.headers["content-type"].startswith("application/dicom; transfer-syntax=")
    assert answer.content == file.read_bytes()
    assert pydicom.dcmread(io.BytesIO(answer.content)).SOPInstanceUID == uid


def _frames(source: pydicom.Dataset) -> list[bytes]:
    """Give the frames of a file as pydicom finds them."""
    number = int(source.NumberOfFrames)
    if source.file_meta.TransferSyntaxUID.is_encapsulated:
        return list(pydicom.encaps.generate_frames(source.PixelData, number_of_frames=number))
    length = source.Rows * source.Columns * source.SamplesPerPixel
    return [source.PixelData[at : at + length] for at in range(0, number * length, length)]
