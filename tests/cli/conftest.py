from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import Command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def coverslip(tmp_path: Path, database_url: str) -> Command:
    """The command in an empty folder, on a database of its own."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Command(folder, database_url=database_url)


@pytest.fixture
def bare_coverslip(tmp_path: Path) -> Command:
    """The command in an empty folder, with nothing set at all."""
    folder = tmp_path / "bare"
    folder.mkdir()
    return Command(folder)
