"""Which attributes belong to which level, and which of them a search returns unasked.

An attribute belongs to the information entity that its module describes (PS3.3 §A.1.2); what is not
named here belongs to the instance.
"""

from archive.model.attributes import INDEXED, Level

# PS3.3 2025e, Tables C.7-1 (Patient), C.7-3 (General Study), C.7-4a (Patient Study), and the
# clinical trial modules at these levels (Tables C.7-2b, C.7-4b).
STUDY_TAGS = frozenset(
    {
        "00080020", "00080030", "00080050", "00080051", "00080090", "0008009C", "00081030",
        "00081032", "00081040", "00081048", "00081049", "00081060", "00081062", "00081110",
        "00081120", "00081080", "00081084", "00100010", "00100020", "00100021", "00100022",
        "00100024", "00100026", "00100027", "00100028", "00100030", "00100032", "00100033",
        "00100034", "00100035", "00100040", "00100050", "00100101", "00100200", "00100212",
        "00100213", "00100214", "00100215", "00100216", "00100217", "00100218", "00100219",
        "00100221", "00100222", "00100223", "00101000", "00101001", "00101002", "00101010",
        "00101020", "00101021", "00101022", "00101023", "00101024", "00101030", "00101100",
        "00102000", "00102110", "00102160", "00102180", "001021A0", "001021B0", "001021C0",
        "001021D0", "001021F0", "00102201", "00102202", "00102203", "00102292", "00102293",
        "00102294", "00102295", "00102296", "00102297", "00102298", "00102299", "00104000",
        "00120010", "00120020", "00120021", "00120030", "00120031", "00120040", "00120042",
        "00120050", "00120051", "00120062", "00120063", "00120064", "0020000D", "00200010",
        "00321032", "00321033", "00321034", "00321060", "00321064", "00380010", "00380014",
        "00380060", "00380062", "00380064", "00380500", "00401012", "00402016",
    }
)  # fmt: skip

# PS3.3 2025e, Tables C.7-5a (General Series), C.7-5b (Clinical Trial Series), C.7-6 (Frame of
# Reference), C.7-8 (General Equipment), C.7.6.22-1 (Specimen: see `model.attributes`).
SERIES_TAGS = frozenset(
    {
        "00080021", "00080031", "00080060", "00080068", "00080070", "00080080", "00080081",
        "00080082", "0008103E", "0008103F", "00081010", "00081041", "00081050", "00081052",
        "00081070", "00081072", "00081090", "00081111", "00081250", "00120060", "00120071",
        "00120072", "00180015", "00181000", "00181002", "00181008", "00181020", "00181030",
        "00181050", "00181200", "00181201", "00185100", "0020000E", "00200011", "00200052",
        "00200060", "00201040", "00280108", "00280109", "00280120", "00400244", "00400245",
        "00400250", "00400251", "00400253", "00400254", "00400260", "00400275", "00400280",
        "00400512", "00400513", "00400515", "00400518", "00400520", "00400560", "00402017",
    }
)  # fmt: skip

TIMEZONE = "00080201"
"""Timezone Offset From UTC: of the instance by its module, returned at every level."""
SPECIMEN_TAGS = frozenset({"00400512", "00400560"})
"""Container and specimens: kept with the series, and with the instance, which may differ."""

TRIMMED: dict[str, frozenset[str]] = {
    "00480105": frozenset({"00220016", "00220055", "00480106", "00480107", "00480108"})
}
"""Sequences of which a row keeps no more than what tells its items apart: of an optical path its
identifier, description, illumination type, wavelength and colour, without profile and tables."""

# PS3.18 2025e, Tables 10.6.3-3 to 10.6.3-5: what is required is returned without a value too.
REQUIRED: dict[Level, frozenset[str]] = {
    Level.STUDY: frozenset(
        {
            "00080020", "00080030", "00080050", "00080061", "00080090", "00100010", "00100020",
            "00100030", "00100040", "0020000D", "00200010", "00201206", "00201208",
        }
    ),
    Level.SERIES: frozenset({"00080060", "0020000E", "00200011", "00201209"}),
    Level.INSTANCE: frozenset({"00080016", "00080018", "00200013"}),
}  # fmt: skip

RETURNED: dict[Level, frozenset[str]] = {
    level: frozenset(a.tag for a in INDEXED if a.level is level and a.returned)
    | REQUIRED[level]
    | {TIMEZONE}
    for level in Level
}
RETURNED[Level.INSTANCE] |= SPECIMEN_TAGS | TRIMMED.keys()

KEPT: dict[Level, frozenset[str]] = {
    Level.STUDY: STUDY_TAGS | {TIMEZONE},
    Level.SERIES: SERIES_TAGS | {TIMEZONE},
    Level.INSTANCE: RETURNED[Level.INSTANCE],
}
"""What the rows of a level keep as DICOM JSON."""

VR_WHEN_EMPTY = {
    "00080020": "DA", "00080030": "TM", "00080050": "SH", "00080061": "CS", "00080090": "PN",
    "00100010": "PN", "00100020": "LO", "00100030": "DA", "00100040": "CS", "00200010": "SH",
    "00080060": "CS", "00200011": "IS", "00200013": "IS",
}  # fmt: skip


def level_of(tag: str) -> Level:
    """Tell at which level an attribute is (eight upper-case hexadecimal digits)."""
    if tag in STUDY_TAGS or tag in {"00080061", "00080062", "00201206", "00201208"}:
        return Level.STUDY
    if tag in SERIES_TAGS or tag == "00201209":
        return Level.SERIES
    return Level.INSTANCE
