from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import simplejpeg

from archive.model.frames import PixelDescription
from archive.model.transfer_syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
)
from archive.pixels import decode_frame
from archive.transcoding import LOSSLESS_TARGETS, LOSSY_TARGETS
from tests.support.dicom_files import (
    encapsulated,
    jpeg_slide,
    monochrome,
    native_slide,
    segmentation,
)
from tests.support.http import parts_of, path_of, store

if TYPE_CHECKING:
    import httpx

OCTETS = "application/octet-stream"
ANY_STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
OHIF = (
    'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.80, '
    'multipart/related; type="image/jls"; transfer-syntax=1.2.840.10008.1.2.4.81, '
    'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90, '
    'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.91, '
    'multipart/related; type="image/jpx"; transfer-syntax=1.2.840.10008.1.2.4.92, '
    'multipart/related; type="image/jpx"; transfer-syntax=1.2.840.10008.1.2.4.93, '
    'multipart/related; type="application/octet-stream"; transfer-syntax=*, '
    'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50'
)


def get(client: httpx.Client, path: str, accept: str, **headers: str) -> httpx.Response:
    return client.get(path, headers={"accept": accept, **headers})


@pytest.mark.parametrize(
    ("accept", "part_type"),
    [
        pytest.param(ANY_STORED, f"{OCTETS}; transfer-syntax={JPEG_BASELINE}", id="slim"),
        pytest.param(OHIF, f"image/jpeg; transfer-syntax={JPEG_BASELINE}", id="ohif"),
        pytest.param(
            f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG_BASELINE}',
            f"image/jpeg; transfer-syntax={JPEG_BASELINE}",
            id="wsidicom",
        ),
        pytest.param(
            'multipart/related; type="*/*"',
            f"image/jpeg; transfer-syntax={JPEG_BASELINE}",
            id="dicomweb-client",
        ),
        pytest.param("*/*", f"image/jpeg; transfer-syntax={JPEG_BASELINE}", id="anything"),
        pytest.param(
            "multipart/related;transfer-syntax=*;TYPE=Application/Octet-Stream",
            f"{OCTETS}; transfer-syntax={JPEG_BASELINE}",
            id="unquoted, mixed case, other order",
        ),
    ],
)
def test_stored_jpeg_comes_unchanged_to_every_client(
    client: httpx.Client, accept: str, part_type: str
) -> None:
    slide = jpeg_slide()
    assert store(client, slide).status_code == 200
    answer = get(client, f"{path_of(slide)}/frames/2", accept)
    assert answer.status_code == 200, answer.text
    assert parts_of(answer) == [(part_type, slide.frames[1])]
    assert int(answer.headers["content-length"]) == len(answer.content)
    root = part_type.partition(";")[0]
    assert answer.headers["content-type"].startswith(f'multipart/related; type="{root}"; boundary=')


def test_a_list_comes_in_the_order_asked(client: httpx.Client) -> None:
    slide = jpeg_slide(across=25, down=20, side=8)
    store(client, slide)
    numbers = [400, 1, 17, 1, *range(2, 399)]
    answer = get(client, f"{path_of(slide)}/frames/{','.join(map(str, numbers))}", ANY_STORED)
    assert [content for _, content in parts_of(answer)] == [
        slide.frames[number - 1] for number in numbers
    ]


def test_the_page_gets_a_single_part(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/6", "image/jpeg")
    assert answer.headers["content-type"] == f"image/jpeg; transfer-syntax={JPEG_BASELINE}"
    assert answer.content == slide.frames[5]


def test_a_browser_gets_a_picture(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    accept = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    answer = get(client, f"{path_of(slide)}/frames/1", accept)
    assert answer.headers["content-type"].startswith("image/jpeg")


# Where frames of several fragments begin only a basic offset table can tell.
@pytest.mark.parametrize(
    ("table", "fragments"), [("basic", 1), ("basic", 3), ("none", 1), ("extended", 1)]
)
def test_fragments_are_joined_whatever_the_offset_table(
    client: httpx.Client, table: str, fragments: int
) -> None:
    slide = jpeg_slide(table=table, fragments=fragments)
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/1,6", ANY_STORED)
    assert [content for _, content in parts_of(answer)] == [slide.frames[0], slide.frames[5]]


def test_octets_without_a_transfer_syntax_are_uncompressed(client: httpx.Client) -> None:
    slide = jpeg_slide(side=16)
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/3", OCTETS)
    assert answer.headers["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"
    decoded = simplejpeg.decode_jpeg(slide.frames[2], "RGB")
    assert len(answer.content) == 16 * 16 * 3
    got = np.frombuffer(answer.content, np.uint8).reshape(16, 16, 3)
    assert np.abs(got.astype(int) - decoded).max() <= 3


def test_several_decoded_frames_come_in_parts(client: httpx.Client) -> None:
    slide = jpeg_slide(side=16)
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/3,1", f'multipart/related; type="{OCTETS}"')
    assert [len(content) for _, content in parts_of(answer)] == [768, 768]


@pytest.mark.parametrize(
    "syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED], ids=str
)
@pytest.mark.parametrize("accept", [OCTETS, f"{OCTETS}; transfer-syntax=*", ANY_STORED, "*/*"])
def test_native_frames_come_in_explicit_little_endian(
    client: httpx.Client, syntax: str, accept: str
) -> None:
    values = np.arange(3 * 5 * 4, dtype=np.uint16).reshape(3, 5, 4) * 257
    image = monochrome(values, syntax=syntax)
    assert store(client, image).status_code == 200
    answer = get(client, f"{path_of(image)}/frames/2", accept)
    assert answer.status_code == 200, answer.text
    expected_type = f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"
    multipart = answer.headers["content-type"].startswith("multipart")
    found = parts_of(answer)[0] if multipart else (answer.headers["content-type"], answer.content)
    assert found == (expected_type, values[1].astype("<u2").tobytes())


def test_one_bit_frames_start_on_a_byte(client: httpx.Client) -> None:
    masks = (np.arange(4 * 3 * 5).reshape(4, 3, 5) % 7 < 3).astype(np.uint8)
    image = segmentation(masks)
    store(client, image)
    for number in range(1, 5):
        answer = get(client, f"{path_of(image)}/frames/{number}", OCTETS)
        bits = np.unpackbits(np.frombuffer(answer.content, np.uint8), bitorder="little")[:15]
        assert bits.tolist() == masks[number - 1].reshape(-1).tolist()


def test_lossless_streams_go_under_their_own_media_type(client: httpx.Client) -> None:
    import imagecodecs

    pixels = np.random.default_rng(1).integers(0, 255, (2, 32, 32, 3), np.uint8)
    frames = [
        bytes(imagecodecs.jpeg2k_encode(one, reversible=True, codecformat="j2k")) for one in pixels
    ]
    syntax = "1.2.840.10008.1.2.4.90"
    image = encapsulated(frames, syntax, pixels)
    assert store(client, image).status_code == 200
    answer = get(client, f"{path_of(image)}/frames/2", "image/jp2")
    assert answer.headers["content-type"] == f"image/jp2; transfer-syntax={syntax}"
    assert answer.content.startswith(frames[1])


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="image/jpx"; transfer-syntax=1.2.840.10008.1.2.4.92',
        "image/png",
        "text/html",
        'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.51',
        'multipart/related; type="video/mp4"',
    ],
)
def test_a_form_that_is_not_available_is_406(client: httpx.Client, accept: str) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/1", accept)
    assert answer.status_code == 406
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(JPEG_BASELINE in form for form in answer.json()["available"])


@pytest.mark.parametrize(
    ("accept", "part_type"),
    [
        ("image/jp2", "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"),
        ("image/jls", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        ("image/jphc", "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.201"),
        ("image/dicom-rle", "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5"),
        ("image/jpeg", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70"),
        (f"image/jpeg; transfer-syntax={JPEG_BASELINE}", None),
        ("image/jp2; transfer-syntax=1.2.840.10008.1.2.4.91", None),
        ("image/jls; transfer-syntax=1.2.840.10008.1.2.4.81", None),
        ("image/jphc; transfer-syntax=1.2.840.10008.1.2.4.203", None),
        (f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.8.1", None),
    ],
)
def test_frames_come_in_the_syntax_that_is_asked_for(
    client: httpx.Client, accept: str, part_type: str | None
) -> None:
    slide = native_slide()
    store(client, slide)
    assert slide.pixels is not None
    pixels = PixelDescription(16, 16, 6, 3, "RGB", 8, 8, 0, 0, "PixelData")
    single = get(client, f"{path_of(slide)}/frames/5", accept)
    assert single.headers["content-type"] == (part_type or accept)
    several = get(client, f"{path_of(slide)}/frames/5,1", as_multipart(accept))
    (kind, first), (_, second) = parts_of(several)
    assert kind == single.headers["content-type"]
    assert first == single.content
    uid = kind.rpartition("=")[2]
    for number, content in ((5, first), (1, second)):
        shown = decode_frame(content, pixels, uid)
        apart = np.abs(shown.astype(int) - slide.pixels[number - 1].astype(int)).max()
        assert apart <= (8 if uid in LOSSY_TARGETS else 0)


def as_multipart(accept: str) -> str:
    name, separator, syntax = accept.partition(";")
    return f'multipart/related; type="{name}"{separator}{syntax}'


@pytest.mark.parametrize("accept", ["image/jpeg", "image/*", "image/jp2; transfer-syntax=*"])
def test_nobody_gets_a_lossy_syntax_who_does_not_name_it(client: httpx.Client, accept: str) -> None:
    slide = native_slide()
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/1", accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].rpartition("=")[2] in LOSSLESS_TARGETS


def test_what_is_stored_goes_before_what_is_made(client: httpx.Client) -> None:
    slide = native_slide()
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/1", f"image/jp2, {OCTETS}, image/jls")
    assert answer.content == slide.frames[0]


def test_a_single_part_cannot_hold_several_frames(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    assert get(client, f"{path_of(slide)}/frames/1,2", "image/jpeg").status_code == 406


@pytest.mark.parametrize(
    ("frames", "status"),
    [
        ("7", 404),
        ("1,7", 404),
        ("999999999", 404),
        ("0", 400),
        ("-1", 400),
        ("x", 400),
        ("1.5", 400),
        ("1,,2", 400),
        ("1;2", 400),
        ("9" * 40, 400),
        ("1%00", 400),
        ("%31%2C2", 200),
    ],
)
def test_frame_numbers_out_of_range_are_404_and_bad_ones_400(
    client: httpx.Client, frames: str, status: int
) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/{frames}", ANY_STORED)
    assert answer.status_code == status


@pytest.mark.parametrize("wrong", ["study", "series", "instance"])
def test_a_wrong_uid_in_the_path_is_404(client: httpx.Client, wrong: str) -> None:
    slide = jpeg_slide()
    store(client, slide)
    uids = {
        "study": slide.dataset.StudyInstanceUID,
        "series": slide.dataset.SeriesInstanceUID,
        "instance": slide.dataset.SOPInstanceUID,
    }
    path = f"{path_of(slide)}/frames/1"
    assert get(client, path, "*/*").status_code == 200  # and is in memory now
    answer = get(client, path.replace(uids[wrong], "1.2.3.4"), "*/*")
    assert answer.status_code == 404


@pytest.mark.parametrize("uid", ["..", "1.2.x", "a" * 65, "1..2", "%2e%2e", "' OR 1=1--"])
def test_a_path_that_is_no_uid_is_refused(client: httpx.Client, uid: str) -> None:
    answer = client.get(f"/dicomweb/studies/{uid}/series/1.2/instances/1.2/frames/1")
    assert answer.status_code in {400, 404}


def test_an_instance_without_pixels_has_no_frames(client: httpx.Client) -> None:
    from tests.support.dicom_files import MadeFile, part10, study_attributes

    dataset = study_attributes(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR")
    report = MadeFile(part10(dataset, EXPLICIT_LITTLE), dataset)
    assert store(client, report).status_code == 200
    assert get(client, f"{path_of(report)}/frames/1", "*/*").status_code == 404


def test_what_the_client_has_is_not_sent_again(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    path = f"{path_of(slide)}/frames/1"
    first = get(client, path, "image/jpeg")
    assert first.headers["cache-control"].startswith("private, max-age=")
    assert "Accept" in first.headers["vary"]
    again = get(client, path, "image/jpeg", **{"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other_form = get(client, path, ANY_STORED, **{"if-none-match": first.headers["etag"]})
    assert other_form.status_code == 200


def test_head_tells_length_and_type_alone(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = client.head(f"{path_of(slide)}/frames/1", headers={"accept": "image/jpeg"})
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(slide.frames[0])
    assert answer.content == b""


def test_large_answers_are_streamed_with_their_length(client: httpx.Client) -> None:
    slide = native_slide(across=8, down=8, side=96)
    store(client, slide)
    numbers = list(range(1, 65))
    answer = get(client, f"{path_of(slide)}/frames/{','.join(map(str, numbers))}", "*/*")
    assert int(answer.headers["content-length"]) == len(answer.content) > 1024 * 1024
    assert [content for _, content in parts_of(answer)] == slide.frames


def test_the_accept_parameter_serves_clients_without_headers(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = get(client, f"{path_of(slide)}/frames/1?accept=image/jpeg", "text/html,*/*;q=0.5")
    assert answer.headers["content-type"].startswith("image/jpeg")
