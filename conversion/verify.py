"""Looking at what was written with other eyes, before anybody is told of success.

Reads each file back with pydicom's own parser, which shares no code with the writer, checks its
geometry, and compares every frame that was passed through with the source, read once more. Of
frames that were coded anew a sample is compared.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.encaps import generate_frames

from conversion.errors import VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from pydicom.dataset import FileDataset

    from conversion.sources.slide import Buffer, Picture

#: How many frames of a level that was coded anew are made again and compared.
_SAMPLES = 64


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
        _check_samples(stored, picture, progress)
        return
    for number, (frame, runs) in enumerate(zip_longest(stored, source), start=1):
        if frame is None or runs is None or not _holds(frame, runs):
            raise _differs(number, picture)
        progress(len(frame))


def _check_samples(
    stored: Iterable[bytes], picture: Picture, progress: Callable[[int], None]
) -> None:
    """Count frames that were coded anew, and make some of them again from the source."""
    step = max(1, picture.frames.count // _SAMPLES)
    count = 0
    for index, frame in enumerate(stored):
        if index % step == 0 and not picture.frames.matches(index, frame):
            raise _differs(index + 1, picture)
        count += 1
        progress(len(frame))
    if count != picture.frames.count:
        raise VerificationFailed("the result does not hold as many frames as it says")


def _differs(number: int, picture: Picture) -> VerificationFailed:
    return VerificationFailed(
        f"frame {number} of the {picture.role.value.lower()} does not equal the source's",
        frame=number,
    )


def _holds(frame: bytes, runs: Sequence[Buffer]) -> bool:
    """Whether the frame ends in the runs, with a two-byte restart marker between each two."""
    # Every stream ends in a marker, so a trailing zero is the padding to even length (PS3.5 §A.4).
    end = len(frame) - frame.endswith(b"\0")
    for run in reversed(runs):
        if not frame.endswith(run, 0, max(0, end)):
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
