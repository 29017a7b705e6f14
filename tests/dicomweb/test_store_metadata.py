"""Storing metadata and bulk data in separate parts (PS3.18 §10.5.1.4)."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from dicomweb.native_model import to_xml
from dicomweb.problems import Busy
from dicomweb.store_bodies import MAXIMUM_METADATA_BYTES, MetadataBudget
from tests.support.dicom_files import (
    MadeFile,
    jpeg_slide,
    monochrome,
    native_slide,
    segmentation,
    study_attributes,
    tissue,
)
from tests.support.http import BOUNDARY, LiveServer, parts_of, path_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx
    from numpy.typing import NDArray

JSON, XML, OCTETS = "application/dicom+json", "application/dicom+xml", "application/octet-stream"
REFERENCED, FAILED, OTHERS = "00081199", "00081198", "0008119A"
PIXEL_DATA = "7FE00010"

Part = tuple[dict[str, str], bytes]


def body(parts: Sequence[Part]) -> bytes:
    out = b""
    for headers, content in parts:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        out += f"--{BOUNDARY}\r\n{lines}\r\n".encode() + content + b"\r\n"
    return out + f"--{BOUNDARY}--\r\n".encode()


def post(
    client: httpx.Client, *parts: Part, root: str = JSON, study: str | None = None
) -> httpx.Response:
    path = "/dicomweb/studies" + (f"/{study}" if study else "")
    content_type = f'multipart/related; type="{root}"; boundary={BOUNDARY}'
    return client.post(path, content=body(parts), headers={"content-type": content_type})


def metadata(*instances: dict[str, Any]) -> Part:
    return {"Content-Type": JSON}, json.dumps(list(instances)).encode()


def bulk(location: str, content: bytes, media_type: str = OCTETS) -> Part:
    return {"Content-Type": media_type, "Content-Location": location}, content


def model_of(made: MadeFile, uri: str | None = "bulk/pixels") -> dict[str, Any]:
    """Give a made instance as pydicom writes it in DICOM JSON, pixel data by reference."""
    model: dict[str, Any] = made.dataset.to_json_dict()
    if uri is not None:
        model[PIXEL_DATA] = {"vr": "OW", "BulkDataURI": uri}
    return model


def stored(client: httpx.Client, made: MadeFile) -> pydicom.Dataset:
    answer = client.get(path_of(made), headers={"accept": "application/dicom; transfer-syntax=*"})
    assert answer.status_code == 200, answer.text
    return pydicom.dcmread(io.BytesIO(answer.content))


def frames(client: httpx.Client, made: MadeFile, numbers: str) -> list[bytes]:
    accept = f'multipart/related; type="{OCTETS}"; transfer-syntax=*'
    answer = client.get(f"{path_of(made)}/frames/{numbers}", headers={"accept": accept})
    assert answer.status_code == 200, answer.text
    return [content for _, content in parts_of(answer)]


def failures(answer: httpx.Response, tag: str = FAILED) -> list[int]:
    items = answer.json().get(tag, {}).get("Value", [])
    return [item["00081197"]["Value"][0] for item in items]


def same_attributes(made: MadeFile, found: pydicom.Dataset) -> None:
    for element in made.dataset:
        assert found[element.tag].value == element.value, element


def test_uncompressed_pixel_data_become_an_instance(client: httpx.Client) -> None:
    made = native_slide()
    answer = post(client, metadata(model_of(made)), bulk("bulk/pixels", b"".join(made.frames)))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == JSON
    assert answer.json()[REFERENCED]["Value"][0]["00081155"]["Value"] == [made.uid]
    found = stored(client, made)
    same_attributes(made, found)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found.PixelData == b"".join(made.frames)
    assert frames(client, made, "2,5") == [made.frames[1], made.frames[4]]


def test_a_part_for_each_uncompressed_frame_is_taken_in_order(client: httpx.Client) -> None:
    made = native_slide()
    parts = [bulk("bulk/pixels", frame) for frame in made.frames]
    assert post(client, metadata(model_of(made)), *parts).status_code == 200
    assert stored(client, made).PixelData == b"".join(made.frames)


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("declared", ["", "; transfer-syntax=1.2.840.10008.1.2.4.50"])
def test_compressed_frames_are_encapsulated_unchanged(
    client: httpx.Client, numbered: bool, declared: str
) -> None:
    made = jpeg_slide(across=3, down=2)
    parts = [
        bulk(f"http://a/b/frames/{n}" if numbered else "http://a/b", frame, f"image/jpeg{declared}")
        for n, frame in enumerate(made.frames, 1)
    ]
    parts = parts[::-1] if numbered else parts
    answer = post(client, *parts, metadata(model_of(made, "http://a/b")))
    assert answer.status_code == 200, answer.text
    found = stored(client, made)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    same_attributes(made, found)
    assert frames(client, made, "1,2,3,4,5,6") == made.frames


def test_what_is_retrieved_can_be_sent_back(client: httpx.Client) -> None:
    made = jpeg_slide(across=2, down=1, PatientName="Müller^Jürgen")
    part = bulk("x", b"".join(made.frames[:1]), "image/jpeg")
    assert post(client, metadata(model_of(made, "x")), part, part).status_code in {200, 202}
    model = client.get(f"{path_of(made)}/metadata").json()[0]
    again = generate_uid(None)
    model["00080018"]["Value"] = [again]
    model[PIXEL_DATA] = {"vr": "OB", "BulkDataURI": f"{path_of(made)}/frames"}
    answer = client.get(f"{path_of(made)}/frames/1,2", headers={"accept": "multipart/related"})
    parts = [bulk(f"{path_of(made)}/frames", one, kind) for kind, one in parts_of(answer)]
    assert post(client, metadata(model), *parts).status_code == 200
    copy = client.get(f"{path_of(made).rpartition('/')[0]}/{again}/metadata").json()[0]
    assert copy["00080018"]["Value"] == [again]
    model.pop(PIXEL_DATA)
    assert copy == model


def test_xml_documents_are_metadata_too(client: httpx.Client) -> None:
    first, second = native_slide(PatientName="Ångström^Å"), native_slide()
    parts: list[Part] = []
    for name, made in (("one", first), ("two", second)):
        parts.append(({"Content-Type": XML}, to_xml(model_of(made, name))))
    parts += [bulk("one", b"".join(first.frames)), bulk("two", b"".join(second.frames))]
    answer = post(client, *parts, root=XML)
    assert answer.status_code == 200, answer.text
    for made in (first, second):
        found = stored(client, made)
        same_attributes(made, found)
        assert found.PixelData == b"".join(made.frames)


def test_bulk_data_at_any_depth_are_put_where_they_belong(client: httpx.Client) -> None:
    made = native_slide()
    model, profile = model_of(made), bytes(range(256)) * 41
    path = model["00480105"]["Value"][0]
    path["00282000"] = {"vr": "OB", "BulkDataURI": "profile"}
    path["00480102"] = {"vr": "SQ", "Value": [{}, None]}
    model["00091010"] = {"vr": "OB", "InlineBinary": base64.b64encode(b"abc").decode()}
    model["00090010"] = {"vr": "LO", "Value": ["TEST"]}
    other = model_of(native_slide(), "other")
    other["00480105"] = model["00480105"]
    answer = post(
        client,
        metadata(model, other),
        bulk("profile", profile),
        bulk("bulk/pixels", b"".join(made.frames)),
        bulk("other", b"".join(made.frames)),
    )
    assert answer.status_code == 200, answer.text
    found = stored(client, made)
    assert found.OpticalPathSequence[0].ICCProfile == profile
    assert len(found.OpticalPathSequence[0][0x00480102].value) == 2
    assert found[0x00091010].value == b"abc\0"


def test_a_document_comes_in_the_media_type_that_it_has(client: httpx.Client) -> None:
    dataset = study_attributes(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", Modality="DOC")
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made, document = MadeFile(b"", dataset, []), b"%PDF-1.7 of odd length\n"
    model = model_of(made, None) | {"00420011": {"vr": "OB", "BulkDataURI": "cid:pdf@here"}}
    part = {"Content-Type": "application/pdf", "Content-ID": "<pdf@here>"}, document
    assert post(client, metadata(model), part).status_code == 200
    assert stored(client, made).EncapsulatedDocument == document + b"\0" * (len(document) % 2)


def test_video_comes_in_one_part(client: httpx.Client) -> None:
    made = native_slide()
    syntax = "1.2.840.10008.1.2.4.102"
    part = bulk("bulk/pixels", b"not looked into", f"video/mp4; transfer-syntax={syntax}")
    assert post(client, metadata(model_of(made)), part).status_code == 200
    found = stored(client, made)
    assert found.file_meta.TransferSyntaxUID == syntax
    assert b"not looked into\0" in found.PixelData


def test_every_value_representation_keeps_its_values(client: httpx.Client) -> None:
    dataset = study_attributes(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    dataset.PatientComments = "größer\\kein Trenner"
    dataset.OtherPatientIDs = ["a", "", "c"]
    dataset.PatientWeight = "72.50"
    dataset.FrameIncrementPointer = [0x00181063, 0x00200013]
    dataset.add_new(0x00189073, "FD", 0.1)
    dataset.add_new(0x00720076, "FL", [1.5, -2.25])
    dataset.add_new(0x00720080, "US", [0, 65535])
    dataset.add_new(0x00720074, "SL", [-(2**31)])
    dataset.add_new(0x00720082, "SV", [-(2**62)])
    dataset.add_new(0x00720083, "UV", [2**63])
    dataset.add_new(0x00080120, "UR", "http://example.org/a?b=c")
    dataset.add_new(0x0040A043, "SQ", [])
    made = MadeFile(b"", dataset, [])
    answer = post(client, metadata(model_of(made, None)))
    assert answer.status_code in {200, 202}, answer.headers["warning"]
    found = stored(client, made)
    assert found.SpecificCharacterSet == "ISO_IR 192"
    same_attributes(made, found)


def test_metadata_alone_need_no_parts(client: httpx.Client) -> None:
    made = monochrome(np.arange(48, dtype=np.uint8).reshape(1, 6, 8))
    model = model_of(made, None)
    model[PIXEL_DATA] = {"vr": "OB", "InlineBinary": base64.b64encode(made.frames[0]).decode()}
    answer = client.post(
        "/dicomweb/studies", content=json.dumps([model]), headers={"content-type": JSON}
    )
    assert answer.status_code in {200, 202}, answer.text
    assert stored(client, made).PixelData == made.frames[0]


def test_frames_of_single_bits_come_in_one_part(client: httpx.Client) -> None:
    made = segmentation(np.tile(np.eye(5, dtype=np.uint8), (3, 1, 1)))
    whole = bulk("bulk/pixels", made.frames[0])
    assert post(client, metadata(model_of(made)), whole).status_code == 200
    assert stored(client, made).PixelData[: len(made.frames[0])] == made.frames[0]
    other = segmentation(np.ones((2, 5, 5), dtype=np.uint8))
    refused = post(client, metadata(model_of(other)), *[bulk("bulk/pixels", b"\xff" * 4)] * 2)
    assert (refused.status_code, failures(refused)) == (409, [0xC000])


def gray(side: int = 24) -> NDArray[np.uint8]:
    return np.ascontiguousarray(tissue(1, side, side)[0, :, :, 0], np.uint8)


@pytest.mark.parametrize(
    ("media_type", "encode", "syntax"),
    [
        ("image/jls", lambda p: imagecodecs.jpegls_encode(p, 0), "1.2.840.10008.1.2.4.80"),
        ("image/jls", lambda p: imagecodecs.jpegls_encode(p, 3), "1.2.840.10008.1.2.4.81"),
        (
            "image/jp2",
            lambda p: imagecodecs.jpeg2k_encode(p, reversible=True, codecformat="j2k"),
            "1.2.840.10008.1.2.4.90",
        ),
        (
            "image/jp2",
            lambda p: imagecodecs.jpeg2k_encode(p, level=40, codecformat="j2k"),
            "1.2.840.10008.1.2.4.91",
        ),
        (
            "image/jp2",
            lambda p: imagecodecs.jpeg2k_encode(p, reversible=True, codecformat="jp2"),
            "1.2.840.10008.1.2.4.90",
        ),
        ("image/jphc", lambda p: imagecodecs.htj2k_encode(p), "1.2.840.10008.1.2.4.201"),
        (
            "image/jpeg",
            lambda p: imagecodecs.jpeg8_encode(p, lossless=True, predictor=1),
            "1.2.840.10008.1.2.4.70",
        ),
        (
            "image/jpeg",
            lambda p: imagecodecs.jpeg8_encode(p, lossless=True, predictor=4),
            "1.2.840.10008.1.2.4.57",
        ),
        ("image/jpeg", lambda p: imagecodecs.jpeg8_encode(p, 90), "1.2.840.10008.1.2.4.50"),
    ],
)
def test_what_the_stream_tells_may_be_left_out(
    client: httpx.Client,
    media_type: str,
    encode: Any,  # noqa: ANN401
    syntax: str,
) -> None:
    pixels = gray()
    made = monochrome(pixels[np.newaxis])
    model = model_of(made)
    for tag in list(model):
        if tag.startswith("0028"):
            del model[tag]
    answer = post(client, metadata(model), bulk("bulk/pixels", bytes(encode(pixels)), media_type))
    assert answer.status_code in {200, 202}, answer.text
    found = stored(client, made)
    assert found.file_meta.TransferSyntaxUID == syntax
    assert (found.Rows, found.Columns, found.SamplesPerPixel) == (24, 24, 1)
    assert (found.BitsAllocated, found.PhotometricInterpretation) == (8, "MONOCHROME2")
    lossy = syntax[-2:] in {"50", "81", "91"}
    assert found.get("LossyImageCompression", "00") == ("01" if lossy else "00")
    native = client.get(f"{path_of(made)}/frames/1", headers={"accept": OCTETS})
    difference = np.frombuffer(native.content, np.uint8).astype(int) - pixels.reshape(-1)
    assert np.abs(difference).max() <= (30 if lossy else 0)


def test_pictures_without_a_transfer_syntax_become_native_pixels(client: httpx.Client) -> None:
    colour = tissue(1, 20, 30)[0]
    deep = (gray().astype(np.uint16) * 257)[np.newaxis]
    with io.BytesIO() as buffer:
        Image.fromarray(colour).save(buffer, "GIF")
        gif = buffer.getvalue()
    with_alpha = np.dstack([colour, np.full(colour.shape[:2], 128, np.uint8)])
    expected = np.asarray(Image.open(io.BytesIO(gif)).convert("RGB"))
    for media_type, content, pixels in (
        ("image/png", imagecodecs.png_encode(colour), colour),
        ("image/png", imagecodecs.png_encode(with_alpha), colour),
        ("image/png", imagecodecs.png_encode(deep[0]), deep[0]),
        ("image/gif", gif, expected),
    ):
        made = monochrome(deep)
        model = model_of(made)
        for tag in list(model):
            if tag.startswith("0028"):
                del model[tag]
        answer = post(client, metadata(model), bulk("bulk/pixels", bytes(content), media_type))
        assert answer.status_code in {200, 202}, answer.text
        found = stored(client, made)
        assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert np.array_equal(found.pixel_array, pixels)


def test_a_large_picture_is_refused_before_it_is_decoded(client: httpx.Client) -> None:
    made = monochrome(gray()[np.newaxis])
    header = bytearray(imagecodecs.png_encode(gray()))
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    answer = post(client, metadata(model_of(made)), bulk("bulk/pixels", bytes(header), "image/png"))
    assert answer.status_code == 409
    assert failures(answer)[0] in {0xA700, 0xC000}


def test_bulk_data_that_are_missing_fail_their_instance_alone(client: httpx.Client) -> None:
    good, bad = native_slide(), native_slide()
    answer = post(
        client,
        metadata(model_of(good, "good"), model_of(bad, "bad")),
        bulk("good", b"".join(good.frames)),
    )
    assert (answer.status_code, failures(answer)) == (202, [0xC000])
    assert answer.json()[FAILED]["Value"][0]["00081155"]["Value"] == [bad.uid]
    assert "Content-Location" in answer.headers["warning"]
    assert client.get(path_of(bad)).status_code == 404


def test_parts_that_nothing_refers_to_are_told(client: httpx.Client) -> None:
    made = native_slide()
    answer = post(
        client,
        metadata(model_of(made)),
        bulk("bulk/pixels", b"".join(made.frames)),
        bulk("forgotten", b"abc"),
        ({"Content-Type": "image/jpeg"}, b"without a location"),
    )
    assert answer.status_code == 202
    assert failures(answer, OTHERS) == [0xC000, 0xC000]
    assert client.get(path_of(made)).status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"00280010": {"vr": "US", "Value": [70000]}}, 0x0106),
        ({"00280010": {"vr": "US", "Value": ["x"]}}, 0x0106),
        ({"00280010": {"vr": "US", "Value": [1.5]}}, 0x0106),
        ({"00280010": {"vr": "US"}}, 0x0120),
        ({"00280010": {"vr": "ZZ", "Value": [1]}}, 0x0106),
        ({"00280010": {"vr": "US", "Value": 16}}, 0x0106),
        ({"00280010": 16}, 0x0106),
        ({"00100010": {"vr": "PN", "Value": [{"Other": "x"}]}}, 0x0106),
        ({"00080020": {"vr": "DA", "Value": [1]}}, 0x0106),
        ({"00080020": {"vr": "DA", "Value": ["a"], "InlineBinary": "YQ=="}}, 0x0106),
        ({"00091010": {"vr": "OB", "InlineBinary": "%"}}, 0x0106),
        ({"00480105": {"vr": "SQ", "Value": ["x"]}}, 0xC000),
        ({"rows": {"vr": "US", "Value": [1]}}, 0xC000),
        ({"FFFEE000": {"vr": "UN"}}, 0xC000),
        ({"00080016": {"vr": "UI"}}, 0x0120),
        ({"00080016": {"vr": "UI", "Value": ["1.2.840.10008.1.1"]}}, 0x0122),
        ({"0020000D": {"vr": "UI", "Value": ["x"]}}, 0x0106),
    ],
)
def test_metadata_that_cannot_be_are_refused_with_the_reason(
    client: httpx.Client, change: dict[str, Any], code: int
) -> None:
    made = native_slide()
    answer = post(
        client,
        metadata({**model_of(made), **change}),
        bulk("bulk/pixels", b"".join(made.frames)),
    )
    assert (answer.status_code, failures(answer)) == (409, [code]), answer.text
    assert client.get(path_of(made)).status_code == 404


@pytest.mark.parametrize(
    ("media_type", "code"),
    [
        ("image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.90", 0xC122),
        ("image/jpeg; transfer-syntax=1.2.3", 0xC122),
        ("image/webp", 0xC122),
        ("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2", 0xC122),
        ("image/jpeg", 0xC000),
        ("image/jp2", 0xC000),
        ("image/jls", 0xC000),
        ("image/png", 0xC000),
        ("image/gif", 0xC000),
        ("application/octet-stream", 0x0106),
    ],
)
def test_pixel_data_that_are_not_what_they_say_are_refused(
    client: httpx.Client, media_type: str, code: int
) -> None:
    made = native_slide()
    answer = post(client, metadata(model_of(made)), bulk("bulk/pixels", b"not pixels", media_type))
    assert (answer.status_code, failures(answer)) == (409, [code])


def test_a_stream_of_another_size_than_the_metadata_say_is_refused(client: httpx.Client) -> None:
    made = jpeg_slide(across=1, down=1, side=32)
    model = model_of(made) | {"00280010": {"vr": "US", "Value": [64]}}
    answer = post(client, metadata(model), bulk("bulk/pixels", made.frames[0], "image/jpeg"))
    assert (answer.status_code, failures(answer)) == (409, [0x0106])


@pytest.mark.parametrize(
    "parts",
    [
        [({"Content-Type": JSON}, b"{")],
        [({"Content-Type": JSON}, b"[]")],
        [({"Content-Type": XML}, b"<x/>")],
        [({"Content-Type": XML}, b'<!DOCTYPE x [<!ENTITY a "b">]><NativeDicomModel/>')],
        [({"Content-Type": OCTETS, "Content-Location": "x"}, b"abc")],
        [({"Content-Type": JSON}, b"[" * 100_000)],
    ],
)
def test_metadata_that_cannot_be_read_are_400_and_leave_nothing(
    client: httpx.Client, live: LiveServer, parts: list[Part]
) -> None:
    answer = post(client, *parts)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert list(live.archive.staging.folder.rglob("parts")) == []


def test_what_is_no_object_is_no_instance(client: httpx.Client) -> None:
    answer = post(client, ({"Content-Type": JSON}, b'[1, null, {"00080016": 1}]'))
    assert answer.status_code == 409
    assert failures(answer, OTHERS) == [0xC000, 0xC000, 0x0106]


def test_instances_of_another_study_than_the_path_are_refused(client: httpx.Client) -> None:
    made = native_slide()
    parts = metadata(model_of(made)), bulk("bulk/pixels", b"".join(made.frames))
    answer = post(client, *parts, study="1.2.3")
    assert (answer.status_code, failures(answer)) == (409, [0xA901])
    assert post(client, *parts, study=made.dataset.StudyInstanceUID).status_code == 200


def test_an_upload_that_breaks_off_leaves_nothing(client: httpx.Client, live: LiveServer) -> None:
    made = native_slide()
    content = body([metadata(model_of(made)), bulk("bulk/pixels", b"".join(made.frames))])
    content_type = f'multipart/related; type="{JSON}"; boundary={BOUNDARY}'
    head = (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    live.raw(head.encode() + content[: len(content) // 2], half_close=True)
    assert client.get(path_of(made)).status_code == 404
    assert list(live.archive.staging.folder.rglob("parts")) == []


def test_metadata_of_requests_at_once_have_a_bound() -> None:
    budget = MetadataBudget(100)
    with budget.take(80):
        with pytest.raises(Busy), budget.take(30):
            pass
        with budget.take(20):
            pass
    with budget.take(300):  # alone, whatever its size: that has a limit of its own
        pass


def test_more_metadata_than_are_held_in_memory_is_413(
    client: httpx.Client, live: LiveServer
) -> None:
    blank = b"[" + b" " * (MAXIMUM_METADATA_BYTES + 1) + b"]"
    answer = client.post("/dicomweb/studies", content=blank, headers={"content-type": JSON})
    assert answer.status_code == 413
    assert list(live.archive.staging.folder.rglob("parts")) == []
