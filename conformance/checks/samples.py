"""Small DICOM files that the checks store, made here: what they hold is known to the byte.

Every UID is derived from one UUID a run (PS3.5 §B.2), so that runs meet neither each other nor
anybody's data; every patient is called CHECK with the run's number.
"""

import copy
import hashlib
import io
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
RLE = "1.2.840.10008.1.2.5"

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
BULK_ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"
STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88.33"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
GREY_BYTES = "1.2.840.10008.5.1.4.1.1.7.2"
GREY_WORDS = "1.2.840.10008.5.1.4.1.1.7.3"
COLOUR_FRAMES = "1.2.840.10008.5.1.4.1.1.7.4"

DATE, TIME = "20261101", "101112"


@dataclass(frozen=True, slots=True)
class Sample:
    """One instance, and what it was made of."""

    name: str
    dataset: Dataset
    """Without pixel data."""
    syntax: str
    content: bytes
    """The Part 10 file."""
    frames: list[bytes] = field(default_factory=list)
    """As stored, fragments joined, without padding."""
    pixels: NDArray[np.generic] | None = None
    """(frames, rows, columns[, samples]): what the frames show."""

    @property
    def study(self) -> str:
        """The Study Instance UID."""
        return str(self.dataset.StudyInstanceUID)

    @property
    def series(self) -> str:
        """The Series Instance UID."""
        return str(self.dataset.SeriesInstanceUID)

    @property
    def uid(self) -> str:
        """The SOP Instance UID."""
        return str(self.dataset.SOPInstanceUID)

    @property
    def study_path(self) -> str:
        """Path of the study below the base URL."""
        return f"/studies/{self.study}"

    @property
    def series_path(self) -> str:
        """Path of the series below the base URL."""
        return f"{self.study_path}/series/{self.series}"

    @property
    def path(self) -> str:
        """Path of the instance below the base URL."""
        return f"{self.series_path}/instances/{self.uid}"

    def frame_path(self, numbers: object) -> str:
        """Path of frames, one-based."""
        return f"{self.path}/frames/{numbers}"


class Maker:
    """Makes the samples of one run; the same run gives the same bytes."""

    def __init__(self, run: uuid.UUID) -> None:
        self.run = run
        self.tag = run.hex[:8].upper()
        """Distinguishes the run in identifiers that people see."""

    def uid(self, name: str) -> str:
        """Give the UID of a name in this run."""
        return f"2.25.{uuid.uuid5(self.run, name).int}"

    def patient(self, name: str) -> str:
        """Give the Patient ID of a patient of this run."""
        return f"CHECK-{self.tag}-{name.upper()}"

    def dataset(
        self, name: str, sop_class: str, *, study: str, series: str, patient: str, **given: object
    ) -> Dataset:
        """Make what every instance has; `given` keywords go on top."""
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, self.uid(f"instance {name}")
        dataset.StudyInstanceUID = self.uid(f"study {study}")
        dataset.SeriesInstanceUID = self.uid(f"series {study} {series}")
        dataset.StudyDate, dataset.StudyTime = DATE, TIME
        dataset.PatientName, dataset.PatientID = f"CHECK^{patient}", self.patient(patient)
        dataset.PatientBirthDate, dataset.PatientSex = "19700102", "O"
        dataset.AccessionNumber, dataset.StudyID = f"A-{self.tag}", "S1"
        dataset.StudyDescription = f"Checks {self.tag}"
        dataset.ReferringPhysicianName = "Referrer^Checks"
        dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "OT", 1, 1
        dataset.Manufacturer = "Checks"
        for keyword, value in given.items():
            setattr(dataset, keyword, value)
        return dataset


def describe(
    dataset: Dataset, pixels: NDArray[np.generic], *, photometric: str | None = None
) -> Dataset:
    """Write the Image Pixel attributes of (frames, rows, columns[, 3]) into a data set."""
    frames, rows, columns = pixels.shape[:3]
    dataset.Rows, dataset.Columns = rows, columns
    if frames > 1 or str(dataset.SOPClassUID) != SECONDARY_CAPTURE:
        dataset.NumberOfFrames = frames
    dataset.SamplesPerPixel = 3 if pixels.ndim == 4 else 1
    if pixels.ndim == 4:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric or (
        "RGB" if pixels.ndim == 4 else "MONOCHROME2"
    )
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    return dataset


def native(name: str, dataset: Dataset, pixels: NDArray[np.generic], syntax: str) -> Sample:
    """Make an instance of native frames."""
    frames = [frame.astype(frame.dtype.newbyteorder("<")).tobytes() for frame in pixels]
    content = b"".join(frames)
    if syntax == EXPLICIT_BIG:
        content = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    return _sample(name, dataset, syntax, content + b"\0" * (len(content) % 2), frames, pixels)


def packed(name: str, dataset: Dataset, masks: NDArray[np.uint8]) -> Sample:
    """Make an instance of one-bit frames that do not start on bytes (PS3.5 §8.1.1)."""
    content = np.packbits(masks.reshape(-1), bitorder="little").tobytes()
    frames = [np.packbits(mask.reshape(-1), bitorder="little").tobytes() for mask in masks]
    content += b"\0" * (len(content) % 2)
    return _sample(name, dataset, EXPLICIT_LITTLE, content, frames, masks)


def encapsulated(
    name: str,
    dataset: Dataset,
    frames: Sequence[bytes],
    pixels: NDArray[np.generic],
    syntax: str,
    *,
    fragments: int = 1,
    table: str = "basic",
) -> Sample:
    """Make an instance of compressed frames; `table` is ``basic``, ``extended`` or ``none``."""
    if table == "extended":
        content, offsets, lengths = encapsulate_extended(list(frames))
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    else:
        content = encapsulate(list(frames), fragments_per_frame=fragments, has_bot=table == "basic")
    return _sample(name, dataset, syntax, content, list(frames), pixels)


def document(name: str, dataset: Dataset, syntax: str = EXPLICIT_LITTLE) -> Sample:
    """Make an instance without pixel data."""
    return _sample(name, dataset, syntax, None, [], None)


def copied(dataset: Dataset) -> Dataset:
    """Copy a data set: whatever else pydicom makes of another shares its elements."""
    return copy.deepcopy(dataset)


def part10(dataset: Dataset, syntax: str, pixel_data: bytes | None) -> bytes:
    """Write a DICOM file (PS3.10 §7.1)."""
    whole = copied(dataset)
    if pixel_data is not None:
        whole.PixelData = pixel_data
        whole["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
        whole["PixelData"].is_undefined_length = UID(syntax).is_encapsulated
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = UID(syntax)
    whole.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, whole, enforce_file_format=True)
    return buffer.getvalue()


def _sample(
    name: str,
    dataset: Dataset,
    syntax: str,
    pixel_data: bytes | None,
    frames: list[bytes],
    pixels: NDArray[np.generic] | None,
) -> Sample:
    content = part10(dataset, syntax, pixel_data)
    return Sample(name, dataset, syntax, content, frames, pixels)


# --- pictures -----------------------------------------------------------------------------------


def colours(frames: int, side: int) -> NDArray[np.uint8]:
    """Paint frames that are told apart at a glance, smooth enough for JPEG to keep them."""
    down, across = np.mgrid[0:side, 0:side] / side
    painted = np.empty((frames, side, side, 3), np.uint8)
    for index, frame in enumerate(painted):
        base = hashlib.sha256(b"colour %d" % index).digest()
        for channel in range(3):
            frame[..., channel] = 60 + base[channel] % 120 + 40 * down + 20 * across
    return painted


def grey_levels(
    frames: int, rows: int, columns: int, kind: type[np.integer]
) -> NDArray[np.generic]:
    """Count from one upwards in steps, so that every value and frame differs."""
    top = np.iinfo(kind).max
    count = np.arange(frames * rows * columns, dtype=np.int64) * 37 + 1
    return (count % top).astype(kind).reshape(frames, rows, columns)


def jpeg(frame: NDArray[np.uint8], quality: int = 95) -> bytes:
    """Encode a picture as baseline JPEG, 4:2:2 where it has colours."""
    buffer = io.BytesIO()
    subsampling = "4:2:2" if frame.ndim == 3 else "4:4:4"
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def each_frame(
    pixels: NDArray[np.uint8], encode: Callable[[NDArray[np.uint8]], bytes]
) -> list[bytes]:
    """Encode every frame, padded to an even length as fragments are (PS3.5 §A.4)."""
    encoded = [encode(np.ascontiguousarray(frame)) for frame in pixels]
    return [frame + b"\0" * (len(frame) % 2) for frame in encoded]
