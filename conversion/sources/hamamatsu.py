"""Hamamatsu NDPI: each level is one JPEG with restart markers, taken apart without decoding.

Restart intervals that are strips of the level are joined to frames, bit for bit. Levels without
such are cut by opentile: coefficients are moved between tiles, not changed, and coded anew. That
needs the system library libturbojpeg, so opentile is imported here and nowhere else.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from conversion import jpeg
from conversion.associated import associated_picture
from conversion.errors import DamagedSource, MissingLibrary
from conversion.manifest import Role, Route
from conversion.sources import tiff
from conversion.sources.interval_tiles import IntervalTiles, StripLevel, interval_levels
from conversion.sources.pyramid import believable_spacing, is_smaller_copy, shrink
from conversion.sources.slide import Frame, Picture, Slide, SlideProperties
from conversion.sources.tiles import jpeg_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conversion.sources.file import SourceFile
    from conversion.sources.slide import PixelFormat
    from conversion.sources.tiff import Directory, TiffFacts

_NAME = "Hamamatsu NDPI"
_TILE = 512  # asked for; the strips decide what it becomes
# NDPI's private tags
_FORMAT, _MAGNIFICATION, _Z_OFFSET, _LABEL_TEXT = 65420, 65421, 65424, 65427
_FLUORESCENCE, _SERIAL_NUMBER, _BARCODE = 65434, 65442, 65468
_MAKE, _MODEL, _DATE = 271, 272, 306
_MACRO: Final = -1.0


def recognises(facts: TiffFacts) -> bool:
    """Whether the first image carries Hamamatsu's format tag."""
    return bool(facts.directories) and facts.directories[0].tag(_FORMAT) is not None


@contextmanager
def opened(source: SourceFile, facts: TiffFacts) -> Iterator[Slide]:
    """Give the slide; a cutter that was needed stays open for as long as frames are made.

    Raises
    ------
    MissingLibrary
        A level has to be cut and libturbojpeg is not installed.
    ConversionError
        The file is damaged, or coded in a way that is not converted.
    """
    levels, warnings = _levels(facts)
    for directory in levels:
        tiff.check_claims(directory, source)
    with ExitStack() as stack:
        frames: Sequence[IntervalTiles | CutTiles] | None = _joined(source, levels)
        if frames is None:
            cutter = stack.enter_context(_cutter(source))
            frames = [_cut(cutter, levels[0], level, d) for level, d in enumerate(levels)]
        pictures = [
            _level(made, levels[0], directory, level)
            for level, (made, directory) in enumerate(zip(frames, levels, strict=True))
        ]
        pictures.extend(
            associated_picture(source, directory, Role.OVERVIEW, spacing_um=directory.resolution_um)
            for directory in facts.directories
            if directory.tag(_MAGNIFICATION) == _MACRO
        )
        yield Slide(_NAME, tuple(pictures), _properties(levels[0]), tuple(warnings))


def _levels(facts: TiffFacts) -> tuple[list[Directory], list[str]]:
    """Return the levels of the middle focal plane, largest first."""
    warnings = []
    images = [d for d in facts.directories if _number(d.tag(_MAGNIFICATION)) > 0]
    if not images:
        raise DamagedSource("the NDPI has no image of the slide")
    planes = {_number(d.tag(_Z_OFFSET)) for d in images}
    if len(planes) > 1:
        nearest = min(planes, key=abs)
        images = [d for d in images if _number(d.tag(_Z_OFFSET)) == nearest]
        warnings.append(f"only the middle one of {len(planes)} focal planes was converted")
    base = max(images, key=lambda d: d.columns * d.rows)
    levels = sorted(
        (d for d in images if is_smaller_copy(base, d)), key=lambda d: -d.columns * d.rows
    )
    if any(_number(d.tag(_MAGNIFICATION)) < _MACRO for d in facts.directories):
        warnings.append("the map of the scanned regions was left out")
    return levels, warnings


def _joined(source: SourceFile, levels: Sequence[Directory]) -> list[IntervalTiles] | None:
    """Return the levels' restart intervals as frames; None where they do not make any."""
    strips = [StripLevel(d, d.page.jpegheader) for d in levels if d.tiled and d.page.jpegheader]
    if len(strips) != len(levels):
        return None
    try:
        return interval_levels(source, strips)
    except jpeg.MalformedStream:
        return None  # cutting them either works or says what is wrong


@contextmanager
def _cutter(source: SourceFile) -> Iterator[Any]:
    try:
        from opentile import OpenTile  # type: ignore[import-untyped]
        from opentile.jpeg.jpeg import find_turbojpeg_path  # type: ignore[import-untyped]

        find_turbojpeg_path()
    except Exception as error:  # each version of opentile says it otherwise
        raise MissingLibrary(
            "this Hamamatsu NDPI has to be cut into tiles, which needs the system library "
            "libturbojpeg; it is not installed: "
            "install it (Debian and Ubuntu: apt install libturbojpeg0; Fedora: turbojpeg)",
            library="libturbojpeg",
        ) from error
    with tiff.wrapped("the NDPI"):
        cutter = OpenTile.open(source.path, tile_size=_TILE)
    with cutter:
        yield cutter


def _cut(cutter: Any, base: Directory, level: int, directory: Directory) -> CutTiles:  # noqa: ANN401
    with tiff.wrapped(f"level {level} of the NDPI"):
        image = next(
            image
            for image in cutter.levels
            if (image.image_size.width, image.image_size.height)
            == (directory.columns, directory.rows)
            and abs(image.focal_plane * 1000 - _number(base.tag(_Z_OFFSET))) < 1
        )
    return CutTiles(image)


def _level(
    frames: IntervalTiles | CutTiles, base: Directory, directory: Directory, level: int
) -> Picture:
    joined = isinstance(frames, IntervalTiles)
    return Picture(
        role=Role.VOLUME,
        level=level,
        columns=directory.columns,
        rows=directory.rows,
        tile_columns=frames.tile[0],
        tile_rows=frames.tile[1],
        frames=frames,
        route=Route.PASSED_THROUGH if joined else Route.REARRANGED,
        shrink=shrink(base, directory),
    )


class CutTiles:
    """Tiles that opentile cuts out of a level's JPEG.

    Parameters
    ----------
    image
        opentile's level.
    """

    lengths = None  # only cutting a tile tells how long it is

    def __init__(self, image: Any) -> None:  # noqa: ANN401 - an opentile level
        self._image = image
        self.tile = (int(image.tile_size.width), int(image.tile_size.height))
        self._across, self._down = int(image.tiled_size.width), int(image.tiled_size.height)
        self.count = self._across * self._down
        self.format: PixelFormat = self._format(self._cut(0))

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            tile = self._cut(index)
            if self._format(tile) != self.format:
                raise DamagedSource(f"tile {index + 1} is coded otherwise than those before it")
            yield Frame(b"", tile)

    def source_data(self) -> None:
        """Nothing: coefficients are the source's, their codes are not."""
        return

    def matches(self, index: int, stored: bytes) -> bool:
        """Whether a stored frame is what the source gives when it is cut again."""
        tile = self._cut(index)
        return stored in (tile, tile + b"\0")

    def _cut(self, index: int) -> bytes:
        with tiff.wrapped(f"tile {index + 1} of the NDPI"):
            return bytes(self._image.get_tile((index % self._across, index // self._across)))

    def _format(self, tile: bytes) -> PixelFormat:
        try:
            header = jpeg.read_header(tile)
            jpeg.end_of_image(tile[-16:])
        except jpeg.MalformedStream as error:
            raise DamagedSource(f"a tile cut out of the NDPI {error}") from error
        if (header.columns, header.rows) != self.tile:
            raise DamagedSource("a tile cut out of the NDPI has another size than its level says")
        rgb = len(header.components) == 3 and jpeg.is_rgb(header, tag_says_rgb=False)
        return jpeg_format(header, rgb=rgb)


def _properties(base: Directory) -> SlideProperties:
    return SlideProperties(
        spacing_um=believable_spacing(base.resolution_um),
        objective_power=_number(base.tag(_MAGNIFICATION)) or None,
        manufacturer=_text(base.tag(_MAKE)),
        model=_text(base.tag(_MODEL)),
        serial_number=_text(base.tag(_SERIAL_NUMBER)),
        software=base.software[:64] or None,
        acquired=_acquired(_text(base.tag(_DATE))),
        icc_profile=base.icc_profile,
        label_text=_text(base.tag(_LABEL_TEXT)),
        barcode=_text(base.tag(_BARCODE)),
        fluorescence=_text(base.tag(_FLUORESCENCE)) is not None,
    )


def _number(value: Any) -> float:  # noqa: ANN401 - a tag's value
    return float(value) if isinstance(value, int | float) else 0.0


def _text(value: Any) -> str | None:  # noqa: ANN401 - a tag's value
    return str(value).strip()[:64] or None if value is not None else None


def _acquired(text: str | None) -> datetime | None:
    try:
        # The scanner's local time, without a zone, as DICOM allows (PS3.5 §6.2).
        return datetime.strptime(text or "", "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007
    except ValueError:
        return None
