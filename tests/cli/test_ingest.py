from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pydicom
import pytest

from tests.support.slides import make_svs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Command


def studies(text: str) -> list[dict[str, dict[str, list[str]]]]:
    found: list[dict[str, dict[str, list[str]]]] = json.loads(text)
    return found


def test_a_slide_is_stored_once_while_a_server_runs(coverslip: Command) -> None:
    slide = make_svs(coverslip.folder / "one.svs")
    with coverslip.server() as server:
        words = ("ingest", slide, "--accession", "S26-417", "--patient-id", "0417")
        first = coverslip.run(*words, "--container-id", "S26-417-A1", "--stain", "H&E")
        assert first.returncode == 0, first.stderr
        assert first.stdout.startswith("stored ")
        again = coverslip.run(*words, "--container-id", "S26-417-A1", "--stain", "H&E")
        assert again.returncode == 0
        assert again.stdout.startswith("already stored ")
        (study,) = studies(server.get("/dicomweb/studies").data.decode())
        assert study["00080050"]["Value"] == ["S26-417"]
    assert coverslip.run("verify").returncode == 0


def test_a_folder_is_searched_and_what_fails_is_told_while_the_others_go_on(
    coverslip: Command,
) -> None:
    slides = coverslip.folder / "slides"
    (slides / "deep").mkdir(parents=True)
    make_svs(slides / "good.svs", seed=1)
    make_svs(slides / "deep" / "better.svs", seed=2)
    (slides / "no-slide.svs").write_bytes(b"this is no slide at all" * 100)
    (slides / "empty.svs").write_bytes(b"")
    (slides / "notes.txt").write_text("not looked at")
    done = coverslip.run("ingest", slides, coverslip.folder / "missing.svs")
    assert done.returncode == 1
    assert done.stdout.count("stored ") == 2
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed ")]
    assert len(failed) == 3
    for name in ("no-slide.svs", "empty.svs", "missing.svs"):
        assert any(name in line for line in failed)
    assert "1 files are no slides" in done.stderr
    assert "Traceback" not in done.stderr
    assert "0 missing, 0 altered, 0 stray" in coverslip.run("verify").stdout


def test_a_truncated_slide_leaves_nothing(coverslip: Command) -> None:
    slide = make_svs(coverslip.folder / "whole.svs")
    cut = coverslip.folder / "cut.svs"
    cut.write_bytes(slide.read_bytes()[:-20_000])
    done = coverslip.run("ingest", cut)
    assert done.returncode == 1
    assert done.stderr.count("failed ") >= 1
    assert coverslip.run("verify").stdout.startswith("0 instances checked")
    assert list((coverslip.folder / "coverslip-data" / "staging").rglob("*.dcm")) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_slide_that_may_not_be_read_is_told(coverslip: Command) -> None:
    slide = make_svs(coverslip.folder / "one.svs")
    slide.chmod(0)
    done = coverslip.run("ingest", slide)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


def test_a_device_is_no_slide(coverslip: Command) -> None:
    os.mkfifo(coverslip.folder / "pipe.svs")
    done = coverslip.run("ingest", coverslip.folder / "pipe.svs")
    assert done.returncode == 1
    assert "failed " in done.stderr


def test_the_label_of_one_slide_is_not_given_to_two(coverslip: Command) -> None:
    make_svs(coverslip.folder / "a.svs", seed=1)
    make_svs(coverslip.folder / "b.svs", seed=2)
    done = coverslip.run("ingest", "a.svs", "b.svs", "--container-id", "A1")
    assert done.returncode == 2
    assert "one by one" in done.stderr


def test_case_data_that_cannot_be_are_refused_before_anything_starts(coverslip: Command) -> None:
    make_svs(coverslip.folder / "a.svs")
    done = coverslip.run("ingest", "a.svs", "--patient-sex", "X")
    assert done.returncode == 2
    assert "patient_sex" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_convert_wrote_can_be_ingested_as_it_is(
    bare_coverslip: Command, coverslip: Command
) -> None:
    slide = make_svs(coverslip.folder / "one.svs")
    converted = bare_coverslip.run("convert", slide, "--out", "dicom", "--accession", "X1")
    assert converted.returncode == 0, converted.stderr
    assert not (bare_coverslip.folder / "coverslip-data").exists()
    files = sorted((bare_coverslip.folder / "dicom").glob("*.dcm"))
    assert files
    for file in files:
        assert pydicom.dcmread(file, stop_before_pixels=True).AccessionNumber == "X1"
    done = coverslip.run("ingest", bare_coverslip.folder / "dicom")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stored ") == len(files)
    from_slide = coverslip.run("ingest", slide, "--accession", "X1")
    assert from_slide.stdout.startswith("already stored ")


def test_a_slide_can_be_probed_without_an_archive(bare_coverslip: Command, tmp_path: Path) -> None:
    slide = make_svs(tmp_path / "one.svs")
    done = bare_coverslip.run("probe", slide)
    assert done.returncode == 0
    assert "Aperio SVS" in done.stdout
    bad = tmp_path / "bad.svs"
    bad.write_bytes(b"no slide")
    both = bare_coverslip.run("probe", "--json", bad, slide)
    assert both.returncode == 1
    assert str(bad) in both.stderr
    assert json.loads(both.stdout)["format"] == "Aperio SVS"


def test_verify_does_not_call_a_folder_whole_that_is_not_there(
    coverslip: Command, tmp_path: Path
) -> None:
    done = coverslip.run("verify", "--data-dir", str(tmp_path / "mistyped"))
    assert done.returncode == 1
    assert "there is no archive in" in done.stderr
    assert not (tmp_path / "mistyped").exists()


def test_verify_reports_what_is_altered_missing_and_rebuilds_the_rest(coverslip: Command) -> None:
    make_svs(coverslip.folder / "one.svs")
    assert coverslip.run("ingest", "one.svs").returncode == 0
    blobs = sorted((coverslip.folder / "coverslip-data" / "blobs").glob("??/*.dcm"))
    altered, missing = blobs[0], blobs[1]
    altered.chmod(0o600)
    content = bytearray(altered.read_bytes())
    content[-1] ^= 1
    altered.write_bytes(content)
    missing.unlink()
    done = coverslip.run("verify")
    assert done.returncode == 1
    told = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert altered.name in told["altered"]
    assert missing.name in told["missing"]
    rebuilt = coverslip.run("verify", "--rebuild")
    assert rebuilt.returncode == 1  # the altered one is left out, and told
    assert f"rebuilt: {len(blobs) - 2} instances" in rebuilt.stdout
