"""What every part is given: a folder, what was asked for, and what is made only once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from benchmarks import instance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    seconds: float
    """Of each load."""
    frames: int
    """Of the instance whose frames are asked for."""
    megabytes: int
    """Of the instance that is stored."""
    slide: Path | None
    """Slide to convert; None is the demonstration slide."""
    instances: int
    """Of the catalog that is searched."""


class Bench:
    """Handed from part to part, so that what one of them made the others find."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options
        self.large: Callable[[int], instance.Large] = cache(self._large)
        self.sparse: Callable[[int], instance.Large] = cache(self._sparse)

    def _large(self, frames: int) -> instance.Large:
        """Give an instance of so many frames of about 17 kB."""
        return instance.make(self.folder / f"large-{frames}", frames)

    def _sparse(self, frames: int) -> instance.Large:
        """Give a TILED_SPARSE instance of so many tiny frames."""
        return instance.make_sparse(self.folder / f"sparse-{frames}", frames)

    @cached_property
    def slide(self) -> Path:
        """The slide file that is converted and ingested."""
        if self.options.slide is not None:
            return self.options.slide
        path = self.folder / "demo.svs"
        subprocess.run([sys.executable, "-m", "scripts.demo_slide", str(path)], check=True)
        return path


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is measured; its name selects it on the command line."""

    name: str
    says: str
    """A sentence for `--help`."""
    run: Callable[[Bench], None]
    long: bool = False
    """Whether it only runs when it is named."""
