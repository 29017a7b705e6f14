"""All bulk data and all pixel data of a resource (PS3.18 §10.4.1.1.5, §10.4.1.1.6)."""

from __future__ import annotations

import email
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest

from archive.errors import InvalidInstance
from archive.model.sop_classes import ENCAPSULATED_PDF
from archive.model.transfer_syntaxes import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    JPEG_BASELINE,
)
from archive.part10.fragments import joined_fragments
from dicomweb.bulk import attributes_of
from tests.support.dicom_files import (
    MadeFile,
    encapsulated_element,
    jpeg_slide,
    monochrome,
    part10,
    segmentation,
    study_attributes,
)
from tests.support.http import path_of, store

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

OCTETS = "application/octet-stream"
PARTS = f'multipart/related; type="{OCTETS}"'
PROFILE = bytes(range(256)) * 12
PDF = b"%PDF-1.4 " + b"x" * 2000


def with_profile(study: str | None = None) -> MadeFile:
    slide = jpeg_slide() if study is None else jpeg_slide(StudyInstanceUID=study)
    slide.dataset.OpticalPathSequence[0].ICCProfile = PROFILE
    element = encapsulated_element([[frame] for frame in slide.frames])
    return MadeFile(part10(slide.dataset, JPEG_BASELINE, element), slide.dataset, slide.frames)


def document(media_type: str) -> MadeFile:
    attributes = study_attributes(SOPClassUID=ENCAPSULATED_PDF, Modality="DOC")
    attributes.MIMETypeOfEncapsulatedDocument = media_type
    attributes.EncapsulatedDocument = PDF + b"\0" * (len(PDF) % 2)
    return MadeFile(part10(attributes, EXPLICIT_LITTLE), attributes)


def located(answer: httpx.Response) -> list[tuple[str, str, bytes]]:
    """Take a body apart: type, location and content of each part."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content)
    parts: Sequence[email.message.Message] = message.get_payload()  # type: ignore[assignment]
    found = []
    for part in parts:
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append((part["Content-Type"], part["Content-Location"], content))
    return found


def at(depth: str, path: str) -> str:
    study = path.partition("/series/")[0]
    return {"study": study, "series": path.partition("/instances/")[0]}.get(depth, path)


@pytest.mark.parametrize("depth", ["study", "series", "instance"])
def test_all_bulk_data_come_with_the_address_of_each(client: httpx.Client, depth: str) -> None:
    one = with_profile()
    two = with_profile(one.dataset.StudyInstanceUID)
    store(client, one, two)
    path = at(depth, path_of(one))
    accept = f"{PARTS}; transfer-syntax=*"
    answer = client.get(f"{path}/bulkdata", headers={"accept": accept})
    assert answer.status_code == 200
    parts = located(answer)
    assert len(parts) == (2 if depth == "study" else 1) * (1 + len(one.frames))
    for kind, location, content in parts:
        again = client.get(location, headers={"accept": f"{OCTETS}; transfer-syntax=*"})
        assert again.content == content
        assert again.headers["content-type"] == kind
    (metadata,) = client.get(f"{path_of(one)}/metadata").json()
    uri = metadata["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    assert uri in {location for _, location, _ in parts}


@pytest.mark.parametrize("depth", ["study", "series", "instance"])
def test_instances_as_octets_are_their_bulk_data(client: httpx.Client, depth: str) -> None:
    # PS3.18 §10.4.4: "equivalent to requesting the corresponding Bulkdata Resource".
    slide = with_profile()
    store(client, slide)
    path = at(depth, path_of(slide))
    first = located(client.get(path, headers={"accept": PARTS}))
    assert first == located(client.get(f"{path}/bulkdata", headers={"accept": PARTS}))


@pytest.mark.parametrize("depth", ["study", "series", "instance"])
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (f"{PARTS}; transfer-syntax=*", f"{OCTETS}; transfer-syntax={JPEG_BASELINE}"),
        ('multipart/related; type="image/jpeg"', f"image/jpeg; transfer-syntax={JPEG_BASELINE}"),
    ],
)
def test_pixel_data_come_frame_by_frame(
    client: httpx.Client, depth: str, accept: str, kind: str
) -> None:
    slide = with_profile()
    store(client, slide)
    answer = client.get(f"{at(depth, path_of(slide))}/pixeldata", headers={"accept": accept})
    assert answer.status_code == 200
    parts = located(answer)
    assert [content for _, _, content in parts] == slide.frames
    assert {found for found, _, _ in parts} == {kind}
    locations = [location for _, location, _ in parts]
    assert [one.rpartition("/")[2] for one in locations] == [
        str(number) for number in range(1, len(slide.frames) + 1)
    ]


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_native_pixel_data_come_in_little_endian(client: httpx.Client, syntax: str) -> None:
    values = np.arange(3 * 4 * 6, dtype=np.uint16).reshape(3, 4, 6)
    image = monochrome(values, syntax=syntax)
    store(client, image)
    parts = located(client.get(f"{path_of(image)}/pixeldata", headers={"accept": PARTS}))
    assert [content for _, _, content in parts] == [one.tobytes() for one in values]
    assert {kind for kind, _, _ in parts} == {f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"}


def test_frames_of_bits_begin_on_a_byte(client: httpx.Client) -> None:
    masks = np.random.default_rng(1).integers(0, 2, (3, 3, 5)).astype(np.uint8)
    image = segmentation(masks)
    store(client, image)
    parts = located(client.get(f"{path_of(image)}/pixeldata", headers={"accept": PARTS}))
    expected = [np.packbits(mask.reshape(-1), bitorder="little").tobytes() for mask in masks]
    assert [content for _, _, content in parts] == expected


def test_what_is_not_available_as_asked_is_left_out(client: httpx.Client) -> None:
    slide = with_profile()
    store(client, slide)
    accept = 'multipart/related; type="image/jpeg"'
    answer = client.get(f"{path_of(slide)}/bulkdata", headers={"accept": accept})
    assert answer.status_code == 206
    assert '"1 bulk data elements are not available as asked"' in answer.headers["warning"]
    assert len(located(answer)) == len(slide.frames)


@pytest.mark.parametrize("accept", [OCTETS, "text/html", 'multipart/related; type="video/mp4"'])
@pytest.mark.parametrize("resource", ["bulkdata", "pixeldata"])
def test_what_has_several_parts_does_not_come_as_one(
    client: httpx.Client, accept: str, resource: str
) -> None:
    slide = with_profile()
    store(client, slide)
    answer = client.get(f"{path_of(slide)}/{resource}", headers={"accept": accept})
    assert answer.status_code == 406


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ('multipart/related; type="video/mp4"', "video/mp4"),
        ('multipart/related; type="video/*"', "video/mp4"),
        ("*/*", "video/mp4"),
        (f"{PARTS}; transfer-syntax=*", OCTETS),
    ],
)
def test_video_comes_as_the_one_stream_it_is(client: httpx.Client, accept: str, name: str) -> None:
    syntax = "1.2.840.10008.1.2.4.102"
    pieces = [b"\0\0\0\x18ftypmp42", b"moov" * 1000]
    attributes = monochrome(np.zeros((9, 8, 8), np.uint8)).dataset
    element = encapsulated_element([pieces])
    made = MadeFile(part10(attributes, syntax, element), attributes)
    assert store(client, made).status_code in {200, 202}
    for path in (path_of(made), f"{path_of(made)}/pixeldata"):
        if accept == "*/*" and path == path_of(made):
            continue  # which is the file
        ((kind, _, content),) = located(client.get(path, headers={"accept": accept}))
        assert kind == f"{name}; transfer-syntax={syntax}"
        assert content == b"".join(pieces)


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_references_are_found_wherever_the_text_is_cut(step: int) -> None:
    paths = [f"52009230/{number}/00480105/0/00282000" for number in range(40)]
    text = b"".join(b'{"BulkDataURI":"/bulkdata/%b"},' % path.encode() for path in paths)
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    header = b'{"00282000":{"vr":"OB","BulkDataURI":"bulkdata/00282000"}}'
    assert list(attributes_of(header, pieces)) == ["00282000", *paths]
    assert list(attributes_of(b"{}", None)) == []


def test_fragments_without_an_end_are_told() -> None:
    whole = encapsulated_element([[b"ab", b"cdef"]])[12:]
    assert b"".join(joined_fragments(io.BytesIO(whole))) == b"abcdef"
    for end in (0, 4, 8, 17, len(whole) - 8):
        with pytest.raises(InvalidInstance):
            list(joined_fragments(io.BytesIO(whole[:end])))


def test_where_there_is_nothing_it_is_404(client: httpx.Client) -> None:
    report = study_attributes()
    made = MadeFile(part10(report, EXPLICIT_LITTLE), report)
    store(client, made)
    for resource in ("bulkdata", "pixeldata"):
        assert client.get(f"{path_of(made)}/{resource}").status_code == 404
        assert client.get(f"/dicomweb/studies/1.2.3/{resource}").status_code == 404


def test_what_the_client_has_is_not_sent_again(client: httpx.Client) -> None:
    slide = with_profile()
    store(client, slide)
    path = f"{path_of(slide)}/bulkdata"
    tag = client.get(path).headers["etag"]
    assert tag.startswith("W/")
    assert client.get(path, headers={"if-none-match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/pdf"),
        ("application/pdf", "application/pdf"),
        (OCTETS, f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"),
    ],
)
def test_a_document_comes_under_its_own_media_type(
    client: httpx.Client, accept: str, kind: str
) -> None:
    made = document("application/pdf")
    store(client, made)
    answer = client.get(f"{path_of(made)}/bulkdata/00420011", headers={"accept": accept})
    assert answer.headers["content-type"] == kind
    assert answer.content.startswith(PDF)
    parts = located(client.get(f"{path_of(made)}/bulkdata"))
    assert [found for found, _, _ in parts] == ["application/pdf"]


def test_a_document_cannot_run_in_our_name(client: httpx.Client) -> None:
    page = document("text/html")
    store(client, page)
    answer = client.get(f"{path_of(page)}/bulkdata/00420011", headers={"accept": "text/html, */*"})
    assert answer.headers["content-type"].startswith(OCTETS)
    drawing = document("text/xml")
    store(client, drawing)
    answer = client.get(f"{path_of(drawing)}/bulkdata/00420011", headers={"accept": "text/xml"})
    assert answer.headers["content-type"] == "text/xml"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["content-disposition"] == "attachment"


def test_a_range_is_of_the_representation_that_the_client_has(client: httpx.Client) -> None:
    slide = with_profile()
    store(client, slide)
    path = f"{path_of(slide)}/bulkdata/00480105/0/00282000"
    headers = {"accept": OCTETS, "range": "bytes=0-9"}
    tag = client.get(path, headers=headers).headers["etag"]
    assert client.get(path, headers={**headers, "if-range": tag}).status_code == 206
    whole = client.get(path, headers={**headers, "if-range": '"other"'})
    assert (whole.status_code, whole.content) == (200, PROFILE)
