from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.errors import InvalidInstance
from archive.model.transfer_syntaxes import EXPLICIT_LITTLE
from archive.part10.from_json import MAXIMUM_DEPTH, StagedBulk, encode
from tests.support.dicom_files import file_meta, study_attributes
from tests.support.reading import header_of

VRS = ["AE", "AT", "CS", "DA", "DS", "FD", "FL", "IS", "LO", "LT", "OB", "OW", "PN", "SH", "SL"]
VRS += ["SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV", "ZZ"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["00100010", "NaN", "1.5", "AAA=", "1\\2"]),
    st.dictionaries(st.sampled_from(["Alphabetic", "Phonetic", "x"]), st.text(max_size=4)),
)
tags = st.one_of(
    st.integers(0x00080000, 0x7FDFFFFF).map(lambda tag: f"{tag:08X}"),
    st.sampled_from(["00080005", "00100010", "00280010", "x", "FFFEE000"]),
)
attributes = st.recursive(
    st.fixed_dictionaries(
        {"vr": st.sampled_from(VRS)},
        optional={
            "Value": st.one_of(scalars, st.lists(scalars, max_size=3)),
            "InlineBinary": scalars,
            "BulkDataURI": scalars,
        },
    ),
    lambda inner: st.one_of(
        scalars,
        st.fixed_dictionaries(
            {
                "vr": st.just("SQ"),
                "Value": st.lists(
                    st.one_of(scalars, st.dictionaries(tags, inner, max_size=3)), max_size=2
                ),
            }
        ),
    ),
    max_leaves=12,
)


def no_bulk(uri: str) -> StagedBulk:
    message = f"no bulk data at {len(uri)}"
    raise InvalidInstance(message)


def written(model: dict[str, Any]) -> bytes:
    return b"".join(piece for piece in encode(model, no_bulk).parts if isinstance(piece, bytes))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(tags, attributes, max_size=6))
def test_whatever_comes_is_refused_or_becomes_elements_that_are_read_again(
    model: dict[str, Any],
) -> None:
    try:
        content = written(model)
    except InvalidInstance:
        return
    header = header_of(file_meta(study_attributes(), EXPLICIT_LITTLE) + content)
    found = {element.tag for element in header.elements} - {0x00080005}
    assert found == {int(tag, 16) for tag in model if tag[4:] != "0000"} - {0x00080005}


def test_pydicom_reads_what_is_written() -> None:
    model = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Å^B", "Ideographic": "山"}]},
        "00281050": {"vr": "DS", "Value": [0.1, "2.50", 3, None]},
        "00080018": {"vr": "UI", "Value": ["1.2.3"]},
        "00189073": {"vr": "FD", "Value": ["NaN"]},
        "00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]},
    }
    content = file_meta(study_attributes(), EXPLICIT_LITTLE) + written(model)
    dataset = pydicom.dcmread(io.BytesIO(content))
    assert dataset.PatientName.ideographic == "山"
    assert [str(value) for value in dataset.WindowCenter] == ["0.1", "2.50", "3", ""]
    assert dataset.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2"
    assert dataset[0x00189073].value != dataset[0x00189073].value  # NaN


def test_nesting_has_a_limit() -> None:
    model: dict[str, Any] = {}
    for _ in range(MAXIMUM_DEPTH + 2):
        model = {"0040A730": {"vr": "SQ", "Value": [model]}}
    with pytest.raises(InvalidInstance, match="nested"):
        written(model)


def test_bulk_data_are_left_where_they_are() -> None:
    bulk = StagedBulk(Path("/nowhere"), 7, 3_000_000_001)
    model = {
        "00480105": {
            "vr": "SQ",
            "Value": [{"00282000": {"vr": "OB", "BulkDataURI": "x"}}],
        }
    }
    pieces = encode(model, lambda _: bulk)
    assert bulk in pieces.parts
    assert pieces.length == 12 + 8 + 12 + 3_000_000_002
    two = [{"00282000": {"vr": "OB", "BulkDataURI": "x"}}] * 2
    with pytest.raises(InvalidInstance, match="longer than an element"):
        encode({"00480105": {"vr": "SQ", "Value": two}}, lambda _: bulk)
