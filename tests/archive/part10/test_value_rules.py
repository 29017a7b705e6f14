from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from archive.model.transfer_syntaxes import EXPLICIT_LITTLE
from archive.part10.value_rules import MAXIMUM_REMARKS, value_remarks
from tests.support.dicom_files import part10, study_attributes
from tests.support.reading import header_of

SOUND = {
    "AE": [b"STORE", b"A B"],
    "AS": [b"018M", b"120Y"],
    "CS": [b"ISO_IR 100", b"A\\B\\", b"0"],
    "DA": [b"20260229"[:6] + b"28", b"1993.08.22", b""],
    "DS": [b"1", b"-1.5", b"+.5e-3", b" 12.50 \\3", b"1."],
    "DT": [b"2026", b"20260102030405.123456+0100", b"202601"],
    "IS": [b"0", b"-2147483648", b"+12 \\3"],
    "LO": [b"x" * 64, "ä".encode() * 64],
    "LT": [b"x" * 10240, b"a\\b"],
    "PN": [b"A^B^C=" + b"x" * 64, b""],
    "SH": [b"x" * 16],
    "ST": [b"a\\b", b"x" * 1024],
    "TM": [b"10", b"101112.123456", b"10:11:12", b"235960"],
    "UI": [b"1.2.840", b"1.2.0.3\\2.25.1"],
    "US": [b"\1\0", b"\1\0\2\0"],
    "FD": [b"\0" * 16],
}
BROKEN = {
    "AE": [b"x" * 17],
    "AS": [b"18Y", b"018 "],
    "CS": [b"lower", b"A" * 17, b"A-B"],
    "DA": [b"20260230", b"2026-01-02", b"today", b"202601"],
    "DS": [b"1,5", b"1e", b"x", b"1.23456789012345678", b"."],
    "DT": [b"2026-01", b"20260102 030405"],
    "IS": [b"1.5", b"2147483648", b"x", b"-9999999999"],
    "LO": [b"x" * 65],
    "LT": [b"x" * 10241],
    "PN": [b"x" * 65, b"A=" + b"x" * 65],
    "SH": [b"x" * 17, b"a\\" + b"x" * 17],
    "ST": [b"x" * 1025],
    "TM": [b"25", b"10:61", b"1011 12", b"noon"],
    "UI": [b"1.02.3", b"1..2", b"x", b"1." + b"2" * 63, b"1"],
    "US": [b"\1\0\2"],
    "FD": [b"\0" * 10],
}
TAGS = {"AE": 0x00080054, "AS": 0x00101010, "CS": 0x00080008, "DA": 0x00080022}
TAGS |= {"DS": 0x00101030, "DT": 0x0008002A, "IS": 0x00201208, "LO": 0x00081030}
TAGS |= {"LT": 0x00104000, "PN": 0x00081048, "SH": 0x00081010, "ST": 0x00082111}
TAGS |= {"TM": 0x00080032, "UI": 0x0008001A, "US": 0x00280071, "FD": 0x00189073}


def remarks_on(vr: str, value: bytes, **given: object) -> list[str]:
    tag = TAGS[vr]
    element = tag.to_bytes(4, "big")
    head = element[1::-1] + element[:1:-1] + vr.encode() + len(value).to_bytes(2, "little")
    dataset = study_attributes(SpecificCharacterSet="ISO_IR 192", **given)
    return value_remarks(header_of(part10(dataset, EXPLICIT_LITTLE, head + value)))


@pytest.mark.parametrize(("vr", "value"), [(vr, one) for vr in SOUND for one in SOUND[vr]])
def test_sound_values_are_not_remarked_on(vr: str, value: bytes) -> None:
    pad = b"" if len(value) % 2 == 0 else (b"\0" if vr == "UI" else b" ")
    assert remarks_on(vr, value + pad) == []


@pytest.mark.parametrize(("vr", "value"), [(vr, one) for vr in BROKEN for one in BROKEN[vr]])
def test_values_that_break_their_rule_are_remarked_on_without_being_told(
    vr: str, value: bytes
) -> None:
    (remark,) = remarks_on(vr, value)
    tag = TAGS[vr]
    assert remark.startswith(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is no ")
    assert len(value) < 3 or value.decode("latin-1") not in remark


@pytest.mark.filterwarnings("ignore:The value length")
def test_nested_values_are_looked_at_and_told_once() -> None:
    dataset = study_attributes()
    items = []
    for _ in range(3):
        item = Dataset()
        item.CodeValue = "much longer than sixteen"
        items.append(item)
    dataset.ProcedureCodeSequence = items
    (remark,) = value_remarks(header_of(part10(dataset, EXPLICIT_LITTLE)))
    assert remark.startswith("(0008,0100) is no SH")


@pytest.mark.filterwarnings("ignore:The value length")
def test_remarks_come_to_an_end() -> None:
    dataset = study_attributes()
    for number in range(100):
        dataset.add_new(0x00090010 + number, "LO", "x" * 65)
    assert len(value_remarks(header_of(part10(dataset, EXPLICIT_LITTLE)))) == MAXIMUM_REMARKS
