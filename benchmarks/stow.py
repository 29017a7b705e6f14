"""Storing one large instance, beside copying and hashing the same bytes and beside Orthanc."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks import instance, peers
from benchmarks.bench import Bench, Part
from benchmarks.processes import archive
from benchmarks.report import ratio, say
from benchmarks.stowing import stow

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 3


def measure(bench: Bench) -> None:
    """Store an instance a few times, each time between two runs of `cp` and `sha256sum`."""
    frames = bench.options.megabytes * 1_000_000 // (instance.MEAN_BYTES + 8)
    large = bench.large(frames)
    size = large.size / 1e6
    say("", f"One instance of {size:.0f} MB; medians of {RUNS} runs in turn, page cache warm")
    copies, hashes, ours = [], [], []
    memory, processor = 0.0, []
    for run in range(RUNS):
        copies.append(_seconds(["cp", str(large.path), str(bench.folder / "copy")]))
        (bench.folder / "copy").unlink()
        hashes.append(_seconds(["sha256sum", str(large.path)]))
        folder = bench.folder / f"archive-stow-{run}"
        with archive(folder, {}) as server, server.watched() as held:
            before = server.processor_seconds()
            ours.append(stow(f"{server.base}/dicomweb/studies", large.path))
            processor.append(server.processor_seconds() - before)
        memory = max(memory, held.own_mib)
        _remove(folder)
    both = statistics.median(copy[0] + sha[0] for copy, sha in zip(copies, hashes, strict=True))
    work = statistics.median(copy[1] + sha[1] for copy, sha in zip(copies, hashes, strict=True))
    rows = [
        ("cp", statistics.median(one[0] for one in copies)),
        ("sha256sum", statistics.median(one[0] for one in hashes)),
        ("cp, then sha256sum", both),
        ("coverslip, STOW-RS", statistics.median(ours)),
    ]
    other = _orthanc(bench, large.path)
    if other is not None:
        rows.append(other)
    for name, seconds in rows:
        say(f"  {name:<44} {seconds:8.2f} s  {size / seconds:8.0f} MB/s")
    say(f"  memory of our own server process at most     {memory:8.0f} MiB")
    ratio("speed of coverslip : cp, then sha256sum", both / rows[3][1], wanted="at least 0.5")
    ratio("the same by the processor time of each", work / statistics.median(processor))
    if other is not None:
        ratio(f"speed of coverslip : {other[0]}", other[1] / rows[3][1], wanted="at least 2")


def _orthanc(bench: Bench, path: Path) -> tuple[str, float] | None:
    folder = bench.folder / "orthanc-stow"
    with peers.orthanc(folder) as peer:
        if peer is None:
            say("  Orthanc: not installed, left out")
            return None
        seconds = stow(f"{peer.base}/dicom-web/studies", path)
    _remove(folder)
    return peer.name, seconds


def _seconds(command: list[str]) -> tuple[float, float]:
    """Run a command; give the seconds it took, and those of processor time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _remove(folder: Path) -> None:
    """Make room for the next run."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)


PART = Part("stow", "one large instance is stored, beside cp + sha256sum and Orthanc", measure)
