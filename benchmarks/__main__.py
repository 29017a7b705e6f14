"""The command: select parts, measure them one after the other, leave nothing behind."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks import bench, parts, report

_EXAMPLES = """\
For example:

  make bench                                  every part but those marked (long)
  python -m benchmarks frames stow            two of them
  python -m benchmarks frames --frames 78000  over a larger instance
  python -m benchmarks stow --megabytes 10000 --seconds 3
  python -m benchmarks search --instances 10000000

Figures of one machine say little: read the ratios. On a busy machine read the column of frames per
second of processor time, which does not count the time that others had.
"""


def main() -> int:
    """Read the command line and measure."""
    chosen = _parser().parse_args()
    selected = chosen.parts or [part for part in parts.PARTS if not part.long]
    report.say(
        f"Coverslip {version('coverslip')}, Python {platform.python_version()}, {report.machine()}"
    )
    with tempfile.TemporaryDirectory(prefix="coverslip-bench-") as folder:
        options = bench.Options(
            seconds=chosen.seconds,
            frames=chosen.frames,
            megabytes=chosen.megabytes,
            slide=chosen.slide,
            instances=chosen.instances,
        )
        given = bench.Bench(Path(folder), options)
        for part in selected:
            part.run(given)
    return 0


def _part(name: str) -> bench.Part:
    for part in parts.PARTS:
        if part.name == name:
            return part
    raise argparse.ArgumentTypeError(f"there is no part {name!r}; --help lists them")


def _parser() -> argparse.ArgumentParser:
    width = max(len(part.name) for part in parts.PARTS)
    lines = [
        f"  {part.name:<{width}}  {'(long) ' if part.long else ''}{part.says}"
        for part in parts.PARTS
    ]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the archive beside what does the same without one.",
        epilog="\n".join(["Parts:", "", *lines, "", _EXAMPLES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="part",
        type=_part,
        help="what to measure; all but the long ones when left out",
    )
    parser.add_argument("--seconds", type=float, default=6, help="of each load (default: 6)")
    parser.add_argument(
        "--frames", type=int, default=20_000, help="of the instance asked for (default: 20000)"
    )
    parser.add_argument(
        "--megabytes", type=int, default=2_000, help="of the instance stored (default: 2000)"
    )
    parser.add_argument(
        "--instances",
        type=int,
        default=1_000_000,
        help="in the catalog that is searched (default: 1000000; ten million take 20 GB)",
    )
    parser.add_argument("--slide", type=Path, help="convert this instead of the demo slide")
    return parser


if __name__ == "__main__":
    sys.exit(main())
