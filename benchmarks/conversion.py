"""Conversion of a slide, beside copying it."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.bench import Bench, Part
from benchmarks.processes import COVERSLIP
from benchmarks.report import say
from conversion import ConversionRequest
from conversion.convert import convert

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 3


def measure(bench: Bench) -> None:
    """Measure conversion beside `cp` of the same bytes."""
    folder, slide = bench.folder, bench.slide
    size = slide.stat().st_size / 1e6
    copies, plain, command = [], [], []
    out = folder / "converted"
    for _ in range(RUNS):
        copies.append(seconds_of_copy(slide, folder / "copy", sync=True))
        shutil.rmtree(out, ignore_errors=True)
        started = time.perf_counter()
        convert(slide, out, ConversionRequest(), lambda _fraction: None)
        plain.append(time.perf_counter() - started)
        shutil.rmtree(out)
        started = time.perf_counter()
        subprocess.run(
            [str(COVERSLIP), "convert", str(slide), "--out", str(out)],
            check=True,
            capture_output=True,
        )
        command.append(time.perf_counter() - started)
    bare = statistics.median(
        seconds_of_copy(slide, folder / "copy", sync=False) for _ in range(RUNS)
    )
    say("", f"Conversion of {slide.name}, {size:.1f} MB; medians of {RUNS} runs, page cache warm")
    rows = [
        ("cp", bare),
        ("cp, then fsync", statistics.median(copies)),
        ("conversion, fsync", statistics.median(plain)),
        ("coverslip convert", statistics.median(command)),
    ]
    for name, seconds in rows:
        say(
            f"  {name:<18} {seconds:7.3f} s  {size / seconds:7.0f} MB/s  {seconds / bare:6.1f} x cp"
        )


def seconds_of_copy(source: Path, to: Path, *, sync: bool) -> float:
    """Copy a file as `cp` does; give the seconds."""
    to.unlink(missing_ok=True)
    started = time.perf_counter()
    shutil.copyfile(source, to)
    if sync:
        with to.open("rb+") as file:
            os.fsync(file.fileno())
    return time.perf_counter() - started


PART = Part("conversion", "a slide is converted, beside cp of it", measure)
