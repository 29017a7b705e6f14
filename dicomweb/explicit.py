"""Instances in Explicit VR Little Endian that are stored otherwise.

Implicit VR and big endian are not used with web services (PS3.18 §8.7.3), so what was stored in
them goes out rewritten. Only uncompressed data sets are: an encapsulated one is always explicit.
"""

import io
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from archive.errors import NotAcceptable
from archive.model.instances import StoredInstance
from archive.model.transfer_syntaxes import served_as

MAXIMUM_BYTES = 256 * 1024**2
"""Largest file that is rewritten: it is held in memory twice."""

_PIXELS = {"PixelData": 0, "FloatPixelData": 4, "DoubleFloatPixelData": 8}
"""Keyword → bytes of a word; of Pixel Data that is told by Bits Allocated."""


def served_syntax(instance: StoredInstance) -> str:
    """Give the transfer syntax that an instance goes out in."""
    return served_as(instance.transfer_syntax_uid)


def must_be_rewritten(instance: StoredInstance) -> bool:
    """Tell whether what is stored may not go out as it is."""
    return served_syntax(instance) != instance.transfer_syntax_uid


def check_can_be_rewritten(instance: StoredInstance) -> None:
    """Raise `NotAcceptable` for an instance that is too large for it."""
    if must_be_rewritten(instance) and instance.size > MAXIMUM_BYTES:
        raise NotAcceptable(
            f"the instance is stored in {instance.transfer_syntax_uid}, which web services do not "
            f"use, and too large to be rewritten ({instance.size} bytes): ask for its frames"
        )


def rewritten(file: BinaryIO) -> bytes:
    """Give a whole file in Explicit VR Little Endian."""
    dataset = pydicom.dcmread(file)
    if not dataset.original_encoding[1]:
        _swap_pixels(dataset)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    pydicom.dcmwrite(out, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return out.getvalue()


def _swap_pixels(dataset: Dataset) -> None:
    """Turn the words of pixel data round: pydicom keeps them as they were (PS3.5 §7.3)."""
    for keyword, size in _PIXELS.items():
        if keyword not in dataset:
            continue
        element = dataset[keyword]
        # OB is a string of bytes; OW is of words, also for samples of eight bits (PS3.5 §8.2).
        width = size or (2 if element.VR == "OW" else 1)
        if keyword == "PixelData" and dataset.get("BitsAllocated", 8) > 16:
            width = int(dataset.BitsAllocated) // 8
        if width > 1:
            element.value = np.frombuffer(element.value, f"u{width}").byteswap().tobytes()
