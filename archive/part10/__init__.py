"""Reading DICOM files as bytes (PS3.10): header, frames, JSON metadata and what must hold."""

from archive.part10.checks import Checked, check_instance, describe_pixels
from archive.part10.dicom_json import MetadataJson, bulk_data, to_json
from archive.part10.frame_index import (
    LocatedFrames,
    build_frame_index,
    decode_frame_index,
    encode_frame_index,
    locate_frames,
)
from archive.part10.header import Header, HeaderLimits, PixelDataElement, read_header

__all__ = [
    "Checked",
    "Header",
    "HeaderLimits",
    "LocatedFrames",
    "MetadataJson",
    "PixelDataElement",
    "build_frame_index",
    "bulk_data",
    "check_instance",
    "decode_frame_index",
    "describe_pixels",
    "encode_frame_index",
    "locate_frames",
    "read_header",
    "to_json",
]
