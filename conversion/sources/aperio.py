"""Aperio SVS: tiled levels, a striped thumbnail, and label and macro at the end."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from conversion.associated import associated_picture
from conversion.errors import DamagedSource
from conversion.manifest import Role
from conversion.sources.pyramid import believable_spacing, pyramid_levels
from conversion.sources.slide import Slide, SlideProperties

if TYPE_CHECKING:
    from conversion.sources.file import SourceFile
    from conversion.sources.slide import Picture
    from conversion.sources.tiff import Directory, TiffFacts

_NAME = "Aperio SVS"
_LABEL, _OVERVIEW = 1, 9  # NewSubfileType, as Aperio sets it


def recognises(facts: TiffFacts) -> bool:
    """Whether the first image's description is Aperio's."""
    return bool(facts.directories) and facts.directories[0].description.startswith("Aperio")


def read(source: SourceFile, facts: TiffFacts) -> Slide:
    """Return the slide, every tile looked at.

    Raises
    ------
    ConversionError
        The file is damaged, or coded in a way that is not converted.
    """
    levels = [d for d in facts.directories if d.tiled and _role(d) is None]
    if not levels:
        raise DamagedSource("the file is named by Aperio but has no tiled image")
    warnings: list[str] = []
    pictures = list(pyramid_levels(source, levels, warnings))
    pictures.extend(_associated(source, facts, levels[0]))
    return Slide(_NAME, tuple(pictures), properties(facts.directories[0]), tuple(warnings))


def _associated(source: SourceFile, facts: TiffFacts, base: Directory) -> list[Picture]:
    found: dict[Role, Directory] = {}
    for directory in facts.directories[1:]:
        role = _role(directory)
        if role is None and not directory.tiled:
            role = Role.THUMBNAIL
        if role is not None:
            found.setdefault(role, directory)
    order = (Role.THUMBNAIL, Role.OVERVIEW, Role.LABEL)
    return [
        associated_picture(source, found[role], role, base=base) for role in order if role in found
    ]


def _role(directory: Directory) -> Role | None:
    lines = directory.description.splitlines()
    second = lines[1].strip().lower() if len(lines) > 1 else ""
    if second.startswith("label") or (not directory.tiled and directory.subfile_type == _LABEL):
        return Role.LABEL
    if second.startswith("macro") or (not directory.tiled and directory.subfile_type == _OVERVIEW):
        return Role.OVERVIEW
    return None


def properties(directory: Directory) -> SlideProperties:
    """Return what the description of the first image says.

    It reads ``Aperio <software> … | key = value | key = value …``.
    """
    first, *pairs = directory.description.split("|")
    values = {
        key.strip().lower(): value.strip()
        for key, found, value in (pair.partition("=") for pair in pairs)
        if found
    }
    power = _number(values.get("appmag"))
    spacing = believable_spacing(_pair(_number(values.get("mpp"))))
    nominal = spacing is None and power is not None
    if nominal and power:
        spacing = believable_spacing(_pair(10.0 / power))
    software = first.splitlines()[0].strip() if first else ""
    return SlideProperties(
        spacing_um=spacing,
        nominal_spacing=nominal and spacing is not None,
        objective_power=power,
        manufacturer="Leica Biosystems",
        serial_number=values.get("scanscope id") or None,
        software=software[:64] or None,
        acquired=_acquired(values.get("date"), values.get("time")),
        icc_profile=directory.icc_profile,
        label_text=values.get("title") or None,
        barcode=values.get("barcode") or None,
        fluorescence=bool(values.get("exposure scale") or "fluor" in first.lower()),
    )


def _pair(value: float | None) -> tuple[float, float] | None:
    return None if value is None else (value, value)


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\d{1,9}([.,]\d{1,12})?", text):
        return None
    value = float(text.replace(",", "."))
    return value if value > 0 else None


def _acquired(date: str | None, time: str | None) -> datetime | None:
    """Return the scanner's local date and time, written 12/29/09 or 12/29/2009, and 09:59:15."""
    if not date or not time:
        return None
    for form in ("%m/%d/%y", "%m/%d/%Y", "%Y-%m-%d"):
        try:
            # A scanner writes no time zone that could be relied on; DICOM allows none (PS3.5 §6.2).
            return datetime.strptime(f"{date} {time}", f"{form} %H:%M:%S")  # noqa: DTZ007
        except ValueError:
            continue
    return None
