"""What came out of a conversion, as values and as JSON.

The manifest is the only thing the archive reads of a conversion's result beside the files
themselves. It is as deterministic as they are: it holds no clock and no path of this machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """What an instance shows; the values are Image Type Value 3 (PS3.3 §C.8.12.4.1.1)."""

    VOLUME = "VOLUME"
    THUMBNAIL = "THUMBNAIL"
    OVERVIEW = "OVERVIEW"
    LABEL = "LABEL"


class Route(StrEnum):
    """How the pixels came from the source into the instance."""

    PASSED_THROUGH = "passed-through"  # the entropy-coded data are the source's, bit for bit
    REARRANGED = "rearranged"  # JPEG coefficients are the source's, coded anew in other tiles
    ENCODED = "encoded"  # decoded, and stored again without loss


@dataclass(frozen=True, slots=True)
class ManifestInstance:
    """One instance that was written.

    Attributes
    ----------
    path
        File name, relative to the output folder.
    level
        Zero-based pyramid level for a VOLUME, else None.
    columns, rows
        Total pixel matrix in pixels.
    size
        Bytes of the file.
    route
        How the pixels got there.
    """

    role: Role
    level: int | None
    sop_class_uid: str
    study_uid: str
    series_uid: str
    instance_uid: str
    path: str
    size: int
    sha256: str
    columns: int
    rows: int
    tile_columns: int
    tile_rows: int
    frames: int
    transfer_syntax_uid: str
    photometric_interpretation: str
    route: Route


@dataclass(frozen=True, slots=True)
class Manifest:
    """What came out of one slide.

    Attributes
    ----------
    source_sha256, source_size
        Of the slide file; hexadecimal, bytes.
    format
        The source's format in words, for instance ``Aperio SVS``.
    settings_version
        Version of the rules by which bytes are made; another version gives other UIDs.
    tools
        Library → version, of everything that touched the bytes.
    warnings
        What a person should know: values that were missing, tiles that were replaced.
    """

    source_sha256: str
    source_size: int
    format: str
    settings_version: int
    tools: dict[str, str]
    study_uid: str
    series_uid: str
    instances: tuple[ManifestInstance, ...]
    warnings: tuple[str, ...] = ()

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the manifest as JSON, keys in a fixed order."""
        return json.dumps(asdict(self), indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Return the manifest that `to_json` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is not one.
        """
        return cls.from_document(json.loads(text))

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Manifest:
        """Return the manifest from its parsed JSON; errors as for `from_json`."""
        instances = tuple(
            ManifestInstance(**{**item, "role": Role(item["role"]), "route": Route(item["route"])})
            for item in document["instances"]
        )
        return cls(**{**document, "instances": instances, "warnings": tuple(document["warnings"])})
