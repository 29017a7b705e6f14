"""What both directions share: names of the model and of its elements (PS3.19 §A.1)."""

from collections.abc import Mapping
from typing import Any

Attributes = Mapping[str, Mapping[str, Any]]
"""A data set or item in the DICOM JSON Model, decoded."""

MEDIA_TYPE = "application/dicom+xml"
NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
"""Component groups of a person's name (PS3.5 §6.2.1.2)."""
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
"""Components of each group, in their order."""
