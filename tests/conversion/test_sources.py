"""Every kind of source, from the file to pixels read back by programs nobody here wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
import wsidicom  # type: ignore[import-untyped]
from pydicom import dcmread
from pydicom.encaps import generate_frames

from conversion import Manifest, Role, Route
from tests.support.conversions import CASE, converted, validator_lines
from tests.support.shared import shared_file
from tests.support.slides import make_ome_tiff, make_svs, make_tiled_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CMU_1 = "slides/aperio-svs/CMU-1-Small-Region.svs"
CMU_1_SMALL = "slides/generic-tiff/CMU-1-small.tiff"
BREAST = "slides/generic-tiff/CropBreastSlide.tiff"
DAPI = "slides/hamamatsu-ndpi/test3-DAPI-2-(387).ndpi"
GENERATED = {
    "svs": lambda path: make_svs(path),
    "svs-ycbcr": lambda path: make_svs(path, colour="ycbcr"),
    "svs-big": lambda path: make_svs(path, bigtiff=True, tile=240),
    "tiff": lambda path: make_tiled_tiff(path),
    "tiff-gray": lambda path: make_tiled_tiff(path, colour="gray"),
    "tiff-444": lambda path: make_tiled_tiff(path, subsampling="444"),
    "tiff-lzw": lambda path: make_tiled_tiff(path, compression="lzw"),
    "tiff-plain": lambda path: make_tiled_tiff(path, compression="none"),
    "ome": lambda path: make_ome_tiff(path),
}
ALL = [CMU_1, CMU_1_SMALL, BREAST, DAPI, *GENERATED]
PASSED_THROUGH = [name for name in ALL if name not in (DAPI, "tiff-lzw", "tiff-plain")]


def slide(name: str, folder: Path) -> Path:
    if name in GENERATED:
        return GENERATED[name](folder / f"{name}.tif")
    return shared_file(name)


def entropy_coded(stream: bytes) -> bytes:
    """Return what follows the scan header, found by walking markers."""
    at = 2
    while stream[at + 1] != 0xDA:
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return stream[at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big") :]


def stored_frames(path: Path) -> list[bytes]:
    dataset = dcmread(path)
    return list(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))


def levels(manifest: Manifest) -> list[str]:
    return [item.path for item in manifest.instances if item.role is Role.VOLUME]


def tiled_pages(path: Path) -> list[tifffile.TiffPage]:
    with tifffile.TiffFile(path) as tiff:
        pages = [p for top in tiff.pages for p in (top, *(top.pages or ())) if p.is_tiled]
    return sorted(pages, key=lambda p: -p.imagewidth)


@pytest.mark.parametrize("name", PASSED_THROUGH)
def test_entropy_coded_data_of_every_frame_equal_the_sources(name: str, tmp_path: Path) -> None:
    source = slide(name, tmp_path)
    manifest = converted(source, tmp_path / "out")
    pages = tiled_pages(source)
    paths = levels(manifest)
    assert len(paths) == len(pages)
    data = source.read_bytes()
    for page, path in zip(pages, paths, strict=True):
        frames = stored_frames(tmp_path / "out" / path)
        assert len(frames) == len(page.dataoffsets)
        for frame, offset, count in zip(frames, page.dataoffsets, page.databytecounts, strict=True):
            expected = entropy_coded(data[offset : offset + count])
            assert entropy_coded(frame)[: len(expected)] == expected


@pytest.mark.parametrize("name", ALL)
def test_wsidicom_reads_the_pixels_of_the_source(name: str, tmp_path: Path) -> None:
    source = slide(name, tmp_path)
    converted(source, tmp_path / "out")
    expected = source_levels(source)
    with wsidicom.WsiDicom.open(tmp_path / "out") as result:
        assert len(result.pyramids[0]) == len(expected)
        for level, pixels in zip(result.pyramids[0], expected, strict=True):
            size = level.size
            read = result.read_region((0, 0), level.level, (size.width, size.height))
            got = np.asarray(read.convert("RGB" if pixels.ndim == 3 else "L"))
            assert np.array_equal(got, pixels)


@pytest.mark.parametrize("name", [n for n in ALL if "gray" not in n])
def test_openslide_reads_the_pixels_of_the_source(name: str, tmp_path: Path) -> None:
    # OpenSlide's DICOM reader knows colour only, hence no gray slide here.
    source = slide(name, tmp_path)
    manifest = converted(source, tmp_path / "out")
    expected = source_levels(source)
    with openslide.OpenSlide(tmp_path / "out" / levels(manifest)[0]) as result:
        assert result.level_count == len(expected)
        for level, pixels in enumerate(expected):
            read = result.read_region((0, 0), level, result.level_dimensions[level])
            assert np.array_equal(np.asarray(read.convert("RGB")), pixels)


def source_levels(path: Path) -> list[NDArray[np.uint8]]:
    """Read every level with OpenSlide where it knows the format, else with tifffile."""
    if openslide.OpenSlide.detect_format(path) and "ome" not in path.name:
        with openslide.OpenSlide(path) as source:
            if source.properties["openslide.vendor"] != "hamamatsu":
                sizes = source.level_dimensions
            else:  # OpenSlide adds levels that it makes by scaling
                sizes = source.level_dimensions[:4]
            return [
                np.asarray(source.read_region((0, 0), level, size).convert("RGB"))
                if "gray" not in path.name
                else np.asarray(source.read_region((0, 0), level, size).convert("L"))
                for level, size in enumerate(sizes)
            ]
    return [np.asarray(page_pixels(path, page)) for page in tiled_pages(path)]


def page_pixels(path: Path, wanted: tifffile.TiffPage) -> NDArray[np.uint8]:
    with tifffile.TiffFile(path) as tiff:
        for top in tiff.pages:
            for page in (top, *(top.pages or ())):
                if page.offset == wanted.offset:
                    pixels: NDArray[np.uint8] = page.asarray()
                    return pixels
    raise AssertionError("the page is gone")


@pytest.mark.parametrize("name", [CMU_1, "svs", "svs-ycbcr"])
def test_label_overview_and_thumbnail_show_what_openslide_shows_of_the_source(
    name: str, tmp_path: Path
) -> None:
    source = slide(name, tmp_path)
    manifest = converted(source, tmp_path / "out")
    with (
        openslide.OpenSlide(source) as given,
        openslide.OpenSlide(tmp_path / "out" / levels(manifest)[0]) as result,
    ):
        for kind in ("label", "macro", "thumbnail"):
            assert np.array_equal(
                np.asarray(result.associated_images[kind].convert("RGB")),
                np.asarray(given.associated_images[kind].convert("RGB")),
            )


@pytest.mark.parametrize("name", [CMU_1, "svs"])
def test_jpeg_strips_of_thumbnail_and_overview_are_joined_not_coded_anew(
    name: str, tmp_path: Path
) -> None:
    source = slide(name, tmp_path)
    manifest = converted(source, tmp_path / "out")
    routes = {item.role: item.route for item in manifest.instances}
    assert routes[Role.THUMBNAIL] is routes[Role.OVERVIEW] is Route.PASSED_THROUGH
    assert routes[Role.LABEL] is Route.ENCODED
    assert any("label was decoded" in warning for warning in manifest.warnings)


@pytest.mark.parametrize("request_given", [True, False], ids=["case", "no case"])
@pytest.mark.parametrize("name", ALL)
def test_dciodvfy_reports_no_error(name: str, request_given: bool, tmp_path: Path) -> None:
    manifest = converted(slide(name, tmp_path), tmp_path / "out", CASE if request_given else None)
    for item in manifest.instances:
        lines = validator_lines(tmp_path / "out" / item.path)
        assert "VLWholeSlideMicroscopyImage" in lines
        assert not [line for line in lines if line.startswith("Error")]
        if request_given:
            assert not [line for line in lines if line.startswith("Warning")]


@pytest.mark.parametrize("transform", [True, False])
@pytest.mark.parametrize("reversible", [True, False])
def test_jpeg_2000_tiles_keep_their_code_stream(
    transform: bool, reversible: bool, tmp_path: Path
) -> None:
    path = jpeg_2000_svs(tmp_path / "j2k.svs", 33005, transform=transform, reversible=reversible)
    manifest = converted(path, tmp_path / "out")
    item = manifest.instances[0]
    expected = {
        (True, True): "YBR_RCT",
        (True, False): "YBR_ICT",
        (False, True): "RGB",
        (False, False): "RGB",
    }[transform, reversible]
    assert item.photometric_interpretation == expected
    assert item.transfer_syntax_uid.endswith(".90" if reversible else ".91")
    dataset = dcmread(tmp_path / "out" / item.path)
    assert dataset.LossyImageCompression == ("00" if reversible else "01")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        data = path.read_bytes()
        raw = [data[o : o + c] for o, c in zip(page.dataoffsets, page.databytecounts, strict=True)]
    assert [frame[: len(r)] for frame, r in zip(stored_frames_of(dataset), raw, strict=True)] == raw
    assert not [x for x in validator_lines(tmp_path / "out" / item.path) if x.startswith("Error")]


def test_aperio_ycbcr_in_jpeg_2000_decodes_to_its_colours(tmp_path: Path) -> None:
    path = jpeg_2000_svs(tmp_path / "j2k.svs", 33003, transform=False, reversible=False)
    manifest = converted(path, tmp_path / "out")
    assert manifest.instances[0].photometric_interpretation == "YBR_ICT"
    frame = stored_frames(tmp_path / "out" / manifest.instances[0].path)[0]
    decoded = imagecodecs.jpeg2k_decode(frame)
    difference = decoded.astype(int) - gradient().astype(int)
    assert abs(difference).mean() < 3  # the colours, within what a lossy coding changes


def stored_frames_of(dataset: object) -> list[bytes]:
    return list(
        generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames)  # type: ignore[attr-defined]
    )


def gradient() -> NDArray[np.uint8]:
    across = np.linspace(40, 220, 256, dtype=np.float64)
    red, green = np.meshgrid(across, across)
    return np.stack([red, green, 255 - red], axis=-1).astype(np.uint8)


def jpeg_2000_svs(path: Path, compression: int, *, transform: bool, reversible: bool) -> Path:
    pixels = gradient()
    if compression == 33003:
        matrix = np.array(
            [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
        )
        pixels = np.clip(np.round(pixels @ matrix.T + [0, 128, 128]), 0, 255).astype(np.uint8)
    tile = imagecodecs.jpeg2k_encode(
        pixels,
        codecformat="j2k",
        mct=transform,
        reversible=reversible,
        level=0 if reversible else 45,
    )
    tifffile.imwrite(
        path,
        iter([bytes(tile)] * 4),
        shape=(512, 512, 3),
        dtype=np.uint8,
        tile=(256, 256),
        photometric="rgb",
        compression=compression,
        description="Aperio Image Library v11.0\r\n512x512 (256x256) J2K|AppMag = 20|MPP = 0.5",
        metadata=None,
        software=False,
    )
    return path
