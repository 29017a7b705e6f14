"""What the caller knows about a slide and wants done: case data and options.

A request crosses into the child process as JSON. What is not known stays `None`; nothing is
invented for it. Case data are part of what an instance is: the same file with the same case data
gives the same UIDs and the same bytes, other case data gives other instances.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from conversion.errors import MalformedRequest

_DATE = re.compile(r"\d{8}")  # PS3.5 §6.2, VR DA
_TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")  # PS3.5 §6.2, VR TM
_UID = re.compile(r"(?=.{1,64}\Z)(0|[1-9]\d*)(\.(0|[1-9]\d*))+")  # PS3.5 §9.1
_SEX = ("M", "F", "O")
_CHECKS = ("quick", "full")
#: Longest value of each text field, by the VR it is written with (PS3.5 §6.2).
_LONGEST = {
    "case_id": 16,
    "accession": 16,
    "patient_id": 64,
    "patient_name": 324,
    "container_id": 64,
    "study_description": 64,
    "stain": 64,
}
_FIELDS_WITHOUT_MEANING_FOR_THE_BYTES = ("check", "source_sha256")


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """Case data and options of one conversion.

    Attributes
    ----------
    case_id
        The laboratory's case number, written as Study ID.
    accession
        Accession Number of the order.
    study_uid
        Study Instance UID to use; else it is derived from patient, accession and case, or, where
        none is given, from the source's hash.
    patient_id, patient_name, patient_birth_date, patient_sex
        PS3.3 §C.7.1.1; the date as YYYYMMDD, the sex as M, F or O, the name with carets.
    study_date, study_time, study_description
        PS3.3 §C.7.2.1; left empty when not given, never taken from a clock.
    container_id, specimen_ids
        The slide's identifier and those of the specimens on it, PS3.3 §C.7.6.22.
    stain
        Name of the stain, for instance ``H&E``.
    micrometres_per_pixel
        Pixel spacing of the base level in µm; stands above what the file says.
    check
        ``quick`` looks at every tile's start, header and end, ``full`` decodes every JPEG tile.
    source_sha256
        The source's SHA-256 in hexadecimal, if it was computed while the file was received; it
        is then not computed again.
    """

    case_id: str | None = None
    accession: str | None = None
    study_uid: str | None = None
    patient_id: str | None = None
    patient_name: str | None = None
    patient_birth_date: str | None = None
    patient_sex: str | None = None
    study_date: str | None = None
    study_time: str | None = None
    study_description: str | None = None
    container_id: str | None = None
    specimen_ids: tuple[str, ...] = ()
    stain: str | None = None
    micrometres_per_pixel: float | None = None
    check: str = "quick"
    source_sha256: str | None = None

    def __post_init__(self) -> None:
        for name, longest in _LONGEST.items():
            _require_text(name, getattr(self, name), longest)
        for specimen in self.specimen_ids:
            _require_text("specimen_ids", specimen, 64)
        _require_match("patient_birth_date", self.patient_birth_date, _DATE)
        _require_match("study_date", self.study_date, _DATE)
        _require_match("study_time", self.study_time, _TIME)
        _require_match("study_uid", self.study_uid, _UID)
        _require_match("source_sha256", self.source_sha256, re.compile(r"[0-9a-f]{64}"))
        if self.patient_sex is not None and self.patient_sex not in _SEX:
            raise MalformedRequest("patient_sex must be M, F or O", field="patient_sex")
        if self.check not in _CHECKS:
            raise MalformedRequest("check must be quick or full", field="check")
        spacing = self.micrometres_per_pixel
        if spacing is not None and not 0.001 <= spacing <= 1000:
            raise MalformedRequest(
                "micrometres_per_pixel must lie between 0.001 and 1000",
                field="micrometres_per_pixel",
            )

    def to_json(self) -> str:
        """Return the request as one line of JSON, for the child process."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ConversionRequest:
        """Return the request that `to_json` wrote.

        Raises
        ------
        MalformedRequest
            Not JSON, an unknown field, or a value of the wrong kind.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise MalformedRequest("the request is not JSON") from error
        if not isinstance(document, dict):
            raise MalformedRequest("the request is not a JSON object")
        unknown = sorted(set(document) - {field.name for field in fields(cls)})
        if unknown:
            raise MalformedRequest(f"the request has unknown fields: {', '.join(unknown)}")
        return cls(**_checked(document))

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of everything here that changes the result."""
        document = asdict(self)
        for name in _FIELDS_WITHOUT_MEANING_FOR_THE_BYTES:
            del document[name]
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _checked(document: dict[str, Any]) -> dict[str, Any]:
    values = dict(document)
    specimens = values.pop("specimen_ids", ())
    if not isinstance(specimens, list | tuple) or not all(isinstance(s, str) for s in specimens):
        raise MalformedRequest("specimen_ids must be a list of texts", field="specimen_ids")
    spacing = values.pop("micrometres_per_pixel", None)
    if spacing is not None and (isinstance(spacing, bool) or not isinstance(spacing, int | float)):
        raise MalformedRequest(
            "micrometres_per_pixel must be a number", field="micrometres_per_pixel"
        )
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise MalformedRequest(f"{name} must be a text", field=name)
    return {**values, "specimen_ids": tuple(specimens), "micrometres_per_pixel": spacing}


def _require_text(name: str, value: str | None, longest: int) -> None:
    if value is None:
        return
    if not value.strip():
        raise MalformedRequest(f"{name} is empty; leave it out instead", field=name)
    if len(value) > longest:
        raise MalformedRequest(f"{name} is longer than {longest} characters", field=name)
    if "\\" in value or any(ord(character) < 32 for character in value):
        raise MalformedRequest(f"{name} holds a backslash or control character", field=name)


def _require_match(name: str, value: str | None, pattern: re.Pattern[str]) -> None:
    if value is not None and not pattern.fullmatch(value):
        raise MalformedRequest(f"{name} is not of the right form", field=name)
