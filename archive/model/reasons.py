"""Why storing failed, or was done with a warning, as coded by the standard.

One table for every face: the HTTP faces put `code` into Failure Reason (0008,1197) or Warning
Reason (0008,1196), the DIMSE face answers it as the status.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table."""

    code: int
    """Status, 16 bits (PS3.7 Annex C, PS3.4 Table B.2-1, PS3.18 Table I.2-1)."""
    meaning: str


# PS3.18 2025e, Table I.2-1 "Store Instances Response Failure Reason Values", and PS3.4 Table B.2-1.
OUT_OF_RESOURCES = Reason(0xA700, "Refused: out of resources")
IDENTIFIER_MISMATCH = Reason(0xA900, "Error: data set does not match SOP class")
CANNOT_UNDERSTAND = Reason(0xC000, "Error: cannot understand")
TRANSFER_SYNTAX_NOT_SUPPORTED = Reason(0xC122, "Referenced transfer syntax not supported")
PROCESSING_FAILURE = Reason(0x0110, "Processing failure")
DUPLICATE_SOP_INSTANCE = Reason(0x0111, "Duplicate SOP instance")
NO_SUCH_ATTRIBUTE = Reason(0x0105, "No such attribute")
INVALID_ATTRIBUTE_VALUE = Reason(0x0106, "Invalid attribute value")
MISSING_ATTRIBUTE = Reason(0x0120, "Missing attribute")
SOP_CLASS_NOT_SUPPORTED = Reason(0x0122, "Referenced SOP class not supported")
NOT_AUTHORISED = Reason(0x0124, "Refused: not authorized")

# PS3.18 2025e, Table I.2-2 "Warning Reason Values".
COERCION_OF_DATA_ELEMENTS = Reason(0xB000, "Coercion of data elements")
ELEMENTS_DISCARDED = Reason(0xB006, "Elements discarded")
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = Reason(0xB007, "Data set does not match SOP class")

FAILURES = (
    OUT_OF_RESOURCES,
    IDENTIFIER_MISMATCH,
    CANNOT_UNDERSTAND,
    TRANSFER_SYNTAX_NOT_SUPPORTED,
    PROCESSING_FAILURE,
    DUPLICATE_SOP_INSTANCE,
    NO_SUCH_ATTRIBUTE,
    INVALID_ATTRIBUTE_VALUE,
    MISSING_ATTRIBUTE,
    SOP_CLASS_NOT_SUPPORTED,
    NOT_AUTHORISED,
)
WARNINGS = (COERCION_OF_DATA_ELEMENTS, ELEMENTS_DISCARDED, DATA_SET_DOES_NOT_MATCH_SOP_CLASS)
