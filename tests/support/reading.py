"""Short ways to read made files with `archive.part10`."""

import io
from typing import Any

import orjson

from archive.model.frames import FrameIndex
from archive.part10 import (
    Header,
    HeaderLimits,
    LocatedFrames,
    build_frame_index,
    locate_frames,
    read_header,
    to_json,
)


def header_of(content: bytes, limits: HeaderLimits | None = None) -> Header:
    """Read the header of a file in memory."""
    return read_header(io.BytesIO(content), size=len(content), limits=limits)


def frames_of(content: bytes) -> LocatedFrames:
    """Locate the frames of a file in memory."""
    return locate_frames(io.BytesIO(content), header_of(content))


def stored_frames(content: bytes) -> list[bytes]:
    """Give every frame of a file in memory as its index finds it."""
    index = build_frame_index(io.BytesIO(content), header_of(content))
    assert index is not None
    return [frame_bytes(content, index, number + 1) for number in range(index.number_of_frames)]


def frame_bytes(content: bytes, index: FrameIndex, number: int) -> bytes:
    """Give one frame, fragments joined."""
    return b"".join(content[span.offset : span.end] for span in index.frame(number))


def metadata_of(content: bytes) -> dict[str, Any]:
    """Give the whole metadata of a file in memory, per-frame groups put back."""
    written = to_json(header_of(content))
    metadata: dict[str, Any] = orjson.loads(written.header)
    if written.per_frame is not None:
        metadata["52009230"] = orjson.loads(written.per_frame)
    return metadata
