"""Offset tables, against the rules of PS3.5 §A.4 worked out by hand and by pydicom."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import parse_basic_offsets

from conversion.writer import add_offset_table
from tests.support.conversions import converted
from tests.support.slides import make_svs

if TYPE_CHECKING:
    from pathlib import Path


def test_the_basic_table_counts_item_headers_and_padding() -> None:
    dataset = Dataset()
    table = add_offset_table(dataset, np.array([3, 4, 5], np.uint32))
    assert struct.unpack("<3I", table) == (0, 12, 24)
    assert "ExtendedOffsetTable" not in dataset


def test_beyond_four_gigabytes_the_extended_table_takes_over() -> None:
    dataset = Dataset()
    lengths = np.full(5000, 999_999, np.uint32)
    assert add_offset_table(dataset, lengths) == b""
    offsets = np.frombuffer(dataset.ExtendedOffsetTable, "<u8")
    assert offsets[-1] == 4999 * 1_000_008
    assert set(np.frombuffer(dataset.ExtendedOffsetTableLengths, "<u8")) == {1_000_000}


def test_the_largest_basic_table_ends_just_below_four_gigabytes() -> None:
    dataset = Dataset()
    lengths = np.array([2**31 - 8, 2**31 - 18, 2], np.uint32)  # the third starts 10 below
    assert struct.unpack("<3I", add_offset_table(dataset, lengths))[-1] == 2**32 - 10
    lengths[1] += 10
    assert add_offset_table(dataset, lengths) == b""


def test_offsets_of_a_written_file_point_at_items(tmp_path: Path) -> None:
    manifest = converted(make_svs(tmp_path / "a.svs"), tmp_path / "out")
    data = dcmread(tmp_path / "out" / manifest.instances[0].path).PixelData
    offsets = parse_basic_offsets(data)
    start = 8 + 4 * len(offsets)
    assert len(offsets) == manifest.instances[0].frames
    assert {data[start + at : start + at + 4] for at in offsets} == {b"\xfe\xff\x00\xe0"}
    assert {data[start + at + 8 : start + at + 10] for at in offsets} == {b"\xff\xd8"}
