"""Valid files with bytes changed: refused or read, in bounded time, and nothing else."""

import io
import random
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.errors import InvalidInstance
from archive.model.transfer_syntaxes import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from archive.part10 import check_instance, encode_frame_index, locate_frames, read_header, to_json
from tests.support.dicom_files import (
    MadeFile,
    jpeg_slide,
    monochrome,
    native_slide,
    segmentation,
    sparse_slide,
)
from tests.support.shared import shared_file

MAKERS: dict[str, Callable[[], MadeFile]] = {
    "jpeg": jpeg_slide,
    "jpeg, extended table": lambda: jpeg_slide(table="extended"),
    "jpeg, fragments": lambda: jpeg_slide(table="none", fragments=3),
    "implicit": lambda: native_slide(syntax=IMPLICIT_LITTLE),
    "big endian": lambda: native_slide(syntax=EXPLICIT_BIG),
    "deflated": lambda: native_slide(syntax=DEFLATED),
    "sparse": lambda: sparse_slide(20),
    "sparse, undefined": lambda: sparse_slide(20, undefined_lengths=True),
    "one bit": lambda: segmentation(np.ones((5, 3, 3), np.uint8)),
    "16 bits": lambda: monochrome(np.zeros((2, 8, 8), np.uint16)),
}


def take_in(content: bytes) -> bool:
    """Do all that storing does with a file; tells whether it would be kept."""
    start = time.process_time()
    try:
        header = read_header(io.BytesIO(content), size=len(content))
        check_instance(header)
        found = locate_frames(io.BytesIO(content), header)
        if found.index is not None:
            encode_frame_index(found.index)
            assert int(found.index.spans.sum(axis=1).max()) <= len(content)
        written = to_json(header)
        assert written.header.startswith(b"{")
    except InvalidInstance:
        return False
    finally:
        assert time.process_time() - start < 10
    return True


@pytest.mark.parametrize("kind", MAKERS)
def test_changed_bytes_lead_to_a_refusal_or_a_whole_instance(kind: str) -> None:
    content = MAKERS[kind]().content
    assert take_in(content)
    noise = random.Random(kind)
    head = min(len(content), 3000)
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(noise.choice([1, 1, 2, 8])):
            at = noise.randrange(132, head)
            changed[at] = noise.choice([0, 0xFF, noise.randrange(256), changed[at] ^ 1])
        take_in(bytes(changed))


@pytest.mark.parametrize("kind", MAKERS)
def test_files_cut_anywhere_lead_to_a_refusal_or_a_whole_instance(kind: str) -> None:
    content = MAKERS[kind]().content
    noise = random.Random(kind)
    kept = [take_in(content[: noise.randrange(len(content) - 9)]) for _ in range(100)]
    # Before its pixel data begin, a file that ends between two elements is whole.
    assert kept.count(False) > 80


@pytest.mark.parametrize(
    "name", ["annotations/highdicom/sm_annotations.dcm", "annotations/test-SR.dcm"]
)
def test_changed_bytes_of_nested_files(name: str) -> None:
    content = shared_file(f"dicom/{name}").read_bytes()
    noise = random.Random(name)
    for _ in range(300):
        changed = bytearray(content)
        changed[noise.randrange(132, len(content))] = noise.randrange(256)
        take_in(bytes(changed))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_behind_the_prefix_are_refused_or_read(content: bytes) -> None:
    take_in(bytes(128) + b"DICM" + content)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_data_set_are_refused_or_read(content: bytes) -> None:
    made = jpeg_slide(across=1, down=1, side=8).content
    take_in(
        made[: made.index(b"\x08\x00\x05\x00") if b"\x08\x00\x05\x00" in made else 330] + content
    )
