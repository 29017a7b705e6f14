"""Metadata of an instance opened for the first time, beside Orthanc."""

from __future__ import annotations

import http.client
import statistics
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks import peers
from benchmarks.bench import Bench, Part
from benchmarks.processes import archive
from benchmarks.report import say
from benchmarks.stowing import stow

if TYPE_CHECKING:
    from benchmarks.instance import Large

RUNS = 3
SPARSE_FRAMES = (45_000, 250_000)
"""The metadata of the first are 17 MB of JSON, those of the second 94 MB."""
_WANTED = {"TILED_FULL": "at most 20 ms", "TILED_SPARSE": "17 MB in at most 150 ms"}


def measure(bench: Bench) -> None:
    """Ask for the metadata of two kinds of instance, each time of a server just started."""
    full, other = bench.large(bench.options.frames), bench.sparse(10)
    say(
        "", f"Metadata of an instance not opened since the server started; medians of {RUNS} starts"
    )
    sparse = [("TILED_SPARSE", bench.sparse(frames)) for frames in SPARSE_FRAMES]
    for kind, large in (("TILED_FULL", full), *sparse):
        say(f"  {kind}, {large.frames} frames")
        _ours(bench, kind, large, other)
        _orthanc(bench, kind, large)


def _ours(bench: Bench, kind: str, large: Large, other: Large) -> None:
    folder = bench.folder / f"archive-metadata-{large.frames}-{kind}"
    took: dict[str, list[tuple[float, float, int]]] = {"identity": [], "gzip": []}
    with archive(folder, {}) as server:
        stow(f"{server.base}/dicomweb/studies", large.path)
        stow(f"{server.base}/dicomweb/studies", other.path)
    for coding, found in took.items():
        for _ in range(RUNS):
            with archive(folder, {}) as server:
                # What the first question of all loads is not this instance's.
                _ask(f"{server.base}/dicomweb{other.address}/metadata", coding)
                found.append(_ask(f"{server.base}/dicomweb{large.address}/metadata", coding))
        _line(f"coverslip, {coding}", found, _WANTED[kind])


def _orthanc(bench: Bench, kind: str, large: Large) -> None:
    with peers.orthanc(bench.folder / f"orthanc-metadata-{large.frames}-{kind}") as peer:
        if peer is None:
            say("    Orthanc: not installed, left out")
            return
        stow(f"{peer.base}/dicom-web/studies", large.path)
        url = f"{peer.base}/dicom-web{large.address}/metadata"
        _line(f"{peer.name}, right after it was stored", [_ask(url, "identity")], None)


def _line(name: str, found: list[tuple[float, float, int]], wanted: str | None) -> None:
    first, whole = (1e3 * statistics.median(one[place] for one in found) for place in (0, 1))
    says = "" if wanted is None else f"   wanted: {wanted}"
    say(
        f"    {name:<44} header {first:7.1f} ms, all {whole:8.1f} ms, "
        f"{found[0][2] / 1e6:6.2f} MB{says}"
    )


def _ask(url: str, coding: str) -> tuple[float, float, int]:
    """Give the seconds until the header and until the end of an answer, and its bytes."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=600)
    started = time.perf_counter()
    headers = {"Accept": "application/dicom+json", "Accept-Encoding": coding}
    connection.request("GET", where.path, headers=headers)
    answer = connection.getresponse()
    first = time.perf_counter() - started
    size = len(answer.read())
    whole = time.perf_counter() - started
    connection.close()
    return first, whole, size


PART = Part("metadata", "metadata of instances opened for the first time", measure)
