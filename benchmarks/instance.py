"""Large instances: JPEG frames of about 17 kB, no two alike, or a great many small ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import simplejpeg
from pydicom.uid import generate_uid

from archive.model.transfer_syntaxes import JPEG_BASELINE
from tests.support.dicom_files import part10, sparse_slide, tissue, whole_slide_attributes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 256
"""Pixels of a frame, both ways."""
MEAN_BYTES = 17_000
"""Of a frame."""
_COPIED_FRAMES = 20_000
"""Frames up to which there is also a file for each, for nginx to hand out."""


@dataclass(frozen=True, slots=True)
class Large:
    """An instance's file and identifiers."""

    path: Path
    still: Path | None
    """Folder with a file for each frame, `1.jpg` and on."""
    spans: Path | None
    """Text file of `first-last` byte positions, a line a frame, as a Range field has them."""
    frames: int
    study_uid: str
    series_uid: str
    instance_uid: str
    size: int

    @property
    def address(self) -> str:
        """Path of the instance below the root of a DICOMweb service."""
        return f"/studies/{self.study_uid}/series/{self.series_uid}/instances/{self.instance_uid}"


def make(folder: Path, frames: int) -> Large:
    """Make a TILED_FULL instance of `frames` frames in `folder`."""
    folder.mkdir()
    path, spans = folder / "large.dcm", folder / "spans.txt"
    still = folder / "frames" if frames <= _COPIED_FRAMES else None
    if still is not None:
        still.mkdir()
    study, series, this = (generate_uid(prefix=None) for _ in range(3))
    dataset = whole_slide_attributes(
        rows=SIDE,
        columns=SIDE,
        across=frames,
        down=1,
        PhotometricInterpretation="YBR_FULL_422",
        LossyImageCompression="01",
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        SOPInstanceUID=this,
    )
    with path.open("wb") as file, spans.open("w", encoding="ascii") as lines:
        file.write(part10(dataset, JPEG_BASELINE))
        for index, (offset, frame) in enumerate(_written(file, frames)):
            lines.write(f"{offset}-{offset + len(frame) - 1}\n")
            if still is not None:
                (still / f"{index + 1}.jpg").write_bytes(frame)
    return Large(path, still, spans, frames, study, series, this, path.stat().st_size)


def make_sparse(folder: Path, frames: int) -> Large:
    """Make a TILED_SPARSE instance whose frames are small and whose metadata are not."""
    folder.mkdir()
    made = sparse_slide(frames)
    dataset, path = made.dataset, made.write(folder)
    return Large(
        path,
        None,
        None,
        frames,
        str(dataset.StudyInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.SOPInstanceUID),
        len(made.content),
    )


def _written(file: BinaryIO, frames: int) -> Iterator[tuple[int, bytes]]:
    """Write the pixel data; give where each frame begins in the file, and its bytes.

    PS3.5 §A.4: OB of undefined length, the basic offset table, one item a frame.
    """
    file.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF))
    table_at = file.tell() + 8
    file.write(struct.pack("<HHL", 0xFFFE, 0xE000, 4 * frames) + bytes(4 * frames))
    first = file.tell()
    offsets: NDArray[np.uint32] = np.zeros(frames, "<u4")
    for index, frame in enumerate(_frames(frames)):
        at = file.tell()
        offsets[index] = at - first
        file.write(struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)))
        file.write(frame)
        yield at + 8, frame
    file.write(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
    file.seek(table_at)
    file.write(offsets.tobytes())


def _frames(frames: int) -> Iterator[bytes]:
    """Give every frame: one of some pictures, with a comment (ITU-T T.81 §B.2.4.5) of its own."""
    rng = np.random.default_rng(417)
    painted = tissue(16, SIDE, SIDE).astype(np.int16)
    grainy = (painted + rng.normal(0, 5, painted.shape)).clip(0, 255).astype(np.uint8)
    tiles = [simplejpeg.encode_jpeg(tile, 75, "RGB", "422") for tile in grainy]
    for index in range(frames):
        tile = tiles[index % len(tiles)]
        wanted = int(rng.normal(MEAN_BYTES, 1_200)) - len(tile)
        comment = index.to_bytes(4, "big") + rng.bytes(max(0, min(wanted, 60_000)))
        frame = tile[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + tile[2:]
        yield frame + bytes(len(frame) % 2)
