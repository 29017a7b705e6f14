"""Where the shared slides and DICOM files lie, and what happens where they do not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

#: The folder `shared` beside the checkout.
SHARED: Path = Path(__file__).resolve().parents[2].parent / "shared"


def shared_file(relative: str) -> Path:
    """Return a shared file; where it is missing, fail on CI and skip elsewhere.

    Parameters
    ----------
    relative
        Path below `SHARED`, for instance ``slides/aperio-svs/CMU-1-Small-Region.svs``.
    """
    path = SHARED / relative
    if not path.exists():
        missing(f"the shared file {relative} is not there")
    return path


def missing(reason: str) -> NoReturn:
    """Fail the test on CI, where everything must be there; skip it elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
