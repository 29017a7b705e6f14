"""Attributes as people write them, and what the data dictionary tells of one (PS3.6)."""

import re

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

MAXIMUM_DEPTH = 8
"""Sequences that a dotted path may go down."""

TagPath = tuple[str, ...]
"""Tags from the outermost sequence inwards, each eight upper-case hexadecimal digits."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


def parse_attribute(text: str) -> TagPath | None:
    """Read an attribute given by keyword or tag, nested ones joined by dots (PS3.18 §8.3.4.1).

    Returns
    -------
    tuple of str, or None
        Tags from the outermost inwards; None when it is no attribute that the dictionary knows.
    """
    tags = []
    for step in text.split(".", MAXIMUM_DEPTH):
        if _TAG.fullmatch(step):
            tags.append(step.upper())
            continue
        tag = tag_for_keyword(step) if _KEYWORD.fullmatch(step) else None
        if tag is None:
            return None
        tags.append(f"{tag:08X}")
    return tuple(tags)


def vr_of(tag: str) -> str | None:
    """Give the VR of a tag by the dictionary, the first where it has several; None if unknown."""
    try:
        return dictionary_VR(int(tag, 16)).split(" ")[0]
    except KeyError:
        return None


def holds_several(tag: str) -> bool:
    """Tell whether an attribute may have more than one value (PS3.6); no where it is unknown."""
    try:
        return dictionary_VM(int(tag, 16)) != "1"
    except KeyError:
        return False


def is_private(tag: str) -> bool:
    """Tell whether the group is odd (PS3.5 §7.8)."""
    return int(tag[:4], 16) % 2 == 1


def creator_of(tag: str) -> str | None:
    """Give the tag of the Private Creator of a private tag's block (PS3.5 §7.8.1)."""
    block = tag[4:6]
    return f"{tag[:4]}00{block}" if is_private(tag) and int(block, 16) >= 0x10 else None


def is_private_creator(tag: str) -> bool:
    """Tell whether a tag names the creator of a private block: (gggg,0010-00FF), gggg odd."""
    return is_private(tag) and tag[4:6] == "00" and int(tag[6:], 16) >= 0x10
