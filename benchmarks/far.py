"""The last frames of a long instance, beside the first."""

from __future__ import annotations

import statistics
from dataclasses import replace

from benchmarks import load
from benchmarks.bench import Bench, Part
from benchmarks.frames import Table, archive_target, header
from benchmarks.processes import archive
from benchmarks.report import ratio
from benchmarks.stowing import stow

FRAMES = 250_000
FAR = 240_000
RUNS = 3
_CONNECTIONS = 16


def measure(bench: Bench) -> None:
    """Ask for frame 1, for frame 240,000, and for any; small ones, so that finding them shows."""
    large = bench.sparse(FRAMES)
    header(f"Frames of 64 bytes out of {FRAMES}")
    with archive(bench.folder / "archive-far", {}) as server:
        stow(f"{server.base}/dicomweb/studies", large.path)
        every = replace(
            archive_target("any frame", server, large, None), accept="application/octet-stream"
        )
        targets = [
            replace(every, name="frame 1", last=1),
            replace(every, name=f"frame {FAR}", first=FAR, last=FAR),
            every,
        ]
        load.ask(every, connections=4, seconds=2)
        runs = []
        for _ in range(RUNS):
            table = Table()
            table.measure(targets, _CONNECTIONS, bench.options.seconds)
            first, far = (table.found[one.name, _CONNECTIONS] for one in targets[:2])
            runs.append((far.rate / first.rate, far.processor_rate / first.processor_rate))
    name = f"frame {FAR} : frame 1, median of {RUNS} runs"
    ratio(f"{name}, frames/s", statistics.median(one[0] for one in runs), wanted="1")
    ratio(f"{name}, per CPU second", statistics.median(one[1] for one in runs))


PART = Part("far", "frame 240,000 of 250,000, beside frame 1", measure)
