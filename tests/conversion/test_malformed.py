"""Damaged, hostile and foreign files: a clear error, and nothing left behind."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tifffile

from conversion import ConversionError, ConversionRequest, Role
from conversion.errors import (
    DamagedSource,
    LimitExceeded,
    OutputFailed,
    SourceUnreadable,
    TruncatedSource,
    UnsupportedCompression,
    UnsupportedFormat,
)
from tests.support.conversions import contents, converted
from tests.support.shared import shared_file
from tests.support.slides import make_svs, make_tiled_tiff

MIRAX = "3DHISTECH MIRAX"


def refusal(
    path: Path, tmp_path: Path, request: ConversionRequest | None = None
) -> ConversionError:
    """Return the error a conversion ends in, having checked that nothing is left."""
    out = tmp_path / "new" / "out"
    with pytest.raises(ConversionError) as caught:
        converted(path, out, request)
    assert not out.parent.exists()
    assert "\n" not in caught.value.message
    assert path.name not in caught.value.message
    return caught.value


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def first_tile(path: Path, page: int = 0) -> tuple[int, int]:
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[page].aspage()
        return found.dataoffsets[0], found.databytecounts[0]


@pytest.mark.parametrize(
    ("name", "kind", "format_name"),
    [
        ("slides/malformed/CMU-1-Saved-1_16.mrxs", UnsupportedFormat, "3DHISTECH MIRAX"),
        (
            "slides/mirax-incomplete/Mirax2-Fluorescence-1.mrxs",
            UnsupportedFormat,
            "3DHISTECH MIRAX",
        ),
        ("slides/malformed/broken.svs", UnsupportedFormat, "unknown"),
        ("slides/malformed/unreadable.svs", DamagedSource, None),
        ("slides/malformed/tifftools/bad_datatype.tif", UnsupportedFormat, "flat TIFF"),
        ("slides/malformed/tifftools/bad_header1.tif", UnsupportedFormat, "unknown"),
        ("slides/malformed/tifftools/bad_ifd_offset.tif", TruncatedSource, None),
        ("slides/malformed/tifftools/bad_jpeg.tif", UnsupportedFormat, "flat TIFF"),
        ("slides/malformed/tifftools/bad_strip_offset.tif", UnsupportedFormat, "flat TIFF"),
        ("slides/malformed/tifftools/good_single.tif", UnsupportedFormat, "flat TIFF"),
        ("slides/flat-tiff/test-image.tiff", UnsupportedFormat, "flat TIFF"),
        ("slides/olympus-vsi-incomplete/Image_Mouse13_PB_H7.vsi", UnsupportedFormat, "Olympus VSI"),
        ("slides/zeiss-czi/RGB-8bit.czi", UnsupportedFormat, "Zeiss CZI"),
        ("slides/dicom-wsm/boxes/boxes_0.dcm", UnsupportedFormat, "DICOM"),
        ("slides/ome-tiff/2048x2048_ome6_tiled.ome.tif", UnsupportedFormat, None),
        ("slides/ome-tiff/cells.ome.tif", UnsupportedFormat, None),
    ],
)
def test_a_file_that_cannot_be_converted_is_refused_by_its_own_name(
    name: str, kind: type[ConversionError], format_name: str | None, tmp_path: Path
) -> None:
    error = refusal(shared_file(name), tmp_path)
    assert type(error) is kind
    if format_name:
        assert error.facts["format"] == format_name


def test_a_slide_is_known_by_its_content_not_its_name(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "slide.czi")
    assert converted(path, tmp_path / "out").format == "Aperio SVS"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.touch()
    assert "empty" in refusal(path, tmp_path).message


@pytest.mark.parametrize("missing", ["nowhere.svs", "."])
def test_a_path_that_is_no_file_is_refused(missing: str, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable):
        converted(tmp_path / missing, tmp_path / "out")


@pytest.mark.parametrize("fraction", [0.001, 0.05, 0.3, 0.5, 0.7, 0.9, 0.999])
@pytest.mark.parametrize("make", [make_svs, make_tiled_tiff])
def test_a_truncated_slide_is_refused_wherever_it_ends(
    make: object, fraction: float, tmp_path: Path
) -> None:
    path = make(tmp_path / "slide.tif")  # type: ignore[operator]
    os.truncate(path, int(path.stat().st_size * fraction))
    assert isinstance(refusal(path, tmp_path), DamagedSource)


def test_half_of_a_real_slide_is_refused_as_truncated(tmp_path: Path) -> None:
    whole = shared_file("slides/aperio-svs/CMU-1-Small-Region.svs").read_bytes()
    path = tmp_path / "half.svs"
    path.write_bytes(whole[: len(whole) // 2])
    assert isinstance(refusal(path, tmp_path), TruncatedSource)


def test_a_zeroed_tile_is_found(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    offset, count = first_tile(path)
    overwrite(path, offset, bytes(count))
    error = refusal(path, tmp_path)
    assert isinstance(error, DamagedSource)
    assert error.facts == {"image": 1, "tile": 1}


def test_a_tile_without_its_end_is_found(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    offset, count = first_tile(path)
    overwrite(path, offset + count - 20, bytes(20))
    assert isinstance(refusal(path, tmp_path), DamagedSource)


def test_the_full_check_finds_coded_data_that_were_overwritten(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    offset, count = first_tile(path)
    overwrite(path, offset + count // 3, bytes(count // 3))
    assert converted(path, tmp_path / "quick").instances  # the quick check cannot see it
    error = refusal(path, tmp_path, ConversionRequest(check="full"))
    assert isinstance(error, DamagedSource)
    assert error.facts["frame"] == 1


def test_a_sound_slide_passes_the_full_check(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    assert converted(path, tmp_path / "out", ConversionRequest(check="full")).instances


def test_a_tile_of_another_size_than_its_directory_says_is_found(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    offset, count = first_tile(path)
    tile = path.read_bytes()[offset : offset + count]
    at = tile.index(b"\xff\xc0") + 5
    overwrite(path, offset + at, struct.pack(">HH", 128, 128))
    assert "128 x 128" in refusal(path, tmp_path).message


def test_tiles_the_scanner_left_empty_become_white_and_are_told(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].aspage().tags[325]
        size = tag.valuebytecount // tag.count
    overwrite(path, tag.valueoffset + size, bytes(size))
    manifest = converted(path, tmp_path / "out")
    assert "1 of 15 tiles empty" in " ".join(manifest.warnings)
    volume = next(item for item in manifest.instances if item.role is Role.VOLUME)
    import openslide

    with openslide.OpenSlide(tmp_path / "out" / volume.path) as slide:
        region = slide.read_region((256, 0), 0, (256, 256)).convert("RGB")
    assert region.getextrema() == ((255, 255),) * 3


def bomb(columns: int, rows: int, listed: int | None = None) -> bytes:
    """Return a TIFF of 1 kB whose only directory claims `columns` x `rows` in tiles."""
    tiles = -(-columns // 256) * -(-rows // 256)
    listed = min(2**32 - 1, tiles) if listed is None else listed
    entries = [
        (256, 4, 1, columns),
        (257, 4, 1, rows),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        (322, 4, 1, 256),
        (323, 4, 1, 256),
        (324, 4, listed, 400),
        (325, 4, listed, 400),
    ]
    body = b"II*\0" + struct.pack("<IH", 8, len(entries))
    body += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return body.ljust(1024, b"\0")


@pytest.mark.parametrize("listed", [None, 1, 100])
@pytest.mark.parametrize("side", [100_000, 2_000_000, 2**32 - 1])
def test_a_kilobyte_that_claims_a_continent_is_refused_at_once(
    side: int, listed: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.tif"
    path.write_bytes(bomb(side, side, listed))
    started = time.monotonic()
    assert isinstance(refusal(path, tmp_path), DamagedSource | LimitExceeded)
    assert time.monotonic() - started < 5


def test_tiles_that_all_point_at_the_same_bytes_are_refused(tmp_path: Path) -> None:
    path = make_tiled_tiff(tmp_path / "a.tif", 256, 256, shrink=(1,))
    offset, count = first_tile(path)
    tile = path.read_bytes()[offset : offset + count]
    tiles = 100 * 100
    start = 8 + 2 + 12 * 10 + 4
    table = start + len(tile)
    entries = [
        (256, 4, 1, 25_600),
        (257, 4, 1, 25_600),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 6),
        (277, 3, 1, 3),
        (322, 4, 1, 256),
        (323, 4, 1, 256),
        (324, 4, tiles, table),
        (325, 4, tiles, table + 4 * tiles),
    ]
    body = b"II*\0" + struct.pack("<IH", 8, len(entries))
    body += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    body += tile + struct.pack(f"<{tiles}I", *[start] * tiles)
    body += struct.pack(f"<{tiles}I", *[len(tile)] * tiles)
    path.write_bytes(body)
    error = refusal(path, tmp_path)
    assert isinstance(error, LimitExceeded)
    assert error.facts["what"] == "expansion"


def test_directories_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "circle.tif"
    path.write_bytes(bomb(256, 256)[:130] + struct.pack("<I", 8) + bytes(600))
    data = bytearray(path.read_bytes())
    data[10 + 12 * 10 : 14 + 12 * 10] = struct.pack("<I", 8)
    path.write_bytes(data)
    assert "circle" in refusal(path, tmp_path).message


def test_sixteen_bit_tiles_are_refused_by_name(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.zeros((256, 256), np.uint16), tile=(256, 256), metadata=None)
    error = refusal(path, tmp_path)
    assert isinstance(error, UnsupportedCompression)
    assert "16 bits" in error.message


def test_a_disk_that_fills_up_ends_in_one_line_and_nothing_left(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    out = tmp_path / "out"
    out.mkdir()
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from conversion.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "convert", str(path), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert re.search(r'"error": "OutputFailed".*free space', done.stdout)
    assert contents(out) == {}


def test_an_output_folder_that_cannot_be_made_is_named_as_the_cause(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputFailed):
        converted(path, tmp_path / "file" / "out")


def test_what_others_put_into_the_folder_survives_a_failure(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    offset, count = first_tile(path)
    overwrite(path, offset, bytes(count))
    out = tmp_path / "out"
    out.mkdir()
    (out / "other.dcm").write_bytes(b"other")
    with pytest.raises(DamagedSource):
        converted(path, out)
    assert contents(out) == {"other.dcm": b"other"}
