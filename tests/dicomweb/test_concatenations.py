"""Concatenations as parts and as one (PS3.3 §C.7.6.16.1)."""

from __future__ import annotations

import io
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from archive.model.transfer_syntaxes import DEFLATED, EXPLICIT_LITTLE, JPEG_BASELINE
from tests.support.dicom_files import (
    MadeFile,
    encapsulated_element,
    jpeg_slide,
    native_element,
    native_slide,
    part10,
    segmentation,
)
from tests.support.http import parts_of, path_of, store

if TYPE_CHECKING:
    import httpx

OCTETS = "application/octet-stream"
ANY_STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
BLOB = bytes(range(256)) * 8


def per_frame(number: int) -> Dataset:
    content, groups = Dataset(), Dataset()
    content.DimensionIndexValues = [number, 1]
    groups.FrameContentSequence = [content]
    if number == 5:
        groups.EncapsulatedDocument = BLOB  # anything that is bulk data
    return groups


def cut(made: MadeFile, sizes: tuple[int, ...], syntax: str = EXPLICIT_LITTLE) -> list[MadeFile]:
    """Cut an instance into the parts of a concatenation."""
    shared = generate_uid(prefix=None)
    parts, first = [], 0
    for number, frames in enumerate(sizes, 1):
        dataset = deepcopy(made.dataset)
        dataset.SOPInstanceUID = generate_uid(prefix=None)
        dataset.SOPInstanceUIDOfConcatenationSource = made.uid
        dataset.ConcatenationUID = shared
        dataset.InConcatenationNumber = number
        dataset.InConcatenationTotalNumber = len(sizes)
        dataset.ConcatenationFrameOffsetNumber = first
        dataset.NumberOfFrames = frames
        dataset.PerFrameFunctionalGroupsSequence = [
            per_frame(first + one + 1) for one in range(frames)
        ]
        stored = made.frames[first : first + frames]
        if syntax == JPEG_BASELINE:
            element = encapsulated_element([[frame] for frame in stored])
        else:
            element = native_element(b"".join(stored))
        parts.append(MadeFile(part10(dataset, syntax, element), dataset, stored))
        first += frames
    return parts


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, JPEG_BASELINE, DEFLATED])
def test_frames_are_numbered_through_all_parts(client: httpx.Client, syntax: str) -> None:
    made = jpeg_slide() if syntax == JPEG_BASELINE else native_slide()
    first, second, third = cut(made, (2, 1, 3), syntax)
    assert store(client, third, first, second).status_code == 200
    stored = {"accept": f"{OCTETS}; transfer-syntax=*"}
    for number in range(1, 7):
        answer = client.get(f"{path_of(made)}/frames/{number}", headers=stored)
        assert answer.status_code == 200, answer.text
        assert answer.content == made.frames[number - 1]
    several = client.get(f"{path_of(made)}/frames/6,1,3,4", headers={"accept": ANY_STORED})
    assert [content for _, content in parts_of(several)] == [
        made.frames[number - 1] for number in (6, 1, 3, 4)
    ]
    assert client.get(f"{path_of(made)}/frames/7").status_code == 404
    lossless = client.get(f"{path_of(made)}/frames/5", headers={"accept": "image/jls"})
    assert lossless.status_code == 200
    # And each part by itself, from one on.
    alone = client.get(f"{path_of(third)}/frames/2", headers=stored)
    assert alone.content == made.frames[4]
    assert client.get(f"{path_of(third)}/frames/4").status_code == 404


def test_the_source_has_the_metadata_of_the_whole(client: httpx.Client) -> None:
    made = native_slide()
    parts = cut(made, (4, 2))
    store(client, *parts)
    (found,) = client.get(f"{path_of(made)}/metadata").json()
    (part,) = client.get(f"{path_of(parts[0])}/metadata").json()
    assert found["00080018"]["Value"] == [made.uid]
    assert found["00280008"]["Value"] == [6]
    gone = {"00200242", "00209161", "00209162", "00209163", "00209228"}
    assert gone <= part.keys()
    assert not gone & found.keys()
    assert found.keys() == part.keys() - gone
    items: list[dict[str, Any]] = found["52009230"]["Value"]
    indexes = [item["00209111"]["Value"][0]["00209157"]["Value"][0] for item in items]
    assert indexes == [1, 2, 3, 4, 5, 6]
    uri = items[4]["00420011"]["BulkDataURI"]
    assert f"/instances/{made.uid}/bulkdata/52009230/4/" in uri
    assert client.get(uri, headers={"accept": OCTETS}).content == BLOB


def test_the_picture_of_the_source_is_of_all_parts(client: httpx.Client) -> None:
    made = native_slide(across=3, down=2, side=16)
    parts = cut(made, (4, 2))
    store(client, *parts)
    assert made.pixels is not None
    whole = made.pixels.reshape(2, 3, 16, 16, 3).transpose(0, 2, 1, 3, 4).reshape(32, 48, 3)
    png = {"accept": "image/png"}
    answer = client.get(f"{path_of(made)}/rendered", headers=png)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), whole)
    answer = client.get(f"{path_of(parts[1])}/rendered", headers=png)
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert np.array_equal(shown[16:, 16:], whole[16:, 16:])
    assert (shown[:16] == 255).all()
    assert client.get(f"{path_of(made)}/frames/6/rendered", headers=png).status_code == 200
    assert client.get(f"{path_of(made)}/thumbnail").status_code == 200


def test_the_source_is_no_file(client: httpx.Client) -> None:
    made = native_slide()
    parts = cut(made, (4, 2))
    store(client, *parts)
    accept = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    assert client.get(path_of(made), headers=accept).status_code == 406
    series = path_of(made).partition("/instances/")[0]
    files = [content for _, content in parts_of(client.get(series, headers=accept))]
    assert files == [part.content for part in parts]
    rows = client.get(f"{series}/instances").json()
    assert {row["00080018"]["Value"][0] for row in rows} == {part.uid for part in parts}
    found = client.get(f"{series}/instances?SOPInstanceUIDOfConcatenationSource={made.uid}").json()
    assert len(found) == 2


def test_an_incomplete_concatenation_is_not_put_together(client: httpx.Client) -> None:
    made = native_slide()
    first, second, third = cut(made, (2, 2, 2))
    for some in ((first,), (third,)):
        store(client, *some)
        for resource in ("/metadata", "/frames/1", "/rendered", ""):
            assert client.get(path_of(made) + resource).status_code == 404
    store(client, second)
    assert client.get(f"{path_of(made)}/frames/6").status_code == 200


def test_a_source_that_is_stored_goes_before_its_parts(client: httpx.Client) -> None:
    made = native_slide()
    store(client, *cut(made, (4, 2)))
    assert client.get(f"{path_of(made)}/frames/6").status_code == 200
    assert store(client, made).status_code == 200
    accept = {"accept": "application/dicom; transfer-syntax=*"}
    answer = client.get(path_of(made), headers=accept)
    assert answer.content == made.content


def test_one_bit_frames_within_bytes_stay_in_their_parts(client: httpx.Client) -> None:
    masks = (np.arange(4 * 3 * 5).reshape(4, 3, 5) % 7 < 3).astype(np.uint8)
    made = segmentation(masks)
    packed = [np.packbits(masks[at : at + 2].reshape(-1), bitorder="little") for at in (0, 2)]
    parts = cut(MadeFile(made.content, made.dataset, [b"", b"", b"", b""]), (2, 2))
    parts = [
        MadeFile(
            part10(part.dataset, EXPLICIT_LITTLE, native_element(bits.tobytes())), part.dataset
        )
        for part, bits in zip(parts, packed, strict=True)
    ]
    assert store(client, *parts).status_code == 200
    assert client.get(f"{path_of(made)}/frames/1").status_code == 404
    answer = client.get(f"{path_of(parts[1])}/frames/2", headers={"accept": OCTETS})
    bits = np.unpackbits(np.frombuffer(answer.content, np.uint8), bitorder="little")[:15]
    assert bits.tolist() == masks[3].reshape(-1).tolist()
