"""Every part there is, in the order in which they run.

A part is a module with a `PART`: a name, a sentence for `--help`, and a function that is given a
`Bench`, measures, and prints. To add one, write the module and name it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import conversion, far, frames, ingest, metadata, minio, search, stow, workers

if TYPE_CHECKING:
    from benchmarks.bench import Part

PARTS: tuple[Part, ...] = (
    frames.PART,
    far.PART,
    workers.PART,
    metadata.PART,
    stow.PART,
    minio.PART,
    conversion.PART,
    ingest.PART,
    search.PART,
)
