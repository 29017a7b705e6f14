"""The child process: what it is kept from, how it fails, and that a kill costs nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conversion import ConversionLimits, ConversionRequest, run_conversion
from conversion.errors import (
    ConversionCancelled,
    ConversionError,
    ConversionTimedOut,
    OutOfMemory,
    TruncatedSource,
    UnsupportedFormat,
)
from tests.support.conversions import CASE, contents, converted
from tests.support.slides import make_svs

CHECKOUT = Path(__file__).parents[2]
NO_CASE = ConversionRequest()


def test_importing_the_package_loads_no_slide_library() -> None:
    program = (
        "import sys, conversion, conversion.child\n"
        "heavy = {'tifffile', 'opentile', 'openslide', 'wsidicom', 'imagecodecs', 'pydicom'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr


def test_the_parent_gets_manifest_progress_and_files(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    told: list[float] = []
    manifest = run_conversion(path, tmp_path / "out", CASE, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    names = {item.path for item in manifest.instances} | {f"{manifest.series_uid}.json"}
    assert set(contents(tmp_path / "out")) == names
    assert manifest == converted(path, tmp_path / "again", CASE)


def test_the_childs_error_comes_back_as_its_own_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(b"no slide at all")
    with pytest.raises(UnsupportedFormat) as caught:
        run_conversion(path, tmp_path / "out", NO_CASE)
    assert caught.value.facts["format"] == "unknown"
    assert not (tmp_path / "out").exists()


def test_facts_of_an_error_survive_the_way_from_the_child(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    os.truncate(path, 1000)
    with pytest.raises(TruncatedSource) as caught:
        run_conversion(path, tmp_path / "out", NO_CASE)
    assert caught.value.size == 1000


def test_a_path_that_looks_like_an_option_is_a_path(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "--out=elsewhere.svs")
    assert run_conversion(path, tmp_path / "-o", NO_CASE).instances


@pytest.mark.parametrize("limit", [60_000_000, 120_000_000])
def test_too_little_memory_is_told(limit: int, tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    with pytest.raises(OutOfMemory):
        run_conversion(path, tmp_path / "out", NO_CASE, ConversionLimits(memory_bytes=limit))


def test_a_child_that_takes_too_long_is_ended_and_clears_up(large: Path, tmp_path: Path) -> None:
    before = time.monotonic()
    with pytest.raises(ConversionTimedOut):
        run_conversion(large, tmp_path / "out", NO_CASE, ConversionLimits(seconds=0.3))
    assert time.monotonic() - before < 6
    assert contents(tmp_path / "out") == {}


def test_a_cancelled_conversion_ends_at_once_and_clears_up(large: Path, tmp_path: Path) -> None:
    cancelled = threading.Event()
    with pytest.raises(ConversionCancelled):
        run_conversion(
            large,
            tmp_path / "out",
            NO_CASE,
            on_progress=lambda fraction: cancelled.set() if fraction > 0.5 else None,
            cancelled=cancelled.is_set,
        )
    assert contents(tmp_path / "out") == {}


def test_two_conversions_of_one_slide_into_one_folder_do_not_mix(
    large: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    errors: list[ConversionError] = []

    def second(fraction: float) -> None:
        if fraction > 0.5 and not errors:
            with pytest.raises(ConversionError) as caught:
                converted(large, out)
            errors.append(caught.value)

    manifest = run_conversion(large, out, NO_CASE, on_progress=second)
    assert "another conversion" in errors[0].message
    assert {item.path for item in manifest.instances} <= set(contents(out))


def test_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    path = make_svs(tmp_path / "a.svs")
    converted(path, tmp_path / "one", CASE)
    run_conversion(path, tmp_path / "two", CASE)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a slide that takes long enough to be killed in the middle."""
    folder = tmp_path_factory.mktemp("large")
    return make_svs(folder / "large.svs", 6000, 5000, tile=64, shrink=(1, 4))


@pytest.fixture(scope="module")
def expected(large: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("expected") / "out"
    converted(large, out)
    return contents(out)


@pytest.mark.parametrize("seed", range(10))
def test_a_kill_at_any_moment_costs_nothing_but_a_second_run(
    seed: int, large: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    moment = random.Random(seed).uniform(0, 1)
    child = subprocess.Popen(
        [sys.executable, "-m", "conversion", "convert", str(large), "--out", str(out)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    for line in child.stdout:
        if b"progress" not in line or float(line.split(b":")[1].strip(b" }\n")) >= moment:
            break
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    whole = {name for name in contents_of_files(out) if name.endswith(".dcm")}
    for name in whole:  # what has its final name is whole
        assert (out / name).read_bytes() == expected[name]
    run_conversion(large, out, NO_CASE)
    assert contents(out) == expected


def contents_of_files(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.is_file()] if folder.exists() else []
