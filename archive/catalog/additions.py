"""What a site may add to search: attributes of PS3.6 that have values to match."""

from archive.catalog.levels import level_of
from archive.model.attribute_paths import is_private, parse_attribute, vr_of
from archive.model.attributes import BY_PATH, IndexedAttribute, Kind

_KINDS = {
    **dict.fromkeys(("AE", "AS", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"), Kind.TEXT),
    **dict.fromkeys(("IS", "SL", "SS", "SV", "UL", "US", "UV"), Kind.NUMBER),
    **dict.fromkeys(("DS", "FD", "FL"), Kind.DECIMAL),
    "PN": Kind.NAME,
    "UI": Kind.UID,
    "DA": Kind.DATE,
    "TM": Kind.TIME,
    "DT": Kind.DATETIME,
}


def site_attribute(text: str) -> IndexedAttribute:
    """Read an attribute of the settings: a keyword or a tag, nested ones joined by dots.

    Raises
    ------
    ValueError
        When it is none, is one already, or has values that nothing could be matched with.
    """
    path = parse_attribute(text)
    if path is None or any(is_private(tag) for tag in path):
        message = f"{text!r} is no attribute of PS3.6"
        raise ValueError(message)
    if path in BY_PATH:
        message = f"{text!r} can be searched by already"
        raise ValueError(message)
    vr = vr_of(path[-1])
    if vr not in _KINDS or any(vr_of(tag) != "SQ" for tag in path[:-1]):
        message = f"{text!r} has no values that a search could match"
        raise ValueError(message)
    key = ".".join(path)
    level = level_of(path[0])
    return IndexedAttribute(key, text, path, vr, level, _KINDS[vr], many=True, site=True)
