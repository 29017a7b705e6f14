"""UIDs derived from what they name, so that a second run gives the same instances.

Every UID is ``2.25.`` and the decimal form of a version 5 UUID (PS3.5 §B.2). Two conversions of
the same bytes with the same case data and the same `SETTINGS_VERSION` agree on all of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from conversion.manifest import Role
    from conversion.request import ConversionRequest

#: Raise this whenever the bytes of a result change for an unchanged source: the archive refuses
#: other bytes under a UID it holds, so the UIDs must change with them.
SETTINGS_VERSION = 1

_NAMESPACE = UUID("6a5e2f0c-3f1b-5d0e-9a67-0c2b7d9e4c11")

#: Names this implementation in the File Meta Information (PS3.7 §D.3.3.2).
IMPLEMENTATION_CLASS_UID = "2.25.141327436236826347583211394532165417233"
IMPLEMENTATION_VERSION_NAME = f"COVERSLIP_{SETTINGS_VERSION}"


def derived_uid(*parts: str | int | None) -> str:
    """Return the UID that stands for `parts`."""
    name = json.dumps(parts, ensure_ascii=True)
    return f"2.25.{uuid5(_NAMESPACE, name).int}"


@dataclass(frozen=True, slots=True)
class SlideUids:
    """The UIDs of one converted slide.

    Parameters
    ----------
    source_sha256
        Of the slide file, hexadecimal.
    request
        Its case data are part of what the instances are.
    """

    source_sha256: str
    request: ConversionRequest

    @property
    def study(self) -> str:
        """Study Instance UID: slides of one patient's case meet in one study."""
        given = self.request
        if given.study_uid:
            return given.study_uid
        if given.accession or given.case_id:
            return derived_uid("study", given.patient_id, given.accession, given.case_id)
        return self._of("study")

    @property
    def series(self) -> str:
        """Series Instance UID."""
        return self._of("series")

    @property
    def frame_of_reference(self) -> str:
        """Frame of Reference UID, shared by all instances."""
        return self._of("frame of reference")

    @property
    def pyramid(self) -> str:
        """Pyramid UID, shared by all levels and the thumbnail (PS3.3 §C.8.12.14)."""
        return self._of("pyramid")

    @property
    def dimension_organization(self) -> str:
        """Dimension Organization UID."""
        return self._of("dimension organization")

    def instance(self, role: Role, level: int | None) -> str:
        """SOP Instance UID of the image with this role and zero-based level."""
        return self._of("instance", role.value, level)

    def specimen(self, identifier: str) -> str:
        """Specimen UID: the same specimen on two slides of a case has one (PS3.3 §C.7.6.22)."""
        given = self.request
        if given.accession or given.case_id:
            case = (given.patient_id, given.accession, given.case_id)
            return derived_uid("specimen", *case, identifier)
        return self._of("specimen", identifier)

    def _of(self, kind: str, *parts: str | int | None) -> str:
        return derived_uid(
            kind, SETTINGS_VERSION, self.source_sha256, self.request.digest(), *parts
        )
