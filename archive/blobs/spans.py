"""Near spans of a blob become one read: fewer reads for a few bytes that nobody asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archive.model.frames import ByteSpan

MAXIMUM_RUN_BYTES = 16 * 1024 * 1024
"""A merged read is at most this long, so that neighbours of neighbours do not fill the memory."""


@dataclass(frozen=True, slots=True)
class Run:
    """One read, and which of the wanted spans it serves."""

    span: ByteSpan
    wanted: tuple[int, ...]
    """Zero-based indexes into the wanted spans."""


def merge(wanted: Sequence[ByteSpan], *, maximum_gap_bytes: int) -> list[Run]:
    """Cover `wanted` with few reads.

    Parameters
    ----------
    wanted
        In any order; they may overlap or be empty.
    maximum_gap_bytes
        Spans with no more than this between them are read together. It is what could be read in
        the time that one more request takes.

    Returns
    -------
    list of Run
        Ascending by offset. Runs of several spans are at most `MAXIMUM_RUN_BYTES` long; a single
        span is never split.
    """
    runs: list[Run] = []
    start = end = 0
    members: list[int] = []
    for index in sorted(range(len(wanted)), key=lambda index: wanted[index].offset):
        span = wanted[index]
        new_end = max(end, span.end)
        if (
            members
            and span.offset <= end + maximum_gap_bytes
            and new_end - start <= (MAXIMUM_RUN_BYTES)
        ):
            end = new_end
            members.append(index)
            continue
        if members:
            runs.append(Run(ByteSpan(start, end - start), tuple(members)))
        start, end, members = span.offset, span.end, [index]
    if members:
        runs.append(Run(ByteSpan(start, end - start), tuple(members)))
    return runs


def read_merged(
    wanted: Sequence[ByteSpan], read: Callable[[ByteSpan], bytes], *, maximum_gap_bytes: int
) -> list[bytes]:
    """Read `wanted` by way of few calls of `read`; gives the bytes in the order of `wanted`."""
    if len(wanted) == 1:  # a frame: the path that must be fast
        return [read(wanted[0])]
    found: list[bytes] = [b""] * len(wanted)
    for run in merge(wanted, maximum_gap_bytes=maximum_gap_bytes):
        content = read(run.span)
        for index in run.wanted:
            first = wanted[index].offset - run.span.offset
            found[index] = content[first : first + wanted[index].length]
    return found
