from __future__ import annotations

import email
import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest

from archive import encoders
from archive.model.sop_classes import COMPREHENSIVE_3D_SR
from archive.model.transfer_syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_2000_LOSSLESS,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)
from dicomweb.routes.retrieve import DICOM
from dicomweb.zipping import MEDIA_TYPE as ZIP
from tests.support.dicom_files import (
    MadeFile,
    encapsulated,
    jpeg_slide,
    monochrome,
    part10,
    study_attributes,
)
from tests.support.http import parts_of, path_of, store

if TYPE_CHECKING:
    import httpx
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset


def encode_frame(frame: NDArray[np.uint8], syntax: str) -> bytes:
    return encoders.encode_frame(frame, syntax, bits_stored=8, interpretation="MONOCHROME2")


def without_pixels(beside: Dataset) -> MadeFile:
    """Make an instance of the same study that has no pixel data."""
    attributes = study_attributes(StudyInstanceUID=beside.StudyInstanceUID)
    attributes.SOPClassUID = COMPREHENSIVE_3D_SR
    return MadeFile(part10(attributes, EXPLICIT_LITTLE), attributes)


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        'multipart/related; type="application/dicom"',
        "multipart/related; type=application/dicom;transfer-syntax=*",
        'multipart/related; type="*/*"',
        "*/*",
    ],
)
def test_study_series_and_instance_come_as_stored(client: httpx.Client, accept: str) -> None:
    slide = jpeg_slide()
    store(client, slide)
    instance = path_of(slide)
    series = instance.partition("/instances/")[0]
    study = instance.partition("/series/")[0]
    for path in (study, series, instance):
        answer = client.get(path, headers={"accept": accept})
        assert answer.status_code == 200
        ((kind, content),) = parts_of(answer)
        assert kind == "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50"
        assert content == slide.content
        assert int(answer.headers["content-length"]) == len(answer.content)


def test_every_part_tells_where_it_is_from_and_how_long_it_is(client: httpx.Client) -> None:
    one = jpeg_slide()
    two = jpeg_slide(StudyInstanceUID=one.dataset.StudyInstanceUID)
    store(client, one, two)
    study = path_of(one).partition("/series/")[0]
    answer = client.get(study)
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + answer.content).get_payload()
    assert len(parts) == 2
    for part in parts:
        content = part.get_payload(decode=True)  # type: ignore[union-attr]
        assert int(part["Content-Length"]) == len(content)  # type: ignore[index]
        single = {"accept": f"{DICOM}; transfer-syntax=*"}
        location = part["Content-Location"]  # type: ignore[index]
        assert client.get(location, headers=single).content == content


def test_a_study_of_several_syntaxes_tells_each(client: httpx.Client) -> None:
    one = jpeg_slide()
    study = one.dataset.StudyInstanceUID
    two = monochrome(np.zeros((1, 4, 4), np.uint8), StudyInstanceUID=study)
    store(client, one, two)
    answer = client.get(f"/dicomweb/studies/{study}")
    assert {kind.rpartition("=")[2] for kind, _ in parts_of(answer)} == {
        "1.2.840.10008.1.2.4.50",
        EXPLICIT_LITTLE,
    }


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("accept", ["application/dicom; transfer-syntax=*", "*/*"])
def test_implicit_and_big_endian_never_go_out(
    client: httpx.Client, syntax: str, kind: type[np.generic], accept: str
) -> None:
    values = np.arange(2 * 4 * 6).reshape(2, 4, 6).astype(kind)
    image = monochrome(values, syntax=syntax, PatientName="Doe^Jane")
    assert store(client, image).status_code == 200
    answer = client.get(path_of(image), headers={"accept": accept})
    content = parts_of(answer)[0][1] if accept == "*/*" else answer.content
    dataset = pydicom.dcmread(io.BytesIO(content))
    assert dataset.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
    assert np.array_equal(dataset.pixel_array, values)
    assert dataset.PatientName == "Doe^Jane"
    assert dataset.SOPInstanceUID == image.uid
    query = f"?SOPInstanceUID={image.uid}&includefield=AvailableTransferSyntaxUID"
    (row,) = client.get(f"/dicomweb/instances{query}").json()
    assert row["00083002"]["Value"] == [EXPLICIT_LITTLE]


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.100",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.2",
        "text/html",
    ],
)
def test_what_is_not_there_in_the_form_is_406(client: httpx.Client, accept: str) -> None:
    slide = jpeg_slide()
    store(client, slide)
    assert client.get(path_of(slide), headers={"accept": accept}).status_code == 406


@pytest.fixture
def lossless(client: httpx.Client) -> MadeFile:
    """An image that is stored as JPEG-LS without loss."""
    values = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    frames = [encode_frame(one, JPEG_LS_LOSSLESS) for one in values]
    made = encapsulated(frames, JPEG_LS_LOSSLESS, values)
    assert store(client, made).status_code == 200
    return made


def syntax_of(content: bytes) -> str:
    return str(pydicom.dcmread(io.BytesIO(content)).file_meta.TransferSyntaxUID)


@pytest.mark.parametrize(
    ("parameter", "syntax"),
    [
        ("", EXPLICIT_LITTLE),  # the default of PS3.18 Table 8.7.3-2
        ("; transfer-syntax=*", JPEG_LS_LOSSLESS),
        (f"; transfer-syntax={JPEG_LS_LOSSLESS}", JPEG_LS_LOSSLESS),
        (f"; transfer-syntax={EXPLICIT_LITTLE}", EXPLICIT_LITTLE),
        (f"; transfer-syntax={JPEG_2000_LOSSLESS}", JPEG_2000_LOSSLESS),
        (f"; transfer-syntax={RLE_LOSSLESS}", RLE_LOSSLESS),
        (f"; transfer-syntax={DEFLATED}", DEFLATED),
    ],
)
@pytest.mark.parametrize("form", [DICOM, f'multipart/related; type="{DICOM}"', ZIP])
def test_a_lossless_image_comes_in_the_syntax_that_is_asked_for(
    client: httpx.Client, lossless: MadeFile, form: str, parameter: str, syntax: str
) -> None:
    answer = client.get(path_of(lossless), headers={"accept": form + parameter})
    assert answer.status_code == 200
    content = answer.content
    if form == ZIP:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(archive.namelist()[0])
    elif form != DICOM:
        ((kind, content),) = parts_of(answer)
        assert kind == f"{DICOM}; transfer-syntax={syntax}"
    else:
        assert answer.headers["content-type"] == f"{DICOM}; transfer-syntax={syntax}"
    assert syntax_of(content) == syntax
    if syntax != DEFLATED:
        pixels = pydicom.dcmread(io.BytesIO(content)).pixel_array
        assert lossless.pixels is not None
        assert np.array_equal(pixels, lossless.pixels)


def test_a_lossy_image_is_not_expanded_unless_that_is_asked_for(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    assert client.get(path_of(slide), headers={"accept": DICOM}).content == slide.content
    accept = f"{DICOM}; transfer-syntax={EXPLICIT_LITTLE}"
    assert syntax_of(client.get(path_of(slide), headers={"accept": accept}).content) == (
        EXPLICIT_LITTLE
    )


def test_what_cannot_be_sent_as_asked_is_left_out(client: httpx.Client) -> None:
    slide = jpeg_slide()
    report = without_pixels(slide.dataset)
    store(client, slide, report)
    study = path_of(slide).partition("/series/")[0]
    accept = f'multipart/related; type="{DICOM}"; transfer-syntax={JPEG_2000_LOSSLESS}'
    answer = client.get(study, headers={"accept": accept})
    assert answer.status_code == 206
    assert '"1 instances are not available as asked"' in answer.headers["warning"]
    ((kind, content),) = parts_of(answer)
    assert kind.endswith(JPEG_2000_LOSSLESS)
    assert syntax_of(content) == JPEG_2000_LOSSLESS
    both = f"{accept}, multipart/related; type={DICOM}; transfer-syntax=*; q=0.1"
    answer = client.get(study, headers={"accept": both})
    assert answer.status_code == 200
    kinds = [kind.rpartition("=")[2] for kind, _ in parts_of(answer)]
    assert kinds == [JPEG_2000_LOSSLESS, EXPLICIT_LITTLE]


def test_a_stream_that_is_broken_is_406(client: httpx.Client) -> None:
    values = np.zeros((1, 8, 8), np.uint8)
    broken = encapsulated([b"\xff\xd8\xff\xf7 not JPEG-LS"], JPEG_LS_LOSSLESS, values)
    assert store(client, broken).status_code == 200
    answer = client.get(path_of(broken), headers={"accept": DICOM})
    assert answer.status_code == 406
    assert answer.json()["type"].endswith("cannot-transcode")


@pytest.mark.parametrize("depth", ["study", "series", "instance"])
def test_every_level_comes_as_a_zip_file(client: httpx.Client, depth: str) -> None:
    one, series = jpeg_slide(PatientName="Doe^Jane", PatientID="0815"), {}
    if depth != "study":
        series = {"SeriesInstanceUID": one.dataset.SeriesInstanceUID}
    two = jpeg_slide(StudyInstanceUID=one.dataset.StudyInstanceUID, **series)
    made = {two.uid: two, one.uid: one} if depth != "instance" else {one.uid: one}
    store(client, one, two)
    path = path_of(one)
    path = {"instance": path, "series": path.partition("/instances/")[0]}.get(
        depth, path.partition("/series/")[0]
    )
    answer = client.get(path, headers={"accept": f"{ZIP}, */*;q=0.1"})
    assert answer.headers["content-type"] == ZIP
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == len(made)
        for name in archive.namelist():
            uid = name.rpartition("/")[2].removesuffix(".dcm")
            assert archive.read(name) == made[uid].content
            assert name == f"{made[uid].dataset.SeriesInstanceUID}/{uid}.dcm"
    again = client.get(
        path, headers={"accept": ZIP, "if-none-match": answer.headers["etag"].removeprefix("W/")}
    )
    assert again.status_code == 304


def test_forms_have_tags_of_their_own_and_only_the_same_bytes_a_strong_one(
    client: httpx.Client, lossless: MadeFile
) -> None:
    tags = [
        client.get(path_of(lossless), headers={"accept": accept}).headers["etag"]
        for accept in (
            DICOM,
            f"{DICOM}; transfer-syntax=*",
            f'multipart/related; type="{DICOM}"',
            ZIP,
        )
    ]
    assert len(set(tags)) == 4
    assert [tag.startswith("W/") for tag in tags] == [False, False, True, True]


def test_a_range_is_of_the_representation_that_the_client_has(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    headers = {"accept": f"{DICOM}; transfer-syntax=*", "range": "bytes=128-131"}
    first = client.get(path_of(slide), headers=headers)
    assert (first.status_code, first.content) == (206, b"DICM")
    for tag, status in ((first.headers["etag"], 206), ('"other"', 200), ("Tue, 1 Jan", 200)):
        answer = client.get(path_of(slide), headers={**headers, "if-range": tag})
        assert answer.status_code == status
    headers["range"] = f"bytes={len(slide.content)}-"
    answer = client.get(path_of(slide), headers=headers)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(slide.content)}"


def test_what_is_written_anew_has_no_ranges(client: httpx.Client, lossless: MadeFile) -> None:
    answer = client.get(path_of(lossless), headers={"accept": DICOM, "range": "bytes=0-1"})
    assert answer.status_code == 200
    assert answer.headers["accept-ranges"] == "none"


def test_a_study_does_not_come_in_a_single_part(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    study = path_of(slide).partition("/series/")[0]
    assert client.get(study, headers={"accept": "application/dicom"}).status_code == 406


def test_what_the_client_has_is_not_sent_again(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    first = client.get(path_of(slide))
    again = client.get(path_of(slide), headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/studies/1.2", "/studies/1.2/series/1.3"])
def test_what_there_is_not_is_404(client: httpx.Client, path: str) -> None:
    assert client.get(f"/dicomweb{path}").status_code == 404


def test_a_wrong_study_in_the_path_is_404(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    wrong = path_of(slide).replace(slide.dataset.StudyInstanceUID, "1.2.3")
    assert client.get(wrong).status_code == 404
    assert client.get(f"{wrong}/metadata").status_code == 404
    assert client.get(f"{wrong}/rendered").status_code == 404
