import io
import mmap
import struct
import tracemalloc
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from archive.errors import InvalidInstance
from archive.model import reasons
from archive.model.transfer_syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
)
from archive.part10 import HeaderLimits, read_header
from tests.support.dicom_files import (
    DELIMITER,
    ITEM,
    encode,
    file_meta,
    jpeg_slide,
    native_element,
    native_slide,
    part10,
    sparse_slide,
    study_attributes,
)
from tests.support.reading import header_of


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_the_dataset_is_read_in_every_native_syntax(syntax: str) -> None:
    made = native_slide(syntax=syntax)
    header = header_of(made.content)
    assert header.transfer_syntax_uid == syntax
    assert header.dataset == made.dataset
    assert header.pixel_data is not None
    start = header.pixel_data.value_offset
    assert made.content[start:] == b"".join(made.frames)


def test_a_real_file_and_bytes_in_memory_are_read_alike(tmp_path: Path) -> None:
    made = jpeg_slide()
    with made.write(tmp_path).open("rb") as file:
        mapped = read_header(file, size=len(made.content))
    in_memory = header_of(made.content)
    assert mapped.dataset == in_memory.dataset == made.dataset
    assert mapped.pixel_data == in_memory.pixel_data


def test_the_place_of_encapsulated_pixel_data_has_no_length() -> None:
    header = header_of(jpeg_slide().content)
    assert header.pixel_data is not None
    assert (header.pixel_data.keyword, header.pixel_data.length) == ("PixelData", None)


def test_a_deflated_data_set_is_read() -> None:
    made = native_slide(syntax=DEFLATED)
    header = header_of(made.content)
    assert header.deflated
    assert header.dataset == made.dataset


def test_pixel_data_are_not_read_into_memory(tmp_path: Path) -> None:
    dataset = study_attributes()
    head = part10(dataset, EXPLICIT_LITTLE)
    size = 512 << 20
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        element = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, size)
        file.write(head + element)
        file.truncate(len(head) + len(element) + size)  # sparse: takes no room on the disk
    tracemalloc.start()
    with path.open("rb") as file:
        header = read_header(file, size=path.stat().st_size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert header.pixel_data is not None
    assert header.pixel_data.length == size
    assert peak < 4 << 20


def test_of_a_file_that_cannot_be_mapped_only_the_first_part_is_read() -> None:
    class Counting(io.BytesIO):
        furthest = 0

        def read(self, size: int | None = -1) -> bytes:
            content = super().read(size)
            self.furthest = max(self.furthest, self.tell())
            return content

    content = part10(study_attributes(), EXPLICIT_LITTLE, native_element(bytes(20 << 20)))
    file = Counting(content)
    assert read_header(file, size=len(content)).pixel_data is not None
    assert file.furthest <= 1 << 20


def test_a_header_longer_than_the_first_part_is_read_on(tmp_path: Path) -> None:
    dataset = study_attributes()
    dataset.ICCProfile = bytes(3 << 20)
    content = part10(dataset, EXPLICIT_LITTLE, native_element(b"\1\2"))
    assert header_of(content).dataset.ICCProfile == dataset.ICCProfile


def nested(levels: int, *, undefined: bool) -> bytes:
    """Nest content sequences, innermost first."""
    inner = b""
    for _ in range(levels):
        if undefined:
            body = ITEM.pack(0xFFFE, 0xE000, 0xFFFFFFFF) + inner + ITEM.pack(0xFFFE, 0xE00D, 0)
            inner = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + body + DELIMITER
        else:
            body = ITEM.pack(0xFFFE, 0xE000, len(inner)) + inner
            inner = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, len(body)) + body
    return inner


@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_nested_600_deep_are_refused(undefined: bool) -> None:
    content = part10(study_attributes(), EXPLICIT_LITTLE, nested(600, undefined=undefined))
    with pytest.raises(InvalidInstance, match="nested more than 64 deep"):
        header_of(content)


@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_nested_60_deep_are_read(undefined: bool) -> None:
    content = part10(study_attributes(), EXPLICIT_LITTLE, nested(60, undefined=undefined))
    depth, level = 0, header_of(content).dataset
    while "ContentSequence" in level:
        level, depth = level.ContentSequence[0], depth + 1
    assert depth == 60


def broken(kind: str) -> bytes:
    """Make a header that is broken in one way."""
    dataset = study_attributes()
    whole = part10(dataset, EXPLICIT_LITTLE, native_element(bytes(64)))
    sequence = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    made = {
        "empty": b"",
        "no preamble": whole[128:],
        "text": b"This is no DICOM file at all, only words.\n" * 40,
        "no meta": whole[:132] + encode(dataset, EXPLICIT_LITTLE),
        "no transfer syntax": part10(dataset, None),
        "ends in the header": whole[:400],
        "pixel data cut short": whole[:-1],
        "4 GB element": part10(
            dataset, EXPLICIT_LITTLE, struct.pack("<HH2sHL", 0x0028, 0x2000, b"OB", 0, 0xFFFFFFF0)
        ),
        "item past its sequence": part10(
            dataset,
            EXPLICIT_LITTLE,
            struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 8)
            + ITEM.pack(0xFFFE, 0xE000, 64)
            + bytes(64),
        ),
        "endless sequence": part10(dataset, EXPLICIT_LITTLE, sequence),
        "endless item": part10(
            dataset, EXPLICIT_LITTLE, sequence + ITEM.pack(0xFFFE, 0xE000, 0xFFFFFFFF)
        ),
        "stray delimiter": part10(dataset, EXPLICIT_LITTLE, DELIMITER),
        "text of undefined length": part10(
            dataset, EXPLICIT_LITTLE, struct.pack("<HH2sHL", 0x0040, 0xA160, b"UT", 0, 0xFFFFFFFF)
        ),
        "implicit in the guise of explicit": file_meta(dataset, EXPLICIT_LITTLE)
        + encode(dataset, IMPLICIT_LITTLE),
        "broken deflate": file_meta(dataset, DEFLATED) + b"\xff" * 64,
        "deflate cut short": part10(dataset, DEFLATED)[:-20],
    }
    return made[kind]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("empty", "ends within its header"),
        ("no preamble", "no DICM prefix"),
        ("text", "no DICM prefix"),
        ("no meta", "no file meta information"),
        ("no transfer syntax", r"\(0002,0010\)"),
        ("ends in the header", r"of which only|ends within|runs past"),
        ("pixel data cut short", r"\(7FE0,0010\) says it has 64 bytes, of which only 63"),
        ("4 GB element", r"\(0028,2000\) says it has 4294967280 bytes"),
        ("item past its sequence", "runs past its sequence"),
        ("endless sequence", "has no end|ends within its header"),
        ("endless item", "has no end|ends within its header"),
        ("stray delimiter", "where a data element should begin"),
        ("text of undefined length", "is UT of undefined length"),
        ("implicit in the guise of explicit", "no value representation"),
        ("broken deflate", "deflated data set"),
        ("deflate cut short", "cut short"),
    ],
)
def test_a_broken_header_is_refused_with_what_is_wrong(kind: str, said: str) -> None:
    with pytest.raises(InvalidInstance, match=said):
        header_of(broken(kind))


def test_a_size_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = jpeg_slide().write(tmp_path)
    with path.open("rb") as file, pytest.raises(InvalidInstance, match="shorter than"):
        read_header(file, size=path.stat().st_size + 4096)


def test_a_deflate_bomb_is_stopped_at_the_limit() -> None:
    content = part10(study_attributes(), DEFLATED, native_element(bytes(8 << 20)))
    assert len(content) < 64 << 10
    with pytest.raises(InvalidInstance, match="inflates to more than") as caught:
        header_of(content, HeaderLimits(inflated_bytes=1 << 20))
    assert caught.value.reason_code == reasons.OUT_OF_RESOURCES.code


def test_a_header_above_the_limit_is_refused() -> None:
    dataset = study_attributes()
    dataset.TextValue = "x" * (2 << 20)
    with pytest.raises(InvalidInstance, match="larger than the limit") as caught:
        header_of(part10(dataset, EXPLICIT_LITTLE), HeaderLimits(header_bytes=1 << 20))
    assert caught.value.reason_code == reasons.OUT_OF_RESOURCES.code


def test_large_bulk_data_do_not_count_towards_the_limit() -> None:
    dataset = study_attributes()
    group = Dataset()
    group.PointCoordinatesData = bytes(4 << 20)
    dataset.AnnotationGroupSequence = [group]
    header = header_of(part10(dataset, EXPLICIT_LITTLE), HeaderLimits(header_bytes=1 << 20))
    assert len(header.dataset.AnnotationGroupSequence) == 1


def test_per_frame_groups_are_left_out_of_the_dataset_only() -> None:
    header = header_of(sparse_slide(50).content)
    assert "PerFrameFunctionalGroupsSequence" not in header.dataset
    assert header.elements[-1].tag == 0x52009230


def test_values_that_are_not_legal_do_not_warn_before_they_are_read() -> None:
    dataset = study_attributes()
    content = part10(dataset, EXPLICIT_LITTLE).replace(b"20261101", b"2O261I01")
    assert header_of(content).dataset.get_item(0x00080020).value == b"2O261I01"


def test_a_very_long_header_of_what_cannot_be_mapped_goes_through_scratch() -> None:
    dataset = study_attributes()
    dataset.ICCProfile = bytes(65 << 20)
    content = part10(dataset, EXPLICIT_LITTLE, native_element(b"\1\2"))
    header = header_of(content)
    assert isinstance(header.data, mmap.mmap)
    assert header.pixel_data is not None
    assert "ICCProfile" not in header.dataset  # above `HeaderLimits.dataset_value_bytes`
    assert header.dataset.PatientID == "P-1"
