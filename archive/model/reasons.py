"""Why storing failed, or was done with a warning, as coded by the standard.

One table for every face: the HTTP faces put `code` into Failure Reason (0008,1197) or Warning
Reason (0008,1196), the DIMSE face answers it as the status. Every row can be reached, and a test
shows each.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table."""

    code: int
    """Status, 16 bits."""
    meaning: str


# PS3.18 2024c, Table I.2-2 "Store Instances Response Failure Reason Values". Where the table has a
# range of codes (A7xx, A9xx, Cxxx), the first one has its meaning and others are more particular.
OUT_OF_RESOURCES = Reason(0xA700, "Refused out of Resources")
DOES_NOT_MATCH_SOP_CLASS = Reason(0xA900, "Error: Data Set does not match SOP Class")
OF_ANOTHER_STUDY = Reason(
    0xA901, "Error: Data Set does not match SOP Class: the instance is of another study"
)
CANNOT_UNDERSTAND = Reason(0xC000, "Error: Cannot understand")
TRANSFER_SYNTAX_NOT_SUPPORTED = Reason(0xC122, "Referenced Transfer Syntax not supported")
PROCESSING_FAILURE = Reason(0x0110, "Processing failure")
SOP_CLASS_NOT_SUPPORTED = Reason(0x0122, "Referenced SOP Class not supported")

# "Additional codes may be used" (PS3.18 §I.2.2): these mean what PS3.7 Annex C has them mean.
INVALID_ATTRIBUTE_VALUE = Reason(0x0106, "Invalid attribute value")
DUPLICATE_SOP_INSTANCE = Reason(0x0111, "Duplicate SOP Instance")
MISSING_ATTRIBUTE = Reason(0x0120, "Missing attribute")

# PS3.18 2024c, Table I.2-1 "Store Instances Response Warning Reason Values", of which two are never
# given: nothing is coerced (B000) and nothing discarded (B006), for what is stored never changes.
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = Reason(0xB007, "Data Set does not match SOP Class")

# "Additional codes may be used" (PS3.18 §I.2.1): one of the warnings that are left to us.
CONFLICTS_WITH_STORED = Reason(0xB100, "Study or series conflicts with what is stored")

FAILURES = (
    OUT_OF_RESOURCES,
    DOES_NOT_MATCH_SOP_CLASS,
    OF_ANOTHER_STUDY,
    CANNOT_UNDERSTAND,
    TRANSFER_SYNTAX_NOT_SUPPORTED,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    INVALID_ATTRIBUTE_VALUE,
    DUPLICATE_SOP_INSTANCE,
    MISSING_ATTRIBUTE,
)
WARNINGS = (DATA_SET_DOES_NOT_MATCH_SOP_CLASS, CONFLICTS_WITH_STORED)
