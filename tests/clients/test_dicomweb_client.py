"""dicomweb-client, the library of Python that half of pathology's research uses: every method."""

from __future__ import annotations

import inspect
import io
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from requests import HTTPError

from tests.support.dicom_files import jpeg_slide

if TYPE_CHECKING:
    from tests.clients.conftest import Served


def test_searches(served: Served) -> None:
    client = served.client
    (study,) = client.search_for_studies(
        search_filters={"PatientName": "Doe*", "ModalitiesInStudy": "SM"},
        fields=["StudyDescription"],
        fuzzymatching=True,
        get_remaining=True,
    )
    assert study["0020000D"]["Value"] == [served.study]
    (series,) = client.search_for_series(served.study, search_filters={"Modality": "SM"})
    assert series["0020000E"]["Value"] == [served.series]
    found = client.search_for_instances(served.study, served.series, limit=2, get_remaining=True)
    assert {one["00080018"]["Value"][0] for one in found} == set(served.files)
    assert client.search_for_instances(search_filters={"SOPInstanceUID": "1.2.3.4"}) == []


def test_metadata_equals_the_files(served: Served) -> None:
    client = served.client

    def read(tag: str, vr: str, uri: str) -> bytes:
        del tag, vr
        return b"".join(client.retrieve_bulkdata(uri))

    for metadata in (
        client.retrieve_study_metadata(served.study),
        client.retrieve_series_metadata(served.study, served.series),
        [
            client.retrieve_instance_metadata(served.study, served.series, uid)
            for uid in served.files
        ],
    ):
        assert len(metadata) == len(served.files)
        for one in metadata:
            got = pydicom.Dataset.from_json(one, read)
            stored = pydicom.dcmread(served.files[got.SOPInstanceUID], stop_before_pixels=True)
            for element in stored:
                if element.keyword not in {"ExtendedOffsetTable", "ExtendedOffsetTableLengths"}:
                    assert got[element.tag] == element, element.keyword


def test_bulk_data_comes_whole_and_in_pieces(served: Served) -> None:
    client = served.client
    metadata = client.retrieve_instance_metadata(
        served.study, served.series, served.level.SOPInstanceUID
    )
    uri = metadata["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    profile = served.level.OpticalPathSequence[0].ICCProfile
    assert client.retrieve_bulkdata(uri) == [profile]
    assert list(client.iter_bulkdata(uri)) == [profile]
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_bulkdata(uri[:-1] + "9")


def test_files_come_back_as_they_were_stored(served: Served) -> None:
    client = served.client
    as_stored = (("application/dicom", "*"),)
    for datasets in (
        client.retrieve_study(served.study, as_stored),
        list(client.iter_study(served.study, as_stored)),
        client.retrieve_series(served.study, served.series, as_stored),
        list(client.iter_series(served.study, served.series, as_stored)),
        [
            client.retrieve_instance(served.study, served.series, uid, as_stored)
            for uid in served.files
        ],
    ):
        assert len(datasets) == len(served.files)
        for dataset in datasets:
            assert dataset == pydicom.dcmread(served.files[dataset.SOPInstanceUID])


def test_frames_come_back_as_they_were_stored(served: Served) -> None:
    client, uid = served.client, served.level.SOPInstanceUID
    numbers = list(range(1, len(served.frames) + 1))
    assert client.retrieve_instance_frames(served.study, served.series, uid, numbers) == (
        served.frames
    )
    iterated = client.iter_instance_frames(
        served.study,
        served.series,
        uid,
        numbers,
        media_types=(("image/jpeg", "1.2.840.10008.1.2.4.50"),),
    )
    assert list(iterated) == served.frames
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance_frames(served.study, served.series, uid, [99999])
    with pytest.raises(HTTPError, match="406"):
        client.retrieve_instance_frames(
            served.study,
            served.series,
            uid,
            [1],
            media_types=(("video/mp4", "1.2.840.10008.1.2.4.102"),),
        )


def test_pictures(served: Served) -> None:
    client, uid = served.client, served.level.SOPInstanceUID
    stored = np.asarray(Image.open(io.BytesIO(served.frames[0])))
    frame = client.retrieve_instance_frames_rendered(
        served.study, served.series, uid, [1], media_types=("image/png",)
    )
    drawn = np.asarray(Image.open(io.BytesIO(frame)).convert("RGB"))
    assert np.abs(drawn.mean(axis=(0, 1)) - stored.mean(axis=(0, 1))).max() < 12
    whole = client.retrieve_instance_rendered(
        served.study,
        served.series,
        uid,
        media_types=("image/jpeg",),
        params={"quality": 90, "viewport": "200,150"},
    )
    assert Image.open(io.BytesIO(whole)).size == (200, 150)
    # It takes whatever comes for a series: several pictures are parts (PS3.18 §10.4.1.1.3).
    assert b"Content-Type: image/jpeg" in client.retrieve_series_rendered(
        served.study, served.series
    )


def test_what_is_stored_is_told_and_what_is_deleted_is_gone(served: Served) -> None:
    client = served.client
    study, series = (str(pydicom.uid.generate_uid(prefix=None)) for _ in range(2))
    made = [
        jpeg_slide(InstanceNumber=number, StudyInstanceUID=study, SeriesInstanceUID=series)
        for number in (1, 2)
    ]
    other = jpeg_slide(StudyInstanceUID=study)
    datasets = [pydicom.dcmread(one.open()) for one in (*made, other)]
    answer = client.store_instances(datasets, study_instance_uid=study)
    assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == {
        one.SOPInstanceUID for one in datasets
    }
    client.delete_instance(study, series, made[0].uid)
    left = client.search_for_instances(study)
    assert {one["00080018"]["Value"][0] for one in left} == {made[1].uid, other.uid}
    client.delete_series(study, series)
    assert len(client.search_for_series(study)) == 1
    client.delete_study(study)
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []


@pytest.mark.claim("clients.dicomweb-client")
def test_no_method_is_left_out() -> None:
    named = {
        name
        for name, _ in inspect.getmembers(DICOMwebClient, inspect.isfunction)
        if not name.startswith("_") and name.partition("_")[0] in {
            "search", "retrieve", "iter", "store", "delete",
        }
    }  # fmt: skip
    source = inspect.getsource(inspect.getmodule(test_searches) or io)
    assert {name for name in named if f"client.{name}(" not in source} == set()
