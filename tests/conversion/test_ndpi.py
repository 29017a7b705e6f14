"""NDPI: restart intervals become frames bit for bit, and what cannot be joined is cut."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import openslide
import pytest
import tifffile
import wsidicom  # type: ignore[import-untyped]
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import generate_frames

from conversion import ConversionRequest, Manifest, Role, Route
from conversion.convert import convert
from conversion.errors import DamagedSource
from conversion.jpeg import MalformedStream
from conversion.jpeg_intervals import white_interval
from tests.support.conversions import contents, converted, validator_lines
from tests.support.ndpi import make_ndpi
from tests.support.shared import shared_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DAPI = "slides/hamamatsu-ndpi/test3-DAPI-2-(387).ndpi"
SLIDES = ["shared", "several strips beside each other", "one strip, and heights that leave blanks"]


class Converted(NamedTuple):
    slide: Path
    out: Path
    manifest: Manifest


@pytest.fixture(params=SLIDES, scope="module")
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    folder = tmp_path_factory.mktemp("ndpi")
    if request.param == "shared":
        slide = shared_file(DAPI)
    elif request.param == SLIDES[1]:
        slide = make_ndpi(folder / "one.ndpi")
    else:
        sizes = ((512, 3000), (256, 1500), (128, 752))
        slide = make_ndpi(folder / "one.ndpi", sizes, strip_columns=(512, 256, 128))
    return Converted(slide, folder / "out", converted(slide, folder / "out"))


def entropy_coded(stream: bytes) -> bytes:
    """Return what follows the scan header up to the end of the image."""
    at = 2
    while stream[at + 1] != 0xDA:
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return stream[
        at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big") : stream.rindex(b"\xff\xd9")
    ]


def intervals(stream: bytes) -> list[bytes]:
    """Return the restart intervals of a stream, its markers checked to count from 0 to 7."""
    found: list[bytes] = []
    begin = at = 0
    data = entropy_coded(stream)
    while (at := data.find(b"\xff", at)) >= 0:
        if data[at + 1] != 0:
            assert data[at + 1] == 0xD0 + len(found) % 8
            found.append(data[begin:at])
            begin = at + 2
        at += 2
    return [*found, data[begin:]]


def frames_of(path: Path) -> list[bytes]:
    dataset = dcmread(path)
    return list(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))


def source_jpegs(path: Path) -> list[bytes]:
    """Return the whole JPEG of each level, as it lies in the file."""
    with tifffile.TiffFile(path) as tiff:
        pages = [page.aspage() for page in tiff.pages]
        pages = [page for page in pages if page.tags[65421].value > 0]
        places = [(p.tags[273].value[0], p.tags[279].value[0]) for p in pages]
    data = path.read_bytes()
    return [data[offset : offset + count] for offset, count in places]


def levels(manifest: Manifest) -> list[str]:
    return [item.path for item in manifest.instances if item.role is Role.VOLUME]


def test_every_strip_of_the_source_is_in_its_frame_bit_for_bit(done: Converted) -> None:
    slide, out, manifest = done
    for stream, path in zip(source_jpegs(slide), levels(manifest), strict=True):
        dataset = dcmread(out / path, stop_before_pixels=True)
        frames = [intervals(frame) for frame in frames_of(out / path)]
        strips = intervals(stream)
        columns = strip_columns(stream)
        across = -(-dataset.TotalPixelMatrixColumns // columns)
        beside = dataset.Columns // columns
        frames_across = -(-dataset.TotalPixelMatrixColumns // dataset.Columns)
        down = len(frames[0]) // beside
        for number, strip in enumerate(strips):
            row, column = divmod(number, across)
            frame = frames[row // down * frames_across + column // beside]
            assert frame[row % down * beside + column % beside] == strip


def strip_columns(stream: bytes) -> int:
    at = stream.index(b"\xff\xdd\x00\x04")
    interval = int.from_bytes(stream[at + 4 : at + 6], "big")
    factor = stream[stream.index(b"\xff\xc0") + 11] >> 4
    return interval * 8 * factor


def test_wsidicom_and_openslide_read_the_pixels_of_the_source(done: Converted) -> None:
    slide, out, manifest = done
    expected = [decoded(stream) for stream in source_jpegs(slide)]
    with wsidicom.WsiDicom.open(out) as result:
        assert len(result.pyramids[0]) == len(expected)
        for level, pixels in zip(result.pyramids[0], expected, strict=True):
            size = (level.size.width, level.size.height)
            assert np.array_equal(result.read_region((0, 0), level.level, size), pixels)
    with openslide.OpenSlide(out / levels(manifest)[0]) as opened:
        assert opened.level_count == len(expected)
        for number, pixels in enumerate(expected):
            region = opened.read_region((0, 0), number, opened.level_dimensions[number])
            assert np.array_equal(np.asarray(region.convert("RGB")), pixels)


def decoded(stream: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(stream)))


def test_what_fills_the_last_frames_up_is_white(tmp_path: Path) -> None:
    slide = make_ndpi(tmp_path / "one.ndpi", ((512, 3000),), strip_columns=(512,))
    manifest = converted(slide, tmp_path / "out")
    dataset = dcmread(tmp_path / "out" / levels(manifest)[0])
    last = decoded(frames_of(tmp_path / "out" / levels(manifest)[0])[-1])
    used = 3000 % dataset.Rows
    assert 0 < used < dataset.Rows
    assert (last[used + 8 :] == 255).all()
    assert (last[:used] < 255).any()


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "gray"])
def test_a_blank_interval_is_white_under_the_tables_of_any_stream(subsampling: str) -> None:
    out = io.BytesIO()
    picture = Image.effect_noise((64, 16), 60)
    if subsampling == "gray":
        picture.save(out, "JPEG", optimize=True)
    else:
        picture.convert("RGB").save(out, "JPEG", subsampling=subsampling, quality=55)
    stream = out.getvalue()
    header = stream[: stream.index(entropy_coded(stream))]
    units = {"4:4:4": 16, "4:2:2": 8, "4:2:0": 4, "gray": 16}[subsampling]
    try:
        blank = white_interval(header, units, rgb=False)
    except MalformedStream:  # optimised tables need not have the codes
        assert subsampling == "gray"
        return
    assert (decoded(header + blank + b"\xff\xd9") == 255).all()


def test_all_levels_are_passed_through_and_valid(done: Converted) -> None:
    _, out, manifest = done
    volumes = [item for item in manifest.instances if item.role is Role.VOLUME]
    assert {item.route for item in volumes} == {Route.PASSED_THROUGH}
    for item in volumes:
        lines = validator_lines(out / item.path)
        assert "VLWholeSlideMicroscopyImage" in lines
        assert not [line for line in lines if line.startswith("Error")]


def test_levels_whose_strips_have_no_common_width_are_cut(tmp_path: Path) -> None:
    slide = make_ndpi(tmp_path / "one.ndpi", ((768, 424), (384, 212)), strip_columns=(256, 192))
    manifest = converted(slide, tmp_path / "out")
    assert {item.route for item in manifest.instances} == {Route.REARRANGED}


@pytest.mark.parametrize("marker", [b"\xff\xd3", b"ab"], ids=["another marker", "no marker"])
def test_a_strip_that_does_not_end_as_it_must_is_refused(marker: bytes, tmp_path: Path) -> None:
    slide = make_ndpi(tmp_path / "one.ndpi")
    data = bytearray(slide.read_bytes())
    at = data.index(b"\xff\xd1")
    data[at : at + 2] = marker
    slide.write_bytes(data)
    with pytest.raises(DamagedSource, match="strip 2 of image 1 does not end with the restart"):
        convert(slide, tmp_path / "out", ConversionRequest())
    assert not contents(tmp_path / "out")


def test_a_marker_within_a_strip_is_refused(tmp_path: Path) -> None:
    slide = make_ndpi(tmp_path / "one.ndpi")
    data = bytearray(slide.read_bytes())
    at = data.index(b"\xff\xd1") - 20
    data[at : at + 2] = b"\xff\xd9"
    slide.write_bytes(data)
    with pytest.raises(DamagedSource, match="strip 2 of image 1 is cut by a marker"):
        convert(slide, tmp_path / "out", ConversionRequest())
    assert not contents(tmp_path / "out")


_WITHOUT_LIBRARY = """
import ctypes.util, sys
from pathlib import Path
ctypes.util.find_library = lambda name: None  # what it answers where there is no such library
import turbojpeg
turbojpeg.DEFAULT_LIB_PATHS.clear()
from conversion import ConversionRequest
from conversion.convert import convert
from conversion.errors import ConversionError
try:
    convert(Path(sys.argv[1]), Path(sys.argv[2]), ConversionRequest())
except ConversionError as error:
    print(error)
"""


def without_turbojpeg(slide: Path, out: Path) -> str:
    command = [sys.executable, "-c", _WITHOUT_LIBRARY, str(slide), str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_what_must_be_cut_says_in_one_line_which_library_is_missing(tmp_path: Path) -> None:
    slide = make_ndpi(tmp_path / "one.ndpi", ((768, 424), (384, 212)), strip_columns=(256, 192))
    said = without_turbojpeg(slide, tmp_path / "out")
    assert said.count("\n") == 1
    assert "libturbojpeg" in said
    assert "apt install libturbojpeg0" in said
    assert not contents(tmp_path / "out")


def test_what_is_joined_needs_no_system_library(tmp_path: Path) -> None:
    assert without_turbojpeg(make_ndpi(tmp_path / "one.ndpi"), tmp_path / "out") == ""
    assert contents(tmp_path / "out")
