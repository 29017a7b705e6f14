"""A large instance to ask frames of: 20,000 JPEG frames of about 17 kB, no two alike."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.encaps import generate_frames
from pydicom.uid import generate_uid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS, ROWS = 200, 100
FRAMES = COLUMNS * ROWS
MEAN_BYTES = 17_000


@dataclass(frozen=True, slots=True)
class Large:
    """The instance's file and identifiers; `still` holds each frame as a file, `1.jpg` and on."""

    path: Path
    still: Path
    study_uid: str
    series_uid: str
    instance_uid: str
    size: int


def make(folder: Path, template: Path) -> Large:
    """Make the instance from a converted slide's base level, whose header and frames it borrows.

    Parameters
    ----------
    folder
        Where it and the frames' own files go.
    template
        A VL Whole Slide Microscopy instance of JPEG tiles.
    """
    dataset = pydicom.dcmread(template)
    every = generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames))
    tissue = [frame for frame in every if len(frame) > 8_000]
    del dataset.PixelData
    study, series, this = (generate_uid(prefix=None) for _ in range(3))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = (
        study,
        series,
        this,
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = this
    dataset.NumberOfFrames = FRAMES
    dataset.TotalPixelMatrixColumns = COLUMNS * dataset.Columns
    dataset.TotalPixelMatrixRows = ROWS * dataset.Rows
    path, still = folder / "large.dcm", folder / "frames"
    still.mkdir()
    dataset.save_as(path, enforce_file_format=True)
    with path.open("ab") as file:
        # PS3.5 §A.4: OB of undefined length, the basic offset table, one item a frame.
        file.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF))
        table_at = file.tell()
        file.write(struct.pack("<HHL", 0xFFFE, 0xE000, 4 * FRAMES) + bytes(4 * FRAMES))
        offsets, at = np.zeros(FRAMES, "<u4"), 0
        for index, frame in enumerate(_frames(tissue)):
            offsets[index] = at
            at += file.write(struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame)
            (still / f"{index + 1}.jpg").write_bytes(frame)
        file.write(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
    with path.open("r+b") as file:
        file.seek(table_at + 8)
        file.write(offsets.tobytes())
    return Large(path, still, study, series, this, path.stat().st_size)


def _frames(tissue: list[bytes]) -> Iterator[bytes]:
    """Give every frame: a tile of the slide, with a comment (ITU-T T.81 §B.2.4.5) of its own."""
    rng = np.random.default_rng(417)
    for index in range(FRAMES):
        tile = tissue[index % len(tissue)]
        wanted = int(rng.normal(MEAN_BYTES, 1_200)) - len(tile)
        comment = index.to_bytes(4, "big") + rng.bytes(max(0, min(wanted, 60_000)))
        frame = tile[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + tile[2:]
        yield frame + bytes(len(frame) % 2)
