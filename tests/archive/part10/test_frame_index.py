import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.errors import ArchiveError, FrameNotFound, InvalidInstance
from archive.model.frames import FrameIndex
from archive.model.transfer_syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    RLE_LOSSLESS,
)
from archive.part10 import (
    build_frame_index,
    decode_frame_index,
    encode_frame_index,
    locate_frames,
    read_header,
)
from tests.support.dicom_files import (
    MadeFile,
    encapsulated_element,
    extended_tables,
    frame_offsets,
    item,
    jpeg_slide,
    monochrome,
    native_element,
    native_slide,
    part10,
    segmentation,
    study_attributes,
    whole_slide_attributes,
)
from tests.support.reading import frame_bytes, frames_of, header_of, stored_frames


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", ["basic", "none"])
def test_encapsulated_frames_are_found(table: str, fragments: int) -> None:
    made = jpeg_slide(table=table, fragments=fragments)
    assert stored_frames(made.content) == made.frames
    assert frames_of(made.content).warnings == ()


def test_frames_are_found_by_an_extended_offset_table() -> None:
    made = jpeg_slide(table="extended")
    assert stored_frames(made.content) == made.frames
    assert frames_of(made.content).warnings == ()


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_native_frames_are_found(syntax: str) -> None:
    made = native_slide(syntax=syntax)
    assert stored_frames(made.content) == made.frames


def test_native_frames_of_16_bits_are_found() -> None:
    made = monochrome(np.arange(3 * 5 * 7, dtype=np.uint16).reshape(3, 5, 7))
    assert stored_frames(made.content) == made.frames


def test_an_odd_number_of_bytes_is_padded_but_not_part_of_the_frame() -> None:
    made = monochrome(np.arange(9, dtype=np.uint8).reshape(1, 3, 3))
    assert stored_frames(made.content) == [bytes(range(9))]


def test_one_bit_frames_have_all_bytes_that_they_touch() -> None:
    made = segmentation(np.ones((5, 3, 3), np.uint8))  # 9 bits a frame
    index = frames_of(made.content).index
    assert index is not None
    start = index.spans[0, 0]
    assert (index.spans[:, 0] - start).tolist() == [0, 1, 2, 3, 4]
    assert index.spans[:, 1].tolist() == [2, 2, 2, 2, 2]


def test_a_deflated_instance_has_no_index() -> None:
    assert frames_of(native_slide(syntax=DEFLATED).content).index is None


def test_an_instance_without_pixel_data_has_no_index() -> None:
    assert frames_of(part10(study_attributes(), EXPLICIT_LITTLE)).index is None


def test_a_mapped_file_and_one_in_memory_have_the_same_index(tmp_path: Path) -> None:
    made = jpeg_slide(across=9, down=7)
    with made.write(tmp_path).open("rb") as file:
        mapped = build_frame_index(file, read_header(file, size=len(made.content)))
    in_memory = frames_of(made.content).index
    assert mapped is not None
    assert in_memory is not None
    assert np.array_equal(mapped.spans, in_memory.spans)
    assert np.array_equal(mapped.first_fragment, in_memory.first_fragment)


def slide_with(frames: list[list[bytes]], basic_table: bytes, **given: object) -> MadeFile:
    dataset = whole_slide_attributes(rows=8, columns=8, across=len(frames), down=1, **given)
    element = encapsulated_element(frames, basic_table=basic_table)
    stored = [b"".join(item(piece)[8:] for piece in frame) for frame in frames]
    return MadeFile(part10(dataset, JPEG_BASELINE, element), dataset, stored)


JPEGS = [[b"\xff\xd8" + bytes([n]) * (2 * n) + b"\xff\xd9"] for n in range(1, 5)]


@pytest.mark.parametrize(
    "entries",
    [
        [0, 4, 8, 12],  # within the items
        [8, 16, 24, 32],
        [0, 0, 0, 0],
        [0, 1 << 31, 1 << 31, 1 << 31],  # beyond the file
        [40, 26, 14, 0],
        [0, 14],
        list(range(9)),
    ],
)
def test_a_wrong_offset_table_is_passed_over_with_a_warning(entries: list[int]) -> None:
    made = slide_with(JPEGS, struct.pack(f"<{len(entries)}L", *entries))
    assert stored_frames(made.content) == made.frames
    assert len(frames_of(made.content).warnings) == 1


def test_a_wrong_extended_table_is_passed_over_with_a_warning() -> None:
    offsets, lengths = extended_tables(JPEGS)
    made = slide_with(
        JPEGS,
        b"",
        ExtendedOffsetTable=struct.pack("<4Q", 3, 2**63, 5, 9),
        ExtendedOffsetTableLengths=lengths,
    )
    assert stored_frames(made.content) == made.frames
    assert len(frames_of(made.content).warnings) == 1
    right = slide_with(JPEGS, b"", ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    assert frames_of(right.content).warnings == ()


def test_fragments_that_nothing_tells_apart_are_refused() -> None:
    dataset = whole_slide_attributes(rows=8, columns=8, across=2, down=1)
    element = encapsulated_element([[b"abcd", b"efgh"], [b"ijkl"]], table="none")
    with pytest.raises(InvalidInstance, match="needs an offset table"):
        frames_of(part10(dataset, RLE_LOSSLESS, element))


def test_fragments_of_a_single_frame_are_all_of_it() -> None:
    dataset = whole_slide_attributes(rows=8, columns=8, across=1, down=1)
    element = encapsulated_element([[b"abcd", b"efgh", b"ijkl"]], table="none")
    assert stored_frames(part10(dataset, RLE_LOSSLESS, element)) == [b"abcdefghijkl"]


def test_a_start_marker_in_the_midst_of_a_frame_begins_none() -> None:
    frames = [
        [b"\xff\xd8aaaa", b"\xff\xd8bbb\xff\xd9\0"],
        [b"\xff\xd8cc", b"dddd\xff\xd9"],
    ]
    dataset = whole_slide_attributes(rows=8, columns=8, across=2, down=1)
    content = part10(dataset, JPEG_BASELINE, encapsulated_element(frames, table="none"))
    assert stored_frames(content) == [b"".join(frame) for frame in frames]


@pytest.mark.parametrize("across", [3, 5])
def test_another_number_of_frames_than_the_header_says_is_refused(across: int) -> None:
    dataset = whole_slide_attributes(rows=8, columns=8, across=across, down=1)
    content = part10(dataset, RLE_LOSSLESS, encapsulated_element([[b"ab"]] * 4))
    with pytest.raises(InvalidInstance, match=f"{across}"):
        frames_of(content)


@pytest.mark.parametrize("cut", [1, 4, 7, 9, 16, 100, 400])
def test_an_encapsulated_file_cut_short_is_refused(cut: int) -> None:
    content = jpeg_slide(across=2, down=1, side=16).content
    with pytest.raises(InvalidInstance):
        frames_of(content[:-cut])


def test_only_the_delimiter_missing_is_forgiven() -> None:
    made = jpeg_slide(table="none")
    found = frames_of(made.content[:-8])
    assert found.index is not None
    assert found.warnings == ("the pixel data have no sequence delimitation item",)
    assert stored_frames(made.content[:-8]) == made.frames


def test_native_pixel_data_that_are_too_short_are_refused() -> None:
    dataset = whole_slide_attributes(rows=65535, columns=65535, across=1, down=1)
    content = part10(dataset, EXPLICIT_LITTLE, native_element(bytes(64)))
    with pytest.raises(InvalidInstance, match="need 12884508675 bytes"):
        frames_of(content)


def test_a_number_of_frames_beyond_reason_is_refused() -> None:
    dataset = whole_slide_attributes(rows=1, columns=1, across=1, down=1)
    dataset.NumberOfFrames = 2**31 - 1
    content = part10(dataset, EXPLICIT_LITTLE, native_element(bytes(64)))
    with pytest.raises(InvalidInstance, match="the limit is"):
        frames_of(content)


def test_encapsulated_pixel_data_in_a_native_syntax_are_refused() -> None:
    dataset = whole_slide_attributes(rows=8, columns=8, across=1, down=1)
    with pytest.raises(InvalidInstance, match="encapsulated"):
        frames_of(part10(dataset, EXPLICIT_LITTLE, encapsulated_element([[b"ab"]])))


@pytest.mark.parametrize("table", ["basic", "none"])
def test_250_000_frames_are_found_in_well_under_a_second(table: str, tmp_path: Path) -> None:
    frames = [[b"\xff\xd8\xff\xd9"]] * 250_000
    dataset = whole_slide_attributes(rows=8, columns=8, across=500, down=500)
    content = part10(dataset, JPEG_BASELINE, encapsulated_element(frames, table=table))
    path = MadeFile(content, dataset).write(tmp_path)
    with path.open("rb") as file:
        header = read_header(file, size=len(content))
        start = time.process_time()
        index = locate_frames(file, header).index
        taken = time.process_time() - start
    assert index is not None
    assert index.number_of_frames == 250_000
    assert frame_bytes(content, index, 250_000) == b"\xff\xd8\xff\xd9"
    assert taken < 2  # 0.02 s with a table and 0.2 s without were measured


def test_a_frame_that_is_not_there_is_not_found() -> None:
    index = frames_of(jpeg_slide().content).index
    assert index is not None
    for number in (0, 7, -1):
        with pytest.raises(FrameNotFound):
            index.frame(number)


# --- kept form ----------------------------------------------------------------------------------


def same(index: FrameIndex, other: FrameIndex) -> bool:
    return (
        np.array_equal(index.spans, other.spans)
        and np.array_equal(index.first_fragment, other.first_fragment)
        and index.spans.dtype == other.spans.dtype
        and index.first_fragment.dtype == other.first_fragment.dtype
    )


@settings(deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2**50), st.integers(0, 2**32 - 1)), min_size=1, max_size=4
        ),
        max_size=30,
    )
)
def test_any_index_is_the_same_after_it_was_kept(frames: list[list[tuple[int, int]]]) -> None:
    spans = np.array([span for frame in frames for span in frame], np.uint64).reshape(-1, 2)
    counts = np.cumsum([0, *(len(frame) for frame in frames)])
    index = FrameIndex(spans, counts.astype(np.uint32))
    assert same(decode_frame_index(encode_frame_index(index)), index)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20), st.booleans())
def test_frames_come_back_as_they_were_put_in(frames: list[bytes], with_table: bool) -> None:
    dataset = whole_slide_attributes(rows=8, columns=8, across=len(frames), down=1)
    element = encapsulated_element(
        [[frame] for frame in frames], table="basic" if with_table else "none"
    )
    content = part10(dataset, RLE_LOSSLESS, element)
    assert stored_frames(content) == [item(frame)[8:] for frame in frames]


def test_a_kept_index_is_small() -> None:
    lengths = np.random.default_rng(3).integers(1_000, 30_000, 18_526)
    offsets = np.cumsum(np.append(4096, lengths[:-1] + 8))
    index = FrameIndex(
        np.stack([offsets, lengths], axis=1).astype(np.uint64),
        np.arange(18_527, dtype=np.uint32),
    )
    assert len(encode_frame_index(index)) < 2.1 * 18_526


@pytest.mark.parametrize("kept", [b"", b"\x02", b"\x63" + bytes(40)])
def test_a_kept_index_of_an_unknown_version_is_refused(kept: bytes) -> None:
    with pytest.raises(ArchiveError, match="version"):
        decode_frame_index(kept)


def test_offsets_of_the_generator_are_those_of_pydicom() -> None:
    from pydicom.encaps import encapsulate, generate_frames

    frames = [frame[0] for frame in JPEGS]
    assert list(generate_frames(io.BytesIO(encapsulate(frames)), number_of_frames=4)) == frames
    table = struct.unpack("<4L", encapsulate(frames)[8:24])
    assert list(table) == frame_offsets(JPEGS)
    assert header_of(jpeg_slide().content).pixel_data is not None
