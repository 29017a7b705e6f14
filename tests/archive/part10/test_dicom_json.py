import json
import struct
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from archive.errors import BulkDataNotFound
from archive.model.transfer_syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from archive.part10 import Header, bulk_data, read_header, to_json
from archive.part10.values import decimal_json
from tests.support.dicom_files import (
    DELIMITER,
    ITEM,
    encapsulated_element,
    jpeg_slide,
    part10,
    sparse_slide,
    study_attributes,
)
from tests.support.reading import header_of, metadata_of
from tests.support.shared import SHARED, shared_file


def element(tag: int, vr: bytes, value: bytes, *, order: str = "<") -> bytes:
    """Write one element with the bytes given, right or wrong."""
    group, number = tag >> 16, tag & 0xFFFF
    if vr in (
        b"OB",
        b"OW",
        b"OF",
        b"OD",
        b"OL",
        b"OV",
        b"SQ",
        b"UC",
        b"UN",
        b"UR",
        b"UT",
        b"SV",
        b"ZZ",
    ):
        return struct.pack(f"{order}HH2sHL", group, number, vr, 0, len(value)) + value
    return struct.pack(f"{order}HH2sH", group, number, vr, len(value)) + value


def attribute(tag: int, vr: bytes, value: bytes, charset: bytes = b"") -> dict[str, Any]:
    """Give the JSON of one attribute with the bytes given."""
    head = element(0x00080005, b"CS", charset) if charset else b""
    content = part10(Dataset(), EXPLICIT_LITTLE, head + element(tag, vr, value))
    found: dict[str, Any] = metadata_of(content)[f"{tag:08X}"]
    return found


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        (b"1.5", b"1.5"),
        (b"1.50 ", b"1.50"),
        (b"+2", b"2"),
        (b"-.5", b"-0.5"),
        (b"5.", b"5"),
        (b"007", b"7"),
        (b"-0", b"-0"),
        (b"0", b"0"),
        (b"0.0", b"0.0"),
        (b"1e5", b"1e5"),
        (b"1E+05", b"1e+05"),
        (b"0.0025000000000001", b"0.0025000000000001"),
        (b"9999999999999997", b"9999999999999997"),
        (b"1E400", b'"1E400"'),
        (b"1A", b'"1A"'),
        (b".", b'"."'),
        (b"-", b'"-"'),
        (b"NaN", b'"NaN"'),
        (b"1,5", b'"1,5"'),
        (b"  ", b""),
        (b"", b""),
    ],
)
def test_decimal_strings_keep_their_digits(raw: bytes, written: bytes) -> None:
    assert decimal_json(raw) == written
    if written:
        json.loads(written)


@given(st.text(alphabet="0123456789+-.eE ", max_size=16))
def test_whatever_a_decimal_string_holds_is_legal_json(text: str) -> None:
    written = decimal_json(text.encode())
    if not written:
        assert not text.strip()
        return
    value = json.loads(written)
    if not isinstance(value, str):
        assert value == float(text)


@pytest.mark.parametrize(
    ("tag", "vr", "value", "expected"),
    [
        (0x00280010, b"US", b"\x20\x00", {"vr": "US", "Value": [32]}),
        (0x00280010, b"US", b"", {"vr": "US"}),
        (0x00200013, b"IS", b"7 ", {"vr": "IS", "Value": [7]}),
        (0x00280030, b"DS", b"0.25\\0.50 ", {"vr": "DS", "Value": [0.25, 0.5]}),
        (0x00280030, b"DS", b"\\1", {"vr": "DS", "Value": [None, 1]}),
        (0x00080008, b"CS", b"A\\\\C ", {"vr": "CS", "Value": ["A", None, "C"]}),
        (0x00080050, b"SH", b"", {"vr": "SH"}),
        (0x00080050, b"SH", b"  ", {"vr": "SH"}),
        (0x00080018, b"UI", b"1.2.3\0", {"vr": "UI", "Value": ["1.2.3"]}),
        (0x00280009, b"AT", b"\x18\x00\x63\x10", {"vr": "AT", "Value": ["00181063"]}),
        (0x0040A160, b"UT", b" a\\b\n ", {"vr": "UT", "Value": [" a\\b\n"]}),
        (0x00100010, b"PN", b"", {"vr": "PN"}),
        (
            0x00100010,
            b"PN",
            b"A^B=C=D\\ ",
            {
                "vr": "PN",
                "Value": [{"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"}, None],
            },
        ),
        (0x00100010, b"PN", b"=X ", {"vr": "PN", "Value": [{"Ideographic": "X"}]}),
        (0x00189073, b"FD", struct.pack("<d", 0.1), {"vr": "FD", "Value": [0.1]}),
        (0x00282000, b"OB", b"\x01\x02", {"vr": "OB", "InlineBinary": "AQI="}),
        (0x00282000, b"OB", b"", {"vr": "OB"}),
        (0x00282000, b"OB", bytes(1024), {"vr": "OB", "InlineBinary": "A" * 1366 + "=="}),
        (0x00282000, b"OB", bytes(1026), {"vr": "OB", "BulkDataURI": "bulkdata/00282000"}),
        (0x00720082, b"SV", struct.pack("<q", -(2**60)), {"vr": "SV", "Value": [str(-(2**60))]}),
        (0x00720082, b"SV", struct.pack("<q", 5), {"vr": "SV", "Value": [5]}),
        (0x00400610, b"SQ", b"", {"vr": "SQ"}),
        (0x00400610, b"SQ", ITEM.pack(0xFFFE, 0xE000, 0), {"vr": "SQ", "Value": [{}]}),
        (0x00091010, b"UN", b"\x01\x02", {"vr": "UN", "InlineBinary": "AQI="}),
        (0x00100020, b"UN", b"P-1 ", {"vr": "LO", "Value": ["P-1"]}),
        (0x00280010, b"UN", b"\x20\0", {"vr": "US", "Value": [32]}),
        (0x00091010, b"ZZ", b"\x01\x02", {"vr": "UN", "InlineBinary": "AQI="}),
    ],
)
def test_values_are_written_as_annex_f_says(
    tag: int, vr: bytes, value: bytes, expected: dict[str, Any]
) -> None:
    assert attribute(tag, vr, value) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_floats_that_json_does_not_have_are_bulk_data(value: float) -> None:
    content = part10(
        Dataset(), EXPLICIT_LITTLE, element(0x00189073, b"FD", struct.pack("<d", value))
    )
    assert metadata_of(content)["00189073"] == {"vr": "FD", "BulkDataURI": "bulkdata/00189073"}
    (found,) = struct.unpack("<d", bulk_data(header_of(content), "00189073"))
    assert str(found) == str(value)


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_the_metadata_are_the_same_in_every_syntax(syntax: str) -> None:
    dataset = jpeg_slide().dataset
    dataset.PixelAspectRatio = [1, 2]
    dataset.FrameIncrementPointer = Tag(0x00181063)
    dataset.ExposureTimeInms = 0.25
    dataset.add_new(0x00660016, "OF", struct.pack("<3f", 1, 2, 3))
    if syntax == EXPLICIT_BIG:
        swapped = Dataset()
        swapped.update(dataset)
        swapped.add_new(0x00660016, "OF", struct.pack(">3f", 1, 2, 3))
        content = part10(swapped, syntax)
    else:
        content = part10(dataset, syntax)
    assert metadata_of(content) == metadata_of(part10(dataset, EXPLICIT_LITTLE))
    assert bulk_data(header_of(content), "00660016") == struct.pack("<3f", 1, 2, 3)


def test_pixel_data_offset_tables_and_group_lengths_are_left_out() -> None:
    content = jpeg_slide(table="extended").content
    metadata = metadata_of(content)
    assert not [tag for tag in metadata if tag.startswith("7FE0")]
    with_length = part10(
        Dataset(), EXPLICIT_LITTLE, element(0x00100000, b"UL", struct.pack("<L", 12))
    )
    assert metadata_of(with_length) == {}


def test_private_attributes_keep_their_vr() -> None:
    dataset = study_attributes()
    block = dataset.private_block(0x0009, "COVERSLIP TEST", create=True)
    block.add_new(0x01, "FD", 2.5)
    block.add_new(0x02, "LO", "kept")
    metadata = metadata_of(part10(dataset, EXPLICIT_LITTLE))
    assert metadata["00091001"] == {"vr": "FD", "Value": [2.5]}
    assert metadata["00091002"] == {"vr": "LO", "Value": ["kept"]}
    assert metadata["00090010"] == {"vr": "LO", "Value": ["COVERSLIP TEST"]}
    implicit = metadata_of(part10(dataset, IMPLICIT_LITTLE))
    assert implicit["00091002"]["vr"] == "UN"


def test_tags_ascend_whatever_their_order_in_the_file() -> None:
    content = part10(
        Dataset(),
        EXPLICIT_LITTLE,
        element(0x00100020, b"LO", b"P ") + element(0x00080050, b"SH", b"A "),
    )
    assert list(orjson.loads(to_json(header_of(content)).header)) == ["00080050", "00100020"]


def test_sequences_of_any_length_are_written_alike() -> None:
    inner = element(0x00080100, b"SH", b"X ")
    defined = ITEM.pack(0xFFFE, 0xE000, len(inner)) + inner
    delimited = (
        ITEM.pack(0xFFFE, 0xE000, 0xFFFFFFFF) + inner + ITEM.pack(0xFFFE, 0xE00D, 0) + DELIMITER
    )
    open_head = struct.pack("<HH2sHL", 0x0040, 0xA168, b"SQ", 0, 0xFFFFFFFF)
    one = part10(Dataset(), EXPLICIT_LITTLE, element(0x0040A168, b"SQ", defined))
    other = part10(Dataset(), EXPLICIT_LITTLE, open_head + delimited)
    assert metadata_of(one) == metadata_of(other)
    assert metadata_of(one)["0040A168"]["Value"] == [{"00080100": {"vr": "SH", "Value": ["X"]}}]


# --- character sets -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        (b"ISO_IR 100", "Müller".encode("latin-1"), "Müller"),
        (b"ISO_IR 192", "Müller 山".encode(), "Müller 山"),
        (b"ISO_IR 144", "Люксембург".encode("iso8859_5"), "Люксембург"),
        (b"GB18030", "王^小东\\李".encode("gb18030"), "王^小东\\李"),
        (b"GBK", "乗\\a".encode("gbk"), "乗\\a"),  # the second byte of 乗 is a backslash
        (b"ISO_IR 13", b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 87", b"A \x1b$B;3ED\x1b(B", "A 山田"),
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8\xc8\xf1\xc1\xdf", "김희중"),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\x1b$B;3\x1b(J", "ﾔ山"),
        (b"NO SUCH SET", b"abc", "abc"),
        (b"", "Müller".encode(), "Müller"),
        (b"", "Müller".encode("latin-1"), "Müller"),
        (b"ISO_IR 192", b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_text_of_any_character_set_is_utf_8(charset: bytes, raw: bytes, text: str) -> None:
    charset += b" " * (len(charset) % 2)
    value = attribute(0x00104000, b"LT", raw + b" " * (len(raw) % 2), charset)["Value"][0]
    assert value == text


def test_a_backslash_within_a_character_does_not_split() -> None:
    written = attribute(0x00081030, b"LO", "乗b\\a".encode("gbk") + b" ", b"GBK ")
    assert written["Value"] == ["乗b", "a"]


def test_the_character_set_of_the_json_is_utf_8_in_items_too() -> None:
    path = shared_file("dicom/charset/chrSQEncoding.dcm")
    metadata = metadata_of(path.read_bytes())
    item = metadata["00321064"]["Value"][0]
    assert item["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    names = metadata_of(path.read_bytes())
    assert "ﾔﾏﾀﾞ" in json.dumps(names, ensure_ascii=False)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("chrArab", {"Alphabetic": "قباني^لنزار"}),
        ("chrFren", {"Alphabetic": "Buc^Jérôme"}),
        ("chrGreek", {"Alphabetic": "Διονυσιος"}),
        ("chrRuss", {"Alphabetic": "Люкceмбypг"}),  # noqa: RUF001 - as it is in the file
        (
            "chrX1",
            {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"},
        ),
    ],
)
def test_names_of_real_files_are_in_groups(name: str, groups: dict[str, str]) -> None:
    path = shared_file(f"dicom/charset/{name}.dcm")
    assert metadata_of(path.read_bytes())["00100010"]["Value"] == [groups]


# --- pydicom as oracle --------------------------------------------------------------------------


def real_files() -> Iterator[Path]:
    for folder in ("dicom/annotations", "dicom/charset", "dicom/odd", "slides/dicom-wsm"):
        yield from sorted((SHARED / folder).rglob("*.dcm"))


# Where the two differ on purpose, or pydicom cannot read the file.
NOT_COMPARED = {
    "MR_truncated.dcm": "refused",
    "meta_missing_tsyntax.dcm": "refused",
    "no_meta.dcm": "refused",
    "badVR.dcm": "pydicom warns of its values",
    "UN_sequence.dcm": "private sequence, implicit",
    "chrJapMulti.dcm": "pydicom warns of its private values",
    "chrKoreanMulti.dcm": "pydicom warns of its private values",
}


@pytest.mark.parametrize(
    "path",
    [path for path in real_files() if path.name not in NOT_COMPARED],
    ids=lambda path: path.name,
)
def test_metadata_say_what_pydicom_reads(path: Path) -> None:
    content = path.read_bytes()
    metadata = metadata_of(content)
    header = header_of(content)
    read = dcmread(BytesIO(content), stop_before_pixels=True)
    expected = normal(read.to_json_dict(suppress_invalid_tags=True), header)
    assert normal(metadata, header) == expected


def normal(data: dict[str, Any], header: Header | None, path: str = "") -> dict[str, Any]:
    """Bring both to one form: bulk data inline, numbers as floats, UTF-8 declared by neither."""
    kept: dict[str, Any] = {}
    for tag, given_attribute in data.items():
        found = dict(given_attribute)
        if tag == "00080005" or tag.endswith("0000"):
            continue
        if tag.startswith("7FE0") and not path:
            continue
        if found["vr"] == "SQ":
            items = found.get("Value", [])
            found["Value"] = [
                normal(item, header, f"{path}{tag}/{at}/") for at, item in enumerate(items)
            ]
        elif "BulkDataURI" in found:
            assert header is not None
            assert found["BulkDataURI"] == f"bulkdata/{path}{tag}"
            del found["BulkDataURI"]
            found["bytes"] = bulk_data(header, path + tag)
        elif "InlineBinary" in found:
            import base64

            found["bytes"] = base64.b64decode(found.pop("InlineBinary"))
        elif "Value" in found:
            found["Value"] = [
                float(value) if isinstance(value, int | float) else value or None
                for value in found["Value"]
            ]
            if not any(value is not None for value in found["Value"]):
                del found["Value"]
        kept[tag] = found
    return kept


@pytest.mark.parametrize("undefined", [False, True])
def test_per_frame_items_are_those_that_pydicom_reads(undefined: bool) -> None:
    made = sparse_slide(300, undefined_lengths=undefined)
    items = metadata_of(made.content)["52009230"]["Value"]
    read = dcmread(BytesIO(made.content)).PerFrameFunctionalGroupsSequence
    assert len(items) == len(read) == 300
    for item, oracle in zip(items, read, strict=True):
        assert normal(item, None, "x") == normal(oracle.to_json_dict(), None, "x")


def odd_item(number: int) -> bytes:
    """Items that differ in all that a layout could be mistaken about."""
    dataset = Dataset()
    content = Dataset()
    content.DimensionIndexValues = [number, 1] if number % 3 else number
    content.FrameAcquisitionNumber = number
    content.FrameComments = None if number % 5 == 0 else '50 % of "it" \\ é'[: 4 + number % 9]
    if number % 4 == 0:
        content.SpecificCharacterSet = "ISO_IR 192"
        content.FrameComments = "μ"
    dataset.FrameContentSequence = [content] if number % 7 else [content, Dataset()]
    if number % 2:
        dataset.ICCProfile = bytes(4 if number % 3 else 2000)
    if number % 11 == 0:
        dataset.FrameReferenceDateTime = "20260101"
        dataset.add_new(0x00189073, "FD", float("nan") if number % 22 else 1.5)
    buffer = part10(dataset, EXPLICIT_LITTLE)
    inner = buffer[len(part10(Dataset(), EXPLICIT_LITTLE)) :]
    return ITEM.pack(0xFFFE, 0xE000, len(inner)) + inner


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), max_size=40))
def test_items_are_written_the_same_alone_and_among_others(numbers: list[int]) -> None:
    def per_frame(chosen: list[int]) -> list[Any]:
        sequence = b"".join(odd_item(number) for number in chosen)
        content = part10(Dataset(), EXPLICIT_LITTLE, element(0x52009230, b"SQ", sequence))
        written: list[Any] = metadata_of(content)["52009230"].get("Value", [])
        return written

    together = json.dumps(per_frame(numbers))
    alone = [json.dumps(per_frame([number])[0]) for number in numbers]
    for at, text in enumerate(alone):
        alone[at] = text.replace("bulkdata/52009230/0/", f"bulkdata/52009230/{at}/")
    assert together == "[" + ", ".join(alone) + "]"


def test_bulk_data_within_per_frame_items_are_found() -> None:
    sequence = b"".join(odd_item(number) for number in (1, 3, 9))
    content = part10(Dataset(), EXPLICIT_LITTLE, element(0x52009230, b"SQ", sequence))
    item = metadata_of(content)["52009230"]["Value"][1]
    assert item["00282000"]["BulkDataURI"] == "bulkdata/52009230/1/00282000"
    assert bulk_data(header_of(content), "52009230/1/00282000") == bytes(2000)
    with pytest.raises(BulkDataNotFound):
        bulk_data(header_of(content), "52009230/3/00282000")


def test_25_000_per_frame_items_are_written_in_about_a_third_of_a_second(tmp_path: Path) -> None:
    made = sparse_slide(25_000)
    path = made.write(tmp_path)
    with path.open("rb") as file:
        header = read_header(file, size=len(made.content))
        start = time.process_time()
        written = to_json(header)
        taken = time.process_time() - start
    assert written.per_frame is not None
    assert len(orjson.loads(written.per_frame)["Value"]) == 25_000
    assert taken < 2  # 0.3 s was measured; 1.6 s element by element


# --- bulk data ----------------------------------------------------------------------------------


def test_bulk_data_are_given_at_any_depth() -> None:
    dataset = study_attributes()
    path_item, group = Dataset(), Dataset()
    path_item.ICCProfile = bytes(range(256)) * 8
    group.PointCoordinatesData = np.arange(600, dtype="<f4").tobytes()
    dataset.OpticalPathSequence = [Dataset(), path_item]
    dataset.AnnotationGroupSequence = [group]
    content = part10(dataset, EXPLICIT_LITTLE)
    metadata = metadata_of(content)
    profile = metadata["00480105"]["Value"][1]["00282000"]
    assert profile == {"vr": "OB", "BulkDataURI": "bulkdata/00480105/1/00282000"}
    points = metadata["006A0002"]["Value"][0]["00660016"]
    assert points == {"vr": "OF", "BulkDataURI": "bulkdata/006A0002/0/00660016"}
    header = header_of(content)
    assert bulk_data(header, "00480105/1/00282000") == path_item.ICCProfile
    assert bulk_data(header, "006a0002/0/00660016") == group.PointCoordinatesData


def test_bulk_data_of_big_endian_words_are_turned_round() -> None:
    value = np.arange(600, dtype=">u2").tobytes()
    content = part10(Dataset(), EXPLICIT_BIG, element(0x00281201, b"OW", value, order=">"))
    assert bulk_data(header_of(content), "00281201") == np.arange(600, dtype="<u2").tobytes()


def test_the_fragments_of_an_encapsulated_icon_are_joined() -> None:
    icon = encapsulated_element([[b"abcd", b"efgh"]], table="none")
    item = ITEM.pack(0xFFFE, 0xE000, len(icon)) + icon
    content = part10(Dataset(), EXPLICIT_LITTLE, element(0x00880200, b"SQ", item))
    uri = metadata_of(content)["00880200"]["Value"][0]["7FE00010"]["BulkDataURI"]
    assert uri == "bulkdata/00880200/0/7FE00010"
    assert bulk_data(header_of(content), "00880200/0/7FE00010") == b"abcdefgh"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "00282000",
        "00480105",
        "00480105/0",
        "00480105/9/00282000",
        "00480105/-1/00480106",
        "00480105/0/00282000/0/00282000",
        "00480105/x/00282000",
        "00480105/٣/00282000",
        "7FE00010",
        "../../etc/passwd",
        "00480105/0/" * 300 + "00282000",
        "00480105/" + "9" * 400 + "/00282000",
    ],
)
def test_a_path_to_nothing_is_not_found(path: str) -> None:
    with pytest.raises(BulkDataNotFound):
        bulk_data(header_of(jpeg_slide().content), path)
