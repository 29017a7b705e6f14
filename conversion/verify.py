"""Looking at what was written with other eyes, before anybody is told of success.

Reads each file back with pydicom's own parser, which shares no code with the writer, checks its
geometry, and compares every frame that was passed through with the source, read once more.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.encaps import generate_frames

from conversion.errors import VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from pydicom.dataset import FileDataset

    from conversion.sources.slide import Buffer, Picture


def verify_instance(path: Path, picture: Picture, progress: Callable[[int], None]) -> None:
    """Check one written file against the picture it was made from.

    Parameters
    ----------
    progress
        Called with the number of pixel bytes compared since the last call.

    Raises
    ------
    VerificationFailed
        The geometry, the number of frames or any passed-through byte differs.
    """
    with path.open("rb") as file:
        dataset = dcmread(file, stop_before_pixels=True)
        _check_geometry(dataset, picture)
        if picture.frames.format.encapsulated:
            _check_frames(file, dataset, picture, progress)
        else:
            _check_native(file, picture)


def _check_geometry(dataset: FileDataset, picture: Picture) -> None:
    across = -(-picture.columns // picture.tile_columns)
    down = -(-picture.rows // picture.tile_rows)
    for keyword, expected in (
        ("TotalPixelMatrixColumns", picture.columns),
        ("TotalPixelMatrixRows", picture.rows),
        ("Columns", picture.tile_columns),
        ("Rows", picture.tile_rows),
        ("NumberOfFrames", across * down),
        ("SamplesPerPixel", picture.frames.format.samples),
        ("PhotometricInterpretation", picture.frames.format.photometric),
    ):
        if dataset.get(keyword) != expected:
            raise VerificationFailed(
                f"{keyword} of the result is {dataset.get(keyword)} instead of {expected}",
                attribute=keyword,
            )


def _check_frames(
    file: BinaryIO, dataset: FileDataset, picture: Picture, progress: Callable[[int], None]
) -> None:
    file.seek(12, 1)  # tag, VR, reserved bytes and length of Pixel Data
    extended = None
    if "ExtendedOffsetTable" in dataset:
        extended = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    stored = generate_frames(
        file, number_of_frames=dataset.NumberOfFrames, extended_offsets=extended
    )
    source = picture.frames.source_data()
    if source is None:
        if sum(1 for _ in stored) != picture.frames.count:
            raise VerificationFailed("the result does not hold as many frames as it says")
        return
    for number, (frame, runs) in enumerate(zip_longest(stored, source), start=1):
        if frame is None or runs is None or not _holds(frame, runs):
            raise VerificationFailed(
                f"frame {number} of the {picture.role.value.lower()} does not equal the source's",
                frame=number,
            )
        progress(len(frame))


def _holds(frame: bytes, runs: Sequence[Buffer]) -> bool:
    """Whether the frame ends in the runs, one after another, with two-byte markers between."""
    end = len(frame)
    if len(runs) == 1 or not runs:
        expected = bytes(runs[0]) if runs else b""
        return frame.endswith((expected, expected + b"\0"))
    if frame.endswith(b"\0"):
        end -= 1
    end -= 2  # the end-of-image marker, which the joined strips share
    for run in reversed(runs):
        if frame[end - len(run) : end] != run:
            return False
        end -= len(run) + 2
    return True


def _check_native(file: BinaryIO, picture: Picture) -> None:
    file.seek(12, 1)
    for frame in picture.frames:
        for piece in (frame.head, frame.body):
            if file.read(len(piece)) != piece:
                raise VerificationFailed(
                    f"the pixels of the {picture.role.value.lower()} changed on the disk"
                )
