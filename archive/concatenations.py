"""Concatenations as one: the instance that was cut into parts, put together again for readers.

PS3.3 §C.7.6.16.1: a large image may be sent as several instances that share a Concatenation UID
and name the SOP Instance UID of the Concatenation Source. Each part is an instance and is served as
one. Where the source itself is not stored but all of its parts are, its UID leads to them joined:
its metadata, its frames numbered through, its pictures. It is no file, so it is not sent as one.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import orjson

from archive.errors import FrameNotFound
from archive.model.identifiers import InstancePath
from archive.model.instances import BlobKey, StoredInstance

_FIRST, _TOTAL, _NUMBER = "00209228", "00209163", "00209162"
_OF_PARTS = ("00200242", "00209161", _NUMBER, _TOTAL, _FIRST)
"""What only parts have: source, Concatenation UID, number, total, frames before."""
_SOP_INSTANCE_UID, _NUMBER_OF_FRAMES = "00080018", "00280008"
_PER_FRAME = "52009230"
_OPENING, _CLOSING = b'{"vr":"SQ","Value":[', b"]}"
_ITEM_URI = re.compile(rb'("BulkDataURI":"/?bulkdata/52009230/)(\d+)')


@dataclass(frozen=True, slots=True)
class JoinedInstance(StoredInstance):
    """The source of a concatenation: no blob of its own, and the parts in their order."""

    parts: tuple[StoredInstance, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One part, and the header of its metadata (DICOM JSON)."""

    instance: StoredInstance
    header: Mapping[str, Any]

    @property
    def first(self) -> int:
        """Frames of the source before the first of this part."""
        return _number(self.header, _FIRST, -1)


def joined(path: InstancePath, parts: Sequence[Part]) -> JoinedInstance | None:
    """Join the parts of a source.

    Returns
    -------
    JoinedInstance or None
        None where a part is missing, or where parts are not alike. One-bit frames that do not
        begin on a byte are not joined either: where they lie hangs on their number.
    """
    ordered = sorted(parts, key=lambda part: part.first)
    if not ordered or any(part.instance.pixels is None for part in ordered):
        return None
    expected = 0
    for part in ordered:
        if part.first != expected:
            return None
        expected += _frames(part.instance)
    totals = {_number(part.header, _TOTAL, 0) for part in ordered} - {0}
    if totals and totals != {len(ordered)}:
        return None
    first = ordered[0].instance
    for one, other in pairwise(part.instance for part in ordered):
        if not _alike(one, other):
            return None
    pixels = first.pixels
    if pixels is None or (pixels.bits_allocated == 1 and pixels.native_frame_bits % 8):
        return None
    digest = hashlib.sha256("".join(part.instance.sha256 for part in ordered).encode()).hexdigest()
    return JoinedInstance(
        path=path,
        sop_class_uid=first.sop_class_uid,
        transfer_syntax_uid=first.transfer_syntax_uid,
        blob_key=BlobKey(f"joined-{digest}"),
        size=sum(part.instance.size for part in ordered),
        sha256=digest,
        stored_at=max(part.instance.stored_at for part in ordered),
        pixels=replace(pixels, number_of_frames=expected),
        frame_index=None,
        parts=tuple(part.instance for part in ordered),
    )


def part_of(instance: JoinedInstance, number: int) -> tuple[StoredInstance, int]:
    """Give the part that a frame lies in, and its number there; raises `FrameNotFound`."""
    left = number
    for part in instance.parts:
        frames = _frames(part)
        if 1 <= left <= frames:
            return part, left
        left -= frames
    raise FrameNotFound(number, sum(map(_frames, instance.parts)))


def bulk_data_of(instance: JoinedInstance, attribute_path: str) -> tuple[StoredInstance, str]:
    """Give the part that has a bulk data value, and its attribute path there."""
    steps = attribute_path.split("/", 2)
    if steps[0] != _PER_FRAME or len(steps) < 3 or not steps[1].isdigit() or len(steps[1]) > 9:
        return instance.parts[0], attribute_path
    part, number = part_of(instance, int(steps[1]) + 1)
    return part, f"{_PER_FRAME}/{number - 1}/{steps[2]}"


def joined_header(instance: JoinedInstance, header_gz: bytes) -> bytes:
    """Make the header of the source from that of its first part, both gzip'd."""
    header = orjson.loads(zlib.decompress(header_gz, zlib.MAX_WBITS | 16))
    kept = {tag: value for tag, value in header.items() if tag not in _OF_PARTS}
    frames = sum(map(_frames, instance.parts))
    kept[_SOP_INSTANCE_UID] = {"vr": "UI", "Value": [instance.path.instance]}
    kept[_NUMBER_OF_FRAMES] = {"vr": "IS", "Value": [frames]}
    return gzip.compress(orjson.dumps(dict(sorted(kept.items()))), 1)


def joined_per_frame(
    instance: JoinedInstance, per_frame_gz: Sequence[bytes | None]
) -> bytes | None:
    """Put the per-frame functional groups of all parts together, gzip'd; None without any."""
    items, before = [], 0
    for part, compressed in zip(instance.parts, per_frame_gz, strict=True):
        if compressed is not None:
            text = zlib.decompress(compressed, zlib.MAX_WBITS | 16)
            if text.startswith(_OPENING) and text.endswith(_CLOSING):
                items.append(_renumbered(text[len(_OPENING) : -len(_CLOSING)], before))
        before += _frames(part)
    if not items:
        return None
    return gzip.compress(_OPENING + b",".join(items) + _CLOSING, 1)


def _renumbered(text: bytes, before: int) -> bytes:
    """Count the items that bulk data URIs name from the first frame of the source on."""
    if before == 0:
        return text
    return _ITEM_URI.sub(lambda found: found[1] + b"%d" % (int(found[2]) + before), text)


def _alike(one: StoredInstance, other: StoredInstance) -> bool:
    if one.pixels is None or other.pixels is None:
        return False
    same = replace(one.pixels, number_of_frames=0) == replace(other.pixels, number_of_frames=0)
    return (
        same
        and one.transfer_syntax_uid == other.transfer_syntax_uid
        and one.sop_class_uid == other.sop_class_uid
    )


def _frames(instance: StoredInstance) -> int:
    return 0 if instance.pixels is None else instance.pixels.number_of_frames


def _number(header: Mapping[str, Any], tag: str, default: int) -> int:
    values = header.get(tag, {}).get("Value") or [default]
    try:
        return int(values[0])
    except (TypeError, ValueError):
        return default
