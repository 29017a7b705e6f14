"""A slide file, from the command until it can be seen."""

from __future__ import annotations

from benchmarks.bench import Bench, Part
from benchmarks.processes import archive
from benchmarks.report import say


def measure(bench: Bench) -> None:
    """Ingest the slide into an empty archive."""
    size = bench.slide.stat().st_size / 1e6
    with archive(bench.folder / "archive-ingest", {}) as server, server.watched() as memory:
        seconds = server.run("ingest", str(bench.slide))
    say(
        "",
        f"Ingest of {bench.slide.name}, {size:.1f} MB, from the command until it is stored",
        f"  coverslip ingest   {seconds:6.2f} s  {size / seconds:5.0f} MB/s; the server's memory "
        f"at most {memory.own_mib:.0f} MiB",
    )


PART = Part("ingest", "a slide file, until it is stored", measure)
