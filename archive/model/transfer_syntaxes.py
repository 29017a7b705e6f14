"""The transfer syntaxes that an instance may be stored in, and how their frames are sent.

One table for checks, negotiation, decoding and the conformance statement.
"""

from dataclasses import dataclass

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
JPEG_XL_RECOMPRESSED = "1.2.840.10008.1.2.4.111"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"

OCTET_STREAM = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """One row of the table."""

    uid: str
    name: str
    """As in PS3.6 Table A-1."""
    media_type: str
    """Of a frame as it is stored, fragments joined (PS3.18 Tables 8.7.3-4 and 8.7.3-5)."""
    encapsulated: bool = True
    lossy: bool = False
    """Whether the syntax by its nature loses: some of these can hold lossless data too."""
    little_endian: bool = True
    implicit: bool = False
    deflated: bool = False
    video: bool = False
    """Frames hang on each other and cannot be read one by one."""
    default: bool = False
    """What its media type stands for when no transfer syntax is named ("D" in the tables)."""
    retired: bool = False


# UIDs and names: PS3.6 2025e, Table A-1. Media types and defaults: PS3.18 2025e, Tables 8.7.3-2,
# 8.7.3-4 (uncompressed) and 8.7.3-5 (compressed bulk data).
# image/jpeg stands for .70 in Table 8.7.3-5; in WSI practice it is .50, so negotiation that finds
# no transfer-syntax parameter should offer what is stored under the media type.
TRANSFER_SYNTAXES: tuple[TransferSyntax, ...] = (
    TransferSyntax(
        IMPLICIT_LITTLE,
        "Implicit VR Little Endian",
        OCTET_STREAM,
        encapsulated=False,
        implicit=True,
    ),
    TransferSyntax(
        EXPLICIT_LITTLE, "Explicit VR Little Endian", OCTET_STREAM, encapsulated=False, default=True
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.1.98",
        "Encapsulated Uncompressed Explicit VR Little Endian",
        OCTET_STREAM,
    ),
    TransferSyntax(
        DEFLATED,
        "Deflated Explicit VR Little Endian",
        OCTET_STREAM,
        encapsulated=False,
        deflated=True,
    ),
    TransferSyntax(
        EXPLICIT_BIG,
        "Explicit VR Big Endian (Retired)",
        OCTET_STREAM,
        encapsulated=False,
        little_endian=False,
        retired=True,
    ),
    TransferSyntax(JPEG_BASELINE, "JPEG Baseline (Process 1)", "image/jpeg", lossy=True),
    TransferSyntax(JPEG_EXTENDED, "JPEG Extended (Process 2 & 4)", "image/jpeg", lossy=True),
    TransferSyntax(
        "1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", "image/jpeg"
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.70",
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        "image/jpeg",
        default=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.80", "JPEG-LS Lossless Image Compression", "image/jls", default=True
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.81",
        "JPEG-LS Lossy (Near-Lossless) Image Compression",
        "image/jls",
        lossy=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.90",
        "JPEG 2000 Image Compression (Lossless Only)",
        "image/jp2",
        default=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.91", "JPEG 2000 Image Compression", "image/jp2", lossy=True
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.92",
        "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)",
        "image/jpx",
        default=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.93",
        "JPEG 2000 Part 2 Multi-component Image Compression",
        "image/jpx",
        lossy=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.100",
        "MPEG2 Main Profile / Main Level",
        "video/mpeg",
        lossy=True,
        video=True,
        default=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.100.1",
        "Fragmentable MPEG2 Main Profile / Main Level",
        "video/mpeg",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.101",
        "MPEG2 Main Profile / High Level",
        "video/mpeg",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.101.1",
        "Fragmentable MPEG2 Main Profile / High Level",
        "video/mpeg",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.102",
        "MPEG-4 AVC/H.264 High Profile / Level 4.1",
        "video/mp4",
        lossy=True,
        video=True,
        default=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.102.1",
        "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.103",
        "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.103.1",
        "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.104",
        "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.104.1",
        "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.105",
        "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.105.1",
        "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.106",
        "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.106.1",
        "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
        "video/mp4",
        lossy=True,
        video=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.107",
        "HEVC/H.265 Main Profile / Level 5.1",
        "video/H265",
        lossy=True,
        video=True,
        default=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.108",
        "HEVC/H.265 Main 10 Profile / Level 5.1",
        "video/H265",
        lossy=True,
        video=True,
    ),
    TransferSyntax("1.2.840.10008.1.2.4.110", "JPEG XL Lossless", "image/jxl", default=True),
    # Lossy by its origin, the JPEG stream that it restores; the recompression itself loses nothing.
    TransferSyntax(
        "1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", "image/jxl", lossy=True
    ),
    TransferSyntax("1.2.840.10008.1.2.4.112", "JPEG XL", "image/jxl", lossy=True),
    TransferSyntax(
        "1.2.840.10008.1.2.4.201",
        "High-Throughput JPEG 2000 Image Compression (Lossless Only)",
        "image/jphc",
        default=True,
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.202",
        "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
        "image/jphc",
    ),
    TransferSyntax(
        "1.2.840.10008.1.2.4.203",
        "High-Throughput JPEG 2000 Image Compression",
        "image/jphc",
        lossy=True,
    ),
    TransferSyntax(RLE_LOSSLESS, "RLE Lossless", "image/dicom-rle", default=True),
    TransferSyntax("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", OCTET_STREAM),
)

BY_UID = {syntax.uid: syntax for syntax in TRANSFER_SYNTAXES}


def served_as(uid: str) -> str:
    """Give the transfer syntax in which an instance that is stored in `uid` goes out.

    Implicit VR and big endian are not used with web services (PS3.18 §8.7.3): such a data set is
    rewritten on its way out.
    """
    return EXPLICIT_LITTLE if uid in {IMPLICIT_LITTLE, EXPLICIT_BIG} else uid
