"""OME-TIFF of bright field: tiled JPEG, one RGB image with its pyramid in SubIFDs.

Fluorescence (several channels, 16 bits) is another matter and refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from conversion.associated import associated_picture
from conversion.errors import DamagedSource, UnsupportedFormat
from conversion.manifest import Role
from conversion.sources.pyramid import believable_spacing, is_smaller_copy, pyramid_levels
from conversion.sources.slide import Slide, SlideProperties

if TYPE_CHECKING:
    from conversion.sources.file import SourceFile
    from conversion.sources.slide import Picture
    from conversion.sources.tiff import Directory, TiffFacts

_NAME = "OME-TIFF"
_MICROMETRES: Final = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3}
_ROLES: Final = {
    "label": Role.LABEL,
    "macro": Role.OVERVIEW,
    "overview": Role.OVERVIEW,
    "thumbnail": Role.THUMBNAIL,
}


def recognises(facts: TiffFacts) -> bool:
    """Whether the first image's description is OME-XML."""
    return bool(facts.directories) and facts.directories[0].description.rstrip().endswith("OME>")


@dataclass(frozen=True, slots=True)
class _Image:
    """One image as the XML describes it; `directory` is the index of its first plane."""

    name: str
    directory: int
    planes: int
    spacing_um: tuple[float, float] | None
    acquired: datetime | None
    power: float | None


def read(source: SourceFile, facts: TiffFacts) -> Slide:
    """Return the slide, every tile looked at.

    Raises
    ------
    UnsupportedFormat
        It is no bright field slide in tiles.
    ConversionError
        It is damaged, or coded in a way that is not converted.
    """
    root = _parsed(facts.directories[0].description)
    images = _images(root, len(facts.directories))
    main = max(images, key=lambda image: _area(facts.directories[image.directory]))
    base = facts.directories[main.directory]
    if main.planes > 1 or base.samples not in (1, 3):
        raise UnsupportedFormat(
            f"the OME-TIFF has {main.planes} planes of {base.samples} samples; bright field in one "
            "plane of RGB or gray is converted",
            format="multi-channel OME-TIFF",
        )
    if not base.tiled:
        raise UnsupportedFormat(
            "the OME-TIFF stores its image in strips, not tiles", format="flat OME-TIFF"
        )
    levels = [base, *(d for d in facts.sub_directories.get(base.index, ()) if d.tiled)]
    levels = [level for level in levels if is_smaller_copy(base, level)]
    warnings: list[str] = []
    pictures = list(pyramid_levels(source, levels, warnings))
    pictures.extend(_associated(source, facts, images, main))
    return Slide(_NAME, tuple(pictures), _properties(root, main, base), tuple(warnings))


def _area(directory: Directory) -> int:
    return directory.columns * directory.rows


def _parsed(description: str) -> ElementTree.Element:
    # A document type can declare entities that grow without bound; OME-XML never has one.
    if "<!DOCTYPE" in description or "<!ENTITY" in description:
        raise DamagedSource("the OME-XML declares a document type, which is not accepted")
    try:
        root = ElementTree.fromstring(description.encode())  # noqa: S314 - no entities, see above
    except ElementTree.ParseError as error:
        raise DamagedSource("the OME-XML cannot be read") from error
    for element in root.iter():  # the schema's version is in the namespace; names stay the same
        element.tag = element.tag.rpartition("}")[2]
    return root


def _images(root: ElementTree.Element, directories: int) -> list[_Image]:
    images = []
    following = 0
    for element in root.findall("Image"):
        pixels = element.find("Pixels")
        if pixels is None:
            continue
        data = pixels.find("TiffData")
        first = _integer(data.get("IFD") if data is not None else None, following)
        channels = pixels.findall("Channel")
        samples = _integer(channels[0].get("SamplesPerPixel") if channels else None, 1)
        planes = 1
        for size in ("SizeC", "SizeZ", "SizeT"):
            planes *= _integer(pixels.get(size), 1)
        planes = max(1, planes // max(1, samples))
        if not 0 <= first < directories:
            raise DamagedSource("the OME-XML points to an image that is not in the file")
        following = first + planes
        images.append(_image(root, element, pixels, first, planes))
    if not images:
        raise DamagedSource("the OME-XML describes no image")
    return images


def _image(
    root: ElementTree.Element,
    element: ElementTree.Element,
    pixels: ElementTree.Element,
    first: int,
    planes: int,
) -> _Image:
    horizontal, vertical = (
        _micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit"))
        for axis in "XY"
    )
    settings = element.find("ObjectiveSettings")
    power = None
    if settings is not None:
        for objective in root.iter("Objective"):
            if objective.get("ID") == settings.get("ID"):
                power = _number(objective.get("NominalMagnification"))
    return _Image(
        name=(element.get("Name") or "").lower(),
        directory=first,
        planes=planes,
        spacing_um=(horizontal, vertical) if horizontal and vertical else None,
        acquired=_acquired(element.findtext("AcquisitionDate")),
        power=power,
    )


def _associated(
    source: SourceFile, facts: TiffFacts, images: list[_Image], main: _Image
) -> list[Picture]:
    found: dict[Role, Directory] = {}
    for image in images:
        role = next((role for word, role in _ROLES.items() if word in image.name), None)
        if image is not main and role is not None and image.planes == 1:
            found.setdefault(role, facts.directories[image.directory])
    order = (Role.THUMBNAIL, Role.OVERVIEW, Role.LABEL)
    base = facts.directories[main.directory]
    return [
        associated_picture(source, found[role], role, base=base) for role in order if role in found
    ]


def _properties(root: ElementTree.Element, main: _Image, base: Directory) -> SlideProperties:
    microscope = root.find("Instrument/Microscope")
    attributes = microscope.attrib if microscope is not None else {}
    return SlideProperties(
        spacing_um=believable_spacing(main.spacing_um),
        objective_power=main.power,
        manufacturer=attributes.get("Manufacturer") or None,
        model=attributes.get("Model") or None,
        serial_number=attributes.get("SerialNumber") or None,
        software=(root.get("Creator") or base.software)[:64] or None,
        acquired=main.acquired,
        icc_profile=base.icc_profile,
    )


def _micrometres(value: str | None, unit: str | None) -> float | None:
    number, factor = _number(value), _MICROMETRES.get(unit or "µm")
    return number * factor if number and factor else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < 1e9 else None


def _integer(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else default


def _acquired(text: str | None) -> datetime | None:
    try:
        value = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return value.replace(tzinfo=None, microsecond=0)
