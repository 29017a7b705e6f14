"""Which files a command line means: the ones named, and the slides below the folders named."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# What scanners write. Formats that are not converted yet are among them, so that a folder of them
# is refused in words and not passed over in silence.
SUFFIXES = frozenset(
    {
        *(".svs", ".tif", ".tiff", ".btf", ".ndpi", ".dcm"),
        *(".afi", ".bif", ".czi", ".ets", ".i2syntax", ".isyntax", ".jp2", ".kfb", ".mrxs"),
        *(".qptiff", ".scn", ".sdpc", ".svslide", ".tmap", ".vms", ".vmu", ".zvi"),
    }
)


@dataclass(frozen=True, slots=True)
class Found:
    """What the paths of a command line come to."""

    slides: list[Path]
    passed_over: int
    """Files in the folders that are no slides by their names."""


def find_slides(paths: Sequence[Path]) -> Found:
    """Give the files that are named, and the slide files in the folders that are, by name.

    Hidden files and folders are left alone. A path that is not there is given back as it is: it
    fails when it is its turn, like any other that cannot be read.
    """
    slides: dict[Path, None] = {}
    passed_over = 0
    for path in paths:
        if not path.is_dir():
            slides[path] = None
            continue
        for file in _files(path):
            if file.suffix.lower() in SUFFIXES or is_dicom(file):
                slides[file] = None
            else:
                passed_over += 1
    return Found(list(slides), passed_over)


def is_dicom(path: Path) -> bool:
    """Tell whether a file has the preamble of a DICOM file (PS3.10 §7.1); no if unreadable."""
    if not path.is_file():  # opening a pipe would wait for somebody to write to it
        return False
    try:
        with path.open("rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def _files(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for where, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(where) / name
