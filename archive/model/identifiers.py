"""Unique identifiers and the paths they make (PS3.5 §9, PS3.18 §10.1).

Owns the syntax of UIDs; whether a UID is known here is the catalog's business.
"""

import re
from dataclasses import dataclass
from typing import NewType

from archive.errors import MalformedIdentifier

StudyUid = NewType("StudyUid", str)
SeriesUid = NewType("SeriesUid", str)
InstanceUid = NewType("InstanceUid", str)

MAXIMUM_UID_LENGTH = 64
"""Characters (PS3.5 §9.1)."""

# Components with leading zeros are not legal (PS3.5 §9.1) but stand in stored objects all over the
# field; refusing them would lose those objects, so only length and characters are held to.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def parse_uid(text: str) -> str:
    """Give `text` back when it is a UID (PS3.5 §9.1).

    Raises
    ------
    MalformedIdentifier
        When it is too long, empty, or holds anything but digits and single dots between them.
    """
    if len(text) > MAXIMUM_UID_LENGTH or _UID.fullmatch(text) is None:
        raise MalformedIdentifier(text)
    return text


@dataclass(frozen=True, slots=True)
class InstancePath:
    """Where one SOP instance stands: study, series, instance (PS3.18 §10.1.1)."""

    study: StudyUid
    series: SeriesUid
    instance: InstanceUid

    @classmethod
    def parse(cls, study: str, series: str, instance: str) -> "InstancePath":
        """Make a path of three texts; raises `MalformedIdentifier` on the first that is no UID."""
        return cls(
            StudyUid(parse_uid(study)),
            SeriesUid(parse_uid(series)),
            InstanceUid(parse_uid(instance)),
        )


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """A study, a series of it, or an instance of that: the resources of PS3.18 §10.1.1.

    A deeper identifier is only given together with those above it.
    """

    study: StudyUid
    series: SeriesUid | None = None
    instance: InstanceUid | None = None

    @classmethod
    def parse(
        cls, study: str, series: str | None = None, instance: str | None = None
    ) -> "ResourcePath":
        """Make a path of one to three texts; raises `MalformedIdentifier`."""
        return cls(
            StudyUid(parse_uid(study)),
            None if series is None else SeriesUid(parse_uid(series)),
            None if instance is None else InstanceUid(parse_uid(instance)),
        )
