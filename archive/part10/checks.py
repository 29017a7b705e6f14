"""What an instance must have before it is kept.

The policy is generous: what can be found, served and given back unchanged is stored, and what
breaks the rules of its SOP class is stored with a warning. Refused is what could not be found again
(no identifiers), or whose frames could not be served (pixel data other than the header says).
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from archive.errors import InvalidInstance, MalformedIdentifier
from archive.model import reasons
from archive.model.frames import PixelDescription
from archive.model.identifiers import InstancePath
from archive.model.reasons import Reason
from archive.model.sop_classes import is_accepted
from archive.model.transfer_syntaxes import BY_UID
from archive.part10.elements import tag_text
from archive.part10.header import Header, raw_value
from archive.part10.module_rules import module_remarks
from archive.part10.pixel_description import describe_pixels
from archive.part10.value_rules import value_remarks

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_META_SOP_CLASS, _META_SOP_INSTANCE = 0x00020002, 0x00020003


@dataclass(frozen=True, slots=True)
class Checked:
    """What an instance says of itself, once it has passed."""

    path: InstancePath
    sop_class_uid: str
    pixels: PixelDescription | None
    warnings: tuple[Reason, ...]
    """For the store response."""
    remarks: tuple[str, ...]
    """The same in words, and more of it; names tags and UIDs only."""


def check_instance(header: Header) -> Checked:
    """Hold an instance against what we need of it.

    Raises
    ------
    InvalidInstance
        With the reason that the store response carries (PS3.18 §I.2.2).
    """
    dataset = header.dataset
    remarks: list[str] = []
    if header.transfer_syntax_uid not in BY_UID:
        raise InvalidInstance(
            f"transfer syntax {header.transfer_syntax_uid[:64]} is not supported",
            reasons.TRANSFER_SYNTAX_NOT_SUPPORTED.code,
        )
    sop_class = _required(dataset, _SOP_CLASS, "SOP Class UID")
    path = _path(dataset)
    _same_as_meta(header.meta, _META_SOP_CLASS, sop_class, "Media Storage SOP Class UID")
    _same_as_meta(header.meta, _META_SOP_INSTANCE, path.instance, "Media Storage SOP Instance UID")
    if not is_accepted(sop_class):
        raise InvalidInstance(
            f"SOP class {sop_class} is not one of storage in a study",
            reasons.SOP_CLASS_NOT_SUPPORTED.code,
        )
    pixels = describe_pixels(header)
    if pixels is not None:
        remarks.extend(_pixel_remarks(pixels))
    remarks.extend(module_remarks(header, sop_class, pixels))
    remarks.extend(value_remarks(header))
    warnings = (reasons.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,) if remarks else ()
    return Checked(path, sop_class, pixels, warnings, tuple(remarks))


def uid_of(dataset: Dataset, tag: int) -> str:
    """Give a UID as stored, padding off; empty where it is absent. Never fails."""
    return raw_value(dataset, tag).decode("latin-1").strip(" \0")


def _required(dataset: Dataset, tag: int, name: str) -> str:
    uid = uid_of(dataset, tag)
    if not uid:
        raise InvalidInstance(
            f"{name} {tag_text(tag)} is missing or empty", reasons.MISSING_ATTRIBUTE.code
        )
    return uid


def _path(dataset: Dataset) -> InstancePath:
    study = _required(dataset, _STUDY, "Study Instance UID")
    series = _required(dataset, _SERIES, "Series Instance UID")
    instance = _required(dataset, _SOP_INSTANCE, "SOP Instance UID")
    try:
        return InstancePath.parse(study, series, instance)
    except MalformedIdentifier as error:
        raise InvalidInstance(str(error), reasons.INVALID_ATTRIBUTE_VALUE.code) from error


def _same_as_meta(meta: Dataset, tag: int, expected: str, name: str) -> None:
    """PS3.10 §7.1: the file meta information repeats it. Absent is forgiven, another is not."""
    found = uid_of(meta, tag)
    if found and found != expected:
        raise InvalidInstance(
            f"{name} {tag_text(tag)} is {found[:64]}, the data set says {expected[:64]}",
            reasons.DOES_NOT_MATCH_SOP_CLASS.code,
        )


def _pixel_remarks(pixels: PixelDescription) -> list[str]:
    remarks = []
    if pixels.bits_stored > pixels.bits_allocated:
        remarks.append("Bits Stored (0028,0101) is more than Bits Allocated (0028,0100)")
    if pixels.samples_per_pixel not in (1, 3):
        remarks.append(f"Samples per Pixel (0028,0002) is {pixels.samples_per_pixel}")
    return remarks


__all__ = ["Checked", "check_instance", "describe_pixels", "uid_of"]
