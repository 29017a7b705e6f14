"""The fuzzer itself: it finds what is wrong, keeps it, and finds nothing where nothing is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.__main__ import main
from tests.fuzz.targets import TARGETS, Target

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def fragile(content: bytes) -> None:
    """Read a length, and believe it."""
    if content[:1] != b"L":
        raise ValueError("no length")
    _ = content[content[1]]


def test_a_reader_that_fails_is_found_and_its_input_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Target("fragile", fragile, (ValueError,), lambda: [b"L\x00abc"], (b"L",))
    folder = tmp_path / "found"
    assert main(["--seconds", "2", "--failures", str(folder)], [target]) == 1
    said = capsys.readouterr().out
    assert "IndexError" in said
    (kept,) = folder.iterdir()
    assert str(kept) in said
    assert kept.name.startswith("fragile.")


def test_every_reader_takes_its_seeds(tmp_path: Path) -> None:
    assert main(["--seconds", "0", "--failures", str(tmp_path)]) == 0
    assert all(target.seeds() for target in TARGETS)
