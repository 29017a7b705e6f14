"""The benchmarks measure what they say: the instance they make, and the parts one can name."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.encaps import generate_frames

from benchmarks import instance
from benchmarks.parts import PARTS


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], capture_output=True, text=True, check=False
    )


def test_help_names_every_part_and_what_it_measures() -> None:
    told = run("--help").stdout
    for part in PARTS:
        assert part.name in told
        assert part.says in told


def test_a_part_that_there_is_not_is_refused() -> None:
    refused = run("no-such-part")
    assert refused.returncode == 2
    assert "there is no part 'no-such-part'" in refused.stderr


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> instance.Large:
    return instance.make(tmp_path_factory.mktemp("bench") / "large", 40)


def test_ranges_and_single_files_hold_the_frames_of_the_instance(large: instance.Large) -> None:
    content = large.path.read_bytes()
    dataset = pydicom.dcmread(BytesIO(content))
    frames = list(generate_frames(dataset.PixelData, number_of_frames=40))
    assert large.spans is not None
    assert large.still is not None
    for number, line in enumerate(large.spans.read_text().splitlines(), start=1):
        first, last = map(int, line.split("-"))
        assert content[first : last + 1] == frames[number - 1]
        assert (Path(large.still) / f"{number}.jpg").read_bytes() == frames[number - 1]


def test_frames_are_as_large_as_those_of_scanners_and_no_two_alike(large: instance.Large) -> None:
    frames = [path.read_bytes() for path in Path(large.still or "").iterdir()]
    assert len(set(frames)) == 40
    assert 15_000 < sum(map(len, frames)) / 40 < 19_000
