"""Converted slides for tests, and independent ways to look at them."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from conversion import ConversionRequest, Manifest, run_conversion
from conversion.convert import convert
from tests.support.shared import missing

if TYPE_CHECKING:
    from pathlib import Path

#: Case data of an invented patient, complete enough that a validator has nothing to warn about.
CASE = ConversionRequest(
    case_id="S26-0001",
    accession="A0001",
    patient_id="P0001",
    patient_name="Doe^Jane",
    patient_birth_date="19600101",
    patient_sex="F",
    study_date="20260102",
    study_time="0900",
    container_id="S26-0001-A-1",
    specimen_ids=("S26-0001-A",),
    stain="H&E",
)


def converted(slide: Path, out: Path, request: ConversionRequest | None = None) -> Manifest:
    """Convert: in this process, or for NDPI in a child.

    The library that cuts NDPI sets off NumPy's deprecation warnings inside a C callback, where
    neither it nor we can catch them; warnings are errors in this process.
    """
    if slide.suffix == ".ndpi":
        return run_conversion(slide, out, request or ConversionRequest())
    return convert(slide, out, request or ConversionRequest())


def contents(folder: Path) -> dict[str, bytes]:
    """Return name → bytes of everything in a folder, hidden files too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def validator_lines(path: Path) -> list[str]:
    """Return what dciodvfy says of a file; where it is not installed, skip or, on CI, fail."""
    if shutil.which("dciodvfy") is None:
        missing("dciodvfy (Debian: dicom3tools) is not installed")
    done = subprocess.run(
        ["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False
    )
    return (done.stdout + done.stderr).splitlines()
