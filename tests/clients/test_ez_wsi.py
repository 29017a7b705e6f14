"""EZ-WSI DICOMweb, Google's library: in an environment of its own, for its own dependencies."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openslide
import pydicom
import pytest

from tests.clients.conftest import provided

if TYPE_CHECKING:
    from tests.clients.conftest import Served

SCRIPT = Path(__file__).with_name("ez_wsi_drive.py")


@pytest.fixture(scope="module")
def told(served: Served) -> dict[str, object]:
    python = provided("ez-wsi") / "bin/python"
    done = subprocess.run(
        [python, SCRIPT, served.server.dicomweb, served.token, served.study, served.series],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_it_finds_the_slide_with_its_levels(told: dict[str, object], served: Served) -> None:
    assert told["columns"] == served.level.TotalPixelMatrixColumns
    assert told["rows"] == served.level.TotalPixelMatrixRows
    assert told["studies"] == told["series"] == 1
    assert isinstance(told["levels"], int)
    assert told["levels"] >= 2


def test_it_downloads_what_was_stored(told: dict[str, object], served: Served) -> None:
    uid = str(told["instance_uid"])
    assert uid == served.level.SOPInstanceUID
    assert told["instance"] == hashlib.sha256(served.files[uid].read_bytes()).hexdigest()
    frames = [hashlib.sha256(frame).hexdigest() for frame in served.frames[:3]]
    assert told["frames"] == frames
    profile = served.level.OpticalPathSequence[0].ICCProfile
    assert told["icc_profile"] == hashlib.sha256(profile).hexdigest()


@pytest.mark.claim("clients.ez-wsi")
def test_its_patch_is_what_openslide_sees(told: dict[str, object], served: Served) -> None:
    assert told["patch_shape"] == [200, 300, 3]
    with openslide.OpenSlide(
        served.files[str(pydicom.uid.UID(str(told["instance_uid"])))]
    ) as slide:
        region = np.asarray(slide.read_region((100, 120), 0, (300, 200)))[..., :3]
    wanted = region.reshape(-1, 3).mean(axis=0)
    assert np.abs(np.asarray(told["patch"]) - wanted).max() < 3
