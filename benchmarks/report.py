"""What is printed: lines, tables, and what the machine is."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def say(*lines: str) -> None:
    """Print lines at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def ratio(name: str, value: float, *, wanted: str = "") -> None:
    """Print one ratio, and what is wanted of it."""
    say(f"  {name:<62} {value:8.2f}{f'   wanted: {wanted}' if wanted else ''}")


def machine() -> str:
    """Name the processor and say how busy the machine is already."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = text.split("model name")[1].split(":", 1)[1].split("\n", 1)[0].strip()
    return f"{os.cpu_count()} x {model}, load average {os.getloadavg()[0]:.1f}"
