"""Small slides for tests: real files of each format, fast to make and the same on every run.

Pixels are a function of seed and position, so levels show the same picture and nothing is held in
memory but one tile. JPEG tiles are abbreviated streams with shared tables, as scanners write them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import imagecodecs
import numpy as np
import tifffile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

type Pixels = NDArray[np.uint8]
type Colour = Literal["rgb", "ycbcr", "gray"]

_BACKGROUND = np.array([243.0, 241.0, 244.0])
_TISSUE = np.array([214.0, 142.0, 186.0])
_NUCLEUS = np.array([92.0, 58.0, 140.0])


def paint(seed: int, x: int, y: int, width: int, height: int, step: float = 1.0) -> Pixels:
    """Return (height, width, 3) uint8 pixels of an invented tissue section.

    Parameters
    ----------
    x, y, width, height
        Region in pixels of the level.
    step
        Pixels of the base level to one of this level.
    """
    generator = np.random.default_rng(seed)
    phases = generator.uniform(0, 2 * np.pi, 6)
    grain = generator.normal(0, 6, (128, 128))
    across = (x + np.arange(width)) * step
    down = ((y + np.arange(height)) * step)[:, None]
    large = np.sin(across / 611 + phases[0]) * np.sin(down / 547 + phases[1]) + 0.5 * np.sin(
        across / 233 + down / 301 + phases[2]
    )
    small = np.sin(across / 9.1 + phases[3]) * np.sin(down / 8.3 + phases[4] + across / 97)
    tissue = np.clip(4 * large + 0.8, 0, 1)[..., None]
    nuclei = (np.clip(5 * small - 2.4, 0, 1)[..., None]) * tissue
    picture = _BACKGROUND + tissue * (_TISSUE - _BACKGROUND) + nuclei * (_NUCLEUS - _TISSUE)
    rows = (y + np.arange(height))[:, None] % 128
    columns = (x + np.arange(width)) % 128
    picture = picture + tissue * grain[rows, columns][..., None]
    pixels: Pixels = np.clip(picture, 0, 255).astype(np.uint8)
    return pixels


@dataclass(frozen=True, slots=True)
class AbbreviatedJpeg:
    """A JPEG stream taken apart: shared tables (SOI … EOI) and the tile without them."""

    tables: bytes
    tile: bytes


def abbreviated(
    pixels: Pixels, colour: Colour = "rgb", *, quality: int = 80, subsampling: str = "422"
) -> AbbreviatedJpeg:
    """Return pixels as an abbreviated JPEG stream without any marker that names its colours."""
    options: dict[str, Any] = {"level": quality}
    if colour == "rgb":
        options |= {"colorspace": "RGB", "outcolorspace": "RGB"}
    elif colour == "ycbcr":
        options |= {"colorspace": "RGB", "outcolorspace": "YCBCR", "subsampling": subsampling}
    stream = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), **options))
    tables, tile, at = b"", b"", 2
    while stream[at + 1] != 0xDA:
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        segment = stream[at : at + length]
        if stream[at + 1] in (0xC4, 0xDB):
            tables += segment
        elif not 0xE0 <= stream[at + 1] <= 0xEF:
            tile += segment
        at += length
    return AbbreviatedJpeg(b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + tile + stream[at:])


@dataclass(frozen=True, slots=True)
class _Level:
    seed: int
    width: int
    height: int
    tile: int
    step: float
    colour: Colour
    subsampling: str
    quality: int

    def pixels(self) -> Iterator[Pixels]:
        for y in range(0, self.height, self.tile):
            for x in range(0, self.width, self.tile):
                painted = paint(self.seed, x, y, self.tile, self.tile, self.step)
                yield painted[..., 1] if self.colour == "gray" else painted

    def tiles(self) -> Iterator[bytes]:
        for pixels in self.pixels():
            yield self._abbreviated(pixels).tile

    def tables(self) -> bytes:
        return self._abbreviated(paint(self.seed, 0, 0, 16, 16)).tables

    def _abbreviated(self, pixels: Pixels) -> AbbreviatedJpeg:
        if self.colour == "gray" and pixels.ndim == 3:
            pixels = pixels[..., 1]
        return abbreviated(pixels, self.colour, quality=self.quality, subsampling=self.subsampling)


def _write_jpeg_level(writer: tifffile.TiffWriter, level: _Level, **options: Any) -> None:  # noqa: ANN401 - tifffile's own options
    photometric = {"rgb": "rgb", "ycbcr": "ycbcr", "gray": "minisblack"}[level.colour]
    factors = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}[level.subsampling]
    shape: tuple[int, ...] = (level.height, level.width)
    writer.write(
        level.tiles(),
        shape=shape if level.colour == "gray" else (*shape, 3),
        dtype=np.uint8,
        tile=(level.tile, level.tile),
        compression="jpeg",
        photometric=photometric,
        subsampling=factors if level.colour == "ycbcr" else None,
        jpegtables=level.tables(),
        # keeps tifffile from tagging RGB streams as YCbCr
        compressionargs={"outcolorspace": "rgb"} if level.colour == "rgb" else {},
        metadata=None,
        **options,
    )


def make_svs(
    path: Path,
    width: int = 1100,
    height: int = 700,
    *,
    tile: int = 256,
    shrink: tuple[int, ...] = (1, 4),
    seed: int = 1,
    colour: Colour = "rgb",
    subsampling: str = "422",
    quality: int = 80,
    mpp: float | None = 0.4990,
    power: int | None = 20,
    date: str | None = "12/29/09",
    associated: bool = True,
    icc_profile: bytes | None = None,
    bigtiff: bool = False,
) -> Path:
    """Write an Aperio-like SVS and return its path.

    Parameters
    ----------
    width, height
        Of the base level in pixels.
    shrink
        By how much each level is smaller than the base.
    mpp, power, date
        Left out of the description where None.
    associated
        Add a thumbnail in JPEG strips, an LZW label and a macro in JPEG strips.
    """
    parts = [f"Aperio Image Library v12.0.15\r\n{width}x{height} ({tile}x{tile}) JPEG/RGB Q=80"]
    parts += [f"AppMag = {power}"] if power else []
    parts += ["ScanScope ID = SS1234"]
    parts += [f"Date = {date}", "Time = 09:59:15"] if date else []
    parts += [f"MPP = {mpp:.4f}"] if mpp else []
    options: dict[str, Any] = {"subfiletype": 0, "software": False}
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for index, factor in enumerate(shrink):
            level = _Level(
                seed, width // factor, height // factor, tile, factor, colour, subsampling, quality
            )
            _write_jpeg_level(
                writer, level, description="|".join(parts), iccprofile=icc_profile, **options
            )
            if index == 0 and associated:
                _write_strips(writer, seed, width, height, "Aperio Image Library v12.0.15 \r\n")
        if associated:
            _write_label_and_macro(writer, seed)
    return path


def _write_strips(
    writer: tifffile.TiffWriter, seed: int, width: int, height: int, first_line: str
) -> None:
    small = (256, max(16, 256 * height // width))
    pixels = paint(seed, 0, 0, *small, step=width / 256)
    _write_striped_jpeg(
        writer, pixels, f"{first_line}{width}x{height} -> {small[0]}x{small[1]} - ", 0
    )


def _write_striped_jpeg(
    writer: tifffile.TiffWriter, pixels: Pixels, description: str, subfile_type: int
) -> None:
    strips = [abbreviated(pixels[y : y + 16]) for y in range(0, len(pixels), 16)]
    writer.write(
        iter([strip.tile for strip in strips]),
        shape=pixels.shape,
        dtype=np.uint8,
        rowsperstrip=16,
        compression="jpeg",
        photometric="rgb",
        jpegtables=strips[0].tables,
        compressionargs={"outcolorspace": "rgb"},
        description=description,
        subfiletype=subfile_type,
        software=False,
        metadata=None,
    )


def _write_label_and_macro(writer: tifffile.TiffWriter, seed: int) -> None:
    label = np.full((160, 140, 3), 250, np.uint8)
    label[30:60, 20:120] = (20, 20, 20)
    label[80:120, 40:100] = (60, 90, 200)
    writer.write(
        label,
        rowsperstrip=7,
        compression="lzw",
        predictor=True,
        photometric="rgb",
        description="Aperio Image Library v12.0.15 \r\nlabel 140x160",
        subfiletype=1,
        software=False,
        metadata=None,
    )
    macro = paint(seed, 0, 0, 400, 135, step=4)
    macro[:, :120] = 250
    macro[30:60, 20:100] = (20, 20, 20)
    _write_striped_jpeg(writer, macro, "Aperio Image Library v12.0.15 \r\nmacro 400x135", 9)


def make_tiled_tiff(
    path: Path,
    width: int = 1100,
    height: int = 700,
    *,
    tile: int = 256,
    shrink: tuple[int, ...] = (1, 2, 4),
    seed: int = 2,
    colour: Colour = "ycbcr",
    subsampling: str = "420",
    compression: str = "jpeg",
    micrometres_per_pixel: float | None = 0.25,
    bigtiff: bool = False,
) -> Path:
    """Write a plain pyramidal tiled TIFF and return its path.

    Parameters
    ----------
    compression
        ``jpeg`` (abbreviated streams), or any lossless one tifffile writes: ``none``, ``lzw``,
        ``deflate``.
    micrometres_per_pixel
        By the resolution tags; None leaves them saying nothing.
    """
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for index, factor in enumerate(shrink):
            level = _Level(
                seed, width // factor, height // factor, tile, factor, colour, subsampling, 80
            )
            options: dict[str, Any] = {"software": False, "subfiletype": 1 if index else 0}
            if micrometres_per_pixel:
                per_centimetre = 10_000 / (micrometres_per_pixel * factor)
                options["resolution"] = (per_centimetre, per_centimetre)
                options["resolutionunit"] = "CENTIMETER"
            if compression == "jpeg":
                _write_jpeg_level(writer, level, **options)
            else:
                _write_lossless_level(writer, level, compression, **options)
    return path


def _write_lossless_level(
    writer: tifffile.TiffWriter,
    level: _Level,
    compression: str,
    **options: Any,  # noqa: ANN401 - tifffile's own options
) -> None:
    pixels = paint(level.seed, 0, 0, level.width, level.height, level.step)
    writer.write(
        pixels[..., 1] if level.colour == "gray" else pixels,
        tile=(level.tile, level.tile),
        compression=None if compression == "none" else compression,
        photometric="minisblack" if level.colour == "gray" else "rgb",
        metadata=None,
        **options,
    )


def make_ome_tiff(
    path: Path,
    width: int = 1100,
    height: int = 700,
    *,
    tile: int = 256,
    shrink: tuple[int, ...] = (1, 2),
    seed: int = 3,
    micrometres_per_pixel: float | None = 0.5,
    unit: str = "µm",
    label: bool = True,
) -> Path:
    """Write a tiled JPEG OME-TIFF of brightfield RGB with a SubIFD pyramid; return its path.

    Parameters
    ----------
    unit
        In which the OME-XML gives the physical size: ``µm``, ``mm`` or ``nm``.
    label
        Add a second OME image named ``label image``.
    """
    in_unit = {"µm": 1.0, "mm": 1e-3, "nm": 1e3}[unit]
    size = (
        ""
        if micrometres_per_pixel is None
        else (
            f'PhysicalSizeX="{micrometres_per_pixel * in_unit}" PhysicalSizeXUnit="{unit}" '
            f'PhysicalSizeY="{micrometres_per_pixel * in_unit}" PhysicalSizeYUnit="{unit}"'
        )
    )
    second = _ome_image(1, "label image", 140, 160, "") if label else ""
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Instrument ID="Instrument:0"><Microscope Manufacturer="Example Optics" Model="M1" '
        'SerialNumber="42"/><Objective ID="Objective:0" NominalMagnification="20.0"/></Instrument>'
        f"{_ome_image(0, 'slide', width, height, size)}{second}</OME>"
    )
    with tifffile.TiffWriter(path, bigtiff=True, ome=False) as writer:
        for index, factor in enumerate(shrink):
            level = _Level(seed, width // factor, height // factor, tile, factor, "rgb", "444", 80)
            options: dict[str, Any] = {"software": False}
            if index == 0:
                options |= {"description": xml.encode(), "subifds": len(shrink) - 1}
            else:
                options |= {"subfiletype": 1}
            _write_jpeg_level(writer, level, **options)
        if label:
            pixels = np.full((160, 140, 3), 250, np.uint8)
            pixels[30:60, 20:120] = (20, 20, 20)
            writer.write(
                pixels, compression="lzw", photometric="rgb", software=False, metadata=None
            )
    return path


def _ome_image(index: int, name: str, width: int, height: int, size: str) -> str:
    objective = '<ObjectiveSettings ID="Objective:0"/>' if index == 0 else ""
    return (
        f'<Image ID="Image:{index}" Name="{name}">'
        f"<AcquisitionDate>2021-03-04T05:06:07</AcquisitionDate>{objective}"
        f'<Pixels ID="Pixels:{index}" DimensionOrder="XYCZT" Type="uint8" SizeX="{width}" '
        f'SizeY="{height}" SizeC="3" SizeZ="1" SizeT="1" Interleaved="true" {size}>'
        f'<Channel ID="Channel:{index}:0" SamplesPerPixel="3"/>'
        f'<TiffData IFD="{index}" PlaneCount="1"/></Pixels></Image>'
    )
