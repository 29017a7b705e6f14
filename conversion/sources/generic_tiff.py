"""Plain tiled TIFF: one image, or a pyramid of ever smaller ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conversion.errors import UnsupportedFormat
from conversion.sources.pyramid import believable_spacing, is_smaller_copy, pyramid_levels
from conversion.sources.slide import Slide, SlideProperties

if TYPE_CHECKING:
    from conversion.sources.file import SourceFile
    from conversion.sources.tiff import Directory, TiffFacts

_NAME = "tiled TIFF"


def read(source: SourceFile, facts: TiffFacts) -> Slide:
    """Return the slide, every tile looked at.

    Raises
    ------
    UnsupportedFormat
        It has no tiled image.
    ConversionError
        It is damaged, or coded in a way that is not converted.
    """
    tiled = [d for d in facts.all_directories() if d.tiled]
    if not tiled:
        raise UnsupportedFormat(
            "the TIFF stores its image in strips, not tiles; save it as a tiled pyramidal TIFF "
            "(for instance with vips tiffsave --tile --pyramid)",
            format="flat TIFF",
        )
    base = max(tiled, key=lambda d: d.columns * d.rows)
    levels = [d for d in tiled if is_smaller_copy(base, d)]
    warnings: list[str] = []
    left_out = sum(1 for _ in facts.all_directories()) - len(levels)
    if left_out:
        warnings.append(f"{left_out} images of the file belong to no pyramid and were left out")
    pictures = tuple(pyramid_levels(source, levels, warnings))
    return Slide(_NAME, pictures, _properties(base), tuple(warnings))


def _properties(base: Directory) -> SlideProperties:
    return SlideProperties(
        spacing_um=believable_spacing(base.resolution_um),
        software=base.software[:64] or None,
        icc_profile=base.icc_profile,
    )
