"""Small DICOM files made on the spot: whole slide images in every form that frames may have.

The writer of files is our own, byte by byte, so that broken ones can be made as easily as sound
ones; data sets are written by pydicom.
"""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, generate_uid

from archive.model.sop_classes import SEGMENTATION, VL_WHOLE_SLIDE_MICROSCOPY
from archive.model.transfer_syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
)

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

ITEM = struct.Struct("<HHL")
DELIMITER = ITEM.pack(0xFFFE, 0xE0DD, 0)


@dataclass(slots=True)
class MadeFile:
    """A file as bytes, and what it was made of."""

    content: bytes
    dataset: Dataset
    """Without pixel data."""
    frames: list[bytes] = field(default_factory=list)
    """As stored, fragments joined, padding included."""
    pixels: NDArray[np.generic] | None = None
    """(frames, rows, columns[, samples]): what the frames show."""

    def open(self) -> io.BytesIO:
        """Give the file as something that is no file of the operating system."""
        return io.BytesIO(self.content)

    def write(self, folder: Path, name: str = "instance.dcm") -> Path:
        """Put the file into a folder."""
        path = folder / name
        path.write_bytes(self.content)
        return path

    @property
    def uid(self) -> str:
        """The SOP Instance UID."""
        return str(self.dataset.SOPInstanceUID)


def tissue(frames: int, rows: int, columns: int, *, seed: int = 7) -> NDArray[np.uint8]:
    """Paint smooth pink and violet pictures, (frames, rows, columns, 3); JPEG keeps them well."""
    noise = np.random.default_rng(seed)
    down, across = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    painted = np.empty((frames, rows, columns, 3), np.uint8)
    for frame in painted:
        phase, ups, overs = noise.uniform(0, 6, 3)
        wave = (np.sin(phase + 3 * ups * down) + np.cos(2 * overs * across)) / 4 + 0.5
        frame[..., 0] = 200 + 40 * wave
        frame[..., 1] = 110 + 100 * wave
        frame[..., 2] = 170 + 50 * wave
    return painted


def study_attributes(**given: object) -> Dataset:
    """Make what every instance has; `given` keywords go on top.

    It is of a class that demands nothing more, so that no store has to warn of it.
    """
    dataset = Dataset()
    dataset.SOPClassUID = SECONDARY_CAPTURE
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.StudyInstanceUID = generate_uid(prefix=None)
    dataset.SeriesInstanceUID = generate_uid(prefix=None)
    dataset.FrameOfReferenceUID = generate_uid(prefix=None)
    dataset.StudyDate, dataset.StudyTime = "20261101", "101112"
    dataset.PatientName, dataset.PatientID = "Specimen^Example", "P-1"
    dataset.PatientBirthDate, dataset.PatientSex = "19700102", "O"
    dataset.AccessionNumber, dataset.StudyID = "A-1", ""
    dataset.ReferringPhysicianName = ""
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "SM", 1, 1
    dataset.Manufacturer = "Generator"
    dataset.ContainerIdentifier = "SLIDE-1"
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    return dataset


def whole_slide_attributes(
    *, rows: int, columns: int, across: int, down: int, **given: object
) -> Dataset:
    """Make the header of a TILED_FULL level of `across` x `down` tiles."""
    dataset = study_attributes(SOPClassUID=VL_WHOLE_SLIDE_MICROSCOPY)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.Rows, dataset.Columns = rows, columns
    dataset.NumberOfFrames = across * down
    dataset.TotalPixelMatrixColumns = across * columns
    dataset.TotalPixelMatrixRows = down * rows
    dataset.DimensionOrganizationType = "TILED_FULL"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    dataset.OpticalPathSequence = [path]
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    return dataset


def encode(dataset: Dataset, syntax: str) -> bytes:
    """Write a data set, not deflated."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax == IMPLICIT_LITTLE
    buffer.is_little_endian = syntax != EXPLICIT_BIG
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def file_meta(dataset: Dataset, syntax: str | None) -> bytes:
    """Write preamble and file meta information; `syntax` None leaves Transfer Syntax UID out."""
    meta = Dataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    if syntax is not None:
        meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = "1.2.3.4"
    body = encode(meta, EXPLICIT_LITTLE)
    head = struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(body))
    return b"\0" * 128 + b"DICM" + head + body


def part10(dataset: Dataset, syntax: str | None, pixel_data: bytes = b"") -> bytes:
    """Put a file together of its data set and the pixel data element as it is to lie there."""
    body = encode(dataset, syntax or EXPLICIT_LITTLE) + pixel_data
    if syntax == DEFLATED:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = deflater.compress(body) + deflater.flush()
        body += b"\0" * (len(body) % 2)
    return file_meta(dataset, syntax) + body


# --- pixel data elements ------------------------------------------------------------------------


def native_element(content: bytes, *, vr: bytes = b"OB", syntax: str = EXPLICIT_LITTLE) -> bytes:
    """Write a pixel data element of native frames."""
    content += b"\0" * (len(content) % 2)
    if syntax == IMPLICIT_LITTLE:
        return struct.pack("<HHL", 0x7FE0, 0x0010, len(content)) + content
    order = ">" if syntax == EXPLICIT_BIG else "<"
    return struct.pack(order + "HH2sHL", 0x7FE0, 0x0010, vr, 0, len(content)) + content


def item(content: bytes) -> bytes:
    """Write one item of encapsulated pixel data, padded to an even length."""
    content += b"\0" * (len(content) % 2)
    return ITEM.pack(0xFFFE, 0xE000, len(content)) + content


def encapsulated_element(
    frames: Sequence[Sequence[bytes]],
    *,
    table: str = "basic",
    delimited: bool = True,
    basic_table: bytes | None = None,
) -> bytes:
    """Write a pixel data element of encapsulated frames.

    Parameters
    ----------
    frames
        Fragments of each frame.
    table
        ``basic`` or ``none``; an extended table is an attribute, see `extended_tables`.
    basic_table
        The content of the offset table item, right or wrong.
    """
    if basic_table is None:
        offsets = frame_offsets(frames) if table == "basic" else []
        basic_table = struct.pack(f"<{len(offsets)}L", *offsets)
    parts = [struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF), item(basic_table)]
    parts += [item(fragment) for frame in frames for fragment in frame]
    return b"".join(parts) + (DELIMITER if delimited else b"")


def frame_offsets(frames: Sequence[Sequence[bytes]]) -> list[int]:
    """Give the offset of each frame's first item, from the first one on."""
    offsets, at = [], 0
    for fragments in frames:
        offsets.append(at)
        at += sum(len(item(fragment)) for fragment in fragments)
    return offsets


def extended_tables(frames: Sequence[Sequence[bytes]]) -> tuple[bytes, bytes]:
    """Give Extended Offset Table and its Lengths (PS3.3 §C.7.6.3.1.8)."""
    offsets = frame_offsets(frames)
    lengths = [len(fragments[0]) + len(fragments[0]) % 2 for fragments in frames]
    return struct.pack(f"<{len(offsets)}Q", *offsets), struct.pack(f"<{len(lengths)}Q", *lengths)


# --- whole instances ----------------------------------------------------------------------------


def jpeg_slide(
    *,
    across: int = 3,
    down: int = 2,
    side: int = 32,
    table: str = "basic",
    fragments: int = 1,
    rgb_without_marker: bool = False,
    quality: int = 95,
    **given: object,
) -> MadeFile:
    """Make a TILED_FULL level of JPEG tiles.

    Parameters
    ----------
    table
        ``basic``, ``extended`` or ``none``.
    fragments
        How many each frame is cut into.
    rgb_without_marker
        The streams are RGB and do not say so; the header does.
    """
    painted = tissue(across * down, side, side)
    if rgb_without_marker:
        frames = [unmarked_rgb_jpeg(tile, quality) for tile in painted]
        given.setdefault("PhotometricInterpretation", "RGB")
    else:
        frames = [
            simplejpeg.encode_jpeg(tile, quality, "RGB", "422", fastdct=False) for tile in painted
        ]
        given.setdefault("PhotometricInterpretation", "YBR_FULL_422")
    dataset = whole_slide_attributes(rows=side, columns=side, across=across, down=down, **given)
    dataset.LossyImageCompression = "01"
    cut = [cut_up(frame, fragments) for frame in frames]
    if table == "extended":
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = extended_tables(cut)
    element = encapsulated_element(cut, table=table)
    stored = [b"".join(piece + b"\0" * (len(piece) % 2) for piece in pieces) for pieces in cut]
    return MadeFile(part10(dataset, JPEG_BASELINE, element), dataset, stored, painted)


def cut_up(frame: bytes, pieces: int) -> list[bytes]:
    """Cut a frame into fragments of even length, the last one but for its padding."""
    step = -(-len(frame) // pieces)
    step += step % 2
    return [frame[at : at + step] for at in range(0, len(frame), step)]


def unmarked_rgb_jpeg(tile: NDArray[np.uint8], quality: int = 95) -> bytes:
    """Encode RGB as it is, and take every sign of that out of the stream, as some scanners do."""
    import imagecodecs

    encoded = imagecodecs.jpeg8_encode(
        tile, level=quality, colorspace="RGB", outcolorspace="RGB", subsampling="444"
    )
    kept, at = [encoded[:2]], 2
    while encoded[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
        segment = bytearray(encoded[at:end])
        if segment[1] == 0xC0:
            segment[10::3] = b"\x01\x02\x03"  # component identifiers, where "RGB" would tell
        if segment[1] not in (0xE0, 0xEE):
            kept.append(bytes(segment))
        at = end
    scan = bytearray(encoded[at:])
    scan[5:11:2] = b"\x01\x02\x03"
    return b"".join([*kept, bytes(scan)])


def native_slide(
    *,
    across: int = 3,
    down: int = 2,
    side: int = 16,
    syntax: str = EXPLICIT_LITTLE,
    planar: int = 0,
    **given: object,
) -> MadeFile:
    """Make a TILED_FULL level of uncompressed RGB tiles."""
    painted = tissue(across * down, side, side)
    stored = [(tile.transpose(2, 0, 1) if planar else tile).tobytes() for tile in painted]
    dataset = whole_slide_attributes(
        rows=side, columns=side, across=across, down=down, PlanarConfiguration=planar, **given
    )
    element = native_element(b"".join(stored), syntax=syntax)
    return MadeFile(part10(dataset, syntax, element), dataset, stored, painted)


def monochrome(
    values: NDArray[np.generic], *, syntax: str = EXPLICIT_LITTLE, **given: object
) -> MadeFile:
    """Make an instance of native monochrome frames, (frames, rows, columns), 8 or 16 bits."""
    frames, rows, columns = values.shape
    bits = values.dtype.itemsize * 8
    dataset = study_attributes()
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, columns, frames
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    order = ">" if syntax == EXPLICIT_BIG else "<"
    stored = [frame.astype(frame.dtype.newbyteorder(order)).tobytes() for frame in values]
    vr = b"OW" if bits > 8 else b"OB"
    element = native_element(b"".join(stored), vr=vr, syntax=syntax)
    return MadeFile(part10(dataset, syntax, element), dataset, stored, values)


def segmentation(masks: NDArray[np.uint8], **given: object) -> MadeFile:
    """Make a binary SEG-like instance of 0 and 1, (frames, rows, columns), bits without gaps."""
    frames, rows, columns = masks.shape
    dataset = study_attributes(SOPClassUID=SEGMENTATION, Modality="SEG")
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, columns, frames
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    dataset.PixelRepresentation, dataset.SegmentationType = 0, "BINARY"
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    packed = np.packbits(masks.reshape(-1), bitorder="little").tobytes()
    content = part10(dataset, EXPLICIT_LITTLE, native_element(packed))
    return MadeFile(content, dataset, [packed], masks)


def encapsulated(
    frames: Sequence[bytes], syntax: str, pixels: NDArray[np.generic], **given: object
) -> MadeFile:
    """Make an instance of frames that a codec of the test has compressed."""
    shape = pixels.shape
    samples = shape[3] if pixels.ndim == 4 else 1
    bits = pixels.dtype.itemsize * 8
    dataset = study_attributes()
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = shape[:3]
    dataset.SamplesPerPixel = samples
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    element = encapsulated_element([[frame] for frame in frames])
    stored = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    return MadeFile(part10(dataset, syntax, element), dataset, stored, pixels)


def sparse_slide(frames: int, *, undefined_lengths: bool = False) -> MadeFile:
    """Make a TILED_SPARSE level of 8 x 8 grey tiles, with a per-frame item for each.

    The items are written directly, for pydicom would take minutes over 250,000 of them.
    """
    dataset = whole_slide_attributes(
        rows=8,
        columns=8,
        across=frames,
        down=1,
        DimensionOrganizationType="TILED_SPARSE",
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
    )
    del dataset.PlanarConfiguration
    items = [_per_frame_item(number, undefined=undefined_lengths) for number in range(frames)]
    content = b"".join(items)
    length = 0xFFFFFFFF if undefined_lengths else len(content)
    per_frame = struct.pack("<HH2sHL", 0x5200, 0x9230, b"SQ", 0, length) + content
    per_frame += DELIMITER if undefined_lengths else b""
    pixel_bytes = np.arange(frames * 64, dtype=np.uint8).tobytes()
    element = native_element(pixel_bytes)
    stored = [pixel_bytes[at : at + 64] for at in range(0, len(pixel_bytes), 64)]
    return MadeFile(part10(dataset, EXPLICIT_LITTLE, per_frame + element), dataset, stored)


def _per_frame_item(number: int, *, undefined: bool) -> bytes:
    def short(group: int, element: int, vr: bytes, value: bytes) -> bytes:
        value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
        return struct.pack("<HH2sH", group, element, vr, len(value)) + value

    def sequence(group: int, element: int, content: bytes) -> bytes:
        inside = _item(content, undefined=undefined)
        length = 0xFFFFFFFF if undefined else len(inside)
        head = struct.pack("<HH2sHL", group, element, b"SQ", 0, length)
        return head + inside + (DELIMITER if undefined else b"")

    frame_content = short(0x0020, 0x9157, b"UL", struct.pack("<LL", number + 1, 1))
    place = (
        short(0x0040, 0x072A, b"DS", f"{number * 0.0025:.6f}".encode())
        + short(0x0040, 0x073A, b"DS", b"+12.50")
        + short(0x0040, 0x074A, b"DS", b"0")
        + short(0x0048, 0x021E, b"SL", struct.pack("<l", number * 8 + 1))
        + short(0x0048, 0x021F, b"SL", struct.pack("<l", 1))
    )
    path = short(0x0048, 0x0106, b"SH", b"1")
    content = (
        sequence(0x0020, 0x9111, frame_content)
        + sequence(0x0048, 0x0207, path)
        + sequence(0x0048, 0x021A, place)
    )
    return _item(content, undefined=undefined)


def _item(content: bytes, *, undefined: bool) -> bytes:
    if not undefined:
        return ITEM.pack(0xFFFE, 0xE000, len(content)) + content
    return ITEM.pack(0xFFFE, 0xE000, 0xFFFFFFFF) + content + ITEM.pack(0xFFFE, 0xE00D, 0)
