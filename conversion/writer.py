"""One-pass Part 10 writer: header, offset table and frames go out once, hashed on the way.

Frame lengths are known before the first byte is written, so nothing is ever written back and any
write-only sink would do. Every frame is one fragment (PS3.5 §A.4).
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID

from conversion.errors import OutputFailed, VerificationFailed
from conversion.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from conversion.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from conversion.sources.slide import Buffer, Frames

_ITEM = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_FLUSH_BYTES = 2 * MIB


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """Size in bytes and SHA-256 (hexadecimal) of a file that is on the disk."""

    size: int
    sha256: str


def write_instance(
    path: Path,
    dataset: Dataset,
    frames: Frames,
    lengths: NDArray[np.uint32],
    progress: Callable[[int], None],
) -> WrittenFile:
    """Write one instance and wait until it is on the disk.

    Parameters
    ----------
    path
        Must not exist.
    dataset
        Without pixel data; gains the extended offset table where one is needed.
    lengths
        (frames,) bytes of each frame without padding.
    progress
        Called with the number of pixel bytes written since the last call.

    Raises
    ------
    OutputFailed
        The disk is full, or the folder cannot be written.
    VerificationFailed
        A frame came out with another length than was said before.
    """
    try:
        with path.open("xb", buffering=0) as file:
            sink = _Sink(file, progress)
            if frames.format.encapsulated:
                _write_encapsulated(sink, dataset, frames, lengths)
            else:
                _write_native(sink, dataset, frames, lengths)
            sink.flush()
            os.fsync(file.fileno())
            return WrittenFile(sink.size, sink.digest.hexdigest())
    except OSError as error:
        raise output_failed(error) from error


def output_failed(error: OSError) -> OutputFailed:
    """Return the error that says why the output folder cannot be written, and what helps."""
    reason = error.strerror or "input/output error"
    return OutputFailed(
        f"the result cannot be written: {reason}; free space or choose another output folder",
        reason=reason,
        errno=error.errno,
    )


class _Sink:
    """Gathers small pieces, hashes and writes them in large ones."""

    def __init__(self, file: BinaryIO, progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress
        self._pending = bytearray()
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, *pieces: Buffer) -> None:
        """Take pieces to be written one after another."""
        for piece in pieces:
            self._pending += piece
        if len(self._pending) >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        if not self._pending:
            return
        self.digest.update(self._pending)
        with memoryview(self._pending) as whole:
            at = 0
            while at < len(whole):
                at += self._file.write(whole[at:])
        self.size += len(self._pending)
        self._progress(len(self._pending))
        self._pending = bytearray()


def _write_encapsulated(
    sink: _Sink, dataset: Dataset, frames: Frames, lengths: NDArray[np.uint32]
) -> None:
    basic = add_offset_table(dataset, lengths)
    sink.write(_header_bytes(dataset, frames.format.transfer_syntax))
    sink.write(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff")
    sink.write(_ITEM, struct.pack("<I", len(basic)), basic)
    expected = lengths.tolist()
    count = 0
    for frame in frames:
        size = frame.size
        if count >= len(expected) or size != expected[count]:
            raise VerificationFailed(
                f"frame {count + 1} changed while it was converted; is the source being written?",
                frame=count + 1,
            )
        padding = b"\0" if size & 1 else b""
        sink.write(_ITEM, struct.pack("<I", size + len(padding)), frame.head, frame.body, padding)
        count += 1
    if count != len(expected):
        raise VerificationFailed(f"{count} frames came out where {len(expected)} were expected")
    sink.write(_SEQUENCE_END)


def add_offset_table(dataset: Dataset, lengths: NDArray[np.uint32]) -> bytes:
    """Return the basic offset table, or add an extended one to the dataset and return nothing.

    Offsets count from the first byte of the first frame's item (PS3.5 §A.4); the basic table has
    32 bits. Lengths in the extended one are those of the items, padding included, as peers write
    and read it (PS3.3 §C.7.6.3.1.8).
    """
    items = lengths.astype(np.uint64)
    items += items & np.uint64(1)
    offsets = np.zeros(len(items), np.uint64)
    np.cumsum(items[:-1] + np.uint64(8), out=offsets[1:])
    if len(offsets) == 0 or int(offsets[-1]) < 2**32:
        return offsets.astype("<u4").tobytes()
    dataset.ExtendedOffsetTable = offsets.astype("<u8").tobytes()
    dataset.ExtendedOffsetTableLengths = items.astype("<u8").tobytes()
    return b""


def _write_native(
    sink: _Sink, dataset: Dataset, frames: Frames, lengths: NDArray[np.uint32]
) -> None:
    size = int(lengths.sum(dtype=np.uint64))
    sink.write(_header_bytes(dataset, frames.format.transfer_syntax))
    sink.write(b"\xe0\x7f\x10\x00OB\0\0", struct.pack("<I", size + (size & 1)))
    for frame in frames:
        sink.write(frame.head, frame.body)
    sink.write(b"\0" * (size & 1))


def _header_bytes(dataset: Dataset, transfer_syntax: str) -> bytes:
    """Return preamble, File Meta Information and dataset (PS3.10 §7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = BytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    output = DicomFileLike(buffer)
    write_file_meta_info(output, meta, enforce_standard=True)
    output.is_little_endian, output.is_implicit_VR = True, False
    write_dataset(output, dataset)
    return buffer.getvalue()
