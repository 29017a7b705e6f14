"""Request bodies on their way to scratch: streamed, in flat memory, never kept by halves.

The event loop hands bytes on in steps of about a mebibyte to a thread, which parses, hashes and
writes them; while it does, the connection is not read, so that a fast sender waits.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Self

import anyio.to_thread
from starlette.requests import Request

from archive.blobs import Staging, StagingWriter
from archive.errors import MalformedRequest, TooLarge, UnsupportedMedia
from archive.model.instances import StagedFile
from dicomweb.metrics import Metrics

STEP_BYTES = 1024 * 1024
"""Bytes a step: smaller ones cost more thread hops, larger ones only memory."""


PACKED_STEP_BYTES = 16 * 1024
"""Bytes that are inflated at a time: what is left of them is copied with every step."""
UNFOLDED_BYTES = 1024 * 1024 * 1024
"""Bytes that a body may unfold to however small it is; nothing but padding packs so well."""
MAXIMUM_RATIO = 200
"""Bytes for each packed one beyond that: real slides that are not compressed stay below ten."""


class Inflater:
    """Undoes a gzip Content-Encoding within bounds (RFC 9110 §8.4.1.3)."""

    def __init__(self, unfolded_bytes: int = UNFOLDED_BYTES) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._most = unfolded_bytes
        self._packed = self._plain = 0

    def feed(self, chunk: bytes, take: Callable[[bytes], None]) -> None:
        """Inflate a chunk a step at a time: a bomb meets a limit before it is memory, or a disk."""
        for start in range(0, len(chunk), PACKED_STEP_BYTES):
            piece = chunk[start : start + PACKED_STEP_BYTES]
            self._packed += len(piece)
            self._feed(piece, take)

    def _feed(self, chunk: bytes, take: Callable[[bytes], None]) -> None:
        try:
            while chunk:
                plain = self._inflater.decompress(chunk, STEP_BYTES)
                self._plain += len(plain)
                if self._plain > max(self._most, MAXIMUM_RATIO * self._packed):
                    raise TooLarge("what the gzip'd body unfolds to", self._most)
                if plain:
                    take(plain)
                chunk = self._inflater.unconsumed_tail
                if self._inflater.eof and self._inflater.unused_data:  # the next member (RFC 1952)
                    chunk = self._inflater.unused_data
                    self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        except zlib.error as error:
            raise MalformedRequest("the body is not the gzip that Content-Encoding says") from error

    def finish(self) -> None:
        """Say that the body has ended; raises `MalformedRequest` when the gzip has not."""
        if not self._inflater.eof:
            raise MalformedRequest("the gzip'd body was cut off")


async def receive(
    request: Request, take: Callable[[bytes], None], *, limit_bytes: int, metrics: Metrics
) -> None:
    """Read the body of a request and give it to `take`, in a thread, step by step.

    Parameters
    ----------
    limit_bytes
        Bytes at most, before and after a Content-Encoding is undone.

    Raises
    ------
    TooLarge
        As soon as that is known: from Content-Length before anything is read.
    UnsupportedMedia
        For a Content-Encoding other than gzip.
    ClientDisconnect
        When the client goes away before the body has ended.
    """
    inflater = _inflater_for(request)
    _check_length(request, limit_bytes)
    plain_size = 0

    def counted(plain: bytes) -> None:
        nonlocal plain_size
        plain_size += len(plain)
        if plain_size > limit_bytes:
            raise TooLarge("the request", limit_bytes)
        take(plain)

    def step(chunk: bytes) -> None:
        if inflater is None:
            counted(chunk)
        else:
            inflater.feed(chunk, counted)

    await _one_ahead(_steps(request.stream(), metrics), step)
    if inflater is not None:
        inflater.finish()


async def _steps(stream: AsyncIterator[bytes], metrics: Metrics) -> AsyncIterator[bytes]:
    """Join what comes from the wire, some 64 KiB at a time, to steps."""
    gathered = bytearray()
    async for chunk in stream:
        gathered += chunk
        metrics.received(len(chunk))
        if len(gathered) >= STEP_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


async def _one_ahead(chunks: AsyncIterator[bytes], do: Callable[[bytes], None]) -> None:
    """Do one chunk after the other in a thread, and gather the next meanwhile."""
    doing: asyncio.Future[None] | None = None
    try:
        async for chunk in chunks:
            if doing is not None:
                await doing
            doing = asyncio.ensure_future(anyio.to_thread.run_sync(do, chunk))
        if doing is not None:
            await doing
    finally:
        if doing is not None:  # nothing is written any more when the file is taken away
            await asyncio.wait([doing])


def _inflater_for(request: Request) -> Inflater | None:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        return None
    if coding in {"gzip", "x-gzip"}:
        return Inflater()
    raise UnsupportedMedia(f"the Content-Encoding {coding[:40]!r} is not taken: send gzip or none")


def _check_length(request: Request, limit_bytes: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit_bytes:
        raise TooLarge("the request", limit_bytes)


class FileParts:
    """Files in scratch that came as parts of a body; a context manager that removes them.

    What `archive.store` and its like consumed is gone by then, which is no error.
    """

    def __init__(self, staging: Staging, limit_bytes: int) -> None:
        self._staging = staging
        self._limit_bytes = limit_bytes
        self._receiving = ExitStack()
        self._writer: StagingWriter | None = None
        self._files: list[StagedFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._receiving.close()  # a file that was not finished is removed
        for file in self._files:
            self._staging.discard(file)

    @property
    def is_open(self) -> bool:
        """Whether a file is being written."""
        return self._writer is not None

    def begin(self) -> None:
        """Begin the next file."""
        self._writer = self._receiving.enter_context(self._staging.receive(self._limit_bytes))

    def write(self, content: memoryview) -> None:
        """Write to the file that began last."""
        if self._writer is not None:
            self._writer.write(content)

    def end(self) -> StagedFile:
        """End the file that began last; raises `RuntimeError` when none did."""
        if self._writer is None:
            raise RuntimeError("no file was begun")
        staged = self._writer.finish()
        self._files.append(staged)
        self._writer = None
        self._receiving.close()
        return staged
