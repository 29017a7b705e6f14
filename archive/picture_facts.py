"""What the pictures of an instance hang on, read from its metadata as they are kept (DICOM JSON).

Owns the way from metadata to `rendering.PictureFacts` and to the places of tiles; the metadata come
from the catalog, bulk data by a function of the caller.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive.annotating import captions_of
from archive.model.frames import PixelDescription
from archive.palettes import Palette, read_palette
from archive.rendering import PictureFacts, Scale, windows_of

Metadata = Mapping[str, Any]
"""DICOM JSON: tag → attribute."""
ReadBulkData = Callable[[str], bytes]
"""Attribute path, as behind ``bulkdata/`` → bytes, little endian."""

_OPTICAL_PATHS, _ICC_PROFILE = "00480105", "00282000"
_SHARED = "52009229"
_FRAME_VOI, _TRANSFORMATION = "00289132", "00289145"
_DESCRIPTORS = ("00281101", "00281102", "00281103")
_TABLES = ("00281201", "00281202", "00281203")
_SEGMENTED = ("00281221", "00281222", "00281223")


@dataclass(frozen=True, slots=True)
class TileGrid:
    """How the frames of a tiled instance make one image (PS3.3 §C.7.6.17.3)."""

    rows: int
    """Of the total pixel matrix."""
    columns: int
    full: bool
    """TILED_FULL: frames go along the rows of tiles, plane after plane, path after path."""
    first: int = 0
    """Frames of the image before the first of this instance: it is a part of a concatenation
    (PS3.3 §C.7.6.16.2.2.4)."""


def picture_facts(
    metadata: Metadata,
    pixels: PixelDescription,
    transfer_syntax_uid: str,
    read_bulk_data: ReadBulkData,
) -> PictureFacts:
    """Read what pictures hang on.

    Windows and rescaling are taken from the data set or the shared functional groups; those that
    differ by frame are `frame_scales`'.
    """
    scale = _scale(_item(metadata, _SHARED), metadata, pixels)
    palette = None
    if pixels.photometric_interpretation == "PALETTE COLOR":
        palette = _palette(metadata, read_bulk_data)
    return PictureFacts(
        pixels=pixels,
        transfer_syntax_uid=transfer_syntax_uid,
        icc_profile=_icc_profile(metadata, read_bulk_data),
        window=scale.window,
        rescale_slope=scale.rescale_slope,
        rescale_intercept=scale.rescale_intercept,
        palette=palette,
        inverted=_values(metadata, "20500020") == ["INVERSE"],
        captions=captions_of(metadata),
        representative_frame=_representative_frame(metadata, pixels.number_of_frames),
        frame_milliseconds=_frame_milliseconds(metadata),
        identifying=_is_identifying(metadata),
    )


def frame_scales(
    metadata: Metadata, per_frame: Sequence[Metadata], pixels: PixelDescription
) -> tuple[Scale, ...]:
    """Give the scale of each frame from its functional groups; none where they have none."""
    if not any(_FRAME_VOI in item or _TRANSFORMATION in item for item in per_frame):
        return ()
    shared = _item(metadata, _SHARED)
    return tuple(_scale({**shared, **item}, metadata, pixels) for item in per_frame)


def _scale(groups: Metadata, metadata: Metadata, pixels: PixelDescription) -> Scale:
    """Read window and rescaling from functional groups, else from the data set."""
    voi = _item(groups, _FRAME_VOI) or metadata
    rescale = _item(groups, _TRANSFORMATION) or metadata
    # LINEAR counts in whole steps (PS3.3 §C.11.2.1.2.1), which floats do not have: the common
    # window of 0 to 1 would show two colours. A deviation, for float pixel data only.
    shapes = _values(voi, "00281056")
    if pixels.keyword != "PixelData" and shapes in ([], ["LINEAR"]):
        shapes = ["LINEAR_EXACT"]
    return Scale(
        windows_of(
            _numbers(voi, "00281050"), _numbers(voi, "00281051"), shapes[0] if shapes else None
        ),
        _number(rescale, "00281053", 1.0) or 1.0,
        _number(rescale, "00281052", 0.0),
    )


def tile_grid(metadata: Metadata) -> TileGrid | None:
    """Give the grid of a tiled instance; None for an instance that is not tiled."""
    columns, rows = _number(metadata, "00480006", 0), _number(metadata, "00480007", 0)
    if columns < 1 or rows < 1:
        return None
    full = _values(metadata, "00209311") == ["TILED_FULL"]
    return TileGrid(int(rows), int(columns), full, int(_number(metadata, "00209228", 0)))


def tile_places(per_frame: Sequence[Metadata]) -> NDArray[np.int64] | None:
    """Give where each frame lies, from the items of the per-frame functional groups.

    Frames of another optical path than that of the first one are no part of the picture.

    Returns
    -------
    (frames, 2) int64 or None
        Row and column of the upper left pixel, zero-based, -1 for those that are left out; None
        where places are not told.
    """
    places = []
    first_path = _optical_path(per_frame[0]) if per_frame else None
    for item in per_frame:
        position = _item(item, "0048021A")
        column, row = _number(position, "0048021E", 0), _number(position, "0048021F", 0)
        if column < 1 or row < 1:
            return None
        seen = _optical_path(item) == first_path
        places.append((int(row) - 1, int(column) - 1) if seen else (-1, -1))
    return np.array(places, np.int64) if places else None


def _optical_path(item: Metadata) -> Any:  # noqa: ANN401 - JSON
    """Give the Optical Path Identifier of a frame (PS3.3 §C.8.12.6.1)."""
    values = _values(_item(item, "00480207"), "00480106")
    return values[0] if values else None


def _representative_frame(metadata: Metadata, frames: int) -> int:
    """Give Representative Frame Number (PS3.3 §C.7.6.6), else the one in the middle."""
    named = int(_number(metadata, "00286010", 0))
    return named if 1 <= named <= frames else (frames + 1) // 2


def _frame_milliseconds(metadata: Metadata) -> float | None:
    """Give how long a frame lasts: Frame Time, else by a rate (PS3.3 §C.7.6.5)."""
    time = _number(metadata, "00181063", 0)
    if time > 0:
        return time
    rate = _number(metadata, "00082144", 0) or _number(metadata, "00180040", 0)
    return 1000 / rate if rate > 0 else None


def _is_identifying(metadata: Metadata) -> bool:
    """Tell by Image Type, Burned In Annotation and Specimen Label in Image."""
    kinds = _values(metadata, "00080008")
    label = len(kinds) > 2 and kinds[2] == "LABEL"
    return label or any(_values(metadata, tag) == ["YES"] for tag in ("00280301", "00480010"))


def _icc_profile(metadata: Metadata, read: ReadBulkData) -> bytes | None:
    """Give the profile of the first optical path, or of the image itself (PS3.3 §C.11.15)."""
    inside = _item(metadata, _OPTICAL_PATHS).get(_ICC_PROFILE)
    if inside is not None:
        return _binary(inside, f"{_OPTICAL_PATHS}/0/{_ICC_PROFILE}", read)
    return _binary(metadata.get(_ICC_PROFILE), _ICC_PROFILE, read)


def _binary(attribute: Metadata | None, path: str, read: ReadBulkData) -> bytes | None:
    if attribute is None:
        return None
    if "InlineBinary" in attribute:
        return base64.b64decode(attribute["InlineBinary"])
    if "BulkDataURI" in attribute:
        return read(path)
    return None


def _palette(metadata: Metadata, read: ReadBulkData) -> Palette | None:
    def binary(tag: str) -> bytes | None:
        return _binary(metadata.get(tag), tag, read)

    return read_palette(
        [_numbers(metadata, tag) for tag in _DESCRIPTORS],
        [binary(tag) for tag in _TABLES],
        [partial(binary, tag) for tag in _SEGMENTED],
    )


def _item(metadata: Metadata, tag: str) -> Metadata:
    values = metadata.get(tag, {}).get("Value") or [{}]
    item: Metadata = values[0] or {}
    return item


def _values(metadata: Metadata, tag: str) -> list[Any]:
    return list(metadata.get(tag, {}).get("Value", []))


def _numbers(metadata: Metadata, tag: str) -> list[float]:
    numbers = []
    for value in _values(metadata, tag):
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            return []
    return numbers


def _number(metadata: Metadata, tag: str, default: float) -> float:
    numbers = _numbers(metadata, tag)
    return numbers[0] if numbers else default
